import type { Change } from '#core/codec/changes';
import type { Producer } from '#core/codec/counter-state';
import type { ReplaySource } from '#core/codec/frame';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { fnv1a } from '#core/hash';
import type { StreamKey } from '#core/model/stream';
import type { Hlc } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { Host } from '#ports/host';
import type { OnlineStore } from '#ports/online-store';
import type { Applier } from '#region/apply/applier';
import { decodeJsonRecord, type IdempotencyRecord, idempotencyKey } from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { StampGate } from '#region/clocks/stamp-gate';
import type { IngestChange } from '#region/engine-api';
import { type ClientPart, clientPart, placeParts, refuseUnplaceable } from '#region/ingest/client-part';
import { FrameBuilder, type ReplayEntry } from '#region/ingest/frame-builder';
import type { HlcService } from '#region/ingest/hlc-service';
import type { AppendGrant, HolderGate } from '#region/ingest/holder-gate';
import { InFlightKeys, reused } from '#region/ingest/in-flight-keys';
import { requestDigest } from '#region/ingest/request-digest';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Bytes of changes taken into one group commit. */
const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes of changes accepted and not yet answered; beyond it requests are refused with OVERLOADED. */
export const OUTSTANDING_BYTES_MAX = 64 * 1024 * 1024;
/** How long an appended write may wait to be applied here before its answer is `unknown`, ms. */
const APPLY_WAIT_MS_MAX = 30_000;
/** Free space below which nothing more is accepted, so that the log never meets a full disk (P3.2). */
export const DISK_RESERVE_BYTES = 64 * 1024 * 1024;

export interface WriteReceipt {
  readonly duplicate: boolean;
  readonly positions: Record<StreamKey, number>;
}

/** Changes of one tail frame, for the hub to append with the ids and stamps they had. */
export interface ReplayWrite {
  readonly codec: ViewCodec;
  readonly partition: number;
  readonly changes: readonly Change[];
  readonly entries: readonly ReplayEntry[];
  readonly source: ReplaySource;
}

interface ClientWrite {
  readonly codec: ViewCodec;
  /** By partition. */
  readonly parts: ReadonlyMap<number, ClientPart>;
}

interface Pending {
  readonly work:
    | { readonly kind: 'client'; readonly write: ClientWrite }
    | { readonly kind: 'replay'; readonly write: ReplayWrite };
  readonly bytes: number;
  readonly resolve: (positions: Record<StreamKey, number>) => void;
  readonly reject: (error: AntipodeError) => void;
  /** Called when the outcome is in the store, or certainly never will be; perhaps after the answer. */
  readonly settle: () => void;
}

interface Enqueued {
  readonly answer: Promise<Record<StreamKey, number>>;
  readonly settled: Promise<void>;
}

/** Thrown inside a commit when the clock's persisted bound was reached; the commit is built again. */
class ClockBound extends Error {}

/** The log took the frames of some streams and refused those of others: the outcome of the whole batch is open. */
class PartlyLogged extends Error {
  readonly error: AntipodeError;
  readonly taken: Readonly<Record<StreamKey, number>>;

  constructor(taken: Readonly<Record<StreamKey, number>>, cause: unknown) {
    super('only a part of the write was logged', { cause });
    this.taken = taken;
    this.error = new AntipodeError('OUTCOME_UNKNOWN', this.message, { cause });
  }
}

/**
 * Appends to the streams of one namespace. Requests that arrive while a commit is on its way to disk share the next one
 * (group commit). Lease check, stamps, seqs and the hand-over to the log are one synchronous step (P3.1); the answer comes
 * when the frames are durable and visible here, and the lease has been checked once more.
 */
export class NamespaceWriter {
  readonly #namespace: string;
  readonly #partitions: number;
  readonly #log: NamespaceLog;
  readonly #store: OnlineStore;
  readonly #clock: Clock;
  readonly #host: Host;
  readonly #views: ViewRegistry;
  readonly #hlc: HlcService;
  readonly #applier: Applier;
  readonly #gate: HolderGate;
  readonly #stamps: StampGate;
  readonly #defined = new Set<string>();
  readonly #inFlight = new InFlightKeys();
  #pending: Pending[] = [];
  #outstandingBytes = 0;
  #committing: Promise<void> | undefined;

  constructor(options: {
    namespace: string;
    partitions: number;
    log: NamespaceLog;
    store: OnlineStore;
    clock: Clock;
    host: Host;
    views: ViewRegistry;
    hlc: HlcService;
    applier: Applier;
    gate: HolderGate;
    stamps: StampGate;
  }) {
    this.#namespace = options.namespace;
    this.#partitions = options.partitions;
    this.#log = options.log;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#host = options.host;
    this.#views = options.views;
    this.#hlc = options.hlc;
    this.#applier = options.applier;
    this.#gate = options.gate;
    this.#stamps = options.stamps;
  }

