import { AntipodeError, assert } from '#core/errors';
import { decodeLease, type Lease } from '#core/failover/lease';
import type { FeatureView } from '#core/model/feature-view';
import { parseStreamKey } from '#core/model/stream';
import { Applier } from '#region/apply/applier';
import type { ConflictLedger } from '#region/apply/conflict-ledger';
import { queryConflicts } from '#region/apply/conflict-query';
import { ConflictTotals } from '#region/apply/conflict-totals';
import { ConflictWatch } from '#region/apply/conflict-watch';
import { IdempotencyCollector } from '#region/apply/idempotency-collector';
import { Projection } from '#region/apply/projection';
import { applyDecodableAgain, isIncomplete } from '#region/apply/store-completeness';
import { StoreTrust } from '#region/apply/store-trust';
import { ViewRegistry } from '#region/apply/view-registry';
import { AuditAnchorer } from '#region/audit/audit-anchorer';
import { AuditLog, verifyAudit } from '#region/audit/audit-log';
import { type StampGate, stampGate } from '#region/clocks/stamp-gate';
import type {
  AuditEntry,
  AuditVerdict,
  ConflictPage,
  ConflictQuery,
  IngestRequest,
  IngestResult,
  ReadCounters,
  ReadRowsRequest,
  ReadRowsResult,
  RegionEngine,
} from '#region/engine-api';
import { Authority } from '#region/failover/authority';
import type { NamespaceAuthority } from '#region/failover/namespace-authority';
import { Tails } from '#region/failover/tails';
import { AcknowledgedWrites } from '#region/ingest/acknowledged-writes';
import { Expirer } from '#region/ingest/expirer';
import { HlcService } from '#region/ingest/hlc-service';
import { Ingest, type IngestNamespace } from '#region/ingest/ingest';
import { NamespaceWriter } from '#region/ingest/namespace-writer';
import { Quarantine } from '#region/ingest/quarantine';
import { SyncWaits } from '#region/ingest/sync-waits';
import { linkRequests } from '#region/link-requests';
import { ActiveMember } from '#region/membership/active-member';
import { acknowledgementOf, assertSameReplication, controlPatienceMs } from '#region/namespace-setup';
import { RateCounter } from '#region/observe/counters';
import { EventList } from '#region/observe/events';
import type { RegionConfig, RegionPorts } from '#region/region-config';
import { DurablePositions } from '#region/replicate/durable-positions';
import { Links } from '#region/replicate/links';
import { openLogIdentity } from '#region/replicate/log-identity';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { Upkeep } from '#region/retain/upkeep';
import { type ReadNamespace, RowReads } from '#region/serve/row-reads';
import { strongReadsOf } from '#region/serve/strong-reads';
import type { ConflictCount, RegionStatus, TailStatus } from '#region/status';
import { type ObservedNamespace, StatusCollector } from '#region/status-collector';
import { vitalJournal } from '#region/vital-journal';

/** How often the state that serving processes read is written, ms. */
const PUBLISH_INTERVAL_MS = 200;
/** How often tails are looked for and offered again, ms. */
const TAILS_INTERVAL_MS = 500;

interface Namespace extends ObservedNamespace, IngestNamespace, ReadNamespace {
  readonly log: NamespaceLog;
  readonly authority: NamespaceAuthority;
  readonly writer: NamespaceWriter;
  readonly tails: Tails;
  readonly waits: SyncWaits;
}

/**
 * One region: wires the parts together on ports alone, so that the simulator runs exactly this. Order of start: the store
 * is judged, the applier runs (reads are served from then on), links, then the authority, which may make this region hub.
 */
export class Region implements RegionEngine {
  readonly region: string;
  readonly #config: RegionConfig;
  readonly #ports: RegionPorts;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #anchorer: AuditAnchorer;
  readonly #trust: StoreTrust;
  readonly #views: ViewRegistry;
  readonly #logs = new Map<string, NamespaceLog>();
  readonly #namespaces = new Map<string, Namespace>();
  readonly #positions = new DurablePositions();
  readonly #hlc: HlcService;
  readonly #stamps: StampGate;
  readonly #startedAtMs: number;
  readonly #reads: RateCounter;
  #readRows = 0;
  #readErrors = 0;
  /** Id of this region's log, known from the start on. */
  #logId = '';
  #applier: Applier | undefined;
  #conflicts: ConflictWatch | undefined;
  #links: Links | undefined;
  #ingest: Ingest | undefined;
  #rowReads: RowReads | undefined;
  #status: StatusCollector | undefined;
  #upkeep: Upkeep | undefined;
  #state: RegionStatus['state'] = 'starting';
  readonly #timers: (() => void)[] = [];

