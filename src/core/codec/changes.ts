import { AntipodeError } from '#core/errors';

/**
 * The payload of a rows frame: changes back to back, each
 *
 *   flags 1 · event time 8 (signed big endian, microseconds) · key length 2 · row length 4 ·
 *   [offset 4] · [generation 4] · [bitmap length 1 · bitmap] · key · row
 *
 *   flags   bit 0: delete   bit 1: carries an offset   bit 2: a generation   bit 3: a bitmap of features
 *
 * `offset` is the place of a replayed change in the frame it first appeared in; otherwise the index is the place. A
 * generation of 0 is left out. The bitmap, of partial upserts only, has the feature at place p in bit p % 8 of byte
 * floor(p / 8), and no zero byte at its end.
 */
export interface Change {
  readonly operation: 'upsert' | 'delete';
  readonly eventTimeUs: number;
  readonly key: Buffer;
  /** Avro row; of a partial upsert the values of its features alone; of a counter a state of one component. */
  readonly row: Buffer;
  /** Place in the original frame, from 0. */
  readonly offset: number;
  /** How often the key was deleted, as its origin saw it; 0 when left out (P9.1). */
  readonly generation?: number;
  /** Places of the features that a partial upsert carries, rising; left out: all of them. */
  readonly features?: readonly number[] | undefined;
}

const FLAG_DELETE = 1;
const FLAG_OFFSET = 2;
const FLAG_GENERATION = 4;
const FLAG_FEATURES = 8;
const FLAGS = FLAG_DELETE | FLAG_OFFSET | FLAG_GENERATION | FLAG_FEATURES;
/** Bytes of a change besides its key and row: no change is shorter. */
export const CHANGE_BYTES_MIN = 15;
/** A bitmap has a length of one byte. */
const BITMAP_BYTES_MAX = 255;

function optionalBytes({ generation, features }: Omit<Change, 'offset'>): number {
  return (generation ? 4 : 0) + (features === undefined ? 0 : 1 + bitmapBytes(features));
}

function bitmapBytes(features: readonly number[]): number {
  return Math.floor((features[features.length - 1] ?? 0) / 8) + 1;
}

export function changeBytes(change: Omit<Change, 'offset'>): number {
  return CHANGE_BYTES_MIN + 4 + optionalBytes(change) + change.key.length + change.row.length;
}

export function encodeChanges(changes: readonly Change[]): Buffer {
  let size = 0;
  for (let i = 0; i < changes.length; i++)
    size += changeBytes(changes[i] as Change) - ((changes[i] as Change).offset === i ? 4 : 0);
  const target = Buffer.allocUnsafe(size);
  let at = 0;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i] as Change;
    const { features } = change;
    const generation = change.generation ?? 0;
    const withOffset = change.offset !== i;
    target[at] =
      (change.operation === 'delete' ? FLAG_DELETE : 0) |
      (withOffset ? FLAG_OFFSET : 0) |
      (generation === 0 ? 0 : FLAG_GENERATION) |
      (features === undefined ? 0 : FLAG_FEATURES);
    const high = Math.floor(change.eventTimeUs / 0x1_0000_0000);
    target.writeInt32BE(high, at + 1);
    target.writeUInt32BE(change.eventTimeUs - high * 0x1_0000_0000, at + 5);
    target.writeUInt16BE(change.key.length, at + 9);
    target.writeUInt32BE(change.row.length, at + 11);
    at += CHANGE_BYTES_MIN;
    if (withOffset) at = target.writeUInt32BE(change.offset, at);
    if (generation !== 0) at = target.writeUInt32BE(generation, at);
    if (features !== undefined) at = writeFeatureBitmap(target, at, features);
    at += change.key.copy(target, at);
    at += change.row.copy(target, at);
  }
  return target;
}

/** Length and bitmap of rising places; returns the offset after it. */
export function writeFeatureBitmap(target: Buffer, offset: number, features: readonly number[]): number {
  const length = bitmapBytes(features);
  const at = target.writeUInt8(length, offset);
  target.fill(0, at, at + length);
  for (const place of features) {
    const byte = at + Math.floor(place / 8);
    target[byte] = (target[byte] as number) | (1 << (place % 8));
  }
  return at + length;
}

/** Bytes that `writeFeatureBitmap` takes. */
export function featureBitmapBytes(features: readonly number[]): number {
  return 1 + bitmapBytes(features);
}

/** The places in a bitmap at `offset`, and where it ends; undefined when there is none in its one form. */
export function readFeatureBitmap(bytes: Buffer, offset: number): { places: number[]; end: number } | undefined {
  const length = bytes[offset];
  const end = offset + 1 + (length ?? 0);
  if (length === undefined || length === 0 || length > BITMAP_BYTES_MAX || end > bytes.length) return undefined;
  if (bytes[end - 1] === 0) return undefined;
  const places: number[] = [];
  for (let i = 0; i < length; i++) {
    const byte = bytes[offset + 1 + i] as number;
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) places.push(8 * i + bit);
  }
  return { places, end };
}

/** Decodes exactly `count` changes; keys and rows are views into the payload. FRAME_CORRUPT when it does not add up. */
export function decodeChanges(payload: Uint8Array, count: number): Change[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const changes: Change[] = new Array(count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CHANGE_BYTES_MIN > bytes.length) throw ends(i, count);
    const flags = bytes[at] as number;
    const eventTimeUs = bytes.readInt32BE(at + 1) * 0x1_0000_0000 + bytes.readUInt32BE(at + 5);
    const keyLength = bytes.readUInt16BE(at + 9);
    const rowLength = bytes.readUInt32BE(at + 11);
    at += CHANGE_BYTES_MIN;
    let offset = i;
    let generation = 0;
    let features: readonly number[] | undefined;
    if ((flags & ~FLAG_DELETE) !== 0) {
      const numbers = ((flags & FLAG_OFFSET) === 0 ? 0 : 4) + ((flags & FLAG_GENERATION) === 0 ? 0 : 4);
      if (flags > FLAGS || at + numbers > bytes.length) throw ends(i, count);
      if ((flags & FLAG_OFFSET) !== 0) {
        offset = bytes.readUInt32BE(at);
        at += 4;
      }
      if ((flags & FLAG_GENERATION) !== 0) {
        generation = bytes.readUInt32BE(at);
        at += 4;
        if (generation === 0) throw impossible(i, count);
      }
      if ((flags & FLAG_FEATURES) !== 0) {
        const bitmap = readFeatureBitmap(bytes, at);
        if (bitmap === undefined || (flags & FLAG_DELETE) !== 0) throw impossible(i, count);
        features = bitmap.places;
        at = bitmap.end;
      }
    }
    const end = at + keyLength + rowLength;
    if (end > bytes.length || !Number.isSafeInteger(eventTimeUs)) throw impossible(i, count);
    changes[i] = {
      operation: (flags & FLAG_DELETE) === 0 ? 'upsert' : 'delete',
      eventTimeUs,
      key: bytes.subarray(at, at + keyLength),
      row: bytes.subarray(at + keyLength, end),
      offset,
      generation,
      features,
    };
    at = end;
  }
  if (at !== bytes.length) throw new AntipodeError('FRAME_CORRUPT', `${bytes.length - at} bytes after the last change`);
  return changes;
}

function ends(index: number, count: number): AntipodeError {
  return new AntipodeError('FRAME_CORRUPT', `payload ends in change ${index} of ${count}`);
}

function impossible(index: number, count: number): AntipodeError {
  return new AntipodeError('FRAME_CORRUPT', `change ${index} of ${count} is impossible`);
}
