import type { Producer } from '#core/codec/counter-state';
import { AntipodeError, ERROR_CODES, type ErrorCode } from '#core/errors';
import type { Hlc } from '#core/time/hlc';
import type { IngestRequest, ReadRowsRequest, ReadRowsResult } from '#region/engine-api';
import { decodeChangeBatch, encodeChangeBatch } from '#server/change-batch';

/**
 * How a serving process talks to the region's process on the same machine: HTTP over a Unix socket, JSON both ways. The
 * path names the method of `RegionEngine`; only `ingest` has a binary body (rows and keys of `readRows` are base64):
 *
 *   length of the JSON head (u32, big endian) · head {view, idempotencyKey, retried, observed, producer, acknowledge} · batch
 *
 * Both ends are the same release, started by the same parent; the socket is no public interface.
 */
export const ENGINE_METHODS = [
  'status',
  'ingest',
  'readRows',
  'views',
  'failover',
  'decideTail',
  'conflicts',
  'conflictCounts',
  'auditEntries',
  'auditVerify',
  'audit',
  'reportReads',
] as const;
export type EngineMethod = (typeof ENGINE_METHODS)[number];

/** Largest body in either direction, bytes: a status or a list of views stays far below. */
export const ENGINE_BODY_BYTES_MAX = 64 * 1024 * 1024;

export function isEngineMethod(name: string): name is EngineMethod {
  return ENGINE_METHODS.includes(name as EngineMethod);
}

export function encodeIngest(request: IngestRequest): Buffer {
  const { view, idempotencyKey, retried, observed, producer, acknowledge } = request;
  const fields = { view, idempotencyKey, retried, observed, producer, acknowledge };
  const head = Buffer.from(JSON.stringify(fields), 'utf8');
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(head.length);
  return Buffer.concat([length, head, encodeChangeBatch(request)]);
}

export function decodeIngest(bytes: Buffer): IngestRequest {
  const headEnd = bytes.length < 4 ? Number.POSITIVE_INFINITY : 4 + bytes.readUInt32BE(0);
  if (headEnd > bytes.length) throw new AntipodeError('PROTOCOL_MISMATCH', 'an ingest message ends in its head');
  const head = JSON.parse(bytes.toString('utf8', 4, headEnd)) as {
    view: string;
    idempotencyKey?: string;
    retried?: boolean;
    observed?: Hlc;
    producer?: Producer;
    acknowledge?: number;
  };
  return { ...decodeChangeBatch(bytes.subarray(headEnd)), ...head };
}

export function encodeReadRows(request: ReadRowsRequest): Buffer {
  return Buffer.from(JSON.stringify({ ...request, keys: request.keys.map((key) => key.toString('base64')) }), 'utf8');
}

export function decodeReadRows(body: unknown): ReadRowsRequest {
  const request = body as Omit<ReadRowsRequest, 'keys'> & { readonly keys: readonly string[] };
  return { ...request, keys: request.keys.map((key) => Buffer.from(key, 'base64')) };
}

/** An answer as JSON holds it. */
export function packRowsResult(result: ReadRowsResult): unknown {
  return { ...result, rows: result.rows.map((row) => row?.toString('base64') ?? null) };
}

export function unpackRowsResult(answer: unknown): ReadRowsResult {
  const result = answer as Omit<ReadRowsResult, 'rows'> & { readonly rows: readonly (string | null)[] };
  return { ...result, rows: result.rows.map((row) => (row === null ? null : Buffer.from(row, 'base64'))) };
}

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where?: string;
  readonly remedy?: string;
}

/** The error a body describes, with its code kept; a body that describes none is a fault of the other side. */
export function decodeError(body: string): AntipodeError {
  try {
    const { code, message, where, remedy } = JSON.parse(body) as Partial<WireError>;
    if (code !== undefined && Object.hasOwn(ERROR_CODES, code)) {
      return new AntipodeError(code, message ?? '', {
        ...(where === undefined ? {} : { where }),
        ...(remedy === undefined ? {} : { remedy }),
      });
    }
  } catch {
    // Not JSON: said below.
  }
  return new AntipodeError('INTERNAL', `the region's process answered with an error of unknown form`);
}
