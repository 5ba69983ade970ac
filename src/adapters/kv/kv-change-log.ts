import { crc32 } from 'node:zlib';
import { AntipodeError, assert } from '#core/errors';
import { HASH_BYTES, ZERO_HASH } from '#core/hash';
import type { StreamHead, StreamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import { type KvOperation, type KvTable, type OrderedKv, prefixEnd } from './ordered-kv.ts';
import { decodeSeq, encodeSeq, SEQ_BYTES, SEQ_MAX } from './seq-codec.ts';

/** Tables a `KvChangeLog` needs its engine to have. */
export const CHANGE_LOG_TABLES = ['streams', 'frames'] as const;

const STREAM_NUMBER_BYTES = 4;
const CRC_BYTES = 4;
/** A frame's value: checksum of all that follows, start of the range, bytes of the stream up to and with this frame, hash, envelope. */
const FROM_OFFSET = CRC_BYTES;
const OFFSET_OFFSET = FROM_OFFSET + SEQ_BYTES;
const HASH_OFFSET = OFFSET_OFFSET + SEQ_BYTES;
const BYTES_OFFSET = HASH_OFFSET + HASH_BYTES;
/** A stream's value: its number, then where what is held begins: seq, bytes of the stream before it, hash. */
const STREAM_BYTES = STREAM_NUMBER_BYTES + 2 * SEQ_BYTES + HASH_BYTES;
/** Frames removed in one write: bounds what a commit takes, and what others wait for it. */
const REMOVED_AT_ONCE = 64;
/** More damaged frames than this at the end of a stream are no accident of one block: the log is not opened. */
const DAMAGED_AT_END_MAX = 1000;

/** A position with the bytes of all envelopes of the stream before it, which only grow: their difference is a size. */
interface Place extends StreamHead {
  readonly offset: number;
}

interface StreamState {
  /** Short name of the stream in keys; another one after a reset. */
  number: number;
  /** Where what is held begins; ahead of the disk while frames are removed. */
  start: Place;
  /** End of the appends on their way; the next frame starts here. */
  queued: { readonly seq: number; readonly offset: number };
  /** What readers may see. */
  durable: Place;
  /** Keys behind the end, of frames that were damaged when the log was opened; removed with the next append. */
  damaged: readonly Buffer[];
}

function newState(number: number): StreamState {
  return { number, start: NOTHING, queued: NOTHING, durable: NOTHING, damaged: [] };
}

const NOTHING: Place = { seq: 0, hash: ZERO_HASH, offset: 0 };

/**
 * The change log on an ordered key-value engine.
 *
 * Table `streams` gives each stream a number and says where it begins: `flights/0/us-east/9f3c2b1a00c4d2e8` ->
 * `00 00 00 07 | seq 6 | offset 6 | hash 32`. Table `frames` holds its frames under number and last seq:
 * `00 00 00 07 | 00 00 00 00 01 2c` -> crc (4 bytes), from (6), offset (6), hash (32), envelope.
 *
 * A reset gives the stream a new number, which is one small write; the frames under the old one belong to nobody from then
 * on and are removed afterwards, after a crash by the next start.
 *
 * The durable end of each stream is kept here and bounds every read. The engine commits on a thread of its own, so it may
 * show a frame a moment before `append` resolves; a reader must not depend on which of the two it meets.
 */
export class KvChangeLog implements ChangeLog {
  readonly #kv: OrderedKv;
  readonly #streamTable: KvTable;
  readonly #frameTable: KvTable;
  readonly #streams = new Map<StreamKey, StreamState>();
  #nextNumber = 1;

  constructor(kv: OrderedKv) {
    this.#kv = kv;
    this.#streamTable = kv.table('streams');
    this.#frameTable = kv.table('frames');
    const numbers = new Set<number>();
    for (const [key, value] of this.#streamTable.entries({})) {
      if (value.length !== STREAM_BYTES)
        throw new AntipodeError('FRAME_CORRUPT', `stream ${key.toString()} of the log has no readable beginning`);
      const number = value.readUInt32BE(0);
      const start: Place = {
        seq: decodeSeq(value, STREAM_NUMBER_BYTES),
        offset: decodeSeq(value, STREAM_NUMBER_BYTES + SEQ_BYTES),
        hash: Buffer.from(value.subarray(STREAM_NUMBER_BYTES + 2 * SEQ_BYTES)),
      };
      const { place, damaged } = this.#lastPlace(key.toString(), number);
      const durable = place ?? start;
      this.#streams.set(key.toString(), { number, start, queued: durable, durable, damaged });
      numbers.add(number);
    }
    this.#nextNumber = Math.max(0, ...numbers) + 1;
    void this.#sweep(numbers);
  }

  streams(): StreamKey[] {
    const held: StreamKey[] = [];
    for (const [key, state] of this.#streams) if (state.durable.seq > 0) held.push(key);
    return held;
  }

  head(stream: StreamKey): StreamHead {
    const { seq, hash } = this.#streams.get(stream)?.durable ?? NOTHING;
    return { seq, hash };
  }

  start(stream: StreamKey): StreamHead {
    const { seq, hash } = this.#streams.get(stream)?.start ?? NOTHING;
    return { seq, hash };
  }

  size(stream: StreamKey): number {
    const state = this.#streams.get(stream);
    return state === undefined ? 0 : state.durable.offset - state.start.offset;
  }

  hashAt(stream: StreamKey, seq: number): Uint8Array | undefined {
    const state = this.#streams.get(stream);
    if (state === undefined) return seq === 0 ? ZERO_HASH : undefined;
    if (seq === state.start.seq) return state.start.hash;
    if (seq < state.start.seq || seq > state.durable.seq) return undefined;
    if (seq === state.durable.seq) return state.durable.hash;
    const value = this.#frameTable.get(frameKey(state.number, seq));
    return value === undefined ? undefined : Buffer.from(value.subarray(HASH_OFFSET, BYTES_OFFSET));
  }

  append(stream: StreamKey, frames: readonly LoggedFrame[]): Promise<void> {
    const last = frames.at(-1);
    if (last === undefined) return Promise.resolve();
    const known = this.#streams.get(stream);
    const state = known ?? newState(this.#nextNumber);
    checkContiguous(stream, state.queued.seq, frames);

    let { offset } = state.queued;
    const removals = state.damaged.map((key) => this.#removal(key));
    const puts = frames.map<KvOperation>((frame) => {
      offset += frame.bytes.length;
      return {
        kind: 'put',
        table: this.#frameTable,
        key: frameKey(state.number, frame.to),
        value: encodeFrame(frame, offset),
      };
    });
    const operations = [...removals, ...puts];
    if (known === undefined) operations.push(this.#streamOperation(stream, state.number, NOTHING));
    // Throws when the engine refuses: nothing was taken then, and the stream's end stays where it was.
    const durable = this.#kv.write(operations);
    if (known === undefined) {
      this.#streams.set(stream, state);
      this.#nextNumber++;
    }
    state.queued = { seq: last.to, offset };
    state.damaged = [];
    const head: Place = { seq: last.to, hash: Buffer.from(last.hash), offset };
    return durable.then(() => {
      state.durable = head;
    });
  }

  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[] {
    const state = this.#streams.get(stream);
    const frames: LoggedFrame[] = [];
    if (state === undefined || afterSeq >= state.durable.seq || afterSeq < state.start.seq) return frames;
    let bytes = 0;
    const range = { after: frameKey(state.number, afterSeq), before: frameKey(state.number, state.durable.seq + 1) };
    for (const [key, value] of this.#frameTable.entries(range)) {
      if (!isWhole(value)) {
        if (frames.length > 0) break;
        const to = decodeSeq(key, STREAM_NUMBER_BYTES);
        throw new AntipodeError('FRAME_CORRUPT', `the frame of ${stream} that ends at ${to} is damaged in this log`, {
          where: stream,
        });
      }
      const frame: LoggedFrame = {
        from: decodeSeq(value, FROM_OFFSET),
        to: decodeSeq(key, STREAM_NUMBER_BYTES),
        hash: value.subarray(HASH_OFFSET, BYTES_OFFSET),
        bytes: value.subarray(BYTES_OFFSET),
      };
      if (frames.length > 0 && bytes + frame.bytes.length > maxBytes) break;
      frames.push(frame);
      bytes += frame.bytes.length;
      if (bytes >= maxBytes) break;
    }
    return frames;
  }

  endAfter(stream: StreamKey, afterSeq: number): number | undefined {
    const state = this.#streams.get(stream);
    if (state === undefined || afterSeq < state.start.seq) return undefined;
    const range = { after: frameKey(state.number, afterSeq), before: frameKey(state.number, state.durable.seq + 1) };
    for (const [key] of this.#frameTable.entries({ ...range, limit: 1 })) return decodeSeq(key, STREAM_NUMBER_BYTES);
    return undefined;
  }

  async truncate(stream: StreamKey, upTo: number): Promise<void> {
    const state = this.#streams.get(stream);
    if (state === undefined) return;
    const limit = Math.min(upTo, state.durable.seq);
    while (state.start.seq < limit) {
      const { number } = state;
      const removals: KvOperation[] = [];
      let whole = 0;
      let start = state.start;
      const range = { after: frameKey(number, start.seq), before: frameKey(number, limit + 1), limit: REMOVED_AT_ONCE };
      for (const [key, value] of this.#frameTable.entries(range)) {
        removals.push(this.#removal(key));
        // What is held begins where a frame ended whose hash can be trusted.
        if (!isWhole(value)) continue;
        whole = removals.length;
        start = placeOf(key, value);
      }
      if (whole === 0) return;
      const durable = this.#kv.write([...removals.slice(0, whole), this.#streamOperation(stream, number, start)]);
      state.start = start;
      await durable;
      // A reset came in between: what is left under the old number goes with it.
      if (state.number !== number) return;
    }
  }

  async reset(stream: StreamKey, head: StreamHead): Promise<void> {
    assert(head.seq <= SEQ_MAX && head.hash.length === HASH_BYTES, `${stream} is reset to a position with a hash`);
    const state = this.#streams.get(stream) ?? newState(0);
    assert(state.queued.seq === state.durable.seq, `${stream} is reset while nothing is appended to it`);
    const place: Place = { seq: head.seq, hash: Buffer.from(head.hash), offset: state.durable.offset };
    const number = this.#nextNumber;
    const durable = this.#kv.write([this.#streamOperation(stream, number, place)]);
    this.#nextNumber++;
    const old = state.number;
    this.#streams.set(stream, state);
    // Nothing of the old stream is read from here on; the new one has nothing to read yet.
    state.number = number;
    state.damaged = [];
    state.start = place;
    state.queued = place;
    state.durable = place;
    await durable;
    await this.#remove(old);
  }

  async repair(stream: StreamKey, frame: LoggedFrame): Promise<void> {
    const state = this.#streams.get(stream);
    const key = frameKey(state?.number ?? 0, frame.to);
    const value = this.#frameTable.get(key);
    assert(
      state !== undefined && value !== undefined && frame.to <= state.durable.seq,
      `frame (${frame.from}, ${frame.to}] of ${stream} is held and can be repaired`,
    );
    const before = this.#placeBefore(state, frame.to);
    assert(before.seq === frame.from, `frame (${frame.from}, ${frame.to}] of ${stream} continues at ${before.seq}`);
    const offset = before.offset + frame.bytes.length;
    if (frame.to === state.durable.seq) state.durable = { ...state.durable, hash: Buffer.from(frame.hash) };
    await this.#kv.write([{ kind: 'put', table: this.#frameTable, key, value: encodeFrame(frame, offset) }]);
  }

  bytes(): number {
    return this.#kv.bytes();
  }

  /** Where the frame that ends at `seq` begins. The key of its predecessor tells, whatever has become of its own value. */
  #placeBefore(state: StreamState, seq: number): Place {
    const range = {
      from: frameKey(state.number, state.start.seq + 1),
      before: frameKey(state.number, seq),
      reverse: true,
      limit: 1,
    };
    for (const [key, value] of this.#frameTable.entries(range)) return placeOf(key, value);
    return state.start;
  }

  /** Waits for appends on their way and closes the engine, which a journal may share. */
  close(): Promise<void> {
    return this.#kv.close();
  }

  #streamOperation(stream: StreamKey, number: number, start: Place): KvOperation {
    const value = Buffer.allocUnsafe(STREAM_BYTES);
    value.writeUInt32BE(number, 0);
    encodeSeq(start.seq).copy(value, STREAM_NUMBER_BYTES);
    encodeSeq(start.offset).copy(value, STREAM_NUMBER_BYTES + SEQ_BYTES);
    value.set(start.hash, STREAM_NUMBER_BYTES + 2 * SEQ_BYTES);
    return { kind: 'put', table: this.#streamTable, key: Buffer.from(stream), value };
  }

  #removal(key: Buffer): KvOperation {
    return { kind: 'remove', table: this.#frameTable, key };
  }

  /** Removes what lies under numbers that no stream has: left over from a reset. A full disk leaves it to the next start. */
  async #sweep(numbers: ReadonlySet<number>): Promise<void> {
    const orphans: number[] = [];
    for (let from = 0; ; ) {
      const [first] = [...this.#frameTable.entries({ from: numberKey(from), limit: 1 })];
      if (first === undefined) break;
      const number = first[0].readUInt32BE(0);
      if (!numbers.has(number)) orphans.push(number);
      from = number + 1;
    }
    this.#nextNumber = Math.max(this.#nextNumber, ...orphans.map((number) => number + 1));
    for (const number of orphans) await this.#remove(number);
  }

  async #remove(number: number): Promise<void> {
    const prefix = numberKey(number);
    try {
      for (;;) {
        const range = { from: prefix, before: prefixEnd(prefix), limit: REMOVED_AT_ONCE };
        const keys = [...this.#frameTable.entries(range)].map(([key]) => key);
        if (keys.length === 0) return;
        await this.#kv.write(keys.map((key) => this.#removal(key)));
      }
    } catch {
      // A full disk leaves them to the next start; a failed engine tells those who wait for what they wrote.
    }
  }

  /** End of the last frame that is whole, and the damaged ones behind it, which are as good as never written. */
  #lastPlace(stream: StreamKey, number: number): { readonly place: Place | undefined; readonly damaged: Buffer[] } {
    const prefix = numberKey(number);
    const damaged: Buffer[] = [];
    let before = prefixEnd(prefix);
    for (;;) {
      const [last] = [...this.#frameTable.entries({ from: prefix, before, reverse: true, limit: 1 })];
      if (last === undefined) return { place: undefined, damaged };
      const [key, value] = last;
      if (isWhole(value)) return { place: placeOf(key, value), damaged };
      if (damaged.length >= DAMAGED_AT_END_MAX)
        throw new AntipodeError('FRAME_CORRUPT', `the log of ${stream} ends in ${damaged.length} damaged frames`);
      damaged.push(key);
      before = key;
    }
  }
}

/** End of a frame, from its key and value. */
function placeOf(key: Buffer, value: Buffer): Place {
  return {
    seq: decodeSeq(key, STREAM_NUMBER_BYTES),
    offset: decodeSeq(value, OFFSET_OFFSET),
    hash: Buffer.from(value.subarray(HASH_OFFSET, BYTES_OFFSET)),
  };
}

function numberKey(number: number): Buffer {
  const key = Buffer.allocUnsafe(STREAM_NUMBER_BYTES);
  key.writeUInt32BE(number, 0);
  return key;
}

function frameKey(number: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(STREAM_NUMBER_BYTES + SEQ_BYTES);
  key.writeUInt32BE(number, 0);
  key.writeUIntBE(seq, STREAM_NUMBER_BYTES, SEQ_BYTES);
  return key;
}

function isWhole(value: Buffer): boolean {
  return value.length >= BYTES_OFFSET && value.readUInt32BE(0) === crc32(value.subarray(CRC_BYTES));
}

function encodeFrame(frame: LoggedFrame, offset: number): Buffer {
  const value = Buffer.allocUnsafe(BYTES_OFFSET + frame.bytes.length);
  encodeSeq(frame.from).copy(value, FROM_OFFSET);
  encodeSeq(offset).copy(value, OFFSET_OFFSET);
  value.set(frame.hash, HASH_OFFSET);
  value.set(frame.bytes, BYTES_OFFSET);
  value.writeUInt32BE(crc32(value.subarray(CRC_BYTES)), 0);
  return value;
}

function checkContiguous(stream: StreamKey, end: number, frames: readonly LoggedFrame[]): void {
  let next = end;
  for (const frame of frames) {
    assert(
      frame.from === next && Number.isInteger(frame.to) && frame.to > frame.from && frame.to <= SEQ_MAX,
      `frame (${frame.from}, ${frame.to}] of ${stream} does not continue the log at ${next}`,
    );
    assert(frame.hash.length === HASH_BYTES, `frame (${frame.from}, ${frame.to}] of ${stream} has no hash`);
    next = frame.to;
  }
}
