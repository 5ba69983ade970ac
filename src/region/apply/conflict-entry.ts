import avro from 'avsc';
import { AntipodeError } from '#core/errors';

/** Bytes of one value that an entry keeps; of larger ones it keeps the change id, the stamp and the size. */
export const CONFLICT_VALUE_BYTES_MAX = 16 * 1024;
/** Upper bound of what an entry takes besides its key and its two values, bytes. */
export const CONFLICT_OVERHEAD_BYTES = 512;

/** `undecidable`: whether the two changes knew of each other stands in a frame that no log here holds any more. */
export type ConflictKind = 'concurrent' | 'undecidable';
/** `merged`: what is stored now is neither of the two. */
export type ConflictWinner = 'stored' | 'incoming' | 'merged';

/** One side of a conflict. */
export interface ConflictCell {
  /** Change id: the stream the change first appeared in, and its seq there. */
  readonly stream: string;
  readonly seq: number;
  /** Byte-form stamp (`core/model/stamp`). */
  readonly stamp: Buffer;
  readonly deleted: boolean;
  /** Stored form of the row (`core/codec/stored-value`), of the features in question alone; empty when it was too large. */
  readonly value: Buffer;
  readonly valueBytes: number;
}

/** Two changes of one key neither of which was made knowing the other (P9.4), as this region met them. */
export interface ConflictEntryRecord {
  /** View version under which the values are encoded. */
  readonly version: string;
  /** Entity key bytes. */
  readonly key: Buffer;
  readonly kind: ConflictKind;
  readonly winner: ConflictWinner;
  /** Resolver in words, as in the view's file. */
  readonly rule: string;
  /** Places of the features in question; empty under row granularity. */
  readonly features: readonly number[];
  readonly stored: ConflictCell;
  readonly incoming: ConflictCell;
}

const KINDS: readonly ConflictKind[] = ['concurrent', 'undecidable'];
const WINNERS: readonly ConflictWinner[] = ['stored', 'incoming', 'merged'];

const ENTRY = avro.Type.forSchema({
  type: 'record',
  name: 'Conflict',
  fields: [
    { name: 'version', type: 'string' },
    { name: 'key', type: 'bytes' },
    { name: 'kind', type: 'int' },
    { name: 'winner', type: 'int' },
    { name: 'rule', type: 'string' },
    { name: 'features', type: { type: 'array', items: 'int' } },
    {
      name: 'stored',
      type: {
        type: 'record',
        name: 'Cell',
        fields: [
          { name: 'stream', type: 'string' },
          { name: 'seq', type: 'long' },
          { name: 'stamp', type: 'bytes' },
          { name: 'deleted', type: 'boolean' },
          { name: 'value', type: 'bytes' },
          { name: 'valueBytes', type: 'long' },
        ],
      },
    },
    { name: 'incoming', type: 'Cell' },
  ],
});

interface WireEntry extends Omit<ConflictEntryRecord, 'kind' | 'winner'> {
  readonly kind: number;
  readonly winner: number;
}

export function encodeConflict(entry: ConflictEntryRecord): Buffer {
  return ENTRY.toBuffer({ ...entry, kind: KINDS.indexOf(entry.kind), winner: WINNERS.indexOf(entry.winner) });
}

/** FRAME_CORRUPT when the bytes are no entry: the store was written by something else. */
export function decodeConflict(bytes: Buffer): ConflictEntryRecord {
  try {
    const wire = ENTRY.fromBuffer(bytes) as WireEntry;
    const kind = KINDS[wire.kind];
    const winner = WINNERS[wire.winner];
    if (kind !== undefined && winner !== undefined) return { ...wire, kind, winner };
  } catch (cause) {
    throw new AntipodeError('FRAME_CORRUPT', 'an entry of the conflict ledger is not readable', { cause });
  }
  throw new AntipodeError('FRAME_CORRUPT', 'an entry of the conflict ledger is of no known kind');
}
