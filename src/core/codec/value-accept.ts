import { ValueError } from '#core/codec/value-error';
import {
  INT32_MAX,
  INT32_MIN,
  INT64_MAX,
  INT64_MIN,
  LIST_ELEMENTS_MAX,
  VALUE_BYTES_MAX,
} from '#core/codec/value-limits';
import { describeRaw, timestampFrom } from '#core/codec/value-time';
import type { FeatureType, FeatureValue, ScalarType, ScalarValue } from '#core/model/feature-view';

const INTEGER_TEXT = /^[+-]?\d{1,20}$/;

const EXPECTED: Record<ScalarType, readonly [what: string, remedy: string]> = {
  int32: ['an int32', 'Send an integer from -2147483648 to 2147483647.'],
  int64: ['an int64', 'Send an integer of 64 bits; beyond 2^53 as a JSON integer literal or as text.'],
  float32: ['a float32', 'Send a finite number.'],
  float64: ['a float64', 'Send a finite number.'],
  bool: ['a bool', 'Send true or false.'],
  string: ['a string', 'Send text without lone surrogates.'],
  bytes: ['bytes', 'Send base64 text (RFC 4648, with padding).'],
  timestamp: [
    'a timestamp',
    'Send RFC 3339 text such as 2026-08-02T10:00:00Z, or epoch seconds as a number; years 1684 to 2255.',
  ],
};

/**
 * Coerces decoded JSON to a value of the type, as tolerant as Feast: text for integers, integers for floats, base64 for
 * bytes, RFC 3339 or epoch seconds for timestamps. Never lossy in silence: an integer that JSON has already rounded is refused.
 */
export function acceptFeatureValue(type: FeatureType, nullable: boolean, raw: unknown): FeatureValue {
  if (raw === null || raw === undefined || (type.scalar === 'timestamp' && isNotATime(raw))) {
    if (nullable) return null;
    throw new ValueError(
      'the feature is not nullable, got null',
      'Send a value, or declare the feature with nullable: true.',
    );
  }
  if (!type.list) return acceptScalar(type.scalar, raw);
  if (!Array.isArray(raw)) throw new ValueError(`expected a list, got ${describeRaw(raw)}`, 'Send a JSON array.');
  if (raw.length > LIST_ELEMENTS_MAX)
    throw new ValueError(`a list of ${raw.length} elements; at most ${LIST_ELEMENTS_MAX} are allowed`);
  const values: ScalarValue[] = [];
  for (let i = 0; i < raw.length; i++) {
    const element: unknown = raw[i];
    if (element === null || element === undefined)
      throw new ValueError(`element ${i} of the list is null`, 'Leave null elements out; a list holds values only.');
    values.push(acceptScalar(type.scalar, element));
  }
  return values;
}

/** Feast's SDK sends a missing timestamp as numpy's not-a-time, the smallest int64. */
function isNotATime(raw: unknown): boolean {
  return raw === -(2n ** 63n) || raw === -(2 ** 63);
}

export function acceptScalar(type: ScalarType, raw: unknown): ScalarValue {
  const value = coerce(type, raw);
  if (value !== undefined) return value;
  const [what, remedy] = EXPECTED[type];
  throw new ValueError(`expected ${what}, got ${describeRaw(raw)}`, remedy);
}

function coerce(type: ScalarType, raw: unknown): ScalarValue | undefined {
  switch (type) {
    case 'int32': {
      const value =
        typeof raw === 'string'
          ? INTEGER_TEXT.test(raw)
            ? Number(raw)
            : undefined
          : typeof raw === 'bigint'
            ? Number(raw)
            : raw;
      return typeof value === 'number' && Number.isInteger(value) && value >= INT32_MIN && value <= INT32_MAX
        ? value + 0
        : undefined;
    }
    case 'int64':
      return coerceInt64(raw);
    case 'float64':
      return coerceFloat(raw);
    case 'float32': {
      const value = coerceFloat(raw);
      if (value === undefined) return undefined;
      const rounded = Math.fround(value);
      return Number.isFinite(rounded) || Number.isNaN(rounded) ? rounded : undefined;
    }
    case 'bool':
      return typeof raw === 'boolean' ? raw : undefined;
    case 'string':
      return typeof raw === 'string' && raw.isWellFormed() ? raw : undefined;
    case 'bytes':
      return coerceBytes(raw);
    case 'timestamp':
      return timestampFrom(raw);
  }
}

function coerceInt64(raw: unknown): bigint | undefined {
  let value: bigint;
  if (typeof raw === 'bigint') value = raw;
  else if (typeof raw === 'number' && Number.isSafeInteger(raw)) return BigInt(raw);
  else if (typeof raw === 'string' && INTEGER_TEXT.test(raw)) value = BigInt(raw.startsWith('+') ? raw.slice(1) : raw);
  else return undefined;
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

function coerceFloat(raw: unknown): number | undefined {
  const value = typeof raw === 'bigint' ? Number(raw) : raw;
  return typeof value === 'number' && (Number.isFinite(value) || Number.isNaN(value)) ? value : undefined;
}

function coerceBytes(raw: unknown): Uint8Array | undefined {
  if (raw instanceof Uint8Array) return raw.length <= VALUE_BYTES_MAX ? raw : undefined;
  if (typeof raw !== 'string' || raw.length > VALUE_BYTES_MAX * 2) return undefined;
  const bytes = Buffer.from(raw, 'base64');
  // The decoder skips what it does not know: only text that it gives back unchanged was base64.
  return bytes.toString('base64') === raw ? new Uint8Array(bytes) : undefined;
}
