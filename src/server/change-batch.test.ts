import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { AntipodeError } from '#core/errors';
import type { IngestChange } from '#region/engine-api';
import { type ChangeBatch, decodeChangeBatch, encodeChangeBatch } from '#server/change-batch';

const version = '00112233445566778899aabbccddeeff';
const change: IngestChange = {
  operation: 'upsert',
  eventTimeUs: 1_785_664_800_000_000,
  key: Buffer.from('key'),
  row: Buffer.from('row!'),
};

const anyChange: fc.Arbitrary<IngestChange> = fc
  .record({
    upsert: fc.boolean(),
    features: fc.option(fc.constantFrom([0], [7, 8], [0, 3, 999]), { nil: undefined }),
    eventTimeUs: fc.maxSafeInteger(),
    key: fc.uint8Array({ maxLength: 40 }),
    row: fc.uint8Array({ maxLength: 80 }),
  })
  .map(({ upsert, eventTimeUs, key, row, features }) => ({
    operation: upsert ? ('upsert' as const) : ('delete' as const),
    eventTimeUs,
    key: Buffer.from(key),
    row: upsert ? Buffer.from(row) : Buffer.alloc(0),
    ...(upsert && features !== undefined ? { features } : {}),
  }));

function refuses(bytes: Buffer, code = 'REQUEST_MALFORMED'): void {
  assert.throws(
    () => decodeChangeBatch(bytes),
    (error: unknown) => error instanceof AntipodeError && error.code === code,
  );
}

suite('change batch', () => {
  test('the bytes of one change', () => {
    const bytes = encodeChangeBatch({ version, changes: [change] });
    assert.equal(
      bytes.toString('hex'),
      `01${version}00000001${'01'}${'0006580d7c178800'}${'00000003'}${'6b6579'}${'00000004'}${'726f7721'}`,
    );
  });

  test('round trip', () => {
    fc.assert(
      fc.property(fc.array(anyChange, { maxLength: 20 }), (changes) => {
        const batch: ChangeBatch = { version, changes };
        assert.deepEqual(decodeChangeBatch(encodeChangeBatch(batch)), batch);
      }),
    );
  });

  test('what does not add up is refused', () => {
    const good = encodeChangeBatch({
      version,
      changes: [change, { ...change, operation: 'delete', row: Buffer.alloc(0) }],
    });
    for (let length = 0; length < good.length; length++) refuses(good.subarray(0, length));
    refuses(Buffer.concat([good, Buffer.from([0])]));
    const altered = (at: number, ...values: number[]): Buffer => {
      const copy = Buffer.from(good);
      copy.set(values, at);
      return copy;
    };
    refuses(altered(0, 2));
    refuses(altered(21, 2));
    refuses(altered(22, 0x7f));
    refuses(altered(17, 0, 1, 0, 0), 'REQUEST_TOO_LARGE');
    refuses(altered(17, 0, 0, 0, 200));
    refuses(altered(30, 0xff, 0xff, 0xff, 0xff));
    refuses(altered(21, 0));
  });

  test('no bytes crash the decoder', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const input = Buffer.concat([Buffer.from([1]), Buffer.from(version, 'hex'), Buffer.from(bytes)]);
        try {
          assert.deepEqual(encodeChangeBatch(decodeChangeBatch(input)), input);
        } catch (error) {
          assert.ok(error instanceof AntipodeError && error.status < 500, String(error));
        }
      }),
    );
  });
});
