import { AntipodeError, assert } from '#core/errors';
import { HASH_BYTES, ZERO_HASH } from '#core/hash';
import type { StreamHead, StreamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import { type KvOperation, type KvTable, type OrderedKv, prefixEnd } from './ordered-kv.ts';
import { decodeSeq, encodeSeq, SEQ_BYTES, SEQ_MAX } from './seq-codec.ts';

/** Tables a `KvChangeLog` needs its engine to have. */
export const CHANGE_LOG_TABLES = ['streams', 'frames'] as const;

const STREAM_NUMBER_BYTES = 4;
/** Before the envelope stand the start of the range and the frame's hash. */
const HASH_OFFSET = SEQ_BYTES;
const BYTES_OFFSET = HASH_OFFSET + HASH_BYTES;

interface StreamState {
  /** Short name of the stream in keys. */
  readonly number: number;
  /** End of the appends on their way; the next frame starts here. */
  queuedSeq: number;
  /** What readers may see. */
  durable: StreamHead;
}

/**
 * The change log on an ordered key-value engine.
 *
 * Table `streams` gives each stream a number: `flights/0/us-east/9f3c2b1a00c4d2e8` -> `00 00 00 07`. Table `frames` holds
 * its frames under number and last seq: `00 00 00 07 | 00 00 00 00 01 2c` -> from (6 bytes), hash (32), envelope.
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
    for (const [key, value] of this.#streamTable.entries({})) {
      const number = value.readUInt32BE(0);
      const durable = this.#lastHead(number);
      this.#streams.set(key.toString(), { number, queuedSeq: durable.seq, durable });
      this.#nextNumber = Math.max(this.#nextNumber, number + 1);
    }
  }

  streams(): StreamKey[] {
    const held: StreamKey[] = [];
    for (const [key, state] of this.#streams) if (state.durable.seq > 0) held.push(key);
    return held;
  }

  head(stream: StreamKey): StreamHead {
    return this.#streams.get(stream)?.durable ?? { seq: 0, hash: ZERO_HASH };
  }

  hashAt(stream: StreamKey, seq: number): Uint8Array | undefined {
    if (seq === 0) return ZERO_HASH;
    const state = this.#streams.get(stream);
    if (state === undefined || seq > state.durable.seq) return undefined;
    if (seq === state.durable.seq) return state.durable.hash;
    const value = this.#frameTable.get(frameKey(state.number, seq));
    return value === undefined ? undefined : Buffer.from(value.subarray(HASH_OFFSET, BYTES_OFFSET));
  }

  append(stream: StreamKey, frames: readonly LoggedFrame[]): Promise<void> {
    const last = frames.at(-1);
    if (last === undefined) return Promise.resolve();
    const known = this.#streams.get(stream);
    const state = known ?? { number: this.#nextNumber, queuedSeq: 0, durable: { seq: 0, hash: ZERO_HASH } };
    checkContiguous(stream, state.queuedSeq, frames);

    const operations = frames.map<KvOperation>((frame) => ({
      kind: 'put',
      table: this.#frameTable,
      key: frameKey(state.number, frame.to),
      value: encodeFrame(frame),
    }));
    if (known === undefined) {
      const value = Buffer.allocUnsafe(STREAM_NUMBER_BYTES);
      value.writeUInt32BE(state.number, 0);
      operations.push({ kind: 'put', table: this.#streamTable, key: Buffer.from(stream), value });
    }
    // Throws when the engine refuses: nothing was taken then, and the stream's end stays where it was.
    const durable = this.#kv.write(operations);
    if (known === undefined) {
      this.#streams.set(stream, state);
      this.#nextNumber++;
    }
    state.queuedSeq = last.to;
    const head: StreamHead = { seq: last.to, hash: Buffer.from(last.hash) };
    return durable.then(() => {
      state.durable = head;
    });
  }

  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[] {
    const state = this.#streams.get(stream);
    const frames: LoggedFrame[] = [];
    if (state === undefined || afterSeq >= state.durable.seq) return frames;
    let bytes = 0;
    const range = { after: frameKey(state.number, afterSeq), before: frameKey(state.number, state.durable.seq + 1) };
    for (const [key, value] of this.#frameTable.entries(range)) {
      const frame: LoggedFrame = {
        from: decodeSeq(value),
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

  bytes(): number {
    return this.#kv.bytes();
  }

  /** Waits for appends on their way and closes the engine, which a journal may share. */
  close(): Promise<void> {
    return this.#kv.close();
  }

  #lastHead(number: number): StreamHead {
    const prefix = Buffer.allocUnsafe(STREAM_NUMBER_BYTES);
    prefix.writeUInt32BE(number, 0);
    for (const [key, value] of this.#frameTable.entries({
      from: prefix,
      before: prefixEnd(prefix),
      reverse: true,
      limit: 1,
    })) {
      if (value.length < BYTES_OFFSET) {
        throw new AntipodeError('FRAME_CORRUPT', `frame ${key.toString('hex')} of the log is shorter than its header`);
      }
      return {
        seq: decodeSeq(key, STREAM_NUMBER_BYTES),
        hash: Buffer.from(value.subarray(HASH_OFFSET, BYTES_OFFSET)),
      };
    }
    return { seq: 0, hash: ZERO_HASH };
  }
}

function frameKey(number: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(STREAM_NUMBER_BYTES + SEQ_BYTES);
  key.writeUInt32BE(number, 0);
  key.writeUIntBE(seq, STREAM_NUMBER_BYTES, SEQ_BYTES);
  return key;
}

function encodeFrame(frame: LoggedFrame): Buffer {
  const value = Buffer.allocUnsafe(BYTES_OFFSET + frame.bytes.length);
  encodeSeq(frame.from).copy(value);
  value.set(frame.hash, HASH_OFFSET);
  value.set(frame.bytes, BYTES_OFFSET);
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
