import assert from 'node:assert/strict';
import { test } from 'node:test';
import avro from 'avsc';
import fc from 'fast-check';
import { KEY_BYTES_MAX, LIST_ELEMENTS_MAX, ROW_BYTES_MAX, VALUE_BYTES_MAX } from '#core/codec/value-limits';
import { avroSchema, ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { Feature, FeatureValue, FeatureView, JoinKey, ScalarType, ScalarValue } from '#core/model/feature-view';

const SCALARS: readonly ScalarType[] = ['int32', 'int64', 'float32', 'float64', 'bool', 'string', 'bytes', 'timestamp'];

function viewOf(
  features: readonly Feature[],
  joinKeys: readonly JoinKey[] = [{ name: 'id', type: 'int64' }],
): FeatureView {
  return {
    name: 'sample',
    namespace: 'tests',
    joinKeys,
    features,
    ttlSeconds: null,
    resolver: { kind: 'last-writer-wins' },
    granularity: 'row',
    eventTimeAheadMsMax: 300_000,
    sources: [],
    sql: null,
    eventTimeColumn: 'event_timestamp',
    owner: '',
    description: '',
    tags: {},
    version: '00112233445566778899aabbccddeeff',
  };
}

function featureOf(type: string, nullable = false, name = 'value'): Feature {
  const list = type.startsWith('list<');
  return { name, nullable, type: { scalar: (list ? type.slice(5, -1) : type) as ScalarType, list } };
}

function codecOf(...features: Feature[]): ViewCodec {
  return new ViewCodec(viewOf(features));
}

function refused(action: () => unknown, pattern: RegExp): void {
  assert.throws(
    action,
    (error: unknown) => error instanceof AntipodeError && error.code === 'ROW_INVALID' && pattern.test(error.message),
  );
}

const wellFormed = fc.string({ unit: 'binary', maxLength: 60 });
const finite64 = fc.double({ noDefaultInfinity: true });
const ARBITRARIES: Record<ScalarType, fc.Arbitrary<ScalarValue>> = {
  int32: fc.integer(),
  int64: fc.oneof(
    fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    fc.constantFrom(-(1n << 63n), (1n << 63n) - 1n, (1n << 53n) + 1n, 1n << 52n, -(1n << 52n), 0n),
  ),
  float32: fc.float({ noDefaultInfinity: true }),
  float64: fc.oneof(finite64, fc.constantFrom(-0, Math.fround(0.1), 5e-324, Number.NaN)),
  bool: fc.boolean(),
  string: fc.oneof(
    wellFormed,
    fc.constantFrom('', '\0', '\ufffd', '😀', 'a'.repeat(24), 'a'.repeat(25), `${'a'.repeat(23)}é`),
  ),
  bytes: fc.uint8Array({ maxLength: 40 }),
  timestamp: fc.maxSafeInteger(),
};

function arbitraryValue(feature: Feature): fc.Arbitrary<FeatureValue> {
  const scalar = ARBITRARIES[feature.type.scalar];
  const value: fc.Arbitrary<FeatureValue> = feature.type.list ? fc.array(scalar, { maxLength: 8 }) : scalar;
  return feature.nullable ? fc.option(value, { nil: null }) : value;
}

const anyFeatures = fc
  .array(fc.tuple(fc.constantFrom(...SCALARS), fc.boolean(), fc.boolean()), { maxLength: 10 })
  .map((kinds) =>
    kinds.map(([scalar, list, nullable], index): Feature => ({ name: `f${index}`, nullable, type: { scalar, list } })),
  );
const anyRow = anyFeatures.chain((features) =>
  fc.tuple(fc.constant(features), fc.tuple(...features.map(arbitraryValue))),
);

/** avsc's idea of a long as bigint, to serve as the reference. */
const long = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

function referenceType(view: FeatureView): avro.Type {
  // avsc does not look up the registry for a long with a logical type: it is given the plain one.
  const schema: unknown = JSON.parse(
    JSON.stringify(avroSchema(view)).replaceAll('{"type":"long","logicalType":"timestamp-micros"}', '"long"'),
  );
  return avro.Type.forSchema(schema as avro.Schema, { registry: { long } as unknown as Record<string, avro.Type> });
}

function referenceValue(feature: Feature, value: FeatureValue): unknown {
  if (value === null) return null;
  if (feature.type.list)
    return (value as readonly ScalarValue[]).map((item) =>
      referenceValue({ ...feature, type: { ...feature.type, list: false } }, item),
    );
  if (feature.type.scalar === 'timestamp') return BigInt(value as number);
  return feature.type.scalar === 'bytes' ? Buffer.from(value as Uint8Array) : value;
}

test('every row comes back as it was, and encodes to the bytes avsc writes', () => {
  fc.assert(
    fc.property(anyRow, ([features, row]) => {
      const codec = codecOf(...features);
      const bytes = codec.encodeRow(row);
      assert.deepStrictEqual(codec.decodeRow(bytes), row);
      const record = Object.fromEntries(
        features.map((feature, i) => [feature.name, referenceValue(feature, row[i] as FeatureValue)]),
      );
      assert.deepStrictEqual(bytes, referenceType(codec.view).toBuffer(record));
    }),
    { numRuns: 500 },
  );
});

test('a row inside a larger shared buffer is read from start to end only', () => {
  fc.assert(
    fc.property(
      anyRow,
      fc.uint8Array({ maxLength: 9 }),
      fc.uint8Array({ maxLength: 9 }),
      ([features, row], before, after) => {
        const codec = codecOf(...features);
        const bytes = codec.encodeRow(row);
        const shared = Buffer.concat([before, bytes, after]);
        const decoded = codec.decodeRow(shared, before.length, before.length + bytes.length);
        shared.fill(0xee);
        assert.deepStrictEqual(decoded, row);
        if (after.length > 0) refused(() => codec.decodeRow(Buffer.concat([bytes, after])), /./);
        if (bytes.length > 0) refused(() => codec.decodeRow(bytes, 0, bytes.length - 1), /./);
      },
    ),
  );
});

test('I15: bytes that are no row are refused, and those that decode re-encode to themselves', () => {
  fc.assert(
    fc.property(anyFeatures, fc.uint8Array({ maxLength: 40 }), (features, noise) => {
      const codec = codecOf(...features);
      const bytes = Buffer.from(noise);
      let row: FeatureValue[];
      try {
        row = codec.decodeRow(bytes);
      } catch (error) {
        assert.ok(error instanceof AntipodeError && error.code === 'ROW_INVALID');
        return;
      }
      assert.deepStrictEqual(codec.encodeRow(row), bytes);
    }),
    { numRuns: 3000 },
  );
});

test('I13: a list that claims a billion elements costs nothing', () => {
  const codec = codecOf(featureOf('list<int32>'));
  for (const hex of ['feffffff0f', 'feffffffffffff7f', '0101', '02', 'ffffffffffffffffffff01', '8400']) {
    refused(() => codec.decodeRow(Buffer.from(hex, 'hex')), /./);
  }
});

test('other spellings of a value are refused', () => {
  const cases: [string, string][] = [
    ['int32', '8000'],
    ['int32', '8080808010'],
    ['int64', '808080808080808000'],
    ['int64', 'ffffffffffffffffff02'],
    ['bool', '02'],
    ['float64', '010000000000f87f'],
    ['float64', '000000000000f8ff'],
    ['float64', '000000000000f07f'],
    ['float32', '0000807f'],
    ['float32', '0100c07f'],
    ['string', '02ff'],
    ['string', '01'],
    ['list<int32>', '020002000000'],
    ['timestamp', 'ffffffffffffffffff01'],
  ];
  for (const [type, hex] of cases) refused(() => codecOf(featureOf(type)).decodeRow(Buffer.from(hex, 'hex')), /./);
});

test('sample bytes', () => {
  const hex = (type: string, value: FeatureValue, nullable = false) =>
    codecOf(featureOf(type, nullable)).encodeRow([value]).toString('hex');
  assert.equal(hex('float64', 1.5), '000000000000f83f');
  assert.equal(hex('string', 'ab'), '046162');
  assert.equal(hex('list<int32>', [1, -1]), '04020100');
  assert.equal(hex('list<int32>', []), '00');
  assert.equal(hex('string', ''), '00');
  assert.equal(hex('int64', null, true), '00');
  assert.equal(hex('int64', -1n, true), '0201');
  assert.equal(hex('int64', (1n << 53n) + 1n), '8280808080808020');
});

test('every NaN becomes the canonical one, -0 stays', () => {
  const bits = new BigUint64Array([
    0x7ff8_0000_0000_0000n,
    0xfff8_0000_0000_0000n,
    0x7ff0_0000_0000_0001n,
    0x7fff_ffff_ffff_ffffn,
    0xfff8_dead_beef_0001n,
  ]);
  const nans = new Float64Array(bits.buffer);
  for (const nan of nans) {
    assert.equal(codecOf(featureOf('float64')).encodeRow([nan]).toString('hex'), '000000000000f87f');
    assert.equal(codecOf(featureOf('float32')).encodeRow([nan]).toString('hex'), '0000c07f');
    assert.equal(
      codecOf(featureOf('list<float64>'))
        .encodeRow([[nan]])
        .toString('hex'),
      '02000000000000f87f00',
    );
  }
  assert.equal(codecOf(featureOf('float64')).encodeRow([-0]).toString('hex'), '0000000000000080');
  assert.equal(codecOf(featureOf('float32')).encodeRow([-0]).toString('hex'), '00000080');
  assert.ok(Object.is(codecOf(featureOf('float32')).decodeRow(Buffer.from('00000080', 'hex'))[0], -0));
});

test('encodeRow refuses what is not a value of the type', () => {
  const cases: [string, unknown, RegExp][] = [
    ['int32', 2 ** 31, /range of int32/],
    ['int32', 1.5, /expected an int32/],
    ['int32', 1n, /expected an int32/],
    ['int64', 1, /expected an int64/],
    ['int64', 1n << 63n, /range of int64/],
    ['int64', -(1n << 63n) - 1n, /range of int64/],
    ['float64', Number.POSITIVE_INFINITY, /cannot be stored/],
    ['float32', Number.NEGATIVE_INFINITY, /cannot be stored/],
    ['float32', 3.5e38, /range of float32/],
    ['float64', null, /got null/],
    ['float64', undefined, /got undefined/],
    ['bool', 1, /expected a bool/],
    ['string', '\ud800', /lone surrogate/],
    ['string', `${'x'.repeat(40)}\udc00`, /lone surrogate/],
    ['string', 'x'.repeat(VALUE_BYTES_MAX + 1), /at most/],
    ['bytes', new Uint8Array(VALUE_BYTES_MAX + 1), /at most/],
    ['bytes', 'YQ==', /expected bytes/],
    ['timestamp', 2 ** 53, /expected a timestamp/],
    ['timestamp', Number.NaN, /expected a timestamp/],
    ['list<int32>', 5, /expected a list/],
    ['list<int32>', [1, null], /got null/],
    ['list<int32>', new Array(LIST_ELEMENTS_MAX + 1).fill(0), /at most/],
  ];
  for (const [type, value, pattern] of cases)
    refused(() => codecOf(featureOf(type)).encodeRow([value as FeatureValue]), pattern);
  refused(() => codecOf(featureOf('int32')).encodeRow([]), /0 values for 1 features/);
});

test('limits: the largest values fit, a row beyond 256 KiB does not', () => {
  const text = 'x'.repeat(VALUE_BYTES_MAX);
  const three = codecOf(
    featureOf('string', false, 'a'),
    featureOf('string', false, 'b'),
    featureOf('bytes', true, 'c'),
  );
  const bytes = three.encodeRow([text, text, new Uint8Array(VALUE_BYTES_MAX)]);
  assert.ok(bytes.length < ROW_BYTES_MAX);
  assert.equal(three.decodeRow(bytes)[1], text);
  const list = new Array(LIST_ELEMENTS_MAX).fill(1.5);
  assert.equal(
    (
      codecOf(featureOf('list<float64>')).decodeRow(
        codecOf(featureOf('list<float64>')).encodeRow([list]),
      )[0] as number[]
    ).length,
    LIST_ELEMENTS_MAX,
  );
  const five = codecOf(...['a', 'b', 'c', 'd', 'e'].map((name) => featureOf('string', false, name)));
  refused(() => five.encodeRow([text, text, text, text, text]), /column d: the row exceeds/);
  refused(() => codecOf(featureOf('list<string>')).encodeRow([new Array(10).fill(text)]), /the row exceeds/);
  // The scratch buffer is as good as new after a refusal.
  assert.deepEqual(codecOf(featureOf('int32')).decodeRow(codecOf(featureOf('int32')).encodeRow([7])), [7]);
});

const KEY_TYPES: readonly JoinKey['type'][] = ['int32', 'int64', 'bool', 'string', 'bytes', 'timestamp'];
const anyKeyTypes = fc.array(fc.constantFrom(...KEY_TYPES), { minLength: 1, maxLength: 4 });
const keyValues = (types: readonly JoinKey['type'][]) => fc.tuple(...types.map((type) => ARBITRARIES[type]));

function keyCodec(types: readonly JoinKey['type'][]): ViewCodec {
  return new ViewCodec(
    viewOf(
      [],
      types.map((type, i) => ({ name: `k${i}`, type })),
    ),
  );
}

function compareValues(a: ScalarValue, b: ScalarValue): number {
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array);
  return a < b ? -1 : a > b ? 1 : 0;
}

