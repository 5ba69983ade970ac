import { decodeLeaseRecord, encodeLeaseRecord, type Lease, type LeaseRecord, leaseKey } from '#core/failover/lease';
import type { Clock } from '#ports/clock';
import type { CompareAndSetOutcome, ControlRecord, ControlStore } from '#ports/control-store';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** What became of a change of the record. A lease that it grants counts from `sentMs`, monotonic. */
export type LeaseOutcome =
  | { readonly kind: 'ok'; readonly revision: number; readonly sentMs: number }
  | Exclude<CompareAndSetOutcome, { kind: 'ok' }>;

/**
 * The lease record of one namespace in the control store: read, changed by compare-and-set with every outcome settled, and
 * watched for how long its revision has stood still. What is read is handed to the namespace's log, which never goes back.
 */
export class LeaseWatch {
  readonly #key: string;
  readonly #stillMs: number;
  readonly #control: ControlStore;
  readonly #clock: Clock;
  readonly #log: NamespaceLog;
  readonly #onAdopted: (lease: Lease, before: Lease | undefined) => void;
  /** Monotonic time since which the current revision is known to stand still. */
  #stillSinceMs: number;
  #lastAnswerMs: number | null = null;
  /** Monotonic time of the oldest request since the last answer; undefined when none waits. */
  #askedMs: number | undefined;
  /** When a change of the revision `expected` was first sent whose outcome is open: an earlier try may be the one that counts. */
  #open: { readonly expected: number; readonly sentMs: number } | undefined;

  constructor(options: {
    namespace: string;
    /** How long a revision must stand still before another region may take over: lease plus margin, ms. */
    stillMs: number;
    control: ControlStore;
    clock: Clock;
    log: NamespaceLog;
    /** Called after a later record was adopted. */
    onAdopted: (lease: Lease, before: Lease | undefined) => void;
  }) {
    this.#key = leaseKey(options.namespace);
    this.#stillMs = options.stillMs;
    this.#control = options.control;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onAdopted = options.onAdopted;
    this.#stillSinceMs = options.clock.monotonicMs();
  }

  /** The latest known record after asking the control store; undefined when there is none yet. Rejects CONTROL_UNAVAILABLE. */
  async read(): Promise<Lease | undefined> {
    const current = await this.#get();
    if (current.revision === 0) return undefined;
    this.#adoptRecord(current);
    return this.#log.lease;
  }

  /** Takes a later record, however it came. */
  adopt(lease: Lease): void {
    const before = this.#log.lease;
    if (!this.#log.adopt(lease)) return;
    this.#stillSinceMs = this.#clock.monotonicMs();
    this.#onAdopted(lease, before);
  }

  /** The revision has stood still for lease plus margin between answers of the control store, all seen here (P6.2). */
  stoodStill(): boolean {
    return this.#clock.monotonicMs() - this.#stillSinceMs > this.#stillMs;
  }

  answerAgeMs(): number | null {
    return this.#lastAnswerMs === null ? null : this.#clock.monotonicMs() - this.#lastAnswerMs;
  }

  /** How long the control store has owed an answer, ms: 0 when nothing was asked since it last gave one. */
  unansweredMs(): number {
    return this.#askedMs === undefined ? 0 : this.#clock.monotonicMs() - this.#askedMs;
  }

  /**
   * Compare-and-set with its outcome settled: a refusal adopts what stands, an unknown outcome is settled by reading (P6.1).
   * What is found by reading may be the work of an earlier try with the same bytes, so the lease counts from the first.
   */
  async compareAndSet(expected: number, record: LeaseRecord): Promise<LeaseOutcome> {
    const value = encodeLeaseRecord(record);
    const sentMs = this.#clock.monotonicMs();
    this.#askedMs ??= sentMs;
    if (this.#open?.expected !== expected) this.#open = { expected, sentMs };
    const firstSentMs = this.#open.sentMs;
    const outcome = await this.#control.compareAndSet(this.#key, expected, value);
    if (outcome.kind === 'unknown') {
      const current = await this.#get();
      if (current.revision === expected + 1 && Buffer.compare(current.value, value) === 0) {
        return { kind: 'ok', revision: current.revision, sentMs: firstSentMs };
      }
      if (current.revision > 0) this.#adoptRecord(current);
      // Still at the old revision: the request may yet arrive, so the outcome stays open.
      return current.revision === expected ? outcome : { kind: 'refused', current };
    }
    this.#answered();
    if (outcome.kind === 'refused' && outcome.current.revision > 0) this.#adoptRecord(outcome.current);
    return outcome.kind === 'ok' ? { ...outcome, sentMs } : outcome;
  }

  async #get(): Promise<ControlRecord> {
    this.#askedMs ??= this.#clock.monotonicMs();
    const current = await this.#control.get(this.#key);
    this.#answered();
    return current;
  }

  #adoptRecord(current: ControlRecord): void {
    this.adopt({ revision: current.revision, record: decodeLeaseRecord(current.value) });
  }

  /**
   * While the control store does not answer nobody can renew: stillness counts anew from its return, so that the holder has
   * its chance and an outage of the control store is not a change of hub.
   */
  #answered(): void {
    const now = this.#clock.monotonicMs();
    if (this.#lastAnswerMs !== null && now - this.#lastAnswerMs > this.#stillMs / 2) this.#stillSinceMs = now;
    this.#lastAnswerMs = now;
    this.#askedMs = undefined;
  }
}
