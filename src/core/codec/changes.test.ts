import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, changeBytes, decodeChanges, encodeChanges } from '#core/codec/changes';
import { AntipodeError } from '#core/errors';

function corrupt(action: () => unknown): void {
  assert.throws(action, (error: unknown) => error instanceof AntipodeError && error.code === 'FRAME_CORRUPT');
}

const SAMPLE: readonly Change[] = [
  { operation: 'upsert', eventTimeUs: 1, key: Buffer.from('k1'), row: Buffer.from('row'), offset: 0 },
  { operation: 'delete', eventTimeUs: -1, key: Buffer.from('k2'), row: Buffer.alloc(0), offset: 1 },
  { operation: 'upsert', eventTimeUs: 2 ** 33, key: Buffer.from('k3'), row: Buffer.from('x'), offset: 300 },
  {
    operation: 'upsert',
    eventTimeUs: 2,
    key: Buffer.from('k4'),
    row: Buffer.from('y'),
    offset: 3,
    generation: 258,
    features: [0, 9],
  },
  { operation: 'delete', eventTimeUs: 2, key: Buffer.from('k5'), row: Buffer.alloc(0), offset: 9, generation: 1 },
];
const COUNT = SAMPLE.length;
const SAMPLE_HEX = [
  '00 0000000000000001 0002 00000003 6b31 726f77',
  '01 ffffffffffffffff 0002 00000000 6b32',
  '02 0000000200000000 0002 00000001 0000012c 6b33 78',
  '0c 0000000000000002 0002 00000001 00000102 020102 6b34 79',
  '07 0000000000000002 0002 00000000 00000009 00000001 6b35',
]
  .join('')
  .replaceAll(' ', '');

const change: fc.Arbitrary<Omit<Change, 'offset'>> = fc.record({
  operation: fc.constantFrom('upsert' as const, 'delete' as const),
  eventTimeUs: fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, -1, 2 ** 32, -(2 ** 32))),
  key: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  row: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  generation: fc.constantFrom(0, 0, 1, 0xffff_ffff),
});

/** Upserts may carry some features only; deletes never do. */
const places = fc
  .uniqueArray(fc.nat({ max: 999 }), { minLength: 1, maxLength: 12 })
  .map((list) => list.sort((a, b) => a - b));
const withFeatures = fc.tuple(change, fc.option(places, { nil: undefined })).map(([value, features]) => ({
  ...value,
  features: value.operation === 'delete' ? undefined : features,
}));

test('the payload of a rows frame, byte for byte', () => {
  assert.equal(encodeChanges(SAMPLE).toString('hex'), SAMPLE_HEX);
});

test('decoding gives back what was encoded, with the places of replayed changes', () => {
  const list = fc.array(fc.tuple(withFeatures, fc.option(fc.nat({ max: 5000 }))), { maxLength: 20 });
  fc.assert(
    fc.property(list, (pairs) => {
      const changes = pairs.map(([value, offset], i) => ({ ...value, offset: offset ?? i }));
      const decoded = decodeChanges(encodeChanges(changes), changes.length);
      assert.deepEqual(
        decoded.map((value) => ({ ...value, key: value.key.toString('hex'), row: value.row.toString('hex') })),
        changes.map((value) => ({ ...value, key: value.key.toString('hex'), row: value.row.toString('hex') })),
      );
    }),
  );
});

test('the estimate of a change is never below what it takes', () => {
  fc.assert(
    fc.property(withFeatures, fc.nat(9), (value, offset) => {
      assert.ok(changeBytes(value) >= encodeChanges([{ ...value, offset }]).length);
    }),
  );
});

test('a payload that is cut anywhere, or longer than its changes, is corrupt', () => {
  const bytes = Buffer.from(SAMPLE_HEX, 'hex');
  for (let length = 0; length < bytes.length; length++) corrupt(() => decodeChanges(bytes.subarray(0, length), COUNT));
  corrupt(() => decodeChanges(Buffer.concat([bytes, Buffer.alloc(1)]), COUNT));
  corrupt(() => decodeChanges(bytes, COUNT - 1));
  corrupt(() => decodeChanges(bytes, COUNT + 1));
});

test('unknown flags and event times beyond a safe integer are corrupt', () => {
  const bytes = Buffer.from(SAMPLE_HEX, 'hex');
  for (const flags of [0x10, 0x80, 0xff]) corrupt(() => decodeChanges(Buffer.from(bytes).fill(flags, 0, 1), COUNT));
  corrupt(() => decodeChanges(Buffer.from(bytes).fill(0x7f, 1, 2), COUNT));
});

test('keys and rows are views into the payload, also when it starts inside a larger buffer', () => {
  const larger = Buffer.concat([Buffer.alloc(7, 0xaa), Buffer.from(SAMPLE_HEX, 'hex')]);
  const payload = new Uint8Array(larger.buffer, larger.byteOffset + 7, larger.length - 7);
  const [first] = decodeChanges(payload, COUNT);
  assert.equal(first?.key.toString(), 'k1');
  assert.equal(first?.key.buffer, larger.buffer);
});

test('only the shortest form of a generation and of a bitmap is decoded', () => {
  const base = { operation: 'upsert' as const, eventTimeUs: 0, key: Buffer.alloc(0), row: Buffer.alloc(0), offset: 0 };
  const generation = encodeChanges([{ ...base, generation: 7 }]);
  corrupt(() => decodeChanges(Buffer.from(generation).fill(0, 18, 19), 1));
  const partial = encodeChanges([{ ...base, features: [8] }]);
  assert.deepEqual(decodeChanges(partial, 1)[0]?.features, [8]);
  corrupt(() => decodeChanges(Buffer.from(partial).fill(0, 17, 18), 1));
  corrupt(() => decodeChanges(Buffer.from(partial).fill(0, 15, 16), 1));
  corrupt(() => decodeChanges(Buffer.from(partial).fill(9, 0, 1), 1));
});