test('entity keys are injective, come back, and memcmp orders them as their values', () => {
  fc.assert(
    fc.property(
      anyKeyTypes.chain((types) => fc.tuple(fc.constant(types), keyValues(types), keyValues(types))),
      ([types, a, b]) => {
        const codec = keyCodec(types);
        const bytesA = codec.encodeKey(a);
        const bytesB = codec.encodeKey(b);
        assert.deepStrictEqual(codec.decodeKey(bytesA), a);
        const order = a.map((value, i) => compareValues(value, b[i] as ScalarValue)).find((sign) => sign !== 0) ?? 0;
        assert.equal(Math.sign(Buffer.compare(bytesA, bytesB)), order);
      },
    ),
    { numRuns: 1000 },
  );
});

test('bytes that are no entity key are refused, and those that decode re-encode to themselves', () => {
  fc.assert(
    fc.property(anyKeyTypes, fc.uint8Array({ maxLength: 24 }), (types, noise) => {
      const codec = keyCodec(types);
      let values: ScalarValue[];
      try {
        values = codec.decodeKey(Buffer.from(noise));
      } catch (error) {
        assert.ok(error instanceof AntipodeError && error.code === 'ROW_INVALID');
        return;
      }
      assert.deepStrictEqual(codec.encodeKey(values), Buffer.from(noise));
    }),
    { numRuns: 3000 },
  );
});

