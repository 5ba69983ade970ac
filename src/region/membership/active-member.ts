import { AntipodeError } from '#core/errors';
import { type ControlWord, chooseIncarnation } from '#core/membership/incarnation-choice';
import {
  decodeIncarnation,
  encodeIncarnation,
  incarnationKey,
  judgeByRecord,
  type MemberRecord,
  type OwnIncarnation,
} from '#core/membership/member-record';
import { noHubToMove } from '#core/membership/no-hub';
import { type StreamKey, streamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { Journal } from '#ports/journal';
import type { Random } from '#ports/random';
import type { Applier } from '#region/apply/applier';
import type { AuditLog } from '#region/audit/audit-log';
import type { NamespaceAuthority } from '#region/failover/namespace-authority';
import { PacedLoop } from '#region/failover/paced-loop';
import { StandingNotices } from '#region/failover/standing-notices';
import type { HlcService } from '#region/ingest/hlc-service';
import type { AppendGrant } from '#region/ingest/holder-gate';
import { FirstAppend } from '#region/membership/first-append';
import { MemberWatch, type StoredMember } from '#region/membership/member-watch';
import type { EventList } from '#region/observe/events';
import { ACTIVE_EPOCH } from '#region/replicate/live-streams';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { hexHashAt, type Recall, recall } from '#region/replicate/recall';
import type { NamespaceStatus } from '#region/status';

export interface MembershipConfig {
  readonly namespace: string;
  readonly partitions: number;
}

/** How long a starting member waits for all its peers before the control store's word is enough for a new incarnation, ms. */
export const RECALL_WAIT_MS = 3000;
/** A member that waits for longer says so, ms. */
const WAIT_QUIET_MS = 5000;
const CHOOSE_INTERVAL_MS = 150;
/** How often a running member tells the control store how far its streams are, ms. */
const REPORT_INTERVAL_MS = 2000;
/** How long the control store may be silent before it counts as lost, ms. */
export const CONTROL_SILENCE_MS = 8000;
/** How long an orderly stop waits for the log and the control store, ms. */
const CLOSE_WAIT_MS = 2000;

type Phase =
  /** Which incarnation goes on is open. Nothing is appended, nor mirrored into the one that the journal names. */
  | { readonly kind: 'choosing'; readonly sinceMs: number; readonly mintOnly: boolean }
  | { readonly kind: 'preparing'; readonly own: OwnIncarnation; readonly first: FirstAppend }
  | { readonly kind: 'active'; readonly own: OwnIncarnation }
  | { readonly kind: 'stopped'; readonly own: OwnIncarnation | undefined };

/**
 * One member of an active-active namespace: every region accepts writes, into streams of its own, for as long as it runs,
 * whoever else is away. What it owes is P1.4, once, before its first append after a start: that the incarnation it goes on
 * with lacks nothing of what it ever gave away, by the word of its peers and of the control store, and else a new one.
 */
export class ActiveMember implements NamespaceAuthority {
  readonly #region: string;
  readonly #config: MembershipConfig;
  readonly #watch: MemberWatch;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #journal: Journal;
  readonly #log: NamespaceLog;
  readonly #applier: Applier;
  readonly #hlc: HlcService;
  readonly #peers: Peers;
  readonly #attached: (peer: string) => boolean;
  readonly #events: EventList;
  readonly #notices: StandingNotices;
  readonly #onChosen: () => void;
  readonly #session: string;
  readonly #stopping = new AbortController();
  readonly #loop: PacedLoop;
  /** What the journal names. */
  #own: OwnIncarnation | undefined;
  /** This process has written the record: whoever else writes it does so as this region, too. */
  #recorded = false;
  #phase: Phase;
  #waitsFor: string | null = 'it starts';
  #running: Promise<void> = Promise.resolve();

  constructor(options: {
    region: string;
    config: MembershipConfig;
    control: ControlStore;
    clock: Clock;
    random: Random;
    journal: Journal;
    log: NamespaceLog;
    applier: Applier;
    hlc: HlcService;
    peers: Peers;
    /** Whether a peer has opened a link to this process. */
    attached: (peer: string) => boolean;
    events: EventList;
    audit: AuditLog;
    /** Called when it is decided which streams this region extends. */
    onChosen: () => void;
  }) {
    this.#region = options.region;
    this.#config = options.config;
    this.#watch = new MemberWatch({ ...options, namespace: options.config.namespace });
    this.#clock = options.clock;
    this.#random = options.random;
    this.#journal = options.journal;
    this.#log = options.log;
    this.#applier = options.applier;
    this.#hlc = options.hlc;
    this.#peers = options.peers;
    this.#attached = options.attached;
    this.#events = options.events;
    this.#notices = new StandingNotices({ ...options, namespace: options.config.namespace });
    this.#onChosen = options.onChosen;
    this.#session = options.random.hex(8);
    const stored = options.journal.get(incarnationKey(options.config.namespace));
    this.#own = stored === undefined ? undefined : decodeIncarnation(stored);
    this.#phase = { kind: 'choosing', sinceMs: options.clock.monotonicMs(), mintOnly: false };
    this.#loop = new PacedLoop({
      clock: options.clock,
      random: options.random,
      signal: this.#stopping.signal,
      task: () => this.#tick(),
      intervalMs: () => (this.#phase.kind === 'active' ? REPORT_INTERVAL_MS : CHOOSE_INTERVAL_MS),
      onError: (error) => {
        if (error.code === 'INTERNAL')
          this.#events.add('authority-failed', 'error', error.message, { stack: error.stack });
        this.#waitsFor = error.message;
      },
    });
  }

  start(): void {
    this.#running = this.#loop.run();
  }

  /** Ends appends, then leaves in the control store that the streams end here, so that the next start goes on with them. */
  async stop(): Promise<void> {
    const phase = this.#phase;
    this.#stopping.abort(new AntipodeError('NO_HUB', 'the region stops'));
    this.#phase = { kind: 'stopped', own: phase.kind === 'choosing' ? this.#own : phase.own };
    this.#loop.hurry();
    await this.#running;
    if (phase.kind === 'active') await this.#close(phase.own);
  }

  look(): void {
    this.#loop.hurry();
  }

  /** There are no epochs, hence no records of them. */
  learn(): void {
    this.#loop.hurry();
  }

  appendable(): AppendGrant | undefined {
    if (this.#phase.kind !== 'active') return undefined;
    return { epoch: ACTIVE_EPOCH, streams: this.#phase.own.streams };
  }

  epoch(): number {
    return ACTIVE_EPOCH;
  }

  acknowledgeable(): boolean {
    return this.appendable() !== undefined;
  }

  /** This region itself, or while it may not append a peer that perhaps does. */
  hub(): string | undefined {
    return this.#phase.kind === 'active' ? this.#region : this.#peers.names.find((peer) => this.#peers.connected(peer));
  }

  extends(stream: StreamKey): boolean {
    const own = this.#phase.kind === 'choosing' ? this.#own : this.#phase.own;
    return own?.streams.includes(stream) ?? false;
  }

  status(): Omit<NamespaceStatus, 'freshnessMs' | 'members' | 'backfill'> {
    return {
      namespace: this.#config.namespace,
      replication: 'active-active',
      hub: null,
      epoch: ACTIVE_EPOCH,
      revision: this.#watch.stored?.revision ?? 0,
      role: this.#phase.kind === 'active' ? 'active' : 'joining',
      accepting: this.appendable() !== undefined,
      waitsFor: this.#phase.kind === 'active' ? null : this.#waitsFor,
      leaseRemainingMs: null,
      promisedEpoch: null,
    };
  }

  controlAnswerAgeMs(): number | null {
    return this.#watch.answerAgeMs();
  }

  takeOver(): Promise<never> {
    return Promise.reject(noHubToMove(this.#config.namespace));
  }

  promise(): Promise<never> {
    return Promise.reject(noHubToMove(this.#config.namespace));
  }

  drain(): Promise<never> {
    return Promise.reject(noHubToMove(this.#config.namespace));
  }

  async #tick(): Promise<void> {
    if (this.#phase.kind === 'choosing') await this.#choose(this.#phase);
    if (this.#phase.kind === 'preparing') this.#prepare(this.#phase);
    else if (this.#phase.kind === 'active') await this.#report(this.#phase.own);
    this.#tellOfControl();
  }

  async #choose(phase: Extract<Phase, { kind: 'choosing' }>): Promise<void> {
    const log = this.#log;
    const asked = this.#peers.names.map((peer) => recall(peer, { log, peers: this.#peers, attached: this.#attached }));
    const [stored, recalls] = await Promise.all([this.#watch.read(), Promise.all(asked)]);
    if (this.#phase !== phase) return;
    if (this.#partitionsDiffer(stored?.record)) return;
    const waitedMs = this.#clock.monotonicMs() - phase.sinceMs;
    const choice = chooseIncarnation({
      known: this.#own !== undefined && !phase.mintOnly,
      control: this.#controlWord(stored),
      peers: recalls.map(({ word }) => word),
      patienceOver: waitedMs > RECALL_WAIT_MS,
    });
    if (choice === 'wait') return this.#waitOn(stored, recalls, waitedMs);
    const own = choice === 'keep' && this.#own !== undefined ? this.#own : this.#mint(stored?.record);
    // A record of an orderly stop must be gone before the first append: a later copy of this disk would fit it again.
    if (stored !== undefined) {
      if (!(await this.#watch.write(stored.revision, this.#record(own, false)))) return;
      this.#recorded = true;
    }
    if (own !== this.#own) {
      await this.#remember(own);
      this.#tellOfMint(own, stored, recalls);
    }
    if (this.#phase !== phase) return;
    this.#enter(own, recalls, stored);
  }

  async #remember(own: OwnIncarnation): Promise<void> {
    const key = incarnationKey(this.#config.namespace);
    await this.#journal.write([{ kind: 'put', key, value: encodeIncarnation(own) }]);
    this.#own = own;
  }

  #enter(own: OwnIncarnation, recalls: readonly Recall[], stored: StoredMember | undefined): void {
    const first = new FirstAppend({
      streams: own.streams,
      recalled: recalls.map(({ heads }) => heads),
      clockAbove: stored?.record?.clock,
      log: this.#log,
      applier: this.#applier,
      hlc: this.#hlc,
      clock: this.#clock,
    });
    this.#phase = { kind: 'preparing', own, first };
    this.#log.live?.set(this.#region, own.streams);
    this.#onChosen();
  }

  #prepare(phase: Extract<Phase, { kind: 'preparing' }>): void {
    const { namespace } = this.#config;
    this.#waitsFor = phase.first.missing() ?? null;
    if (this.#waitsFor !== null) {
      if (phase.first.waitedMs() > WAIT_QUIET_MS)
        this.#notices.begin('member-waits', 'warning', `no writes of ${namespace} here yet: ${this.#waitsFor}`);
      return;
    }
    this.#phase = { kind: 'active', own: phase.own };
    this.#notices.end('member-waits');
    this.#events.add('member-accepting', 'info', `this region accepts writes of ${namespace}`);
  }

  #waitOn(stored: StoredMember | undefined, recalls: readonly Recall[], waitedMs: number): void {
    const silent = this.#peers.names.filter((_, index) => recalls[index]?.word === 'silent');
    const control = stored === undefined ? 'the control store' : undefined;
    this.#waitsFor = `its streams are not vouched for: ${[control, ...silent].filter(Boolean).join(', ')} did not answer`;
    if (waitedMs < WAIT_QUIET_MS) return;
    const message = `no writes of ${this.#config.namespace} here yet: ${this.#waitsFor}`;
    this.#notices.begin('member-waits', 'warning', message);
  }

  #controlWord(stored: StoredMember | undefined): ControlWord {
    if (stored === undefined) return 'silent';
    if (stored.record === undefined) return 'none';
    if (this.#own === undefined) return 'behind';
    return judgeByRecord(stored.record, this.#own, (stream) => ({
      seq: this.#log.head(stream).seq,
      hashAt: (seq) => hexHashAt(this.#log, stream, seq),
    }));
  }

  /** Another number of partitions gives keys to other streams (P1.1), and a retry would not meet its first try. */
  #partitionsDiffer(record: MemberRecord | undefined): boolean {
    const { namespace, partitions } = this.#config;
    const created = this.#own?.partitions ?? record?.partitions ?? partitions;
    if (created === partitions) return false;
    this.#waitsFor = `${namespace} was created with ${created} partitions, the configuration says ${partitions}`;
    this.#notices.begin('partitions-differ', 'error', this.#waitsFor, { code: 'CONFIG_INVALID' });
    return true;
  }

  #mint(record: MemberRecord | undefined): OwnIncarnation {
    const incarnation = this.#random.hex(8);
    const { namespace, partitions } = this.#config;
    return {
      partitions,
      life: Math.max(this.#own?.life ?? 0, record?.life ?? 0) + 1,
      streams: Array.from({ length: partitions }, (_, partition) =>
        streamKey({ namespace, partition, origin: this.#region, incarnation }),
      ),
    };
  }

  #tellOfMint(own: OwnIncarnation, stored: StoredMember | undefined, recalls: readonly Recall[]): void {
    const { namespace } = this.#config;
    const ahead = this.#peers.names.filter((_, index) => recalls[index]?.word === 'ahead');
    const silent = this.#peers.names.filter((_, index) => recalls[index]?.word === 'silent');
    const first = own.life === 1 && ahead.length === 0;
    const details = { life: own.life, stream: own.streams[0] ?? '', control: stored !== undefined };
    const why = ahead.length === 0 ? 'its log is not vouched for' : `${ahead.join(', ')} held more than its log`;
    const without = silent.length === 0 ? '' : `, without the word of ${silent.join(', ')}`;
    const message = first
      ? `this region begins its streams of ${namespace}${without}`
      : `this region goes on with new streams of ${namespace}: ${why}${without}`;
    this.#notices.tell('incarnation-begun', first ? 'info' : 'warning', message, details);
  }

  #record(own: OwnIncarnation, closed: boolean): MemberRecord {
    const ends = Object.fromEntries(
      own.streams.map((stream) => {
        const { seq, hash } = this.#log.head(stream);
        return [stream, { seq, hash: Buffer.from(hash).toString('hex') }];
      }),
    );
    return {
      ...own,
      streams: [...own.streams],
      namespace: this.#config.namespace,
      region: this.#region,
      session: this.#session,
      ends,
      clock: { wallMs: Math.ceil(this.#hlc.last.wallMs), counter: this.#hlc.last.counter },
      closed,
    };
  }

  /** Says how far the streams are. Failing to is no reason to stop: the record is a witness for the next start. */
  async #report(own: OwnIncarnation): Promise<void> {
    const stored = await this.#watch.read();
    if (stored === undefined || this.#phase.kind !== 'active') return;
    const { record } = stored;
    // A control store that lost its data is told again.
    if (record === undefined) this.#recorded = false;
    if (this.#recorded && record?.session !== this.#session) {
      const message = `another process writes as this region: it goes on with new streams of ${this.#config.namespace}`;
      this.#notices.tell('member-doubled', 'error', message);
      this.#recorded = false;
      this.#phase = { kind: 'choosing', sinceMs: this.#clock.monotonicMs(), mintOnly: true };
      return;
    }
    const said = this.#recorded ? record?.ends : undefined;
    if (own.streams.every((stream) => said?.[stream]?.seq === this.#log.head(stream).seq)) return;
    // A record of before, which did not answer when this process chose, may be of a later life than the journal knew.
    const life = this.#recorded && record !== undefined ? record.life : Math.max(own.life, (record?.life ?? 0) + 1);
    if (await this.#watch.write(stored.revision, this.#record({ ...own, life }, false))) this.#recorded = true;
  }

  async #close(own: OwnIncarnation): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + CLOSE_WAIT_MS;
    const durable = (): boolean =>
      own.streams.every((stream) => this.#log.queuedHead(stream).seq === this.#log.head(stream).seq);
    while (!durable() && this.#clock.monotonicMs() < deadlineMs) await this.#clock.sleep(10);
    const { stored } = this.#watch;
    if (!durable() || stored?.record?.session !== this.#session) return;
    await this.#watch.write(stored.revision, this.#record(own, true));
  }

  #tellOfControl(): void {
    const { namespace } = this.#config;
    if (this.#watch.silentMs() > CONTROL_SILENCE_MS) {
      const message = `the control store does not answer: writes of ${namespace} go on, but a restart here may have to wait`;
      this.#notices.begin('control-lost', 'warning', message);
    } else this.#notices.end('control-lost', { event: 'control-restored', message: 'the control store answers again' });
  }
}
