import { assert } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { OnlineStore } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import type { Applier } from '#region/apply/applier';
import type { ConflictTotals } from '#region/apply/conflict-totals';
import type { ConflictWatch } from '#region/apply/conflict-watch';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';
import type { RegionConfig } from '#region/region-config';
import type { Links } from '#region/replicate/links';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { RequestHandlers } from '#region/replicate/rpc';
import { Backfiller } from '#region/retain/backfiller';
import { CopyServer } from '#region/retain/copy-server';
import { LogRepair } from '#region/retain/log-repair';
import { DEFAULT_RETENTION, type RetainedNamespace, Retention } from '#region/retain/retention';
import { SnapshotRestorer } from '#region/retain/snapshot-restorer';
import { SnapshotTaker } from '#region/retain/snapshot-taker';
import type { BackfillStatus, RegionStatus, SnapshotStatus } from '#region/status';

/** Bytes of one chunk of a snapshot: what other writes to the log wait for at the most. */
const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
/** Bytes of one chunk of a backfill, of which one is on its way at a time: 5 MB/s at a round trip of 200 ms. */
const BACKFILL_CHUNK_BYTES = 1024 * 1024;

/** How often gaps are looked for, ms. */
const TEND_MS = 100;
/** How often the totals of the conflict ledger are written when something was counted, ms. */
const TOTALS_MS = 5000;

/** What keeps a region's logs and store in order over time: retention with its snapshots, gaps and their backfills. */
export class Upkeep {
  readonly #retention: Retention;
  readonly #backfillers = new Map<string, Backfiller>();
  readonly #repairs = new Map<string, LogRepair>();
  readonly #copies: CopyServer;
  readonly #clock: Clock;
  readonly #totals: ConflictTotals;
  readonly #events: EventList;
  #stopTending: () => void = () => undefined;

  constructor(options: {
    region: string;
    clock: Clock;
    store: OnlineStore;
    snapshots: Snapshots;
    applier: Applier;
    conflicts: ConflictWatch;
    links: Links;
    views: ViewRegistry;
    events: EventList;
    audit: AuditLog;
    config: RegionConfig;
    logs: ReadonlyMap<string, NamespaceLog>;
  }) {
    const { applier, links, logs, config } = options;
    const namespaces = new Map<string, RetainedNamespace>();
    for (const { namespace, retention = DEFAULT_RETENTION } of config.namespaces) {
      const log = logs.get(namespace);
      assert(log !== undefined, `log of ${namespace}`);
      namespaces.set(namespace, { log, retention });
    }
    applier.projection.restore = () =>
      new SnapshotRestorer({ ...options, projection: applier.projection, namespaces: logs }).restore();
    this.#retention = new Retention({
      ...options,
      namespaces,
      taker: new SnapshotTaker({
        ...options,
        totals: options.conflicts.totals,
        namespaces: logs,
        chunkBytes: config.copyChunkBytes ?? SNAPSHOT_CHUNK_BYTES,
      }),
      peers: links.names,
      heldBy: (peer, stream) => links.heldBy(peer, stream),
      mayCopy: () => !applier.rebuilding,
    });
    for (const { namespace: name, partitions } of config.namespaces) {
      const log = logs.get(name);
      assert(log !== undefined, `log of ${name}`);
      const secure = () => this.#retention.takeNow();
      this.#backfillers.set(name, new Backfiller({ ...options, log, partitions, secure }));
      this.#repairs.set(name, new LogRepair({ ...options, log }));
    }
    this.#copies = new CopyServer({
      ...options,
      namespaces: logs,
      chunkBytes: config.copyChunkBytes ?? BACKFILL_CHUNK_BYTES,
      unsettled: (namespace) =>
        applier.rebuilding ? 'the online store is being built again' : this.#backfillers.get(namespace)?.unsettled(),
    });
    links.incomplete = (namespace) => this.incomplete(namespace);
    links.withheld = (namespace) => this.#backfillers.get(namespace)?.withheld() ?? new Set();
    applier.incomplete = (namespace) => this.incomplete(namespace);
    applier.awaitsFirstRows = (namespace) => this.#backfillers.get(namespace)?.awaitsFirstRows() ?? false;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#totals = options.conflicts.totals;
    this.#totals.copying = () => [...logs.keys()].some((name) => this.incomplete(name) !== undefined);
  }

  start(): void {
    this.#retention.start();
    const stops = [
      this.#clock.every(TEND_MS, () => {
        for (const repair of this.#repairs.values()) repair.tend();
        for (const backfiller of this.#backfillers.values()) backfiller.tend();
      }),
      this.#clock.every(TOTALS_MS, () => {
        this.#totals
          .saveCounted()
          .catch((error: unknown) => this.#events.add('conflict-totals-not-written', 'warning', String(error)));
      }),
    ];
    this.#stopTending = () => stops.forEach((stop) => void stop());
  }

  async stop(): Promise<void> {
    this.#stopTending();
    for (const backfiller of this.#backfillers.values()) await backfiller.stop();
    await this.#retention.stop();
  }

  /** What other regions may ask: copies of this region's store. */
  handlers(): RequestHandlers {
    return this.#copies.handlers();
  }

  /** Why this region lacks something of the namespace that its logs cannot give it; undefined when it does not. */
  incomplete(namespace: string): string | undefined {
    return this.#backfillers.get(namespace)?.incomplete();
  }

  backfill(namespace: string): BackfillStatus | null {
    return this.#backfillers.get(namespace)?.status() ?? null;
  }

  backfills(): RegionStatus['backfills'] {
    const totals = [...this.#backfillers.values()].map((backfiller) => backfiller.totals());
    return {
      completed: totals.reduce((sum, { completed }) => sum + completed, 0),
      rows: totals.reduce((sum, { rows }) => sum + rows, 0),
      bytes: totals.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  snapshot(): SnapshotStatus | null {
    const newest = this.#retention.newest();
    return newest === null ? null : { atMs: newest.takenAtMs, rows: newest.rows, bytes: newest.bytes };
  }
}
