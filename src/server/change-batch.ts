import { featureBitmapBytes, readFeatureBitmap, writeFeatureBitmap } from '#core/codec/changes';
import { KEY_BYTES_MAX, ROW_BYTES_MAX } from '#core/codec/value-limits';
import { AntipodeError, assert } from '#core/errors';
import type { IngestChange } from '#region/engine-api';

/**
 * A batch of changes on its way to a region: the body of `POST /v1/ingest/:view`, made by the command line's pipelines.
 *
 *   version 1 (u8, 1) · view version (16 bytes) · count (u32) · then for each change
 *   operation (u8: 1 upsert, 0 delete, 2 partial upsert) · event time (i64, microseconds) · key length (u32) · key ·
 *   [bitmap length (u8) · bitmap] · row length (u32) · row
 *
 * The bitmap, of partial upserts only, names the features that the row holds (`core/codec/changes`). Numbers are big
 * endian. The same changes give the same bytes, and nothing else is decoded: no unknown operation, no
 * delete with a row, no byte left over.
 */
export interface ChangeBatch {
  /** 32 hexadecimal digits. */
  readonly version: string;
  readonly changes: readonly IngestChange[];
}

export const CHANGE_BATCH_CONTENT_TYPE = 'application/vnd.antipode.changes';
/** Most changes in one batch; what a region takes in one request. */
export const CHANGE_BATCH_CHANGES_MAX = 20_000;
/** Largest batch, bytes. */
export const CHANGE_BATCH_BYTES_MAX = 16 * 1024 * 1024;

const FORMAT = 1;
const DELETE = 0;
const UPSERT = 1;
const PARTIAL = 2;
const HEADER_BYTES = 21;
const VERSION_BYTES = 16;
/** Of a change without key and row. */
const CHANGE_BYTES = 17;
const VERSION = /^[0-9a-f]{32}$/;

export function encodeChangeBatch(batch: ChangeBatch): Buffer {
  assert(VERSION.test(batch.version), 'a view version has 32 hexadecimal digits');
  const size = batch.changes.reduce(
    (sum, { key, row, features }) =>
      sum + CHANGE_BYTES + key.length + row.length + (features === undefined ? 0 : featureBitmapBytes(features)),
    HEADER_BYTES,
  );
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = FORMAT;
  bytes.write(batch.version, 1, VERSION_BYTES, 'hex');
  let at = bytes.writeUInt32BE(batch.changes.length, 1 + VERSION_BYTES);
  for (const change of batch.changes) {
    assert(Number.isSafeInteger(change.eventTimeUs), 'an event time is a whole number of microseconds');
    bytes[at] = change.features !== undefined ? PARTIAL : change.operation === 'upsert' ? UPSERT : DELETE;
    const high = Math.floor(change.eventTimeUs / 0x1_0000_0000);
    at = bytes.writeInt32BE(high, at + 1);
    at = bytes.writeUInt32BE(change.eventTimeUs - high * 0x1_0000_0000, at);
    at = bytes.writeUInt32BE(change.key.length, at);
    at += change.key.copy(bytes, at);
    if (change.features !== undefined) at = writeFeatureBitmap(bytes, at, change.features);
    at = bytes.writeUInt32BE(change.row.length, at);
    at += change.row.copy(bytes, at);
  }
  return bytes;
}

/** Decodes a batch; keys and rows are views into `bytes`. REQUEST_MALFORMED or REQUEST_TOO_LARGE when it is none. */
export function decodeChangeBatch(bytes: Buffer): ChangeBatch {
  if (bytes.length < HEADER_BYTES)
    throw malformed(`a batch has ${HEADER_BYTES} bytes at least, this one ${bytes.length}`);
  if (bytes[0] !== FORMAT) throw malformed(`batch format ${bytes[0]} is not known`);
  const count = bytes.readUInt32BE(1 + VERSION_BYTES);
  if (count > CHANGE_BATCH_CHANGES_MAX) {
    throw new AntipodeError('REQUEST_TOO_LARGE', `${count} changes in one batch, at most ${CHANGE_BATCH_CHANGES_MAX}`);
  }
  // A change takes this much at least, so that the count cannot size an array beyond the bytes that came.
  if (count * CHANGE_BYTES > bytes.length - HEADER_BYTES)
    throw malformed(`${count} changes do not fit ${bytes.length} bytes`);
  const changes: IngestChange[] = [];
  let at = HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const { change, end } = decodeChange(bytes, at, index);
    changes.push(change);
    at = end;
  }
  if (at !== bytes.length) throw malformed(`${bytes.length - at} bytes after the last change`);
  return { version: bytes.toString('hex', 1, 1 + VERSION_BYTES), changes };
}

function decodeChange(
  bytes: Buffer,
  start: number,
  index: number,
): { readonly change: IngestChange; readonly end: number } {
  if (bytes.length - start < CHANGE_BYTES) throw malformed(`the bytes end in change ${index}`);
  const operation = bytes[start];
  if (operation !== DELETE && operation !== UPSERT && operation !== PARTIAL)
    throw malformed(`operation ${operation} of change ${index} is not known`);
  const eventTimeUs = bytes.readInt32BE(start + 1) * 0x1_0000_0000 + bytes.readUInt32BE(start + 5);
  if (!Number.isSafeInteger(eventTimeUs)) throw malformed(`the event time of change ${index} is out of range`);
  const keyStart = start + 13;
  const keyLength = bytes.readUInt32BE(start + 9);
  if (keyLength > KEY_BYTES_MAX)
    throw malformed(`a key of ${keyLength} bytes in change ${index}, at most ${KEY_BYTES_MAX}`);
  const keyEnd = keyStart + keyLength;
  const bitmap = operation === PARTIAL ? readFeatureBitmap(bytes, keyEnd) : undefined;
  if (operation === PARTIAL && bitmap === undefined) throw malformed(`change ${index} names no features`);
  const rowStart = (bitmap?.end ?? keyEnd) + 4;
  if (rowStart > bytes.length) throw malformed(`the bytes end in the key of change ${index}`);
  const rowLength = bytes.readUInt32BE(rowStart - 4);
  if (rowLength > ROW_BYTES_MAX)
    throw malformed(`a row of ${rowLength} bytes in change ${index}, at most ${ROW_BYTES_MAX}`);
  const end = rowStart + rowLength;
  if (end > bytes.length) throw malformed(`the bytes end in the row of change ${index}`);
  if (operation === DELETE && rowLength > 0) throw malformed(`change ${index} is a delete with a row`);
  return {
    change: {
      operation: operation === DELETE ? 'delete' : 'upsert',
      eventTimeUs,
      key: bytes.subarray(keyStart, keyEnd),
      row: bytes.subarray(rowStart, end),
      ...(bitmap === undefined ? {} : { features: bitmap.places }),
    },
    end,
  };
}

function malformed(message: string): AntipodeError {
  return new AntipodeError('REQUEST_MALFORMED', message);
}
