import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type Frame, type IdempotencyEntry } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import { dueMs } from '#region/apply/parking';
import { decodeJsonRecord, replayedKey } from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { AuditLog } from '#region/audit/audit-log';
import { type Coverage, coveredTo, covering } from '#region/failover/tail-coverage';
import { TailDecisions, type TailOrder } from '#region/failover/tail-decisions';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { NamespaceWriter } from '#region/ingest/namespace-writer';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { packFrames } from '#region/replicate/wire';
import type { TailStatus } from '#region/status';

const PIECE_BYTES = 1024 * 1024;
const REPLAY_TIMEOUT_MS = 30_000;

interface Tail {
  readonly stream: StreamKey;
  /** The seal, lower when a promotion lowered it; or where this log begins, when that lies above it. */
  from: number;
  /** Grows when frames become durable that were on their way to disk when the seal became known. */
  to: number;
  replayedTo: number;
  /** Epoch whose hub said that it holds all of it; another hub is asked again, because its history may lack the replay. */
  doneIn: number | null;
}

/**
 * Tails of one namespace (P6.7): what this region holds of closed epochs beyond their seals. Kept for ever in the log,
 * listed, and, when the policy or a person says so, offered to the hub, which appends each change once; or discarded, and
 * then copied to the journal. The same class is the hub's side of it.
 */
export class Tails {
  readonly #namespace: string;
  readonly #region: string;
  readonly #policy: 'replay' | 'keep';
  readonly #log: NamespaceLog;
  readonly #store: OnlineStore;
  readonly #views: ViewRegistry;
  readonly #writer: NamespaceWriter;
  readonly #gate: HolderGate;
  readonly #peers: Peers;
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #decisions: TailDecisions;
  readonly #tails = new Map<StreamKey, Tail>();
  /** Hub's side: what of each tail is taken over in this epoch, counting pieces of which nothing had to be appended. */
  readonly #taken = new Map<StreamKey, Coverage>();
  #takenEpoch = 0;
  /** One piece after the other, whatever its stream: a tail may hold what another tail holds too. */
  #taking: Promise<unknown> = Promise.resolve();
  #offering: Promise<void> | undefined;

  constructor(options: {
    namespace: string;
    region: string;
    policy: 'replay' | 'keep';
    log: NamespaceLog;
    store: OnlineStore;
    views: ViewRegistry;
    writer: NamespaceWriter;
    gate: HolderGate;
    peers: Peers;
    clock: Clock;
    events: EventList;
    audit: AuditLog;
    journal: Journal;
  }) {
    this.#namespace = options.namespace;
    this.#region = options.region;
    this.#policy = options.policy;
    this.#log = options.log;
    this.#store = options.store;
    this.#views = options.views;
    this.#writer = options.writer;
    this.#gate = options.gate;
    this.#peers = options.peers;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#decisions = new TailDecisions(options.journal);
  }

  list(): TailStatus[] {
    return [...this.#tails.values()].map((tail) => this.#statusOf(tail));
  }

  /**
   * Carries out what a person decided about one tail, and notes it in the audit log. A discarded tail is applied nowhere by
   * this region; its frames are copied to the journal. TAIL_NOT_FOUND, TAIL_REPLAYED when it is too late to discard it.
   */
  async decide(stream: StreamKey, order: TailOrder, actor: string): Promise<TailStatus> {
    const tail = this.#tails.get(stream);
    if (tail === undefined)
      throw new AntipodeError('TAIL_NOT_FOUND', `${this.#region} holds no tail of ${stream}`, { where: stream });
    const { from, to } = tail;
    if (order === 'discard') {
      if (tail.doneIn !== null || tail.replayedTo > from)
        throw new AntipodeError('TAIL_REPLAYED', `the hub has taken over changes of ${stream} already`, {
          where: stream,
        });
      await this.#decisions.copy(stream, tail, (after, bytes) => this.#log.read(stream, after, bytes));
    }
    await this.#decisions.decide(stream, { order, actor, atMs: Math.floor(this.#clock.wallMs()), from, to });
    const action = order === 'discard' ? 'tail-discarded' : 'tail-replay-ordered';
    await this.#audit.append(actor, action, { stream, from, to, changes: to - from });
    this.#events.add(action, 'warning', `${to - from} changes of ${stream}: ${order}, says ${actor}`, { stream });
    // A hub that is away is asked again with the regular look.
    if (order === 'replay') await this.tend();
    return this.#statusOf(tail);
  }

  #statusOf(tail: Tail): TailStatus {
    const order = this.#orderFor(tail);
    return {
      namespace: this.#namespace,
      stream: tail.stream,
      from: tail.from,
      to: tail.to,
      state:
        tail.doneIn !== null
          ? 'replayed'
          : order === 'discard'
            ? 'discarded'
            : order === 'replay'
              ? 'replaying'
              : 'kept',
      replayed: Math.max(0, tail.replayedTo - tail.from),
    };
  }

