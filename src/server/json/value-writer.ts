import type { FeatureType, FeatureValue, ScalarType, ScalarValue } from '#core/model/feature-view';

/** Writes one value as JSON text. */
export type ValueWriter = (value: FeatureValue) => string;

/**
 * The JSON writer of a type. Feast's clients infer types from the text of each value, so the forms are exact:
 *
 *   int32, int64       42, 9007199254740993            bare literals, all 64 bits
 *   float32, float64   1.0, -0.0, 0.10000000149011612   always with a point or an exponent; float32 widened to double
 *   bool, string       true, "a"
 *   bytes              "AAE="                           base64
 *   timestamp          1754128800                       whole epoch seconds, as Feast's UNIX_TIMESTAMP
 *   list               [1.0,2.5]
 *   null, NaN          null                             JSON has no NaN; a list that holds one is null as a whole,
 *                                                       because one null element makes Feast's client refuse the answer
 */
export function valueWriter(type: FeatureType): ValueWriter {
  const scalar = SCALARS[type.scalar];
  if (!type.list) return (value) => (value === null ? 'null' : scalar(value as ScalarValue));
  return (value) => {
    if (value === null) return 'null';
    const elements = value as readonly ScalarValue[];
    let text = '[';
    for (let i = 0; i < elements.length; i++) {
      const element = scalar(elements[i] as ScalarValue);
      if (element === 'null') return 'null';
      text += i === 0 ? element : `,${element}`;
    }
    return `${text}]`;
  };
}

/** The same for join keys, which are never lists and never null. */
export function scalarWriter(type: ScalarType): (value: ScalarValue) => string {
  return SCALARS[type];
}

const SCALARS: Record<ScalarType, (value: ScalarValue) => string> = {
  int32: (value) => `${value as number}`,
  int64: (value) => `${value as bigint}`,
  float32: (value) => floatText(value as number),
  float64: (value) => floatText(value as number),
  bool: (value) => (value === true ? 'true' : 'false'),
  string: (value) => JSON.stringify(value),
  bytes: (value) => {
    const bytes = value as Uint8Array;
    return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')}"`;
  },
  timestamp: (value) => `${Math.floor((value as number) / 1_000_000)}`,
};

/** Shortest text that reads back as the same double. From 1e21 on JavaScript writes an exponent by itself. */
function floatText(value: number): string {
  if (Number.isInteger(value)) {
    if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
    return Math.abs(value) < 1e21 ? `${value}.0` : `${value}`;
  }
  return Number.isFinite(value) ? `${value}` : 'null';
}