test('entity keys are bounded', () => {
  const codec = keyCodec(['string']);
  assert.equal(codec.encodeKey(['x'.repeat(KEY_BYTES_MAX - 2)]).length, KEY_BYTES_MAX);
  refused(() => codec.encodeKey(['x'.repeat(KEY_BYTES_MAX - 1)]), /column k0: the entity key exceeds 512 bytes/);
  refused(() => codec.encodeKey(['\0'.repeat(KEY_BYTES_MAX / 2)]), /exceeds/);
  refused(() => codec.encodeKey(['x'.repeat(1_000_000)]), /exceeds/);
  refused(() => codec.encodeKey(['a', 'b']), /2 join key values for 1/);
  refused(() => codec.encodeKey(['\ud800']), /lone surrogate/);
  refused(() => keyCodec(['int64']).encodeKey([1n << 63n]), /expected an int64/);
});

test('a row key is the version prefix and the entity key', () => {
  const codec = codecOf(featureOf('int32'));
  assert.equal(codec.rowKeyPrefix.toString('hex'), '0011223344556677');
  assert.equal(codec.rowKey(codec.encodeKey([1n])).toString('hex'), '00112233445566778000000000000001');
});

test('JSON input is coerced as tolerantly as Feast does', () => {
  const accept = (type: string, raw: unknown) =>
    codecOf(featureOf(type, true)).acceptValue(featureOf(type, true), raw, 'row 0');
  assert.equal(accept('int32', '1001'), 1001);
  assert.equal(accept('int32', 5.0), 5);
  assert.equal(accept('int32', 7n), 7);
  assert.ok(Object.is(accept('int32', -0), 0));
  assert.equal(accept('int64', '9007199254740993'), 9007199254740993n);
  assert.equal(accept('int64', '+12'), 12n);
  assert.equal(accept('int64', 12), 12n);
  assert.equal(accept('float32', 0.1), Math.fround(0.1));
  assert.equal(accept('float64', 3n), 3);
  assert.ok(Object.is(accept('float64', -0), -0));
  assert.ok(Number.isNaN(accept('float64', Number.NaN)));
  assert.deepEqual(accept('bytes', 'AP8='), new Uint8Array([0, 255]));
  assert.deepEqual(accept('bytes', ''), new Uint8Array());
  assert.equal(accept('timestamp', '2026-08-02 10:00:00+00:00'), 1785664800000000);
  assert.equal(accept('timestamp', 1785664800), 1785664800000000);
  assert.equal(accept('timestamp', -(2n ** 63n)), null);
  assert.equal(accept('bool', false), false);
  assert.equal(accept('string', ''), '');
  assert.deepEqual(accept('list<int64>', ['1', 2, 3n]), [1n, 2n, 3n]);
  assert.equal(accept('list<int64>', null), null);
  assert.equal(accept('int32', undefined), null);
});