  /**
   * A client's write, under its idempotency key if it gave one: the same key gets the same answer, whether the first try is
   * on its way or applied. Resolves when it is durable and visible here, at once when it was before.
   */
  async write(
    codec: ViewCodec,
    changes: readonly IngestChange[],
    key: string | null,
    producer?: Producer,
  ): Promise<WriteReceipt> {
    const bytes = changes.reduce((sum, change) => sum + change.key.length + change.row.length + 32, 0);
    const partitions = this.#split(changes);
    if (key === null) {
      this.#refuseUnplaceable(codec, changes, producer);
      const parts = mapValues(partitions, (part) => clientPart(part, null, 0, producer));
      return {
        duplicate: false,
        positions: await this.#enqueue({ kind: 'client', write: { codec, parts } }, bytes).answer,
      };
    }
    const name = InFlightKeys.nameOf(codec.view.name, key);
    const digest = requestDigest(changes, producer);
    for (let running = this.#inFlight.get(name); running !== undefined; running = this.#inFlight.get(name)) {
      if (running.digest === digest) return { duplicate: true, positions: await running.answer };
      if (running.digest !== null) throw reused(name);
      await running.settled.catch(() => undefined);
    }
    // From here to the key's place among those on their way is one step.
    const known: Record<StreamKey, number> = {};
    const parts = new Map<number, ClientPart>();
    for (const [partition, part] of partitions) {
      const identity = { key, digest: requestDigest(part, producer), first: 0 };
      const record = this.knownKey(partition, codec.view.name, key);
      if (record !== undefined && record.digest !== identity.digest) throw reused(name);
      if (record !== undefined) known[record.stream] = record.to;
      if (record?.complete === true) continue;
      parts.set(partition, clientPart(part, identity, record?.held ?? 0, producer));
    }
    if (parts.size === 0) return { duplicate: true, positions: known };
    this.#refuseUnplaceable(codec, changes, producer);
    const { answer, settled } = this.#enqueue({ kind: 'client', write: { codec, parts } }, bytes);
    this.#inFlight.add(name, { digest, answer, settled });
    return { duplicate: false, positions: { ...known, ...(await answer) } };
  }

  /** Appends a tail frame's changes; resolves when durable and applied here. Retries of their keys wait for it. */
  async replay(write: ReplayWrite): Promise<void> {
    const bytes = write.changes.reduce((sum, change) => sum + change.key.length + change.row.length + 32, 0);
    const { answer, settled } = this.#enqueue({ kind: 'replay', write }, bytes);
    for (const { key } of write.entries) {
      this.#inFlight.add(InFlightKeys.nameOf(write.codec.view.name, key), { digest: null, answer, settled });
    }
    await answer;
  }

  /** What the store knows of an idempotency key in a partition. */
  knownKey(partition: number, view: string, key: string): IdempotencyRecord | undefined {
    const bytes = this.#store.record(idempotencyKey({ namespace: this.#namespace, partition }, view, key));
    return bytes === undefined ? undefined : decodeJsonRecord<IdempotencyRecord>(bytes);
  }

