import type { Frame } from '#core/codec/frame';
import { type AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import { compareHlc, type Hlc } from '#core/time/hlc';
import type { OnlineStore } from '#ports/online-store';
import type { Random } from '#ports/random';
import { decodeJsonRecord, encodeJsonRecord } from '#region/apply/records';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Identity of what a store holds: another one after every emptying. */
export const STORE_ID_KEY = 'store-id';
/** Stands while a snapshot is read into the store: a store that has it is half filled. */
export const RESTORING_KEY = 'restoring';
export const REACH_PREFIX = 'reach/';
const READING_PREFIX = 'reading/';

/** What outlives the store. */
interface Outliving {
  /** Keeps it, before the store is emptied. */
  save(): Promise<void>;
  /** Records with which an empty store begins. */
  seed(): ReadonlyMap<string, Buffer>;
}

/**
 * What an online store holds beside what its checkpoints say. Rows that came by a copy (a snapshot, a backfill) were read
 * while their store went on, so they may hold changes above the checkpoint: that far the stream *reaches* here, and a seal
 * below it makes the store one of the wrong history just as a checkpoint would (P5.3). Also the greatest clock reading
 * applied, for the logs that held it may be gone, and the store's identity.
 */
export class Projection {
  readonly #store: OnlineStore;
  readonly #random: Random;
  readonly #outliving: Outliving;
  readonly #reach = new Map<StreamKey, number>();
  readonly #readings = new Map<string, Hlc>();
  #id = '';
  /** Fills the empty store from a snapshot, when there is one that may be used. */
  restore: () => Promise<void> = async () => undefined;

  constructor(options: { store: OnlineStore; random: Random; outliving: Outliving }) {
    this.#store = options.store;
    this.#random = options.random;
    this.#outliving = options.outliving;
    this.load();
  }

  /** Reads again what the store says of itself. */
  load(): void {
    this.#reach.clear();
    this.#readings.clear();
    for (const [key, value] of this.#store.records(REACH_PREFIX))
      this.#reach.set(key.slice(REACH_PREFIX.length), decodeJsonRecord<number>(value));
    for (const [key, value] of this.#store.records(READING_PREFIX))
      this.#readings.set(key.slice(READING_PREFIX.length), decodeJsonRecord<Hlc>(value));
    this.#id = this.#store.record(STORE_ID_KEY)?.toString('utf8') ?? '';
  }

  /** Gives a store without identity one, and what outlives stores. */
  async begin(): Promise<void> {
    if (this.#store.record(STORE_ID_KEY) !== undefined) return;
    const id = this.#random.hex(8);
    const records = new Map([...this.#outliving.seed(), [STORE_ID_KEY, Buffer.from(id, 'utf8')]]);
    await this.#store.apply({ rows: [], checkpoints: new Map(), records }, () => 'keep');
    this.#id = id;
  }

  async wipe(): Promise<void> {
    await this.#store.wipe();
    this.load();
    await this.begin();
  }

  /** The same as long as the store was not emptied. */
  get id(): string {
    return this.#id;
  }

  /** The rows hold nothing of the stream beyond this, as far as copies are concerned. */
  reach(stream: StreamKey): number {
    return this.#reach.get(stream) ?? 0;
  }

  reached(): ReadonlyMap<StreamKey, number> {
    return this.#reach;
  }

  /** Records to write together with rows that hold changes of these streams up to these positions; `load` afterwards. */
  cover(to: Iterable<readonly [StreamKey, number]>): Map<string, Buffer> {
    const records = new Map<string, Buffer>();
    for (const [stream, seq] of to)
      if (seq > this.reach(stream)) records.set(REACH_PREFIX + stream, encodeJsonRecord(seq));
    return records;
  }

  /** The first stream of which the store holds what lies beyond a known seal. */
  beyondSeal(
    log: NamespaceLog,
    checkpoints: ReadonlyMap<StreamKey, number>,
  ): { readonly stream: StreamKey; readonly applied: number; readonly seal: number } | undefined {
    for (const positions of [checkpoints, this.#reach]) {
      for (const [stream, applied] of positions) {
        if (parseStreamKey(stream)?.namespace !== log.namespace) continue;
        const standing = log.standing(stream);
        if (standing.kind === 'sealed' && applied > standing.seal) return { stream, applied, seal: standing.seal };
      }
    }
    return undefined;
  }

  /**
   * A stream of which copies brought rows of changes that the log does not hold. Were it sealed where the log ends, the
   * rows would have to go, and with them everything that no log reaches back to. A namespace without leases has no seals.
   */
  torn(log: NamespaceLog): { readonly stream: StreamKey; readonly reach: number; readonly head: number } | undefined {
    if (log.live !== undefined) return undefined;
    for (const [stream, reach] of this.#reach) {
      if (parseStreamKey(stream)?.namespace !== log.namespace || log.standing(stream).kind !== 'open') continue;
      const head = log.head(stream).seq;
      if (reach > head) return { stream, reach, head };
    }
    return undefined;
  }

  /** Greatest clock reading among the changes of a namespace that the store holds. */
  reading(namespace: string): Hlc {
    return this.#readings.get(namespace) ?? { wallMs: 0, counter: 0 };
  }

  /** Adds the greatest reading, counting this frame's, to the records of a step. Replayed changes keep stamps of another time. */
  collectReadings(frame: Frame, records: Map<string, Buffer | null>): void {
    const namespace = parseStreamKey(frame.stream)?.namespace ?? '';
    let greatest = this.reading(namespace);
    for (const { wallMs, counter } of [frame.hlc, frame.replay?.original.hlc ?? frame.hlc]) {
      const reading = { wallMs, counter: counter + (frame.to - frame.from) - 1 };
      if (compareHlc(reading, greatest) > 0) greatest = reading;
    }
    this.#readings.set(namespace, greatest);
    records.set(readingKey(namespace), encodeJsonRecord(greatest));
  }

  /** No position is known, or a snapshot was being read when the process died. */
  unfilled(): boolean {
    return this.#store.checkpoints().size === 0 || this.#store.record(RESTORING_KEY) !== undefined;
  }

  /** Empties the store and fills it from a snapshot; on a full disk again, after `wait`. */
  async fill(wait: (error: AntipodeError) => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await this.#outliving.save();
        await this.wipe();
        await this.restore();
        return;
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (error.code !== 'DISK_FULL') throw caught;
        await wait(error);
      }
    }
  }
}

/** A position, or the seal below it: nothing beyond a seal is ever missing. */
export function withinSeal(log: Pick<NamespaceLog, 'standing'>, stream: StreamKey, seq: number): number {
  const standing = log.standing(stream);
  return standing.kind === 'sealed' ? Math.min(seq, standing.seal) : seq;
}

/**
 * What a log cannot give any more between what is applied and what it holds: undefined when it goes on seamlessly, or
 * begins beyond a seal that is reached.
 */
export function gapOf(
  log: Pick<NamespaceLog, 'standing' | 'start'>,
  stream: StreamKey,
  applied: number,
): { readonly applied: number; readonly start: number; readonly until: number } | undefined {
  if (log.standing(stream).kind === 'unknown') return undefined;
  const start = log.start(stream).seq;
  const until = withinSeal(log, stream, start);
  return applied < until ? { applied, start, until } : undefined;
}

export function readingKey(namespace: string): string {
  return READING_PREFIX + namespace;
}