test('what cannot be coerced is refused with view, column, row and remedy', () => {
  const cases: [string, unknown][] = [
    ['int32', 2147483648],
    ['int32', '1.0'],
    ['int32', ''],
    ['int32', true],
    ['int32', Number.NaN],
    ['int64', 2 ** 53],
    ['int64', 1.5],
    ['int64', '9223372036854775808'],
    ['int64', '9'.repeat(5000)],
    ['int64', 1n << 63n],
    ['float32', 1e39],
    ['float64', '1.5'],
    ['float64', Number.POSITIVE_INFINITY],
    ['float64', 10n ** 400n],
    ['bool', 0],
    ['bool', 'true'],
    ['string', 5],
    ['string', '\udfff'],
    ['bytes', 'not base64!'],
    ['bytes', 'AP9='],
    ['bytes', 'AP8'],
    ['timestamp', 'yesterday'],
    ['timestamp', 1785664800000],
    ['timestamp', '2026-02-30T00:00:00Z'],
    ['list<int32>', 5],
    ['list<int32>', [1, null]],
    ['list<int32>', [[1]]],
    ['string', { toString: 'x' }],
    ['int32', null],
  ];
  for (const [type, raw] of cases) {
    const feature = featureOf(type, false, 'amount');
    assert.throws(
      () => codecOf(feature).acceptValue(feature, raw, 'row 3'),
      (error: unknown) => {
        assert.ok(error instanceof AntipodeError);
        assert.equal(error.code, 'ROW_INVALID');
        assert.equal(error.where, 'row 3, view sample, column amount');
        assert.match(error.message, /^view sample, column amount: /);
        assert.ok(error.message.length < 300 && error.remedy.length > 10);
        return true;
      },
      type,
    );
  }
  refused(() => codecOf().acceptKeyValue({ name: 'id', type: 'int64' }, null, 'row 0'), /expected an int64, got null/);
});