  constructor(options: { config: RegionConfig; ports: RegionPorts }) {
    const { config } = options;
    const ports = { ...options.ports, journal: vitalJournal(options.ports.journal, options.ports.host) };
    this.region = config.region;
    this.#config = config;
    this.#ports = ports;
    this.#events = new EventList({ clock: ports.clock, log: ports.logger });
    this.#audit = new AuditLog(ports);
    this.#anchorer = new AuditAnchorer({
      region: config.region,
      audit: this.#audit,
      control: ports.control,
      events: this.#events,
    });
    this.#trust = new StoreTrust({ journal: ports.journal, store: ports.store, host: ports.host });
    this.#views = new ViewRegistry(config.views);
    this.#hlc = new HlcService({ clock: ports.clock, journal: ports.journal });
    this.#stamps = stampGate({ ...ports, ...config, events: this.#events, audit: this.#audit, hlc: this.#hlc });
    this.#startedAtMs = ports.clock.wallMs();
    this.#reads = new RateCounter(ports.clock.monotonicMs());
    for (const { namespace, replication } of config.namespaces) {
      const members = replication === 'active-active' ? [config.region, ...config.peers].sort() : undefined;
      this.#logs.set(
        namespace,
        new NamespaceLog({
          namespace,
          log: ports.changeLog,
          journal: ports.journal,
          host: ports.host,
          clock: ports.clock,
          members,
        }),
      );
    }
  }

  async start(): Promise<void> {
    const { clock, random, host, store, journal } = this.#ports;
    for (const namespace of this.#config.namespaces) assertSameReplication(namespace, journal);
    this.#logId = await openLogIdentity(journal, random);
    const trusted = await this.#trust.open();
    await this.#anchorer.start(clock);
    const undecodable = this.#views.load(store);
    if (undecodable.length > 0)
      this.#events.add(
        'definition-undecodable',
        'error',
        `view versions that this release cannot decode: ${undecodable.join(', ')}`,
      );
    if (trusted) await applyDecodableAgain(store, this.#views);
    const rebuilding = this.#ports.changeLog.streams().length > 0 && (!trusted || isIncomplete(store));
    if (rebuilding)
      this.#events.add(
        'rebuild-started',
        'warning',
        'the online store is not complete; it is built again from the logs',
      );
    const totals = new ConflictTotals({ store, journal, namespaces: this.#logs });
    const projection = new Projection({ store, random, outliving: totals });
    await projection.begin();
    const conflicts = new ConflictWatch({ store, totals, namespaces: this.#logs });
    this.#conflicts = conflicts;
    const applier = new Applier({
      projection,
      region: this.region,
      conflicts,
      store,
      clock,
      host,
      views: this.#views,
      hlc: this.#hlc,
      events: this.#events,
      namespaces: this.#logs,
      rebuilding,
    });
    this.#applier = applier;
    const links = new Links({
      ...this.#ports,
      region: this.region,
      log: this.#logId,
      peers: this.#config.peers,
      namespaces: this.#logs,
      applier,
      events: this.#events,
      audit: this.#audit,
      positions: this.#positions,
      clocks: this.#stamps.clocks,
    });
    this.#links = links;
    for (const config of this.#config.namespaces)
      this.#namespaces.set(config.namespace, this.#buildNamespace(config, applier, links));
    this.#rowReads = new RowReads({
      region: this.region,
      clock,
      store,
      applier,
      peers: links,
      namespaces: this.#namespaces,
      freshness: (namespace) => this.#status?.freshness(namespace) ?? { anchorMs: null, certainAnchorMs: null },
    });
    const upkeep = new Upkeep({
      ...this.#ports,
      region: this.region,
      applier,
      conflicts,
      links,
      views: this.#views,
      events: this.#events,
      audit: this.#audit,
      config: this.#config,
      logs: this.#logs,
    });
    this.#upkeep = upkeep;
    this.#ingest = new Ingest({
      region: this.region,
      views: this.#views,
      clock,
      random,
      quarantine: new Quarantine(journal),
      peers: links,
      stamps: this.#stamps,
      namespaces: this.#namespaces,
    });
    this.#status = new StatusCollector({
      region: this.region,
      clock,
      applier,
      positions: this.#positions,
      namespaces: this.#namespaces,
      vouchesFor: (stream) => links.vouchesFor(stream),
      announcedHead: (stream) => links.announcedHead(stream),
      backfill: (namespace) => upkeep.backfill(namespace),
      stamps: this.#stamps,
    });
    const status = this.#status;
    applier.publish(() => status.servingState());
    applier.start();
    await links.start({
      handlers: {
        ...upkeep.handlers(),
        ...linkRequests({
          namespaceOf: (name) => this.#namespaceOf(name),
          log: this.#logId,
          ingest: this.#ingest,
          rowReads: this.#rowReads,
          incomplete: (namespace) => upkeep.incomplete(namespace),
        }),
      },
      extendsItself: (stream) =>
        this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '')?.authority.extends(stream) ?? false,
      mayAppend: (namespace) => this.#namespaces.get(namespace)?.authority.appendable() !== undefined,
      onNewerLease: (namespace) => this.#namespaces.get(namespace)?.authority.look(),
      onEpochMarker: (namespace, payload) => this.#namespaces.get(namespace)?.authority.learn(decodeLease(payload)),
    });
    for (const namespace of this.#namespaces.values()) namespace.authority.start();
    this.#timers.push(clock.every(PUBLISH_INTERVAL_MS, () => applier.publish(() => status.servingState())));
    const collector = new IdempotencyCollector({ store, clock });
    this.#timers.push(
      collector.start((error) => this.#events.add('idempotency-collection-failed', 'warning', String(error))),
    );
    upkeep.start();
    this.#timers.push(clock.every(TAILS_INTERVAL_MS, () => this.#tendTails()));
    const expiry = { clock, views: this.#views, hlc: this.#hlc, applier, stamps: this.#stamps, events: this.#events };
    for (const { log, gate } of this.#namespaces.values())
      this.#timers.push(new Expirer({ ...expiry, log, gate }).start());
    this.#state = 'serving';
    await this.#audit.append(this.region, 'region-started', { trustedStore: trusted });
    this.#events.add('region-started', 'info', `${this.region} serves`);
  }

  /** Orderly stop: no more writes, everything on its way is finished, the store is synced and marked clean. */
  async stop(): Promise<void> {
    this.#state = 'stopping';
    for (const stop of this.#timers) stop();
    await this.#upkeep?.stop();
    for (const namespace of this.#namespaces.values()) {
      await namespace.authority.stop();
      namespace.waits.giveUp('the region stops');
      await namespace.writer.idle();
    }
    await this.#links?.stop();
    await this.#applier?.stop();
    await this.#conflicts?.totals.save();
    // Notes of links that ended with the stop come first: the last entry is the one that the last anchor names.
    await this.#audit.settled();
    await this.#audit.append(this.region, 'region-stopped', {});
    await this.#anchorer.stop();
    await this.#trust.close();
    await this.#ports.control.close();
  }

  async status(): Promise<RegionStatus> {
    const { clock, store, changeLog } = this.#ports;
    const collector = this.#status;
    const ages = [...this.#namespaces.values()].map(({ authority }) => authority.controlAnswerAgeMs());
    const answered = ages.filter((age) => age !== null);
    const lastAnswerAgeMs = answered.length === 0 ? null : Math.min(...answered);
    const patienceMs = Math.min(...this.#config.namespaces.map(controlPatienceMs));
    return {
      region: this.region,
      place: this.#config.place,
      nowMs: clock.wallMs(),
      startedAtMs: this.#startedAtMs,
      state: this.#state === 'serving' && this.#applier?.rebuilding === true ? 'rebuilding' : this.#state,
      control: { reachable: lastAnswerAgeMs !== null && lastAnswerAgeMs < patienceMs, lastAnswerAgeMs },
      namespaces: collector?.namespaces() ?? [],
      streams: collector?.streams() ?? [],
      links: this.#links?.status() ?? [],
      tails: [...this.#namespaces.values()].flatMap(({ tails }) => tails.list()),
      store: { rows: store.rowCount(), bytes: store.bytes() },
      backfills: this.#upkeep?.backfills() ?? { completed: 0, rows: 0, bytes: 0 },
      log: { bytes: changeLog.bytes(), snapshot: this.#upkeep?.snapshot() ?? null },
      ingest: this.#running().ingest.counters(),
      reads: {
        requests: this.#reads.total,
        rows: this.#readRows,
        errors: this.#readErrors,
        requestsPerSecond: this.#reads.perSecond(clock.monotonicMs()),
      },
      conflicts: this.#conflicts?.ledger.counts() ?? [],
      events: this.#events.list(),
      clock: { fenced: this.#stamps.reason() ?? null, offsets: this.#stamps.clocks.offsets() },
    };
  }

  async ingest(request: IngestRequest): Promise<IngestResult> {
    return this.#running().ingest.submit(request, { forwarded: false });
  }

  async readRows(request: ReadRowsRequest): Promise<ReadRowsResult> {
    return this.#running().rowReads.read(request);
  }

  async views(): Promise<readonly FeatureView[]> {
    return this.#views.views();
  }

  async failover(options: {
    readonly namespace: string;
    readonly actor: string;
    readonly allowLoss?: boolean | undefined;
  }): Promise<{ epoch: number; lossy: boolean; durationMs: number }> {
    const namespace = this.#namespaces.get(options.namespace);
    if (namespace === undefined)
      throw new AntipodeError('FAILOVER_REFUSED', `namespace ${options.namespace} is not configured`);
    return namespace.authority.takeOver(options.actor, options.allowLoss ?? false);
  }

  async decideTail(decision: Parameters<RegionEngine['decideTail']>[0]): Promise<TailStatus> {
    const { stream, order, actor } = decision;
    const tails = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '')?.tails;
    if (tails === undefined) throw new AntipodeError('TAIL_NOT_FOUND', `${stream} is no stream of this region`);
    return tails.decide(stream, order, actor);
  }

  async conflicts(query: ConflictQuery): Promise<ConflictPage> {
    return queryConflicts(this.#conflictLedger(), this.#views, query);
  }

  async conflictCounts(): Promise<readonly ConflictCount[]> {
    return this.#conflictLedger().counts();
  }

  async auditEntries(options: { readonly after: number; readonly limit: number }): Promise<readonly AuditEntry[]> {
    return this.#audit.entries(options);
  }

  async auditVerify(): Promise<AuditVerdict> {
    const { journal, clock } = this.#ports;
    return verifyAudit(journal, await this.#anchorer.read(), () => clock.yield());
  }

  async audit(entry: {
    readonly actor: string;
    readonly action: string;
    readonly details: AuditEntry['details'];
  }): Promise<void> {
    await this.#audit.append(entry.actor, entry.action, entry.details);
  }

  reportReads(counters: ReadCounters): void {
    this.#reads.add(counters.requests, this.#ports.clock.monotonicMs());
    this.#readRows += counters.rows;
    this.#readErrors += counters.errors;
    for (const key of counters.damaged ?? []) this.#ports.store.row(Buffer.from(key, 'hex'));
  }

  #conflictLedger(): ConflictLedger {
    assert(this.#conflicts !== undefined, 'the region is started');
    return this.#conflicts.ledger;
  }

  #running(): { ingest: Ingest; rowReads: RowReads } {
    assert(this.#ingest !== undefined && this.#rowReads !== undefined, 'the region is started');
    return { ingest: this.#ingest, rowReads: this.#rowReads };
  }

  #buildNamespace(config: RegionConfig['namespaces'][number], applier: Applier, links: Links): Namespace {
    const { namespace } = config;
    const log = this.#logs.get(namespace);
    assert(log !== undefined, `log of ${namespace}`);
    const acknowledgement = acknowledgementOf(config, { log, positions: this.#positions, peers: links.names });
    const { store, clock, host, random, control, journal } = this.#ports;
    const waits = new SyncWaits({ log, clock, positions: this.#positions, ...acknowledgement });
    const common = {
      region: this.region,
      control,
      clock,
      random,
      log,
      logId: this.#logId,
      positions: this.#positions,
      applier,
      hlc: this.#hlc,
      stamps: this.#stamps,
      peers: links,
      attached: (peer: string) => links.attached(peer),
      events: this.#events,
      audit: this.#audit,
    };
    // The writer asks the authority, which writes its epoch marker through the writer: the one knot, tied here.
    const authority: NamespaceAuthority =
      config.replication === 'active-active'
        ? new ActiveMember({
            ...common,
            config,
            journal,
            onChosen: () => links.reconcile(),
          })
        : new Authority({
            ...common,
            config,
            positions: this.#positions,
            appendMarker: (grant, record) => writer.appendEpochMarker(grant, record),
            onStepDown: () => waits.giveUp('this region is holder no more'),
            onRecord: () => waits.look(),
            onLease: () => {
              applier.settleBeyondSeals();
              applier.kick();
              links.reconcile();
            },
          });
    const writer = new NamespaceWriter({
      namespace,
      partitions: config.partitions,
      log,
      store,
      clock,
      host,
      views: this.#views,
      hlc: this.#hlc,
      applier,
      gate: authority,
      stamps: this.#stamps,
    });
    const writes = new AcknowledgedWrites({ writer, waits, gate: authority, log });
    const tails = new Tails({
      namespace,
      region: this.region,
      policy: config.replication === 'active-active' ? 'keep' : config.tail,
      log,
      store,
      views: this.#views,
      writer,
      gate: authority,
      peers: links,
      clock,
      events: this.#events,
      audit: this.#audit,
      journal: this.#ports.journal,
    });
    const learn = (lease: Lease): void => authority.learn(lease);
    const strong = strongReadsOf({ region: this.region, setup: config, control, acknowledgement, waits, learn });
    return { log, authority, gate: authority, writer, writes, waits, tails, acknowledgement, ...strong };
  }

  #namespaceOf(name: string): Namespace {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined)
      throw new AntipodeError('STREAM_NOT_FOUND', `namespace ${name} is not configured here`);
    return namespace;
  }

  #tendTails(): void {
    for (const { tails } of this.#namespaces.values()) {
      tails.tend().catch((error: unknown) => this.#events.add('tail-failed', 'error', String(error)));
    }
  }
}
