import { AntipodeError } from '#core/errors';

/**
 * The payload of a rows frame: changes back to back, each
 *
 *   flags 1 (bit 0: delete, bit 1: carries an offset) · event time 8 (signed big endian, microseconds) · key length 2 ·
 *   row length 4 · offset 4 (only with bit 1) · key · row
 *
 * `offset` is the place of a replayed change in the frame it first appeared in; otherwise the index is the place.
 */
export interface Change {
  readonly operation: 'upsert' | 'delete';
  readonly eventTimeUs: number;
  readonly key: Buffer;
  readonly row: Buffer;
  /** Place in the original frame, from 0. */
  readonly offset: number;
}

const FLAG_DELETE = 1;
const FLAG_OFFSET = 2;
/** Bytes of a change besides its key and row: no change is shorter. */
export const CHANGE_BYTES_MIN = 15;

export function changeBytes(change: Omit<Change, 'offset'>): number {
  return CHANGE_BYTES_MIN + 4 + change.key.length + change.row.length;
}

export function encodeChanges(changes: readonly Change[]): Buffer {
  let size = 0;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i] as Change;
    size += CHANGE_BYTES_MIN + (change.offset === i ? 0 : 4) + change.key.length + change.row.length;
  }
  const target = Buffer.allocUnsafe(size);
  let at = 0;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i] as Change;
    const withOffset = change.offset !== i;
    target[at] = (change.operation === 'delete' ? FLAG_DELETE : 0) | (withOffset ? FLAG_OFFSET : 0);
    const high = Math.floor(change.eventTimeUs / 0x1_0000_0000);
    target.writeInt32BE(high, at + 1);
    target.writeUInt32BE(change.eventTimeUs - high * 0x1_0000_0000, at + 5);
    target.writeUInt16BE(change.key.length, at + 9);
    target.writeUInt32BE(change.row.length, at + 11);
    at += CHANGE_BYTES_MIN;
    if (withOffset) at = target.writeUInt32BE(change.offset, at);
    at += change.key.copy(target, at);
    at += change.row.copy(target, at);
  }
  return target;
}

/** Decodes exactly `count` changes; keys and rows are views into the payload. FRAME_CORRUPT when it does not add up. */
export function decodeChanges(payload: Uint8Array, count: number): Change[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const changes: Change[] = new Array(count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CHANGE_BYTES_MIN > bytes.length)
      throw new AntipodeError('FRAME_CORRUPT', `payload ends in change ${i} of ${count}`);
    const flags = bytes[at] as number;
    const eventTimeUs = bytes.readInt32BE(at + 1) * 0x1_0000_0000 + bytes.readUInt32BE(at + 5);
    const keyLength = bytes.readUInt16BE(at + 9);
    const rowLength = bytes.readUInt32BE(at + 11);
    at += CHANGE_BYTES_MIN;
    let offset = i;
    if ((flags & FLAG_OFFSET) !== 0) {
      if (at + 4 > bytes.length) throw new AntipodeError('FRAME_CORRUPT', `payload ends in change ${i} of ${count}`);
      offset = bytes.readUInt32BE(at);
      at += 4;
    }
    const end = at + keyLength + rowLength;
    if (end > bytes.length || flags > (FLAG_DELETE | FLAG_OFFSET) || !Number.isSafeInteger(eventTimeUs)) {
      throw new AntipodeError('FRAME_CORRUPT', `change ${i} of ${count} is impossible`);
    }
    changes[i] = {
      operation: (flags & FLAG_DELETE) === 0 ? 'upsert' : 'delete',
      eventTimeUs,
      key: bytes.subarray(at, at + keyLength),
      row: bytes.subarray(at + keyLength, end),
      offset,
    };
    at = end;
  }
  if (at !== bytes.length) throw new AntipodeError('FRAME_CORRUPT', `${bytes.length - at} bytes after the last change`);
  return changes;
}