  /** Whether anything of a write under the key was accepted here, or is on its way. */
  knows(view: string, key: string): boolean {
    const partitions = Array.from({ length: this.#partitions }, (_, partition) => partition);
    return this.onItsWay(view, key) || partitions.some((each) => this.knownKey(each, view, key) !== undefined);
  }

  /** Whether `write` would append anything under the key now. */
  lacks(codec: ViewCodec, changes: readonly IngestChange[], key: string): boolean {
    const { name } = codec.view;
    if (this.onItsWay(name, key)) return false;
    return [...this.#split(changes).keys()].some((partition) => this.knownKey(partition, name, key)?.complete !== true);
  }

  /** Whether a write is on its way under the key. While it is not, and nothing is awaited, the store knows all there is to know. */
  onItsWay(view: string, key: string): boolean {
    return this.#inFlight.get(InFlightKeys.nameOf(view, key)) !== undefined;
  }

  /** Resolves when the writes on their way under the key have ended; another may have begun by then. */
  async settled(view: string, key: string): Promise<void> {
    await this.#inFlight.settled(InFlightKeys.nameOf(view, key));
  }

  /** First append of a new holder (P6.6). Resolves when durable. */
  async appendEpochMarker(grant: AppendGrant, record: Uint8Array): Promise<void> {
    for (;;) {
      this.#stamps.assertOpen();
      await this.#hlc.ready();
      // And in the step that gives the stamps: a wall clock can be set while the bound is written.
      this.#stamps.assertOpen();
      const base = this.#hlc.tryReserve(grant.streams.length);
      if (base === undefined) continue;
      // Waiting for the clock may have outlasted the epoch.
      for (const stream of grant.streams) {
        const standing = this.#log.standing(stream);
        if (standing.kind !== 'open' || standing.epoch !== grant.epoch)
          throw new AntipodeError('NOT_HOLDER', `epoch ${grant.epoch} of ${this.#namespace} ended before its marker`);
      }
      const writes = grant.streams.map((stream, index) => {
        const builder = new FrameBuilder(this.#log.queuedHead(stream));
        builder.epochMarker(
          this.#context(stream, grant.epoch, ''),
          { wallMs: base.wallMs, counter: base.counter + index },
          record,
        );
        return this.#log.append(stream, grant.epoch, builder.frames);
      });
      await Promise.all(writes);
      return;
    }
  }

  /** Resolves when nothing accepted is on its way any more. */
  async idle(): Promise<void> {
    while (this.#committing !== undefined) await this.#committing;
  }

  #split(changes: readonly IngestChange[]): Map<number, IngestChange[]> {
    const partitions = new Map<number, IngestChange[]>();
    for (const change of changes) {
      const partition = this.#partitions === 1 ? 0 : fnv1a(change.key) % this.#partitions;
      const part = partitions.get(partition);
      if (part === undefined) partitions.set(partition, [change]);
      else part.push(change);
    }
    return partitions;
  }

  #refuseUnplaceable(codec: ViewCodec, changes: readonly IngestChange[], producer: Producer | undefined): void {
    refuseUnplaceable({ codec, store: this.#store, rebuilding: this.#applier.rebuilding, changes, producer });
  }

  #enqueue(work: Pending['work'], bytes: number): Enqueued {
    if (this.#outstandingBytes + bytes > OUTSTANDING_BYTES_MAX && this.#outstandingBytes > 0) {
      throw new AntipodeError(
        'OVERLOADED',
        `${this.#outstandingBytes} bytes of writes wait for the log of ${this.#namespace}`,
      );
    }
    if (this.#host.freeBytes() < DISK_RESERVE_BYTES) {
      throw new AntipodeError('DISK_FULL', `less than ${DISK_RESERVE_BYTES / 1024 / 1024} MiB are free for the log`);
    }
    this.#outstandingBytes += bytes;
    const settling = Promise.withResolvers<void>();
    const answering = Promise.withResolvers<Record<StreamKey, number>>();
    this.#pending.push({ work, bytes, ...answering, settle: settling.resolve });
    const answer = answering.promise.finally(() => {
      this.#outstandingBytes -= bytes;
    });
    this.#committing ??= this.#commitAll().finally(() => {
      this.#committing = undefined;
    });
    return { answer, settled: settling.promise };
  }

  async #commitAll(): Promise<void> {
    // One turn of the event loop lets requests that arrived together share the first commit.
    await this.#clock.yield();
    while (this.#pending.length > 0) {
      const batch = this.#take();
      try {
        // Before the clock's bound is persisted: a wrong wall clock must not raise it.
        this.#stamps.assertOpen();
        await this.#hlc.ready();
        await this.#commit(batch);
      } catch (caught) {
        if (caught instanceof ClockBound) {
          this.#pending.unshift(...batch);
          continue;
        }
        const error = caught instanceof PartlyLogged ? caught.error : toAntipodeError(caught);
        // What was logged in part may still become valid: until that is decided a retry of its key waits.
        const decided = caught instanceof PartlyLogged ? this.#applied(caught.taken) : Promise.resolve();
        for (const item of batch) {
          item.reject(error);
          decided.then(item.settle, item.settle);
        }
        if (error.code === 'INTERNAL') this.#host.fatal(error);
      }
    }
  }

  #take(): Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#pending.length && (count === 0 || bytes < COMMIT_BYTES_MAX))
      bytes += (this.#pending[count++] as Pending).bytes;
    return this.#pending.splice(0, count);
  }

  /** The synchronous step, then the wait for the disk. Answers are given outside, so that the next commit need not wait for them. */
  async #commit(batch: readonly Pending[]): Promise<void> {
    const grant = this.#gate.appendable();
    if (grant === undefined)
      throw new AntipodeError('NOT_HOLDER', `this region does not hold the lease of ${this.#namespace}`);
    this.#stamps.assertOpen();
    const builders = new Map<StreamKey, FrameBuilder>();
    const { positions, defined } = this.#build(batch, grant, builders);
    await Promise.all(this.#append(builders, grant.epoch));
    for (const mark of defined) this.#defined.add(mark);
    for (const item of batch) void this.#answer(item, grant.epoch, positions.get(item) ?? {});
  }

  /** Hands all frames to the log. A refusal after the first stream was taken leaves the batch's outcome open. */
  #append(builders: ReadonlyMap<StreamKey, FrameBuilder>, epoch: number): Promise<void>[] {
    const durable: Promise<void>[] = [];
    for (const [stream, builder] of builders) {
      try {
        durable.push(this.#log.append(stream, epoch, builder.frames));
      } catch (caught) {
        if (durable.length === 0) throw caught;
        const taken = [...builders].slice(0, durable.length).map(([key, { head }]) => [key, head.seq] as const);
        throw new PartlyLogged(Object.fromEntries(taken), caught);
      }
    }
    return durable;
  }

  #build(
    batch: readonly Pending[],
    grant: AppendGrant,
    builders: Map<StreamKey, FrameBuilder>,
  ): { positions: Map<Pending, Record<StreamKey, number>>; defined: string[] } {
    const defined: string[] = [];
    const groups = new Map<string, { codec: ViewCodec; stream: StreamKey; parts: ClientPart[]; items: Pending[] }>();
    const positions = new Map<Pending, Record<StreamKey, number>>(batch.map((item) => [item, {}]));
    const builderOf = (stream: StreamKey): FrameBuilder => {
      let builder = builders.get(stream);
      if (builder === undefined) {
        builder = new FrameBuilder(this.#log.queuedHead(stream));
        builders.set(stream, builder);
      }
      return builder;
    };
    const define = (codec: ViewCodec, stream: StreamKey): void => {
      const mark = `${stream} ${codec.view.version}`;
      if (this.#defined.has(mark) || defined.includes(mark)) return;
      const bytes = this.#views.definitionBytes(codec.view.version);
      if (bytes === undefined)
        throw new AntipodeError(
          'VIEW_NOT_FOUND',
          `version ${codec.view.version} of ${codec.view.name} is not known here`,
        );
      builderOf(stream).definition(this.#context(stream, grant.epoch, codec.view.version), this.#reserve(1), bytes);
      defined.push(mark);
    };
    for (const item of batch) {
      if (item.work.kind === 'client') {
        const { codec, parts } = item.work.write;
        for (const [partition, part] of parts) {
          const stream = grant.streams[partition] as StreamKey;
          const group = groups.get(`${stream} ${codec.view.version}`) ?? { codec, stream, parts: [], items: [] };
          group.parts.push(part);
          group.items.push(item);
          groups.set(`${stream} ${codec.view.version}`, group);
        }
      } else {
        const { codec, partition, changes, entries, source } = item.work.write;
        const stream = grant.streams[partition] as StreamKey;
        define(codec, stream);
        const builder = builderOf(stream);
        builder.replay(
          this.#context(stream, grant.epoch, codec.view.version),
          this.#reserve(changes.length),
          changes,
          entries,
          source,
        );
        positions.set(item, { [stream]: builder.head.seq });
      }
    }
    for (const { codec, stream, parts, items } of groups.values()) {
      define(codec, stream);
      const builder = builderOf(stream);
      const context = this.#context(stream, grant.epoch, codec.view.version);
      builder.rows(context, placeParts(codec, this.#store, parts), (count) => this.#reserve(count));
      for (const item of items) positions.set(item, { ...positions.get(item), [stream]: builder.head.seq });
    }
    return { positions, defined };
  }

  #reserve(count: number): Hlc {
    const base = this.#hlc.tryReserve(count);
    if (base === undefined) throw new ClockBound();
    return base;
  }

  #context(stream: StreamKey, epoch: number, viewVersion: string) {
    return {
      stream,
      epoch,
      viewVersion,
      watermarkMs: Math.floor(this.#clock.wallMs()),
      applied: this.#applier.appliedVector(this.#namespace),
    };
  }

  async #applied(positions: Readonly<Record<StreamKey, number>>): Promise<void> {
    await Promise.all(Object.entries(positions).map(([stream, seq]) => this.#applier.applied(stream, seq)));
  }

  async #answer(item: Pending, epoch: number, positions: Record<StreamKey, number>): Promise<void> {
    const late = new AbortController();
    try {
      const applied = this.#applied(positions);
      applied.then(item.settle, item.settle);
      await Promise.race([
        applied,
        this.#clock.sleep(APPLY_WAIT_MS_MAX, late.signal).then(() => {
          throw new AntipodeError('OUTCOME_UNKNOWN', 'the write is logged but was not applied in time');
        }),
      ]);
      if (!this.#gate.acknowledgeable(epoch)) {
        throw new AntipodeError('OUTCOME_UNKNOWN', 'the lease ran out between the append and the acknowledgement');
      }
      item.resolve(positions);
    } catch (caught) {
      item.reject(toAntipodeError(caught, 'OUTCOME_UNKNOWN'));
    } finally {
      late.abort(null);
    }
  }
}

function mapValues<K, V, W>(map: ReadonlyMap<K, V>, change: (value: V) => W): Map<K, W> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}
