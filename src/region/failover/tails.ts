import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type Frame, type IdempotencyEntry } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { OnlineStore } from '#ports/online-store';
import { decodeJsonRecord, replayedKey } from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { AuditLog } from '#region/audit/audit-log';
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
  readonly from: number;
  readonly to: number;
  replayedTo: number;
  announced: boolean;
  done: boolean;
}

/**
 * Tails of one namespace (P6.7): what this region holds of closed epochs beyond their seals. Kept for ever in the log,
 * listed, and, when the policy says so, offered to the hub, which appends each change once. The same class is the hub's
 * side of it.
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
  readonly #tails = new Map<StreamKey, Tail>();
  /** Hub's side: how far each tail is taken over in this epoch, counting pieces of which nothing had to be appended. */
  readonly #taken = new Map<StreamKey, number>();
  #takenEpoch = 0;
  readonly #taking = new Map<StreamKey, Promise<number>>();
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
  }

  list(): TailStatus[] {
    return [...this.#tails.values()].map((tail) => ({
      namespace: this.#namespace,
      stream: tail.stream,
      from: tail.from,
      to: tail.to,
      state: tail.done ? 'replayed' : this.#policy === 'keep' ? 'kept' : 'replaying',
      replayed: Math.max(0, tail.replayedTo - tail.from),
    }));
  }

  /** Looks for tails under the record that is known now, and goes on offering what is left. Called regularly. */
  async tend(): Promise<void> {
    for (const stream of this.#log.streams()) {
      const standing = this.#log.standing(stream);
      if (standing.kind !== 'sealed') continue;
      const head = this.#log.head(stream).seq;
      if (head <= standing.seal || this.#tails.has(stream)) continue;
      const tail: Tail = {
        stream,
        from: standing.seal,
        to: head,
        replayedTo: standing.seal,
        announced: false,
        done: false,
      };
      this.#tails.set(stream, tail);
      this.#events.add(
        'tail-found',
        'warning',
        `${head - standing.seal} changes of ${stream} lie beyond its seal ${standing.seal}`,
        { stream, from: standing.seal, to: head },
      );
      this.#audit.note(this.#region, 'tail-found', { stream, from: standing.seal, to: head });
    }
    if (this.#policy !== 'replay') return;
    this.#offering ??= this.#offerAll().finally(() => {
      this.#offering = undefined;
    });
    await this.#offering;
  }

  /** Hub's side: takes over a piece of a tail. Answers up to which seq the tail is taken over, for the sender to go on from. */
  async take(stream: StreamKey, frames: readonly Buffer[]): Promise<number> {
    const before = this.#taking.get(stream) ?? Promise.resolve(0);
    const next = before.catch(() => 0).then(() => this.#takeInOrder(stream, frames));
    this.#taking.set(stream, next);
    try {
      return await next;
    } finally {
      if (this.#taking.get(stream) === next) this.#taking.delete(stream);
    }
  }

  async #offerAll(): Promise<void> {
    for (const tail of this.#tails.values()) {
      try {
        await this.#offer(tail);
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (error.code === 'INTERNAL') throw error;
        // The hub is away, or is another one by now: the next round goes on where it says it is.
        return;
      }
    }
  }

  async #offer(tail: Tail): Promise<void> {
    while (!tail.done) {
      const hub = this.#gate.hub();
      if (hub === undefined) return;
      const frames = this.#log.read(tail.stream, tail.replayedTo, PIECE_BYTES).filter((frame) => frame.to <= tail.to);
      const replayedTo =
        hub === this.#region
          ? await this.take(
              tail.stream,
              frames.map((frame) => Buffer.from(frame.bytes)),
            )
          : await this.#send(hub, tail.stream, frames);
      if (replayedTo <= tail.replayedTo && frames.length > 0 && replayedTo < tail.to) {
        // The hub knows less than was thought (a new hub): go back to where it is; at the same place wait for the next round.
        const stuck = replayedTo === tail.replayedTo;
        tail.replayedTo = Math.max(tail.from, replayedTo);
        if (stuck) return;
        continue;
      }
      tail.replayedTo = replayedTo;
      if (tail.replayedTo >= tail.to) {
        tail.done = true;
        this.#events.add(
          'tail-replayed',
          'info',
          `${tail.to - tail.from} changes beyond the seal of ${tail.stream} were taken over by ${hub}`,
          { stream: tail.stream },
        );
        this.#audit.note(this.#region, 'tail-replayed', {
          stream: tail.stream,
          from: tail.from,
          to: tail.to,
          hub,
        });
      }
    }
  }

  async #send(hub: string, stream: StreamKey, frames: readonly { readonly bytes: Uint8Array }[]): Promise<number> {
    const { answer } = await this.#peers.request(
      hub,
      'replay',
      { namespace: this.#namespace, stream },
      { timeoutMs: REPLAY_TIMEOUT_MS, blob: packFrames(frames) },
    );
    return answer.replayedTo;
  }

  async #takeInOrder(stream: StreamKey, frames: readonly Buffer[]): Promise<number> {
    const standing = this.#log.standing(stream);
    if (standing.kind !== 'sealed') throw new AntipodeError('STREAM_NOT_FOUND', `${stream} has no seal known here`);
    const grant = this.#gate.appendable();
    if (grant === undefined)
      throw new AntipodeError('NOT_HOLDER', `${this.#region} does not hold the lease of ${this.#namespace}`);
    // What was taken over in an epoch of before may itself lie beyond a seal by now: the store knows what counts.
    if (grant.epoch !== this.#takenEpoch) this.#taken.clear();
    this.#takenEpoch = grant.epoch;
    let position = Math.max(standing.seal, this.#takenTo(stream));
    for (const bytes of frames) {
      const { frame } = decodeFrame(bytes);
      if (frame.stream !== stream)
        throw new AntipodeError('FRAME_FOREIGN_ORIGIN', `a frame of ${frame.stream} was offered as one of ${stream}`);
      if (frame.to <= position) continue;
      if (frame.from > position) break;
      if (frame.kind === 'rows') await this.#takeRows(frame);
      else if (frame.kind === 'definition') this.#views.learn(frame.payload);
      position = frame.to;
      this.#taken.set(stream, position);
    }
    return position;
  }

  #takenTo(stream: StreamKey): number {
    const record = this.#store.record(replayedKey(stream));
    return Math.max(record === undefined ? 0 : decodeJsonRecord<number>(record), this.#taken.get(stream) ?? 0);
  }

  async #takeRows(frame: Frame): Promise<void> {
    const id = parseStreamKey(frame.stream);
    const codec = this.#views.version(frame.viewVersion);
    if (id === undefined || codec === undefined)
      throw new AntipodeError('DEFINITION_UNDECODABLE', `view version ${frame.viewVersion} is not known here`);
    // A tail frame that was itself a replay keeps its first identity; when that tail is taken over already, so is this.
    const source = frame.replay ?? {
      tail: { stream: frame.stream, from: frame.from, to: frame.to },
      original: { stream: frame.stream, from: frame.from, hlc: frame.hlc },
    };
    if (frame.replay !== null && this.#takenTo(source.tail.stream) >= source.tail.to) return;
    const all = decodeChanges(frame.payload, frame.to - frame.from);
    const kept = all.map(() => true);
    const carried: IdempotencyEntry[] = [];
    for (const entry of frame.idempotency) {
      await this.#writer.settled(entry.key);
      if (this.#writer.knownKey(id.partition, entry.key) === undefined) carried.push(entry);
      // The client tried again and the new hub accepted it: the same write, under another change id.
      else kept.fill(false, entry.from - frame.from, entry.to - frame.from);
    }
    const keptBefore = (index: number): number => kept.slice(0, index).filter(Boolean).length;
    const changes = all.filter((_, index) => kept[index]);
    const entries = carried.map((entry) => {
      const first = keptBefore(entry.from - frame.from);
      return { key: entry.key, first, count: keptBefore(entry.to - frame.from) - first, complete: entry.complete };
    });
    if (changes.length > 0) await this.#writer.replay({ codec, partition: id.partition, changes, entries, source });
  }
}
