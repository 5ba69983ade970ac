import { isLive, payloadStart, readGeneration } from '#core/codec/cell';
import { compareValues, type Direction } from '#core/merge/value-order';
import type { FeatureValue, ScalarValue } from '#core/model/feature-view';
import { STAMP_FIXED_BYTES } from '#core/model/stamp';

/** A cell within the bytes of a value. */
export interface CellSpan {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/**
 * A total order of cells: below 0 when `b` outranks `a`. Only cells of the same bytes are equal, so keeping the greater one
 * is commutative, associative and idempotent, whatever bytes a fault has left in a store.
 */
export type CellOrder = (a: CellSpan, b: CellSpan) => number;

/** By stamp: cells begin with it, in a form that memcmp orders. */
export const byStamp: CellOrder = (a, b) => a.bytes.compare(b.bytes, b.start, b.end, a.start, a.end);

/** By the rank of the origin, then by stamp. Regions that are not listed have the lowest rank, all the same. */
export function byRegion(regions: readonly string[]): CellOrder {
  const ranked = regions.map((region) => Buffer.from(region, 'utf8'));
  const rankOf = ({ bytes, start, end }: CellSpan): number => {
    const nameAt = start + STAMP_FIXED_BYTES;
    const nameEnd = nameAt + (bytes[nameAt - 1] as number);
    if (!(nameEnd <= end)) return ranked.length;
    const rank = ranked.findIndex(
      (name) => name.length === nameEnd - nameAt && bytes.compare(name, 0, name.length, nameAt, nameEnd) === 0,
    );
    return rank < 0 ? ranked.length : rank;
  };
  return (a, b) => rankOf(b) - rankOf(a) || byStamp(a, b);
}

/** The value that decides, of a payload's bytes; throws when they hold none. */
export type DecidingValue = (bytes: Buffer, start: number, end: number) => FeatureValue;

/** By generation, then values above tombstones, then by the deciding value, then by stamp. */
export function byValue(direction: Direction, valueAt: DecidingValue): CellOrder {
  return (a, b) => {
    const heads = compareGenerations(a, b);
    if (heads !== 0 || !isWhole(a) || !isLive(a.bytes, a.start)) return heads || byStamp(a, b);
    return compareDeciding(direction, deciding(a, valueAt), deciding(b, valueAt)) || byStamp(a, b);
  };
}

/** Undefined when the payload does not decode: below null, so that a fault in one copy loses to a value. */
function deciding({ bytes, start, end }: CellSpan, valueAt: DecidingValue): FeatureValue | undefined {
  try {
    return valueAt(bytes, payloadStart(bytes, start, true), end);
  } catch {
    return undefined;
  }
}

function compareDeciding(direction: Direction, a: FeatureValue | undefined, b: FeatureValue | undefined): number {
  if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  return compareValues(direction, a as ScalarValue | null, b as ScalarValue | null);
}

/** Generation, then live above deleted; bytes that are no cell come below all cells. */
export function compareGenerations(a: CellSpan, b: CellSpan): number {
  const whole = isWhole(a);
  if (!whole || !isWhole(b)) return (whole ? 1 : 0) - (isWhole(b) ? 1 : 0);
  const generations = readGeneration(a.bytes, a.start) - readGeneration(b.bytes, b.start);
  return generations || (isLive(a.bytes, a.start) ? 1 : 0) - (isLive(b.bytes, b.start) ? 1 : 0);
}

/** Whether a cell with a generation has all its parts. */
export function isWhole({ bytes, start, end }: CellSpan): boolean {
  return end - start >= STAMP_FIXED_BYTES && payloadStart(bytes, start, true) <= end;
}
