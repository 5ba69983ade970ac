import { AntipodeError, toAntipodeError } from '#core/errors';
import { encodeLease, firstRecord, type Lease, type LeaseRecord } from '#core/failover/lease';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { Random } from '#ports/random';
import type { Applier } from '#region/apply/applier';
import type { AuditLog } from '#region/audit/audit-log';
import type { StampGate } from '#region/clocks/stamp-gate';
import { Acceptance } from '#region/failover/acceptance';
import type { AuthorityConfig } from '#region/failover/authority-config';
import { EarlierLife, type HolderSurroundings } from '#region/failover/earlier-life';
import { Eligibility } from '#region/failover/eligibility';
import { acknowledgementStatus, EpochAcknowledgements } from '#region/failover/epoch-acknowledgements';
import { judgeOwnLog, mintStreams, type OwnLog, partitionOf } from '#region/failover/incarnation';
import { LeaseWatch } from '#region/failover/lease-watch';
import type { NamespaceAuthority } from '#region/failover/namespace-authority';
import { PacedLoop } from '#region/failover/paced-loop';
import { Promoter, type PromotionOrder, type PromotionResult } from '#region/failover/promoter';
import { PromotionFailures } from '#region/failover/promotion-failures';
import { shortfallOf } from '#region/failover/readiness';
import type { Holder, Role } from '#region/failover/role';
import { Silence } from '#region/failover/silence';
import { StandingNotices } from '#region/failover/standing-notices';
import type { HlcService } from '#region/ingest/hlc-service';
import type { AppendGrant } from '#region/ingest/holder-gate';
import type { EventList } from '#region/observe/events';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import type { NamespaceStatus } from '#region/status';

const CATCH_UP_MS_MAX = 60_000;

/**
 * Who is hub of one namespace, as this region sees it and takes part in it (P6). Watches and changes the lease record in
 * the control store, promotes this region when the lease has lapsed, and answers ingest whether it may append. Time is
 * only ever the monotonic clock: a holder counts from before it sent a renewal, everybody else from after an answer came.
 */
export class Authority implements NamespaceAuthority {
  readonly #region: string;
  readonly #config: AuthorityConfig;
  readonly #watch: LeaseWatch;
  readonly #promoter: Promoter;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: NamespaceLog;
  readonly #acknowledgements: EpochAcknowledgements;
  readonly #applier: Applier;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #notices: StandingNotices;
  readonly #eligibility: Eligibility;
  readonly #failures: PromotionFailures;
  readonly #silence: Silence;
  readonly #appendMarker: (grant: AppendGrant, record: Uint8Array) => Promise<void>;
  readonly #onLease: () => void;
  readonly #onRecord: () => void;
  readonly #onStepDown: () => void;
  readonly #stopping = new AbortController();
  readonly #loop: PacedLoop;
  readonly #surroundings: HolderSurroundings;
  readonly #mintStreams = () => mintStreams({ ...this.#config, region: this.#region, random: this.#random });
  #role: Role = { kind: 'follower' };
  #beatMs: number;
  /** Epoch of which this region, its holder, lost a part: what of it is valid others decide, by taking over. */
  #lostEpoch: number | undefined;
  #promotion: Promise<PromotionResult> | undefined;
  #running: Promise<void> = Promise.resolve();
  /** The renewal on its way, settled either way. */
  #renewing: Promise<void> = Promise.resolve();
  #stopBeat: () => void = () => undefined;

