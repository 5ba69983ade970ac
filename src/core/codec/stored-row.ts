import { STAMP_FIXED_BYTES, stampLength, writeStamp } from '#core/model/stamp';
import type { Hlc } from '#core/time/hlc';

/** Flag byte of a stored row. */
export const ROW_LIVE = 1;
export const ROW_DELETED = 0;

export interface StoredRowParts {
  readonly eventTimeUs: number;
  readonly hlc: Hlc;
  /** UTF-8 of the origin's name. */
  readonly origin: Uint8Array;
  readonly operation: 'upsert' | 'delete';
  readonly row: Buffer;
}

/** Stored form of a row: stamp, flag byte, Avro bytes. See `ports/online-store`. */
export function encodeStoredRow(parts: StoredRowParts): Buffer {
  const stampBytes = STAMP_FIXED_BYTES + parts.origin.length;
  const target = Buffer.allocUnsafe(stampBytes + 1 + parts.row.length);
  writeStamp(target, 0, parts.eventTimeUs, parts.hlc, parts.origin);
  target[stampBytes] = parts.operation === 'delete' ? ROW_DELETED : ROW_LIVE;
  parts.row.copy(target, stampBytes + 1);
  return target;
}

/** Where the Avro bytes of a stored row begin. */
export function storedRowStart(value: Uint8Array): number {
  return stampLength(value) + 1;
}

export function isLive(value: Uint8Array): boolean {
  return value[stampLength(value)] === ROW_LIVE;
}
