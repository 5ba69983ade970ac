import type { Change } from '#core/codec/changes';
import type { ReplaySource } from '#core/codec/frame';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { fnv1a } from '#core/hash';
import { readEventTimeUs } from '#core/model/stamp';
import type { StreamKey } from '#core/model/stream';
import type { Hlc } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { Host } from '#ports/host';
import type { OnlineStore } from '#ports/online-store';
import type { Applier } from '#region/apply/applier';
import { decodeJsonRecord, type IdempotencyRecord, idempotencyKey } from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { IngestChange } from '#region/engine-api';
import { FrameBuilder, type FramePart, type ReplayEntry } from '#region/ingest/frame-builder';
import type { HlcService } from '#region/ingest/hlc-service';
import type { AppendGrant, HolderGate } from '#region/ingest/holder-gate';
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
  readonly key: string | null;
  readonly parts: ReadonlyMap<number, readonly IngestChange[]>;
}

interface Pending {
  readonly work:
    | { readonly kind: 'client'; readonly write: ClientWrite }
    | { readonly kind: 'replay'; readonly write: ReplayWrite };
  readonly bytes: number;
  readonly resolve: (positions: Record<StreamKey, number>) => void;
  readonly reject: (error: AntipodeError) => void;
}

/** Thrown inside a commit when the clock's persisted bound was reached; the commit is built again. */
class ClockBound extends Error {}

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
  readonly #defined = new Set<string>();
  readonly #inFlight = new Map<string, Promise<Record<StreamKey, number>>>();
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
  }

  /**
   * A client's write, under its idempotency key if it gave one: the same key gets the same answer, whether the first try is
   * on its way or applied.
   */
  async write(codec: ViewCodec, changes: readonly IngestChange[], key: string | null): Promise<WriteReceipt> {
    const running = key === null ? undefined : this.#inFlight.get(key);
    if (running !== undefined) return { duplicate: true, positions: await running };
    const parts = new Map<number, IngestChange[]>();
    for (const change of changes) {
      const partition = this.#partitions === 1 ? 0 : fnv1a(change.key) % this.#partitions;
      const part = parts.get(partition);
      const stamped = change.operation === 'delete' ? this.#deleteAfterStored(codec, change) : change;
      if (part === undefined) parts.set(partition, [stamped]);
      else part.push(stamped);
    }
    const known: Record<StreamKey, number> = {};
    for (const partition of [...parts.keys()]) {
      const record = key === null ? undefined : this.knownKey(partition, key);
      if (record === undefined) continue;
      known[record.stream] = record.to;
      parts.delete(partition);
    }
    if (parts.size === 0) return { duplicate: Object.keys(known).length > 0, positions: known };
    const bytes = changes.reduce((sum, change) => sum + change.key.length + change.row.length + 32, 0);
    const appended = this.#enqueue({ kind: 'client', write: { codec, key, parts } }, bytes);
    if (key === null) return { duplicate: false, positions: await appended };
    this.#inFlight.set(key, appended);
    try {
      return { duplicate: false, positions: { ...known, ...(await appended) } };
    } finally {
      this.#inFlight.delete(key);
    }
  }

  /** Appends a tail frame's changes; resolves when durable and applied here. */
  async replay(write: ReplayWrite): Promise<void> {
    const bytes = write.changes.reduce((sum, change) => sum + change.key.length + change.row.length + 32, 0);
    await this.#enqueue({ kind: 'replay', write }, bytes);
  }

  /** What is known of an idempotency key in a partition, once every write of that key on its way has ended. */
  knownKey(partition: number, key: string): IdempotencyRecord | undefined {
    const bytes = this.#store.record(idempotencyKey({ namespace: this.#namespace, partition }, key));
    return bytes === undefined ? undefined : decodeJsonRecord<IdempotencyRecord>(bytes);
  }

  async settled(key: string): Promise<void> {
    await this.#inFlight.get(key)?.catch(() => undefined);
  }

  /** First append of a new holder (P6.6). Resolves when durable. */
  async appendEpochMarker(grant: AppendGrant, record: Uint8Array): Promise<void> {
    for (;;) {
      await this.#hlc.ready();
      const base = this.#hlc.tryReserve(grant.streams.length);
      if (base === undefined) continue;
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

  #deleteAfterStored(codec: ViewCodec, change: IngestChange): IngestChange {
    const stored = this.#store.row(codec.rowKey(change.key));
    if (stored === undefined) return change;
    return { ...change, eventTimeUs: Math.max(change.eventTimeUs, readEventTimeUs(stored)) };
  }

  #enqueue(work: Pending['work'], bytes: number): Promise<Record<StreamKey, number>> {
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
    const appended = new Promise<Record<StreamKey, number>>((resolve, reject) => {
      this.#pending.push({ work, bytes, resolve, reject });
    }).finally(() => {
      this.#outstandingBytes -= bytes;
    });
    this.#committing ??= this.#commitAll().finally(() => {
      this.#committing = undefined;
    });
    return appended;
  }

  async #commitAll(): Promise<void> {
    // One turn of the event loop lets requests that arrived together share the first commit.
    await this.#clock.yield();
    while (this.#pending.length > 0) {
      const batch = this.#take();
      try {
        await this.#hlc.ready();
        await this.#commit(batch);
      } catch (caught) {
        if (caught instanceof ClockBound) {
          this.#pending.unshift(...batch);
          continue;
        }
        const error = toAntipodeError(caught);
        for (const item of batch) item.reject(error);
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
    const builders = new Map<StreamKey, FrameBuilder>();
    const { positions, defined } = this.#build(batch, grant, builders);
    const durable = [...builders].map(([stream, builder]) => this.#log.append(stream, grant.epoch, builder.frames));
    for (const mark of defined) this.#defined.add(mark);
    await Promise.all(durable);
    for (const item of batch) void this.#answer(item, grant.epoch, positions.get(item) ?? {});
  }

  #build(
    batch: readonly Pending[],
    grant: AppendGrant,
    builders: Map<StreamKey, FrameBuilder>,
  ): { positions: Map<Pending, Record<StreamKey, number>>; defined: string[] } {
    const defined: string[] = [];
    const groups = new Map<string, { codec: ViewCodec; stream: StreamKey; parts: FramePart[]; items: Pending[] }>();
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
        const { codec, key, parts } = item.work.write;
        for (const [partition, changes] of parts) {
          const stream = grant.streams[partition] as StreamKey;
          const group = groups.get(`${stream} ${codec.view.version}`) ?? { codec, stream, parts: [], items: [] };
          group.parts.push({ changes, idempotencyKey: key });
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
      builder.rows(this.#context(stream, grant.epoch, codec.view.version), parts, (count) => this.#reserve(count));
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

  async #answer(item: Pending, epoch: number, positions: Record<StreamKey, number>): Promise<void> {
    const late = new AbortController();
    try {
      const applied = Promise.all(Object.entries(positions).map(([stream, seq]) => this.#applier.applied(stream, seq)));
      applied.catch(() => undefined);
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
      late.abort();
    }
  }
}
