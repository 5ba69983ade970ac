import { AntipodeError, toAntipodeError } from '#core/errors';
import { type AcknowledgeRule, requirementOf } from '#core/failover/acknowledge';
import { type Lease, type LeaseRecord, promotedRecord } from '#core/failover/lease';
import {
  type CountedPromise,
  cleanliness,
  intactPromises,
  isWholeEpoch,
  speakForEpoch,
} from '#core/failover/participants';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Random } from '#ports/random';
import type { AuditLog } from '#region/audit/audit-log';
import type { AuditEntry } from '#region/engine-api';
import type { LeaseWatch } from '#region/failover/lease-watch';
import { candidateDelayMs, type PreparedPromotion, preparePromotion } from '#region/failover/promotion';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';

const DRAIN_TIMEOUT_MS = 5000;

/** Why this region is to become hub; a person may say that writes may be left behind. */
export type PromotionOrder = { readonly kind: 'automatic' } | { readonly kind: 'planned'; readonly allowLoss: boolean };

export interface PromotionResult {
  readonly epoch: number;
  readonly lossy: boolean;
  readonly durationMs: number;
}

/** A record that names this region as holder; the lease counts from `sentMs`. */
export interface WonLease {
  readonly lease: Lease;
  readonly streams: readonly StreamKey[];
  readonly sentMs: number;
  readonly lossy: boolean;
}

/** Brings one region through P6.3: from a lease that another region holds to a record that names this one. */
export class Promoter {
  readonly #region: string;
  readonly #namespace: string;
  readonly #promotable: readonly string[];
  readonly #acknowledge: AcknowledgeRule;
  readonly #lossy: 'allow' | 'refuse';
  readonly #logId: string;
  readonly #leaseMs: number;
  readonly #marginMs: number;
  readonly #watch: LeaseWatch;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: NamespaceLog;
  readonly #peers: Peers;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #mintStreams: () => StreamKey[];
  /** A promotion whose compare-and-set is on its way, or whose outcome nobody knows. */
  #attempt: { readonly record: LeaseRecord; readonly details: AuditEntry['details'] } | undefined;

  constructor(options: {
    region: string;
    config: {
      readonly namespace: string;
      readonly promotable: readonly string[];
      readonly acknowledge: AcknowledgeRule;
      readonly lossy: 'allow' | 'refuse';
      readonly leaseMs: number;
      readonly marginMs: number;
    };
    watch: LeaseWatch;
    clock: Clock;
    random: Random;
    log: NamespaceLog;
    logId: string;
    peers: Peers;
    events: EventList;
    audit: AuditLog;
    mintStreams: () => StreamKey[];
  }) {
    this.#region = options.region;
    this.#namespace = options.config.namespace;
    this.#promotable = options.config.promotable;
    this.#acknowledge = options.config.acknowledge;
    this.#lossy = options.config.lossy;
    this.#logId = options.logId;
    this.#leaseMs = options.config.leaseMs;
    this.#marginMs = options.config.marginMs;
    this.#watch = options.watch;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
    this.#peers = options.peers;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#mintStreams = options.mintStreams;
  }

