import fc from 'fast-check';
import { cellSource } from '#core/codec/cell';
import { encodeComponent } from '#core/codec/counter-state';
import { encodeStored, type StampedChange } from '#core/codec/stored-value';
import { INT64_MAX, INT64_MIN } from '#core/codec/value-limits';
import { ViewCodec } from '#core/codec/view-codec';
import { assert } from '#core/errors';
import type { Feature, FeatureValue, FeatureView, Granularity, Resolver, ScalarType } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';

export const ORIGINS = ['us-east', 'eu-west', 'ap-south'] as const;

export const SCALARS: readonly ScalarType[] = [
  'int32',
  'int64',
  'float32',
  'float64',
  'bool',
  'string',
  'bytes',
  'timestamp',
];

/** Values of a type that fools compare wrongly: limits, NaN, -0, neighbours of 2^53, text that UTF-16 orders otherwise. */
export const AWKWARD: Readonly<Record<ScalarType, readonly FeatureValue[]>> = {
  int32: [0, -1, 7, -0x8000_0000, 0x7fff_ffff],
  int64: [0n, -1n, 2n ** 53n, 2n ** 53n + 1n, INT64_MIN, INT64_MAX],
  float32: [Number.NaN, 0, -0, 1.5, -1.5, Math.fround(3.4e38)],
  float64: [Number.NaN, 0, -0, 2 ** 53, 2 ** 53 + 2, Number.MIN_VALUE, -Number.MAX_VALUE],
  bool: [false, true],
  string: ['', 'a', 'a\u0000', '\uffff', '\u{10000}', '\ufffd'],
  bytes: [new Uint8Array(), new Uint8Array([0]), new Uint8Array([0xff]), new Uint8Array([0, 0])],
  timestamp: [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
};

/** Text that UTF-16 has and UTF-8 has not: it is no value, and must get into no bytes. */
export const LONE_SURROGATES: readonly string[] = [
  '\ud800',
  '\udc00',
  'a\udfff',
  '\udc00\ud800',
  `${'x'.repeat(100)}\udbff`,
];

export function makeCodec(resolver: Resolver, granularity: Granularity, features: readonly Feature[]): ViewCodec {
  const view: Omit<FeatureView, 'version'> = {
    name: 'laws',
    namespace: 'laws',
    joinKeys: [{ name: 'id', type: 'string' }],
    features,
    ttlSeconds: null,
    resolver,
    granularity,
    eventTimeAheadMsMax: 0,
    sources: [],
    sql: null,
    eventTimeColumn: 'event_timestamp',
    owner: '',
    description: '',
    tags: {},
  };
  return new ViewCodec(withVersion(view));
}

export function sourceOf(origin: string) {
  const index = (ORIGINS as readonly string[]).indexOf(origin);
  const source = cellSource(`laws/0/${origin}/${String(index + 1).padStart(16, '0')}`);
  assert(source !== undefined, origin);
  return source;
}

/** A change before its row is encoded. `values` are those of `features`, or of all features where that is undefined. */
export interface PlainChange extends Omit<StampedChange, 'source' | 'row'> {
  readonly origin: string;
  readonly values: readonly FeatureValue[];
  readonly producer: { readonly name: string; readonly sequence: number };
}

export function storedOf(codec: ViewCodec, { origin, values, producer, ...change }: PlainChange): Buffer {
  const upsert = change.operation === 'upsert';
  const row = !upsert
    ? Buffer.alloc(0)
    : change.features === undefined
      ? codec.encodeRow(values)
      : codec.encodeFeatures(change.features, values);
  const counter = codec.view.resolver.kind === 'counter' && upsert;
  return encodeStored(codec, {
    ...change,
    source: sourceOf(origin),
    row: counter ? encodeComponent(producer, row) : row,
  });
}

/** Stored forms of changes with few distinct parts, so that ties of every kind are the rule. */
export function storedValues(codec: ViewCodec): fc.Arbitrary<Buffer> {
  const { features, granularity } = codec.view;
  const anyValue = (feature: Feature): fc.Arbitrary<FeatureValue> => {
    const scalars = fc.constantFrom(...AWKWARD[feature.type.scalar]);
    const values = feature.type.list ? (fc.array(scalars, { maxLength: 2 }) as fc.Arbitrary<FeatureValue>) : scalars;
    return feature.nullable ? fc.option(values, { freq: 6 }) : values;
  };
  const subsets =
    granularity === 'row'
      ? fc.constant(undefined)
      : fc.option(
          fc.subarray(
            features.map((_, place) => place),
            { minLength: 1 },
          ),
          { nil: undefined },
        );
  return subsets.chain((places) =>
    fc
      .record({
        eventTimeUs: fc.constantFrom(-1, 0, 1),
        wallMs: fc.constantFrom(0, 1),
        counter: fc.constantFrom(0, 1),
        origin: fc.constantFrom(...ORIGINS),
        seq: fc.constantFrom(1, 2),
        generation: fc.constantFrom(0, 0, 1, 2),
        operation: fc.constantFrom('upsert' as const, 'upsert' as const, 'delete' as const),
        values: fc.tuple(...(places ?? features.keys().toArray()).map((place) => anyValue(features[place] as Feature))),
        producer: fc.record({ name: fc.constantFrom('p', 'q', 'pq'), sequence: fc.constantFrom(0, 1, 2 ** 53 - 1) }),
      })
      .map(({ wallMs, counter, operation, ...rest }) =>
        storedOf(codec, {
          ...rest,
          operation,
          hlc: { wallMs, counter },
          features: operation === 'delete' ? undefined : places,
        }),
      ),
  );
}
