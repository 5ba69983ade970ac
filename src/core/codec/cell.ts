import { STAMP_FIXED_BYTES, stampLength, writeStamp } from '#core/model/stamp';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Hlc } from '#core/time/hlc';

/** Flag byte of a cell. */
export const ROW_LIVE = 1;
export const ROW_DELETED = 0;

export const INCARNATION_BYTES = 8;
const SEQ_BYTES = 6;
export const CHANGE_ID_BYTES = INCARNATION_BYTES + SEQ_BYTES;
const GENERATION_BYTES = 4;
/** Greatest generation of a key: so many deletes one after the other. */
export const GENERATION_MAX = 0xffff_ffff;

/**
 * A cell: one value with everything that decides how it merges, and the identity of the change that wrote it.
 *
 *   stamp (`core/model/stamp`) · flag 1 (`ROW_LIVE` or `ROW_DELETED`) · incarnation 8 · seq 6 · [generation 4] · payload
 *
 * Incarnation and seq are those of the stream in which the change first appeared; its partition follows from the key, its
 * origin stands in the stamp. The generation is there under resolvers that need one (`core/merge/resolvers`), and the same
 * for all cells of a view version. Numbers are big endian. Cells with smaller stamps are smaller bytes.
 */
export interface CellParts {
  readonly eventTimeUs: number;
  readonly hlc: Hlc;
  readonly source: CellSource;
  readonly seq: number;
  readonly operation: 'upsert' | 'delete';
  /** Null under resolvers without generations. */
  readonly generation: number | null;
  readonly payload: Uint8Array;
}

/** The stream a change first appeared in, as bytes: UTF-8 of the origin's name, and the incarnation. */
export interface CellSource {
  readonly origin: Uint8Array;
  readonly incarnation: Uint8Array;
}

/** Identity of a change for ever, as cells carry it; the partition follows from the entity key. */
export interface ChangeId {
  readonly origin: string;
  /** 16 hexadecimal digits. */
  readonly incarnation: string;
  readonly seq: number;
}

/** The source of the changes of a stream; undefined when the text is no stream's. */
export function cellSource(stream: StreamKey): CellSource | undefined {
  const id = parseStreamKey(stream);
  if (id === undefined) return undefined;
  return { origin: Buffer.from(id.origin, 'utf8'), incarnation: Buffer.from(id.incarnation, 'hex') };
}

export function cellLength(parts: CellParts): number {
  const generation = parts.generation === null ? 0 : GENERATION_BYTES;
  return STAMP_FIXED_BYTES + parts.source.origin.length + 1 + CHANGE_ID_BYTES + generation + parts.payload.length;
}

/** Writes a cell at `offset`; returns the offset after it. */
export function writeCell(target: Buffer, offset: number, parts: CellParts): number {
  let at = writeStamp(target, offset, parts.eventTimeUs, parts.hlc, parts.source.origin);
  target[at] = parts.operation === 'delete' ? ROW_DELETED : ROW_LIVE;
  target.set(parts.source.incarnation, at + 1);
  at = target.writeUIntBE(parts.seq, at + 1 + INCARNATION_BYTES, SEQ_BYTES);
  if (parts.generation !== null) at = target.writeUInt32BE(parts.generation, at);
  target.set(parts.payload, at);
  return at + parts.payload.length;
}

export function encodeCell(parts: CellParts): Buffer {
  const target = Buffer.allocUnsafe(cellLength(parts));
  writeCell(target, 0, parts);
  return target;
}

/** Where the payload of the cell at `offset` begins; beyond the end of bytes that are no cell. */
export function payloadStart(bytes: Uint8Array, offset: number, withGeneration: boolean): number {
  return offset + stampLength(bytes, offset) + 1 + CHANGE_ID_BYTES + (withGeneration ? GENERATION_BYTES : 0);
}

export function isLive(bytes: Uint8Array, offset = 0): boolean {
  return bytes[offset + stampLength(bytes, offset)] === ROW_LIVE;
}

/** Generation of the cell at `offset`, of a view version whose cells have one. */
export function readGeneration(bytes: Buffer, offset = 0): number {
  return bytes.readUInt32BE(offset + stampLength(bytes, offset) + 1 + CHANGE_ID_BYTES);
}

/** Where the incarnation, and behind it the seq, of the cell at `offset` begin: cells of one stream order by these bytes as by seq. */
export function changeIdAt(bytes: Uint8Array, offset: number): number {
  return offset + stampLength(bytes, offset) + 1;
}

/** Whether the bytes from `start` to `end` are long enough for the stamp and the change id of a cell. */
export function holdsCell(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= STAMP_FIXED_BYTES && changeIdAt(bytes, start) + CHANGE_ID_BYTES <= end;
}

/** The change that wrote the cell at `offset`. */
export function readChangeId(bytes: Buffer, offset = 0): ChangeId {
  const flag = offset + stampLength(bytes, offset);
  const seqAt = flag + 1 + INCARNATION_BYTES;
  return {
    origin: bytes.toString('latin1', offset + STAMP_FIXED_BYTES, flag),
    incarnation: bytes.toString('hex', flag + 1, seqAt),
    seq: bytes.readUIntBE(seqAt, SEQ_BYTES),
  };
}
