import { AntipodeError, assert, toAntipodeError } from '#core/errors';
import { decodeLease, encodeLease, type Lease, type StreamStanding, standingOf } from '#core/failover/lease';
import { type EpochPromise, mayExtend, mayMirror, promiseLapses, promiseRefusal } from '#core/failover/promise';
import { parseStreamKey, type StreamHead, type StreamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { Host } from '#ports/host';
import type { Journal, JournalOperation } from '#ports/journal';
import { LiveStreams } from '#region/replicate/live-streams';

export type MirrorOutcome = 'appended' | 'duplicate' | 'refused';

/**
 * The part of the region's log that belongs to one namespace, and the one place where appends, mirror appends and promises
 * meet (P4.1). All three decide in one synchronous step and hand their writes to the log in that order, so a promise's
 * heads include every append begun before it and none begun after.
 *
 * Knows the lease only as the last record it was told; a record never goes back.
 */
export class NamespaceLog {
  readonly namespace: string;
  /** Of an active-active namespace; undefined where a lease record says which streams are valid. */
  readonly live: LiveStreams | undefined;
  readonly #log: ChangeLog;
  readonly #journal: Journal;
  readonly #host: Host;
  readonly #clock: Clock;
  /** Wall time at which each write on its way began; a Map keeps the oldest first. */
  readonly #begun = new Map<symbol, number>();
  /** Ends of streams counting writes on their way to disk. */
  readonly #queued = new Map<StreamKey, StreamHead>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #durableWatchers = new Set<(stream: StreamKey) => void>();
  /** Called when a frame that follows a position is found damaged on this disk, by whoever reads. */
  onDamage: (stream: StreamKey, after: number, error: AntipodeError) => void = () => undefined;
  #lease: Lease | undefined;
  #promise: EpochPromise | undefined;

  /** Up to where streams should be cut, as asked for since the start. */
  readonly #leaving = new Map<StreamKey, number>();

  constructor(options: {
    namespace: string;
    log: ChangeLog;
    journal: Journal;
    host: Host;
    clock: Clock;
    /** All regions, of an active-active namespace. */
    members?: readonly string[] | undefined;
  }) {
    this.namespace = options.namespace;
    this.live = options.members === undefined ? undefined : new LiveStreams(options.members);
    this.#log = options.log;
    this.#journal = options.journal;
    this.#host = options.host;
    this.#clock = options.clock;
    const stored = options.journal.get(this.#promiseKey());
    if (stored !== undefined) this.#promise = JSON.parse(Buffer.from(stored).toString('utf8')) as EpochPromise;
    const lease = options.journal.get(this.#leaseKey());
    if (lease !== undefined) this.#lease = decodeLease(lease);
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  get promised(): EpochPromise | undefined {
    return this.#promise;
  }

  /** Whether it is known which streams are valid. */
  get judged(): boolean {
    return this.live !== undefined || this.#lease !== undefined;
  }

  /** Streams of this namespace held here, and those the lease names or a member extends. */
  streams(): StreamKey[] {
    const held = this.#log.streams().filter((stream) => parseStreamKey(stream)?.namespace === this.namespace);
    const known =
      this.#lease === undefined
        ? (this.live?.all() ?? [])
        : [
            ...this.#lease.record.streams,
            ...Object.values(this.#lease.record.seals).flatMap((seals) => Object.keys(seals)),
          ];
    return [...new Set([...held, ...known])].sort();
  }

  standing(stream: StreamKey): StreamStanding {
    return this.live?.standing(stream) ?? standingOf(this.#lease?.record, stream);
  }

  /** Whether the stream still grows, as far as known. */
  grows(stream: StreamKey): boolean {
    return this.live?.includes(stream) ?? this.standing(stream).kind === 'open';
  }

  /** Durable end. */
  head(stream: StreamKey): StreamHead {
    return this.#log.head(stream);
  }

  /** Where what is held begins. */
  start(stream: StreamKey): StreamHead {
    return this.#log.start(stream);
  }

  /** Bytes of the frames held of a stream. */
  size(stream: StreamKey): number {
    return this.#log.size(stream);
  }

  /** End of the frame after a position, readable or not. */
  endAfter(stream: StreamKey, afterSeq: number): number | undefined {
    return this.#log.endAfter(stream, afterSeq);
  }

  /**
   * How far a stream may be cut that should be cut up to `upTo`. Of the open epoch's no further than the lease record says:
   * no takeover by itself seals below that, so that nothing is let go of which a seal could rule out unheard.
   */
  mayLetGo(stream: StreamKey, upTo: number): number {
    if (this.#lease === undefined || !this.#lease.record.streams.includes(stream)) return upTo;
    this.#leaving.set(stream, Math.max(upTo, this.#leaving.get(stream) ?? 0));
    return Math.min(upTo, this.#lease.record.begins[stream] ?? 0);
  }

  /** Where the stream begins here, or will when the lease record says so: what a holder renews its lease with. */
  begins(stream: StreamKey): number {
    return Math.max(this.#log.start(stream).seq, this.#leaving.get(stream) ?? 0);
  }

  /** Removes what ends at `upTo` or below, in pieces; resolves when it is gone. Throws DISK_FULL. */
  truncate(stream: StreamKey, upTo: number): Promise<void> {
    return this.#guard(this.#log.truncate(stream, upTo));
  }

  /**
   * Lets a stream begin anew at a position whose changes reached the store some other way; false, with nothing done, when
   * the log reaches that far by itself. An append on its way is waited for and counts: what it made durable, a promise may
   * have named. Nobody may follow the stream meanwhile.
   */
  async reset(stream: StreamKey, head: StreamHead): Promise<boolean> {
    while (this.#queued.has(stream)) await Promise.all(this.#inFlight);
    if (head.seq <= this.#log.head(stream).seq) return false;
    await this.#guard(this.#log.reset(stream, head));
    return true;
  }

  /** Puts a good copy of a frame in the place of a damaged one. */
  async repair(stream: StreamKey, frame: LoggedFrame): Promise<void> {
    await this.#guard(this.#log.repair(stream, frame));
    for (const watcher of this.#durableWatchers) watcher(stream);
  }

  /** End counting writes on their way. */
  queuedHead(stream: StreamKey): StreamHead {
    return this.#queued.get(stream) ?? this.#log.head(stream);
  }

  hashAt(stream: StreamKey, seq: number): Uint8Array | undefined {
    return this.#log.hashAt(stream, seq);
  }

  /** Throws FRAME_CORRUPT when the disk gives back the first frame changed: `onDamage` has been told then. */
  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[] {
    try {
      return this.#log.read(stream, afterSeq, maxBytes);
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code === 'FRAME_CORRUPT') this.onDamage(stream, afterSeq, error);
      throw caught;
    }
  }

  /** Wall time up to which every stamp given here is durable, ms: what a watermark may say together with the durable heads. */
  watermarkMs(): number {
    for (const beganMs of this.#begun.values()) return beganMs - 1;
    return Math.floor(this.#clock.wallMs());
  }

  /** Called after frames of a stream became durable here. */
  onDurable(watcher: (stream: StreamKey) => void): () => void {
    this.#durableWatchers.add(watcher);
    return () => this.#durableWatchers.delete(watcher);
  }

  /** Takes a later record; false when it is not later. A promise lapses as P6.4 says: same epoch at a later revision, or the epoch closed. */
  adopt(lease: Lease): boolean {
    const before = this.#lease;
    if (before !== undefined && lease.revision <= before.revision) return false;
    this.#lease = lease;
    // Kept so that seals are known after a start without the control store. Mere renewals are not worth an fsync.
    if (before?.record.epoch !== lease.record.epoch || before.record.streams.length !== lease.record.streams.length) {
      this.#remember({ kind: 'put', key: this.#leaseKey(), value: encodeLease(lease) });
    }
    const promise = this.#promise;
    if (promise !== undefined && promiseLapses(promise, lease)) {
      this.#promise = undefined;
      this.#remember({ kind: 'delete', key: this.#promiseKey() });
    }
    return true;
  }

  /**
   * Writes what a start without the control store would like to know. On a full disk it stays unwritten, which is safe: an
   * old promise lapses with the next record that is read, and an old record only keeps frames from being applied.
   */
  #remember(operation: JournalOperation): void {
    try {
      void this.#track(this.#journal.write([operation]));
    } catch (caught) {
      if (toAntipodeError(caught).code !== 'DISK_FULL') throw caught;
    }
  }

  /** Whether frames of an open stream may be mirrored or appended: no promise stands against its epoch. */
  openFor(epoch: number): boolean {
    return mayExtend(this.#promise, epoch);
  }

  /**
   * Appends frames that this region made, in the same synchronous step in which the caller checked its lease (P3.1).
   * Resolves when durable.
   */
  append(stream: StreamKey, epoch: number, frames: readonly LoggedFrame[]): Promise<void> {
    const standing = this.standing(stream);
    assert(standing.kind === 'open' && standing.epoch === epoch, `append to ${stream} in its epoch`);
    assert(this.grows(stream), `${stream} is of the incarnation that this region extends`);
    if (!this.openFor(epoch))
      throw new AntipodeError('NOT_HOLDER', `this region promised away epoch ${epoch} of ${this.namespace}`);
    return this.#write(stream, frames);
  }

  /**
   * Appends frames received from a peer. `refused` when a promise or a seal stands against them, `duplicate` when they are
   * held already; a gap or another history throws STREAM_GAP or STREAM_DIVERGED. Resolves when durable.
   */
  async mirror(
    stream: StreamKey,
    frame: LoggedFrame & { readonly previousHash: Uint8Array; readonly epoch: number },
    options: { readonly forPromotion: boolean },
  ): Promise<MirrorOutcome> {
    const standing = this.standing(stream);
    const { to, epoch } = frame;
    if (!mayMirror({ standing, promise: this.#promise, to, epoch, ...options })) return 'refused';
    const head = this.queuedHead(stream);
    if (frame.to <= head.seq) {
      const held = this.#log.hashAt(stream, frame.to);
      if (held !== undefined && Buffer.compare(held, frame.hash) !== 0) {
        throw new AntipodeError('STREAM_DIVERGED', `${stream} at ${frame.to} is another frame here`, { where: stream });
      }
      // Held, but perhaps still on its way to disk: who gets this answer acknowledges it as durable.
      if (frame.to > this.#log.head(stream).seq) await Promise.all(this.#inFlight);
      return 'duplicate';
    }
    if (frame.from !== head.seq)
      throw new AntipodeError('STREAM_GAP', `${stream} ends at ${head.seq}, the frame starts at ${frame.from}`, {
        where: stream,
      });
    if (Buffer.compare(frame.previousHash, head.hash) !== 0) {
      throw new AntipodeError('STREAM_DIVERGED', `${stream} at ${head.seq} has another history here`, {
        where: stream,
      });
    }
    await this.#write(stream, [frame]);
    return 'appended';
  }

  /**
   * Gives the word of P6.4 and resolves, when it and everything before it is durable, with the heads of the epoch's streams.
   * EPOCH_STALE when the epoch is closed here or a promise of a later revision stands.
   */
  async promise(epoch: number, revision: number): Promise<Record<StreamKey, number>> {
    const refusal = promiseRefusal({ lease: this.#lease, promise: this.#promise }, { epoch, revision });
    if (refusal !== undefined) throw new AntipodeError('EPOCH_STALE', refusal);
    this.#promise = { epoch, revision };
    const value = Buffer.from(JSON.stringify(this.#promise), 'utf8');
    const written = this.#track(this.#journal.write([{ kind: 'put', key: this.#promiseKey(), value }]));
    await Promise.all([written, ...this.#inFlight]);
    const heads: Record<StreamKey, number> = {};
    for (const stream of this.streams()) {
      if (this.standing(stream).kind !== 'sealed') heads[stream] = this.#log.head(stream).seq;
    }
    return heads;
  }

  #leaseKey(): string {
    return `lease/${this.namespace}`;
  }

  #promiseKey(): string {
    return `promise/${this.namespace}`;
  }

  #write(stream: StreamKey, frames: readonly LoggedFrame[]): Promise<void> {
    const last = frames[frames.length - 1];
    assert(last !== undefined, 'append at least one frame');
    const beganMs = Math.floor(this.#clock.wallMs());
    // Throws DISK_FULL before anything was taken; the stream's end is then where it was.
    const appended = this.#log.append(stream, frames);
    const write = Symbol(stream);
    this.#begun.set(write, beganMs);
    this.#queued.set(stream, { seq: last.to, hash: last.hash });
    return this.#track(
      appended.then(() => {
        this.#begun.delete(write);
        if (this.#queued.get(stream)?.seq === last.to) this.#queued.delete(stream);
        for (const watcher of this.#durableWatchers) watcher(stream);
      }),
    );
  }

  /** What is no promise to anybody: a full disk is told to the caller, and nobody waits for it who waits for appends. */
  async #guard(write: Promise<void>): Promise<void> {
    try {
      await write;
    } catch (caught) {
      if (toAntipodeError(caught).code === 'DISK_FULL') throw caught;
      this.#host.fatal(caught);
    }
  }

  /** A write that fails leaves the disk in an unknown state: the process ends (P3.2). */
  #track(write: Promise<void>): Promise<void> {
    const guarded = write.catch((error: unknown) => this.#host.fatal(error));
    this.#inFlight.add(guarded);
    void guarded.finally(() => this.#inFlight.delete(guarded));
    return guarded;
  }
}
