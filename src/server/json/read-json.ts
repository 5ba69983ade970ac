import { isUtf8 } from 'node:buffer';
import { AntipodeError } from '#core/errors';

/**
 * A JSON integer of 16 digits or more, which a double may not hold exactly. It may also match inside a string, which
 * only costs time.
 */
const LONG_INTEGER = /[[:,\s]-?\d{16,}(?=[\s,\]}])/;
const INTEGER = /^-?\d+$/;
const BYTE_ORDER_MARK = '\ufeff';

/** The standard's form of JSON.parse, whose reviver sees the source text of a number; the compiler's library lags behind. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown;

/** A body that is not JSON. `position` counts characters; 0 when the parser does not tell. */
export class JsonSyntaxError extends AntipodeError {
  readonly position: number;

  constructor(message: string, position: number, cause?: unknown) {
    super('REQUEST_MALFORMED', message, { where: `character ${position}`, ...(cause === undefined ? {} : { cause }) });
    this.position = position;
  }
}

/**
 * Parses JSON without losing integers: one beyond 2^53 becomes a bigint, all other numbers stay numbers. The slow way,
 * with a reviver that sees the source text, is taken only when the text holds such an integer.
 *
 *   {"id":9007199254740993}  →  { id: 9007199254740993n }      [1,2.5]  →  [1, 2.5]
 */
export function readJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new JsonSyntaxError('the body is not UTF-8', 0);
  const decoded = bytes.toString('utf8');
  const text = decoded.startsWith(BYTE_ORDER_MARK) ? decoded.slice(1) : decoded;
  try {
    return LONG_INTEGER.test(text) ? parseWithSource(text, keepIntegers) : (JSON.parse(text) as unknown);
  } catch (cause) {
    // The reviver descends recursively; the parser itself does not.
    if (cause instanceof RangeError) throw new JsonSyntaxError('the body is nested too deeply', 0, cause);
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new JsonSyntaxError('the body is not JSON', Number(/position (\d+)/.exec(message)?.[1] ?? 0), cause);
  }
}

function keepIntegers(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context.source;
  return source !== undefined && INTEGER.test(source) ? BigInt(source) : value;
}

export type JsonRecord = Readonly<Record<string, unknown>>;

export function isJsonRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names that JavaScript gives a meaning of its own; no feature has them, and whoever sends them tries something else. */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** The first key of an object that no body may use; undefined when all are fine. */
export function reservedKey(record: JsonRecord): string | undefined {
  for (const key of Object.keys(record)) if (RESERVED_NAMES.has(key)) return key;
  return undefined;
}
