import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import { ValueError } from '#core/codec/value-error';
import { INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN } from '#core/codec/value-limits';
import type { FeatureType, FeatureValue, ScalarType, ScalarValue } from '#core/model/feature-view';

/** Turns a non-null value of a DuckDB column into a value of the model, exactly, or throws a ValueError. */
export type ColumnReader = (value: DuckDBValue) => FeatureValue;
type ScalarReader = (value: DuckDBValue) => ScalarValue;

const SMALL_INTEGERS: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
]);
const INTEGERS: ReadonlySet<DuckDBTypeId> = new Set([
  ...SMALL_INTEGERS,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UHUGEINT,
]);
const TIMESTAMPS: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_TZ,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.DATE,
]);

/** The DuckDB type to cast to where a column does not fit. */
const CAST_TYPES: Record<ScalarType, string> = {
  int32: 'INTEGER',
  int64: 'BIGINT',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  bool: 'BOOLEAN',
  string: 'VARCHAR',
  bytes: 'BLOB',
  timestamp: 'TIMESTAMP',
};

export function castType(type: FeatureType): string {
  return type.list ? `${CAST_TYPES[type.scalar]}[]` : CAST_TYPES[type.scalar];
}

/** The reader for values of a DuckDB type; undefined when the types do not fit. */
export function columnReader(type: FeatureType, source: DuckDBType): ColumnReader | undefined {
  if (!type.list) return scalarReader(type.scalar, source);
  if (!(source instanceof DuckDBListType || source instanceof DuckDBArrayType)) return undefined;
  const reader = scalarReader(type.scalar, source.valueType);
  if (reader === undefined) return undefined;
  return (value) => {
    if (!(value instanceof DuckDBListValue || value instanceof DuckDBArrayValue)) throw unexpected(value);
    return value.items.map((item, index) => {
      if (item === null) throw new ValueError(`element ${index} of the list is null`);
      return reader(item);
    });
  };
}

function scalarReader(type: ScalarType, source: DuckDBType): ScalarReader | undefined {
  const id = source.typeId;
  switch (type) {
    case 'int32':
      if (SMALL_INTEGERS.has(id)) return asNumber;
      return isExact(source) ? (value) => int32(integer(value)) : undefined;
    case 'int64':
      return isExact(source) ? (value) => int64(integer(value)) : undefined;
    case 'float32':
    case 'float64': {
      const reader = floatReader(source);
      if (reader === undefined || type === 'float64') return reader;
      return (value) => Math.fround(reader(value));
    }
    case 'bool':
      return id === DuckDBTypeId.BOOLEAN ? asBoolean : undefined;
    case 'string':
      return id === DuckDBTypeId.VARCHAR || id === DuckDBTypeId.ENUM || id === DuckDBTypeId.UUID ? String : undefined;
    case 'bytes':
      return id === DuckDBTypeId.BLOB ? bytes : undefined;
    case 'timestamp':
      return TIMESTAMPS.has(id) ? timestampUs : undefined;
  }
}

function isExact(source: DuckDBType): boolean {
  return INTEGERS.has(source.typeId) || source instanceof DuckDBDecimalType;
}

function floatReader(source: DuckDBType): ((value: DuckDBValue) => number) | undefined {
  if (source.typeId === DuckDBTypeId.FLOAT || source.typeId === DuckDBTypeId.DOUBLE) return asNumber;
  if (SMALL_INTEGERS.has(source.typeId)) return asNumber;
  // Parsing the decimal text gives the nearest double, which dividing two doubles does not.
  if (source instanceof DuckDBDecimalType) return (value) => Number(String(value));
  return INTEGERS.has(source.typeId) ? (value) => exactNumber(integer(value)) : undefined;
}

function asNumber(value: DuckDBValue): number {
  if (typeof value !== 'number') throw unexpected(value);
  return value;
}

function asBoolean(value: DuckDBValue): boolean {
  if (typeof value !== 'boolean') throw unexpected(value);
  return value;
}

/** A whole number as bigint; decimals with a fraction are refused, not rounded. */
function integer(value: DuckDBValue): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  if (value instanceof DuckDBDecimalValue) {
    const unit = 10n ** BigInt(value.scale);
    if (value.value % unit === 0n) return value.value / unit;
    throw new ValueError(`${String(value)} is not a whole number`, 'Round it in the SQL.');
  }
  throw unexpected(value);
}

function int32(value: bigint): number {
  const number = Number(value);
  if (number < INT32_MIN || number > INT32_MAX) throw new ValueError(`${value} is outside the range of int32`);
  return number;
}

function int64(value: bigint): bigint {
  if (value < INT64_MIN || value > INT64_MAX) throw new ValueError(`${value} is outside the range of int64`);
  return value;
}

function exactNumber(value: bigint): number {
  const number = Number(value);
  if (BigInt(number) !== value)
    throw new ValueError(`${value} has no exact floating-point form`, 'Cast it to DOUBLE in the SQL.');
  return number;
}

function bytes(value: DuckDBValue): Uint8Array {
  if (!(value instanceof DuckDBBlobValue)) throw unexpected(value);
  return value.bytes;
}

/** Microseconds; nanoseconds are cut off toward the past. DuckDB's infinities are out of range. */
export function timestampUs(value: DuckDBValue): number {
  const us = Number(timestampMicros(value));
  if (!Number.isSafeInteger(us)) throw new ValueError(`${String(value)} is outside the years 1684 to 2255`);
  return us;
}

function timestampMicros(value: DuckDBValue): bigint {
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) return value.micros;
  if (value instanceof DuckDBTimestampMillisecondsValue) return value.millis * 1000n;
  if (value instanceof DuckDBTimestampSecondsValue) return value.seconds * 1_000_000n;
  if (value instanceof DuckDBDateValue) return BigInt(value.days) * 86_400_000_000n;
  if (!(value instanceof DuckDBTimestampNanosecondsValue)) throw unexpected(value);
  // Infinity is the greatest nanosecond count, which divided down would pass for the year 2262.
  if (value.nanos >= INT64_MAX || value.nanos <= -INT64_MAX) return INT64_MAX;
  const micros = value.nanos / 1000n;
  return value.nanos < 0n && value.nanos % 1000n !== 0n ? micros - 1n : micros;
}

export function isTimestamp(source: DuckDBType): boolean {
  return TIMESTAMPS.has(source.typeId);
}

function unexpected(value: DuckDBValue): ValueError {
  return new ValueError(`DuckDB handed over a ${typeof value} that its column type does not announce`);
}
