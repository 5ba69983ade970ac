import { assert } from '#core/errors';
import type { Hlc } from '#core/time/hlc';

/**
 * The total order of changes: (event time, HLC, origin), P9.2. Its byte form compares with memcmp exactly as the fields
 * do, so that merge needs no decoding:
 *
 *   event time  8 bytes  big endian, microseconds since the epoch + 2^63  (1970-01-01 is 80 00 00 00 00 00 00 00)
 *   HLC wall    6 bytes  big endian, milliseconds
 *   HLC counter 4 bytes  big endian
 *   origin      1 byte length, then UTF-8 (names are ASCII, so byte order is name order)
 *
 * The length byte precedes the name, so the order among origins is by length first, then by name: total, the same
 * everywhere, and meaningless otherwise.
 */
export interface Stamp {
  /** Microseconds since the epoch; a safe integer. */
  readonly eventTimeUs: number;
  readonly hlc: Hlc;
  readonly origin: string;
}

export const STAMP_FIXED_BYTES = 19;
const SIGN = 1n << 63n;

/** Writes the byte form at `offset`; returns the offset after it. */
export function writeStamp(target: Buffer, offset: number, eventTimeUs: number, hlc: Hlc, origin: Uint8Array): number {
  assert(Number.isSafeInteger(eventTimeUs), 'event time is a safe integer of microseconds');
  // Two 32-bit halves avoid a BigInt per row: |eventTimeUs| < 2^53, so the high half is an exact small integer.
  const high = Math.floor(eventTimeUs / 0x1_0000_0000);
  target.writeUInt32BE((high + 0x8000_0000) >>> 0, offset);
  target.writeUInt32BE(eventTimeUs - high * 0x1_0000_0000, offset + 4);
  target.writeUIntBE(hlc.wallMs, offset + 8, 6);
  target.writeUInt32BE(hlc.counter, offset + 14);
  target[offset + 18] = origin.length;
  target.set(origin, offset + STAMP_FIXED_BYTES);
  return offset + STAMP_FIXED_BYTES + origin.length;
}

export function encodeStamp(stamp: Stamp): Buffer {
  const origin = Buffer.from(stamp.origin, 'utf8');
  const target = Buffer.allocUnsafe(STAMP_FIXED_BYTES + origin.length);
  writeStamp(target, 0, stamp.eventTimeUs, stamp.hlc, origin);
  return target;
}

/** Event time of a byte-form stamp that starts at `offset`. */
export function readEventTimeUs(bytes: Buffer, offset = 0): number {
  const high = bytes.readUInt32BE(offset) - 0x8000_0000;
  return high * 0x1_0000_0000 + bytes.readUInt32BE(offset + 4);
}

/** Length of the byte-form stamp that starts at `offset`. */
export function stampLength(bytes: Uint8Array, offset = 0): number {
  return STAMP_FIXED_BYTES + (bytes[offset + 18] as number);
}

export function decodeStamp(bytes: Buffer, offset = 0): Stamp {
  const length = bytes[offset + 18] as number;
  return {
    eventTimeUs: Number(bytes.readBigUInt64BE(offset) - SIGN),
    hlc: { wallMs: bytes.readUIntBE(offset + 8, 6), counter: bytes.readUInt32BE(offset + 14) },
    origin: bytes.toString('latin1', offset + STAMP_FIXED_BYTES, offset + STAMP_FIXED_BYTES + length),
  };
}