  /** A person's word before the policy's. */
  #orderFor({ stream }: Tail): TailOrder | 'keep' {
    return this.#decisions.of(stream)?.order ?? this.#policy;
  }

  /** Looks for tails under the record that is known now, and goes on offering what is left. Called regularly. */
  async tend(): Promise<void> {
    const epoch = this.#log.lease?.record.epoch ?? null;
    for (const stream of this.#log.streams()) this.#look(stream);
    for (const tail of this.#tails.values()) if (tail.doneIn !== epoch) tail.doneIn = null;
    await this.#copyDiscarded();
    this.#offering ??= this.#offerAll().finally(() => {
      this.#offering = undefined;
    });
    await this.#offering;
  }

  /** Frames that became durable only after a tail was discarded belong to it as well. */
  async #copyDiscarded(): Promise<void> {
    for (const tail of this.#tails.values()) {
      const decision = this.#decisions.of(tail.stream);
      if (decision?.order !== 'discard' || (decision.to >= tail.to && decision.from <= tail.from)) continue;
      await this.#decisions.copy(tail.stream, tail, (after, bytes) => this.#log.read(tail.stream, after, bytes));
      await this.#decisions.decide(tail.stream, { ...decision, from: tail.from, to: tail.to });
    }
  }

  #look(stream: StreamKey): void {
    const standing = this.#log.standing(stream);
    if (standing.kind !== 'sealed') return;
    const { seal } = standing;
    const to = this.#log.head(stream).seq;
    // What left the log before the seal was known is here no more; another region may hold it.
    const from = Math.min(to, Math.max(seal, this.#log.start(stream).seq));
    const known = this.#tails.get(stream);
    if (to <= seal || (known?.to === to && known.from === from)) return;
    if (known === undefined) this.#tails.set(stream, { stream, from, to, replayedTo: from, doneIn: null });
    else Object.assign(known, { from, to, replayedTo: from, doneIn: null });
    const gone = from > seal ? `, ${from - seal} of them no more in this log` : '';
    const message = `${to - seal} changes of ${stream} lie beyond its seal ${seal}${gone}`;
    this.#events.add('tail-found', 'warning', message, { stream, from, to });
    this.#audit.note(this.#region, 'tail-found', { stream, from, to, seal });
  }

  /**
   * Hub's side: takes over a piece of a tail of which the sender holds what follows `after`. Answers up to which seq that is
   * taken over, for the sender to go on from.
   */
  take(stream: StreamKey, frames: readonly Buffer[], after = 0): Promise<number> {
    const next = this.#taking.then(() => this.#takeInOrder(stream, frames, after));
    this.#taking = next.catch(() => undefined);
    return next;
  }

  /** One tail that cannot go on does not hold up the others; only a hub that is away ends the round. */
  async #offerAll(): Promise<void> {
    for (const tail of this.#tails.values()) {
      if (this.#orderFor(tail) !== 'replay') continue;
      try {
        await this.#offer(tail);
      } catch (caught) {
        const { code } = toAntipodeError(caught);
        if (code === 'INTERNAL') throw caught;
        if (code === 'PEER_UNAVAILABLE' || code === 'PEER_TIMEOUT' || code === 'NOT_HOLDER') return;
      }
    }
  }

  /** Asks the hub where it is, then sends piece after piece from there until all is taken over. */
  async #offer(tail: Tail): Promise<void> {
    let frames: readonly { readonly to: number; readonly bytes: Uint8Array }[] = [];
    while (tail.doneIn === null) {
      const hub = this.#gate.hub();
      const epoch = this.#log.lease?.record.epoch;
      if (hub === undefined || epoch === undefined) return;
      const before = tail.replayedTo;
      tail.replayedTo = Math.max(tail.from, await this.#send(hub, tail, frames));
      if (tail.replayedTo >= tail.to) return this.#finish(tail, hub, epoch);
      // The same place after a piece: something holds the hub up; the next round tries again.
      if (frames.length > 0 && tail.replayedTo <= before) return;
      frames = this.#log.read(tail.stream, tail.replayedTo, PIECE_BYTES).filter((frame) => frame.to <= tail.to);
      if (frames.length === 0) return;
    }
  }

  #finish(tail: Tail, hub: string, epoch: number): void {
    tail.doneIn = epoch;
    const { stream, from, to } = tail;
    if (to === from) return;
    const message = `${to - from} changes beyond the seal of ${stream} were taken over by ${hub}`;
    this.#events.add('tail-replayed', 'info', message, { stream });
    this.#audit.note(this.#region, 'tail-replayed', { stream, from, to, hub, epoch });
  }

  async #send(hub: string, { stream, from }: Tail, frames: readonly { readonly bytes: Uint8Array }[]): Promise<number> {
    if (hub === this.#region) {
      const pieces = frames.map(({ bytes }) => Buffer.from(bytes));
      return this.take(stream, pieces, from);
    }
    const body = { namespace: this.#namespace, stream, after: from };
    const { answer } = await this.#peers.request(hub, 'replay', body, {
      timeoutMs: REPLAY_TIMEOUT_MS,
      blob: packFrames(frames),
    });
    return answer.replayedTo;
  }

  async #takeInOrder(stream: StreamKey, frames: readonly Buffer[], after: number): Promise<number> {
    const standing = this.#log.standing(stream);
    if (standing.kind !== 'sealed') throw new AntipodeError('STREAM_NOT_FOUND', `${stream} has no seal known here`);
    const grant = this.#gate.appendable();
    if (grant === undefined)
      throw new AntipodeError('NOT_HOLDER', `${this.#region} does not hold the lease of ${this.#namespace}`);
    // What was taken over in an epoch of before may itself lie beyond a seal by now: the store knows what counts.
    if (grant.epoch !== this.#takenEpoch) this.#taken.clear();
    this.#takenEpoch = grant.epoch;
    let position = coveredTo(this.#coverage(stream), Math.max(standing.seal, after));
    const before = position;
    for (const bytes of frames) {
      const { frame } = decodeFrame(bytes);
      if (frame.stream !== stream) {
        this.#audit.note(this.#region, 'frame-refused', {
          stream,
          code: 'FRAME_FOREIGN_ORIGIN',
          offered: frame.stream,
        });
        throw new AntipodeError('FRAME_FOREIGN_ORIGIN', `a frame of ${frame.stream} was offered as one of ${stream}`);
      }
      if (frame.to <= position) continue;
      // What no other region would apply yet waits with its tail (P8).
      if (frame.from > position || dueMs(frame) > this.#clock.wallMs()) break;
      const taken = coveredTo(this.#coverage(stream), frame.from) >= frame.to;
      if (!taken && frame.kind === 'rows') await this.#takeRows(frame);
      else if (!taken && frame.kind === 'definition') this.#views.learn(frame.payload);
      position = frame.to;
      this.#taken.set(stream, covering(this.#taken.get(stream) ?? [], frame.from, frame.to));
    }
    if (position > before)
      this.#audit.note(this.#region, 'tail-taken', { stream, from: before, to: position, epoch: grant.epoch });
    return position;
  }

  /** What the store knows to be taken over, and what this hub has looked at since. */
  #coverage(stream: StreamKey): Coverage {
    const record = this.#store.record(replayedKey(stream));
    let coverage = this.#taken.get(stream) ?? [];
    for (const [from, to] of record === undefined ? [] : decodeJsonRecord<Coverage>(record))
      coverage = covering(coverage, from, to);
    return coverage;
  }

  async #takeRows(frame: Frame): Promise<void> {
    const id = parseStreamKey(frame.stream);
    const codec = this.#views.version(frame.viewVersion);
    if (id === undefined || codec === undefined)
      throw new AntipodeError('DEFINITION_UNDECODABLE', `view version ${frame.viewVersion} is not known here`);
    // A tail frame that was itself a replay keeps its first identity; when that tail is taken over already, so is this.
    const source = frame.replay ?? {
      tail: { stream: frame.stream, from: frame.from, to: frame.to },
      original: { stream: frame.stream, from: frame.from, hlc: frame.hlc, applied: frame.applied },
    };
    const { tail } = source;
    if (frame.replay !== null && coveredTo(this.#coverage(tail.stream), tail.from) >= tail.to) return;
    const keys = frame.idempotency.map(({ key }) => key);
    while (keys.some((key) => this.#writer.onItsWay(codec.view.name, key))) {
      for (const key of keys) await this.#writer.settled(codec.view.name, key);
    }
    // From here to the append nothing is awaited: what is known of the keys stays true.
    const all = decodeChanges(frame.payload, frame.to - frame.from);
    const kept = all.map(() => true);
    const carried: IdempotencyEntry[] = [];
    for (const entry of frame.idempotency) {
      const known = this.#writer.knownKey(id.partition, codec.view.name, entry.key);
      const count = entry.to - entry.from;
      // The client tried again and the new hub accepted it, all of it or its beginning: the same write under other change ids.
      const held =
        known === undefined || known.digest !== entry.digest
          ? 0
          : known.complete
            ? Number.POSITIVE_INFINITY
            : known.held;
      const dropped = Math.min(count, Math.max(0, held - entry.first));
      kept.fill(false, entry.from - frame.from, entry.from - frame.from + dropped);
      if (dropped < count) carried.push({ ...entry, from: entry.from + dropped, first: entry.first + dropped });
    }
    const keptBefore = (index: number): number => kept.slice(0, index).filter(Boolean).length;
    const changes = all.filter((_, index) => kept[index]);
    const entries = carried.map(({ from, to, ...identity }) => {
      const at = keptBefore(from - frame.from);
      return { ...identity, at, count: keptBefore(to - frame.from) - at };
    });
    if (changes.length > 0) await this.#writer.replay({ codec, partition: id.partition, changes, entries, source });
  }
}