  constructor(options: {
    region: string;
    config: AuthorityConfig;
    control: ControlStore;
    clock: Clock;
    random: Random;
    log: NamespaceLog;
    /** Id of this region's log (P6.4). */
    logId: string;
    positions: DurablePositions;
    applier: Applier;
    hlc: HlcService;
    stamps: StampGate;
    peers: Peers;
    /** Whether a peer has opened a link to this process. */
    attached: (peer: string) => boolean;
    events: EventList;
    audit: AuditLog;
    /** Writes the epoch marker; resolves when durable. */
    appendMarker: (grant: AppendGrant, record: Uint8Array) => Promise<void>;
    /** Called after a later record was adopted that changes more than a renewal does. */
    onLease: () => void;
    /** Called after every later record. */
    onRecord: () => void;
    /** Called when this region holds the lease no more. */
    onStepDown: () => void;
  }) {
    this.#region = options.region;
    this.#config = options.config;
    this.#watch = new LeaseWatch({
      namespace: options.config.namespace,
      stillMs: options.config.leaseMs + options.config.marginMs,
      control: options.control,
      clock: options.clock,
      log: options.log,
      onAdopted: (lease, before) => this.#onAdopted(lease, before),
    });
    this.#promoter = new Promoter({ ...options, watch: this.#watch, mintStreams: this.#mintStreams });
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
    this.#acknowledgements = new EpochAcknowledgements(options);
    this.#applier = options.applier;
    this.#surroundings = options;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#notices = new StandingNotices({ ...options, namespace: options.config.namespace });
    const notices = this.#notices;
    this.#eligibility = new Eligibility({ ...options, notices });
    this.#failures = new PromotionFailures({ ...options, notices });
    this.#silence = new Silence({ ...options, watch: this.#watch, notices });
    this.#appendMarker = options.appendMarker;
    this.#onLease = options.onLease;
    this.#onRecord = options.onRecord;
    this.#onStepDown = options.onStepDown;
    options.positions.onLog(() => this.#role.kind === 'holder' && this.look());
    this.#loop = new PacedLoop({
      clock: options.clock,
      random: options.random,
      signal: this.#stopping.signal,
      task: () => this.#tick(),
      intervalMs: () => this.#config.leaseMs / (this.#role.kind === 'holder' ? 4 : 6),
      onError: (error) => {
        if (error.code === 'INTERNAL') this.#events.add('authority-failed', 'error', error.message, internals(error));
      },
    });
    this.#beatMs = options.clock.monotonicMs();
  }

  start(): void {
    this.#stopBeat = this.#clock.every(Math.max(20, this.#config.leaseMs / 20), () => this.#beat());
    this.#running = this.#loop.run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AntipodeError('NO_HUB', 'the region stops'));
    this.#stopBeat();
    this.look();
    await this.#running;
    this.#role = { kind: 'follower' };
  }

  /** Looks at the control store soon instead of at the next interval. */
  look(): void {
    this.#loop.hurry();
  }

  hub(): string | undefined {
    return this.#log.lease?.record.holder;
  }

  epoch(): number {
    return this.#log.lease?.record.epoch ?? 0;
  }

  appendable(): AppendGrant | undefined {
    const role = this.#role;
    if (
      role.kind !== 'holder' ||
      !role.accepting ||
      !this.#leaseHolds(role.leaseUntilMs) ||
      !this.#log.openFor(role.epoch) ||
      // Another namespace's seal empties the store of all: what is not there yet decides about keys and deletes.
      this.#applier.rebuilding ||
      this.#applier.incomplete(this.#config.namespace) !== undefined
    )
      return undefined;
    return { epoch: role.epoch, streams: role.streams };
  }

  acknowledgeable(epoch: number): boolean {
    return this.appendable()?.epoch === epoch;
  }

  /** Whether this region extends the stream in this life, accepting or not. */
  extends(stream: StreamKey): boolean {
    return this.#role.kind === 'holder' && this.#role.streams.includes(stream);
  }

  status(): Omit<NamespaceStatus, 'freshnessMs' | 'members' | 'backfill'> {
    const lease = this.#log.lease;
    const role = this.#role;
    return {
      namespace: this.#config.namespace,
      replication: 'active-passive',
      hub: lease?.record.holder ?? null,
      epoch: lease?.record.epoch ?? 0,
      revision: lease?.revision ?? 0,
      role: role.kind,
      accepting: this.appendable() !== undefined,
      waitsFor: null,
      leaseRemainingMs:
        role.kind === 'holder' ? Math.max(0, Math.round(role.leaseUntilMs - this.#clock.monotonicMs())) : null,
      promisedEpoch: this.#log.promised?.epoch ?? null,
      acknowledgements: acknowledgementStatus(lease),
    };
  }

  /** Milliseconds since the control store last answered; null when it never did. */
  controlAnswerAgeMs(): number | null {
    return this.#watch.answerAgeMs();
  }

  /**
   * Moves the hub to this region on a person's word. The holder, when it answers, stops appending and hands over everything;
   * when it does not answer, its lease must lapse first.
   */
  async takeOver(actor: string, allowLoss: boolean): Promise<PromotionResult> {
    const lease = await this.#watch.read();
    if (lease === undefined) throw new AntipodeError('FAILOVER_REFUSED', `${this.#config.namespace} has no lease yet`);
    const { holder, epoch } = lease.record;
    // Also when it was restarted and is about to go on: a promotion would wait for its own lease to lapse.
    this.#eligibility.assertForOrder(holder === this.#region && this.#lostEpoch !== epoch);
    const request = { namespace: this.#config.namespace, to: this.#region, epoch, allowLoss };
    await this.#audit.append(actor, 'failover-requested', request);
    return this.#promote({ kind: 'planned', allowLoss }, lease);
  }

  /** Answers a candidate's request for a promise (P6.4). */
  async promise(epoch: number, revision: number, candidate: string): Promise<Record<StreamKey, number>> {
    this.#handOver(epoch, candidate);
    return this.#log.promise(epoch, revision);
  }

  /**
   * Answers a candidate that drains this holder: stops appending and renewing, and says how far its streams go. It promises
   * under the revision that stands once a renewal on its way has ended, so that the promise outlasts it.
   */
  async drain(epoch: number, candidate: string): Promise<{ revision: number; heads: Record<StreamKey, number> }> {
    this.#handOver(epoch, candidate);
    await this.#renewing;
    const revision = this.#log.lease?.revision ?? 0;
    return { revision, heads: await this.#log.promise(epoch, revision) };
  }

  #handOver(epoch: number, candidate: string): void {
    if (this.#role.kind !== 'holder' || this.#role.epoch !== epoch) return;
    this.#stepDown();
    const message = `this region stopped accepting writes of ${this.#config.namespace}: ${candidate} takes over`;
    this.#events.add('lease-handed-over', 'info', message);
    this.#audit.note(this.#region, 'lease-handed-over', { namespace: this.#config.namespace, epoch, candidate });
  }

  #leaseHolds(leaseUntilMs: number): boolean {
    const now = this.#clock.monotonicMs();
    return now < leaseUntilMs - this.#config.marginMs && now - this.#beatMs < this.#config.leaseMs / 2;
  }

  /** Holds the lease no more. What its conditions as a holder were is over with it. */
  #stepDown(): void {
    if (this.#role.kind === 'holder') this.#role.acceptance.forget();
    this.#role = { kind: 'follower' };
    this.#silence.forget();
    this.#onStepDown();
  }

  /** P6.2: a holder whose event loop stalled for half its lease stops accepting until a renewal succeeds. */
  #beat(): void {
    const now = this.#clock.monotonicMs();
    const stalledMs = now - this.#beatMs;
    this.#beatMs = now;
    this.#silence.look(stalledMs, this.#role.kind === 'holder' && this.#role.accepting ? this.#role : undefined);
    if (stalledMs < this.#config.leaseMs / 2 || this.#role.kind !== 'holder' || !this.#role.accepting) return;
    this.#role.accepting = false;
    this.#events.add(
      'holder-stalled',
      'warning',
      `the process stood still for ${Math.round(stalledMs)} ms: no writes until the lease is renewed`,
    );
    this.look();
  }

  async #tick(): Promise<void> {
    if (this.#promotion !== undefined) return;
    if (this.#role.kind === 'holder') return this.#renew(this.#role);
    const lease = await this.#watch.read();
    if (lease === undefined) return this.#createLease();
    if (!this.#eligibility.partitionsFit()) return;
    if (lease.record.holder === this.#region) {
      // After a drain it leaves the epoch to the candidate, unless that one did not come within a lease.
      if (this.#log.openFor(lease.record.epoch) || this.#watch.stoodStill()) await this.#resume(lease);
    } else if (this.#mayTakeOver()) await this.#promoteAutomatically(lease);
  }

  #mayTakeOver(): boolean {
    if (!this.#watch.stoodStill() || !this.#failures.mayTry()) return false;
    return this.#eligibility.forLapsedLease();
  }

  #onAdopted(lease: Lease, before: Lease | undefined): void {
    this.#failures.forget();
    const { namespace } = this.#config;
    const { epoch, holder, streams } = lease.record;
    const role = this.#role;
    if (role.kind === 'holder' && (epoch !== role.epoch || holder !== this.#region)) {
      this.#stepDown();
      this.#events.add('lease-lost', 'warning', `${holder} is the hub of ${namespace} since epoch ${epoch}`);
      this.#audit.note(this.#region, 'lease-lost', { namespace, epoch, holder });
    }
    if (before !== undefined && before.record.epoch !== epoch && holder !== this.#region) {
      this.#events.add('hub-changed', 'info', `${holder} is the hub of ${namespace}, epoch ${epoch}`);
    }
    this.#onRecord();
    if (before?.record.epoch !== epoch || before.record.streams.length !== streams.length) this.#onLease();
  }

  /** Takes a record that came with the new holder's epoch marker: how a region cut off from the control store learns a seal. */
  learn(lease: Lease): void {
    this.#watch.adopt(lease);
  }

  async #createLease(): Promise<void> {
    if (this.#config.initialHub !== this.#region) return;
    const streams = this.#mintStreams();
    const acknowledge = this.#acknowledgements.requirement;
    const { logId: log } = this.#surroundings;
    const record = firstRecord({ namespace: this.#config.namespace, holder: this.#region, log, streams, acknowledge });
    const outcome = await this.#watch.compareAndSet(0, record);
    if (outcome.kind !== 'ok') return;
    await this.#becomeHolder(
      { record, revision: outcome.revision },
      { streams, sentMs: outcome.sentMs, how: 'lease-acquired' },
    );
  }

  /** The record names this region already: it was restarted within its epoch, or its own change had an unknown outcome. */
  async #resume(lease: Lease): Promise<void> {
    this.#promoter.auditCompleted(lease.record);
    if (this.#lostEpoch === lease.record.epoch) return;
    const last = lease.record.streams.slice(-this.#config.partitions);
    const ownLog = await judgeOwnLog({ lease, streams: last, ...this.#surroundings });
    if (ownLog === 'behind' && this.#eligibility.othersMayTakeOver()) {
      this.#lostEpoch = lease.record.epoch;
      const message = `this region lost a part of what it logged as hub of ${this.#config.namespace}: another is to take over`;
      return this.#notices.tell('epoch-left', 'error', message);
    }
    const whole = ownLog === 'whole';
    const streams = whole ? last : this.#mintStreams();
    const record = whole ? lease.record : { ...lease.record, streams: [...lease.record.streams, ...streams] };
    const outcome = await this.#watch.compareAndSet(lease.revision, record);
    if (outcome.kind !== 'ok') return;
    await this.#becomeHolder(
      { record, revision: outcome.revision },
      { streams, sentMs: outcome.sentMs, how: 'lease-resumed', ownLog },
    );
  }

  /** Enters the record as holder; accepts once everything valid is applied here and one more renewal succeeded. */
  async #becomeHolder(
    lease: Lease,
    won: {
      readonly streams: readonly StreamKey[];
      readonly sentMs: number;
      readonly how: 'lease-acquired' | 'lease-resumed';
      readonly ownLog?: OwnLog;
    },
  ): Promise<void> {
    const { record } = lease;
    const { namespace } = this.#config;
    const { streams, ownLog = 'whole' } = won;
    const onWord = (): void => this.look();
    const earlier = new EarlierLife({ ...this.#surroundings, lease, streams, ownLog, onWord });
    const role: Holder = {
      kind: 'holder',
      epoch: record.epoch,
      streams: [...streams].sort((a, b) => partitionOf(a) - partitionOf(b)),
      leaseUntilMs: won.sentMs + this.#config.leaseMs,
      accepting: false,
      acceptance: new Acceptance({ ...this.#surroundings, namespace, notices: this.#notices, earlier }),
    };
    this.#role = role;
    this.#watch.adopt(lease);
    this.#onLease();
    this.#notices.tell(won.how, 'info', `this region holds the lease of ${namespace}, epoch ${record.epoch}`, {
      epoch: record.epoch,
      revision: lease.revision,
    });
    await this.#renew(role);
  }

  async #renew(role: Holder): Promise<void> {
    const lease = this.#log.lease;
    if (lease === undefined || !this.#log.openFor(role.epoch)) {
      // It promised its epoch away: it neither appends nor renews, so that the promises stand.
      return this.#stepDown();
    }
    if (!this.#eligibility.partitionsFit()) return this.#stepDown();
    const reported = Object.fromEntries(role.streams.map((stream) => [stream, this.#log.head(stream).seq]));
    const begins = Object.fromEntries(role.streams.map((stream) => [stream, this.#log.begins(stream)]));
    const record = this.#acknowledgements.inForce({
      ...lease.record,
      // Until it accepts, its log may lack what the epoch held before.
      holderLog: role.accepting ? this.#surroundings.logId : lease.record.holderLog,
      reported: { ...lease.record.reported, ...reported },
      begins: { ...lease.record.begins, ...begins },
    });
    const renewal = this.#watch.compareAndSet(lease.revision, record);
    this.#renewing = renewal.then(
      (outcome) => void (outcome.kind === 'ok' && this.#watch.adopt({ record, revision: outcome.revision })),
      () => undefined,
    );
    const outcome = await renewal;
    await this.#renewing;
    if (outcome.kind !== 'ok' || this.#role !== role) return;
    role.leaseUntilMs = outcome.sentMs + this.#config.leaseMs;
    this.#silence.renewed(role.epoch);
    if (!role.accepting) await this.#beginAccepting(role, record);
  }

  async #beginAccepting(role: Holder, record: LeaseRecord): Promise<void> {
    const { namespace } = this.#config;
    if (!role.acceptance.due()) return;
    const revision = this.#log.lease?.revision ?? 0;
    await this.#appendMarker({ epoch: role.epoch, streams: role.streams }, encodeLease({ record, revision }));
    if (this.#role !== role) return;
    role.accepting = true;
    role.acceptance.forget();
    this.#events.add('hub-accepting', 'info', `this region accepts writes for ${namespace}, epoch ${role.epoch}`);
  }

  async #promoteAutomatically(lease: Lease): Promise<void> {
    const { holder } = lease.record;
    this.#events.add('hub-suspected', 'warning', `the lease of ${holder} for ${this.#config.namespace} has lapsed`);
    if (await this.#promoter.awaitTurn(lease, this.#stopping.signal)) await this.#promote({ kind: 'automatic' }, lease);
  }

  async #promote(order: PromotionOrder, lease: Lease): Promise<PromotionResult> {
    // It may have become hub since the lease was read, and would not renew while it promotes itself.
    if (this.#promotion !== undefined || this.#role.kind === 'holder')
      throw new AntipodeError('FAILOVER_REFUSED', 'a promotion of this region is under way, or has just ended');
    const startedMs = this.#clock.monotonicMs();
    const running = this.#promoteOnce(order, lease, startedMs);
    this.#promotion = running;
    this.#role = { kind: 'promoting' };
    try {
      return await running;
    } catch (caught) {
      const error = toAntipodeError(caught);
      this.#failures.failed(order, lease, error);
      throw error;
    } finally {
      this.#promotion = undefined;
      if (this.#role.kind === 'promoting') this.#role = { kind: 'follower' };
    }
  }

  async #promoteOnce(order: PromotionOrder, found: Lease, startedMs: number): Promise<PromotionResult> {
    const { lease, streams, sentMs, lossy } = await this.#promoter.win(order, found, this.#stopping.signal);
    await this.#becomeHolder(lease, { streams, sentMs, how: 'lease-acquired' });
    await this.#untilAccepting();
    const { epoch } = lease.record;
    const durationMs = Math.round(this.#clock.monotonicMs() - startedMs);
    const tail = lossy ? '; the old hub may hold a tail' : '';
    const message = `this region is hub of ${this.#config.namespace}, epoch ${epoch}, ${durationMs} ms after it began${tail}`;
    this.#events.add('promotion-completed', 'info', message);
    return { epoch, lossy, durationMs };
  }

  /** Renews and applies until this region accepts, or is holder no more. */
  async #untilAccepting(): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + CATCH_UP_MS_MAX;
    let renewedMs = this.#clock.monotonicMs();
    while (this.#role.kind === 'holder' && !this.#role.accepting) {
      if (this.#clock.monotonicMs() > deadlineMs)
        throw new AntipodeError(
          'FAILOVER_REFUSED',
          `this region holds the lease but does not accept yet: ${this.#role.acceptance.waitsFor ?? 'its lease is not renewed'}`,
        );
      await this.#clock.sleep(20, this.#stopping.signal);
      if (
        shortfallOf({ log: this.#log, applier: this.#applier }) !== undefined &&
        this.#clock.monotonicMs() - renewedMs < this.#config.leaseMs / 4
      )
        continue;
      renewedMs = this.#clock.monotonicMs();
      await this.#renew(this.#role);
    }
    if (this.#role.kind !== 'holder') throw new AntipodeError('FAILOVER_REFUSED', 'the lease was lost again');
  }
}

function internals(error: AntipodeError): { stack: string | undefined } {
  return { stack: error.cause instanceof Error ? error.cause.stack : error.stack };
}
