import { encodeStored, type StampedChange } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { lastWriterWins } from '#core/merge/last-writer-wins';
import type { Merge } from '#core/merge/merge-of';
import type { ApplyBatch, OnlineReader, RowWrite } from '#ports/online-store';

/** A frame whose rows do not fit their view version is as wrong as one that does not decode: its stream stops there. */
export function storedForm(codec: ViewCodec, change: StampedChange): Buffer {
  try {
    return encodeStored(codec, change);
  } catch (cause) {
    throw new AntipodeError('FRAME_CORRUPT', toAntipodeError(cause).message, { cause });
  }
}

type Extra = NonNullable<ApplyBatch['extra']>;

export function addSizes(a: Extra, b: Extra): Extra {
  return { operations: a.operations + b.operations, bytes: a.bytes + b.bytes };
}

/** Upper bound of what merged bytes take beyond the incoming ones, for the space a transaction asks for. */
export function mergedGrowth(
  store: Pick<OnlineReader, 'row'>,
  rows: readonly RowWrite[],
  merges: readonly Merge[],
): Extra {
  const sizes = new Map<string, number>();
  let bytes = 0;
  for (let i = 0; i < rows.length; i++) {
    // It keeps one of the two as they are.
    if (merges[i] === lastWriterWins) continue;
    const { key, value } = rows[i] as RowWrite;
    const name = key.toString('latin1');
    const before = sizes.get(name) ?? store.row(key)?.length ?? 0;
    bytes += before;
    sizes.set(name, before + value.length);
  }
  return { operations: 0, bytes };
}