  /** Lets more advanced candidates go first. False when the lease moved meanwhile: there is nothing to take over. */
  async awaitTurn(lease: Lease, signal: AbortSignal): Promise<boolean> {
    const delayMs = await candidateDelayMs({
      region: this.#region,
      others: this.#othersThan(lease.record.holder),
      lease,
      log: this.#log,
      peers: this.#peers,
      stepMs: this.#leaseMs / 4,
      ranking: this.#promotable,
    });
    if (delayMs === 0) return true;
    await this.#clock.sleep(delayMs * (0.9 + this.#random.next() / 5), signal);
    return (await this.#watch.read())?.revision === lease.revision;
  }

  /**
   * Everything up to the won compare-and-set. FAILOVER_REFUSED when the lease changed, or nobody holds what was promised;
   * LOSS_REFUSED when writes might be left behind that were acknowledged, and neither policy nor person allows that.
   */
  async win(order: PromotionOrder, found: Lease, signal: AbortSignal): Promise<WonLease> {
    const { kind } = order;
    const { holder } = found.record;
    this.#events.add(
      'promotion-started',
      'warning',
      `this region takes over ${this.#namespace} from ${holder} (${kind})`,
    );
    const { lease, drained } =
      kind === 'planned' ? await this.#drainHolder(found, signal) : { lease: found, drained: undefined };
    const others = this.#othersThan(holder);
    const allowLoss = order.kind === 'planned' && order.allowLoss;
    const prepared = await preparePromotion({
      region: this.#region,
      logId: this.#logId,
      allowLoss,
      lease,
      others,
      drained,
      log: this.#log,
      peers: this.#peers,
    });
    const loss = this.#possibleLoss(lease.record, prepared);
    const lossy = loss !== undefined;
    if (!allowLoss && !speakForEpoch(lease.record, prepared.promises)) {
      const names = prepared.promises.map(({ region }) => region).join(', ');
      const reason = `of those who promise (${names}) each has lost what it held of epoch ${lease.record.epoch}`;
      throw new AntipodeError('LOSS_REFUSED', `${this.#region} would be hub of ${this.#namespace}, but ${reason}`);
    }
    if (lossy && this.#lossy === 'refuse' && !allowLoss)
      throw new AntipodeError('LOSS_REFUSED', `${this.#region} would be hub of ${this.#namespace}, but ${loss}`);
    const unfilled = lease.record.streams.find(
      (stream) => (prepared.seal[stream] ?? 0) < (lease.record.begins[stream] ?? 0),
    );
    if (unfilled !== undefined && !allowLoss) {
      const held = `${this.#region} and those who promise hold ${unfilled} up to ${prepared.seal[unfilled]}`;
      const reason = `${held}, and the log of ${holder} began at ${lease.record.begins[unfilled]}`;
      throw new AntipodeError('LOSS_REFUSED', `${reason}: what lies between stands in stores of regions that are away`);
    }
    const streams = this.#mintStreams();
    const promised = prepared.promises.map(({ region }) => region);
    const record = promotedRecord(lease.record, {
      ...prepared,
      holder: this.#region,
      streams,
      promised,
      lossy,
      acknowledge: requirementOf(this.#acknowledge, this.#region),
      logs: Object.fromEntries(
        prepared.promises.filter(({ region }) => region !== holder).map(({ region, log }) => [region, log]),
      ),
    });
    this.#attempt = {
      record,
      details: {
        namespace: this.#namespace,
        epoch: record.epoch,
        from: holder,
        kind,
        promised: promised.join(' '),
        missing: prepared.missing.join(' '),
        lossy,
        lost: loss ?? null,
        lowered: loweredText(prepared),
      },
    };
    const outcome = await this.#watch.compareAndSet(lease.revision, record);
    if (outcome.kind === 'refused') this.#attempt = undefined;
    if (outcome.kind !== 'ok')
      throw new AntipodeError(
        'FAILOVER_REFUSED',
        outcome.kind === 'refused'
          ? 'the lease changed during the promotion'
          : 'the control store did not say whether the promotion took place',
      );
    this.auditCompleted(record);
    return { lease: { record, revision: outcome.revision }, streams, sentMs: outcome.sentMs, lossy };
  }

  /** Why acknowledged writes may be left behind (P6.5), as a half sentence; undefined when certainly none are. */
  #possibleLoss(record: LeaseRecord, { promises, lowered, missing }: PreparedPromotion): string | undefined {
    const [hole, ...more] = Object.keys(lowered);
    if (hole !== undefined)
      return `nobody who answers has all of ${hole}${more.length === 0 ? '' : ` and ${more.length} more streams`}`;
    // A holder that answered and then could not be fetched from handed over nothing; one that began anew has less than it had.
    if (isWholeEpoch(record) && promises.some(({ region }) => region === record.holder)) return undefined;
    const intact = intactPromises(record, promises);
    const verdict = cleanliness(record, intact);
    if (verdict.kind === 'clean') return undefined;
    const unheard = missing.length === 0 ? 'nobody' : missing.join(', ');
    if (verdict.kind === 'local') return `${record.holder} acknowledged alone, and ${unheard} did not hand over`;
    const given = `${verdict.given} of ${verdict.needed} promises that cover every acknowledged write`;
    return `it has ${given} (${intact.join(', ') || 'none'}; not heard: ${unheard})`;
  }

  /**
   * Audits the promotion that wrote this record, once. Also called when the record is found later: a compare-and-set whose
   * outcome was unknown may have succeeded.
   */
  auditCompleted(record: LeaseRecord): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    // Streams are minted for one attempt, so they tell whose record this is.
    if (attempt === undefined || attempt.record.streams[0] !== record.streams[0]) return;
    this.#audit.note(this.#region, 'promotion-completed', attempt.details);
  }

  #othersThan(holder: string): string[] {
    return this.#promotable.filter((name) => name !== holder && name !== this.#region);
  }

  /**
   * Asks the holder to stop and hand over; it answers under which revision it stopped. When it does not answer, waits until
   * its lease must have lapsed.
   */
  async #drainHolder(
    lease: Lease,
    signal: AbortSignal,
  ): Promise<{ lease: Lease; drained: CountedPromise | undefined }> {
    const { holder, epoch } = lease.record;
    try {
      const { answer } = await this.#peers.request(
        holder,
        'drain',
        { namespace: this.#namespace, epoch, candidate: this.#region },
        { timeoutMs: DRAIN_TIMEOUT_MS },
      );
      const now = await this.#watch.read();
      if (now === undefined || now.revision !== answer.revision || now.record.epoch !== epoch) {
        throw new AntipodeError('EPOCH_STALE', 'the lease changed while the holder was drained');
      }
      return { lease: now, drained: { region: holder, log: '', heads: answer.heads } };
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.disposition === 'reset')
        throw new AntipodeError('FAILOVER_REFUSED', `${holder}: ${error.message}`, { cause: error });
      await this.#awaitLapse(lease, signal);
      return { lease, drained: undefined };
    }
  }

  async #awaitLapse(lease: Lease, signal: AbortSignal): Promise<void> {
    const { holder } = lease.record;
    const waitMs = this.#leaseMs + this.#marginMs;
    this.#events.add(
      'drain-unanswered',
      'warning',
      `${holder} does not answer; waiting ${waitMs} ms for its lease to lapse`,
    );
    await this.#clock.sleep(waitMs * 1.1, signal);
    const now = await this.#watch.read();
    if (now?.revision !== lease.revision) {
      const reason = `${holder} does not answer this region but renews its lease: restore the link, or stop ${holder}`;
      throw new AntipodeError('FAILOVER_REFUSED', reason);
    }
  }
}

/** Seals that a promotion lowers, in one line for the audit log. */
function loweredText({ lowered: seals }: PreparedPromotion): string {
  return Object.entries(seals)
    .map(([stream, seal]) => `${stream} to ${seal}`)
    .join(', ');
}
