import type { ScalarValue } from '#core/model/feature-view';

/** Which of two values of one feature `max` and `min` take. Null loses to everything, NaN to every number. */
export type Direction = 'max' | 'min';

/** Below 0 when `b` wins, above 0 when `a` does, 0 when they are one value. The same for -0 and +0 as for other numbers: -0 is less. */
export function compareValues(direction: Direction, a: ScalarValue | null, b: ScalarValue | null): number {
  const classes = classOf(a) - classOf(b);
  if (classes !== 0) return classes;
  const order = compareScalars(a, b);
  return direction === 'max' ? order : -order;
}

function classOf(value: ScalarValue | null): number {
  if (value === null) return 0;
  return typeof value === 'number' && Number.isNaN(value) ? 1 : 2;
}

function compareScalars(a: ScalarValue | null, b: ScalarValue | null): number {
  if (typeof a === 'string' && typeof b === 'string')
    return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (a === b) {
    if (a !== 0) return 0;
    return (Object.is(a, -0) ? 0 : 1) - (Object.is(b, -0) ? 0 : 1);
  }
  // One type each: numbers, bigints or booleans. Two NaN, like two nulls, are equal.
  return a !== null && b !== null && a < b ? -1 : a !== null && b !== null && a > b ? 1 : 0;
}
