import { brief, ValidationFault } from '#server/feast/faults';

export type Query = Readonly<Record<string, unknown>>;

/** A whole number of a query string, of `min` at least; `absent` when it is left out. */
export function wholeNumber(
  query: Query,
  name: string,
  range: { readonly absent: number; readonly min: number },
): number {
  const text = query[name];
  if (text === undefined) return range.absent;
  const value = typeof text === 'string' && /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min) return value;
  const msg = `Input should be an integer of ${range.min} at least`;
  throw new ValidationFault([{ type: 'int_parsing', loc: ['query', name], msg, input: brief(text) }]);
}

/** A text of a query string, given once; undefined when it is left out. */
export function text(query: Query, name: string): string | undefined {
  const value = query[name];
  if (value === undefined || typeof value === 'string') return value;
  throw queryFault(name, 'Input should be given once', value);
}

export function queryFault(name: string, msg: string, input: unknown): ValidationFault {
  return new ValidationFault([{ type: 'value_error', loc: ['query', name], msg, input: brief(input) }]);
}
