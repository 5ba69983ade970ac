import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeStamp, encodeStamp, readEventTimeUs, type Stamp, stampLength } from '#core/model/stamp';

const NORMAL = { noNullPrototype: true };

const stamp: fc.Arbitrary<Stamp> = fc.record(
  {
    eventTimeUs: fc.oneof(
      fc.maxSafeInteger(),
      fc.constantFrom(0, 1, -1, 2 ** 32, -(2 ** 32), 2 ** 32 - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
    ),
    hlc: fc.record(
      {
        wallMs: fc.oneof(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.constantFrom(0, 1, 2 ** 32, 2 ** 48 - 1)),
        counter: fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1)),
      },
      NORMAL,
    ),
    origin: fc.constantFrom('a', 'b', 'eu-west', 'us-east', 'ap-south', 'zz'),
  },
  NORMAL,
);

/** The order of P9.2 on the fields themselves; origins by length, then by name, as the byte form documents. */
function compareFields(a: Stamp, b: Stamp): number {
  return (
    a.eventTimeUs - b.eventTimeUs ||
    a.hlc.wallMs - b.hlc.wallMs ||
    a.hlc.counter - b.hlc.counter ||
    a.origin.length - b.origin.length ||
    (a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0)
  );
}

const VECTORS: readonly (readonly [string, Stamp, string])[] = [
  [
    '1970, first reading',
    { eventTimeUs: 0, hlc: { wallMs: 0, counter: 0 }, origin: 'a' },
    '8000000000000000 000000000000 00000000 01 61',
  ],
  [
    'one microsecond before 1970',
    { eventTimeUs: -1, hlc: { wallMs: 1, counter: 2 }, origin: 'eu-west' },
    '7fffffffffffffff 000000000001 00000002 07 65752d77657374',
  ],
  [
    'a time of today',
    { eventTimeUs: 1_760_000_000_123_456, hlc: { wallMs: 1_760_000_000_123, counter: 4096 }, origin: 'us-east' },
    '800640b5eecfe240 0199c82cc07b 00001000 07 75732d65617374',
  ],
  [
    'the ends of every field',
    { eventTimeUs: Number.MAX_SAFE_INTEGER, hlc: { wallMs: 2 ** 48 - 1, counter: 2 ** 32 - 1 }, origin: 'z' },
    '801fffffffffffff ffffffffffff ffffffff 01 7a',
  ],
  [
    'the earliest event time',
    { eventTimeUs: Number.MIN_SAFE_INTEGER, hlc: { wallMs: 0, counter: 0 }, origin: 'z' },
    '7fe0000000000001 000000000000 00000000 01 7a',
  ],
];

for (const [name, value, hex] of VECTORS) {
  test(`byte form: ${name}`, () => {
    assert.equal(encodeStamp(value).toString('hex'), hex.replaceAll(' ', ''));
    assert.deepEqual(decodeStamp(encodeStamp(value)), value);
  });
}

test('decoding gives back what was encoded, at any offset of a larger buffer', () => {
  fc.assert(
    fc.property(stamp, fc.nat({ max: 20 }), (value, offset) => {
      const bytes = Buffer.concat([Buffer.alloc(offset, 0xee), encodeStamp(value), Buffer.from([1, 2, 3])]);
      assert.deepEqual(decodeStamp(bytes, offset), value);
      assert.equal(readEventTimeUs(bytes, offset), value.eventTimeUs);
      assert.equal(stampLength(bytes, offset), encodeStamp(value).length);
    }),
  );
});

test('bytes order exactly as the fields do, also when only late fields differ and before 1970', () => {
  const near = stamp.chain((a) =>
    fc.tuple(stamp, fc.constantFrom(0, 1, 2, 3)).map(([b, keep]) => [
      a,
      {
        eventTimeUs: keep >= 1 ? a.eventTimeUs : b.eventTimeUs,
        hlc: { wallMs: keep >= 2 ? a.hlc.wallMs : b.hlc.wallMs, counter: keep >= 3 ? a.hlc.counter : b.hlc.counter },
        origin: b.origin,
      },
    ]),
  ) as fc.Arbitrary<[Stamp, Stamp]>;
  fc.assert(
    fc.property(near, ([a, b]) => {
      assert.equal(Math.sign(encodeStamp(a).compare(encodeStamp(b))), Math.sign(compareFields(a, b)));
    }),
    { numRuns: 1000 },
  );
});

test('an event time that a double cannot hold is a bug, not a rounding', () => {
  for (const eventTimeUs of [2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => encodeStamp({ eventTimeUs, hlc: { wallMs: 0, counter: 0 }, origin: 'a' }), /safe integer/);
  }
});
