import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CellParts, encodeCell } from '#core/codec/cell';
import { lastWriterWins } from '#core/merge/last-writer-wins';

function cell({ origin, ...parts }: Omit<CellParts, 'source' | 'seq' | 'generation'> & { origin: string }): Buffer {
  const source = { origin: Buffer.from(origin), incarnation: Buffer.alloc(8, origin) };
  return encodeCell({ ...parts, source, seq: 1, generation: null });
}

/** Few distinct values in every field, so that ties are the rule. */
const storedRow = fc
  .record({
    eventTimeUs: fc.constantFrom(-1, 0, 1),
    wallMs: fc.constantFrom(0, 1),
    counter: fc.constantFrom(0, 1),
    origin: fc.constantFrom('a', 'b', 'eu-west'),
    operation: fc.constantFrom('upsert' as const, 'delete' as const),
    row: fc.constantFrom('', '00', '01', 'ff00'),
  })
  .map(({ eventTimeUs, wallMs, counter, origin, operation, row }) =>
    cell({
      eventTimeUs,
      hlc: { wallMs, counter },
      origin,
      operation,
      payload: Buffer.from(operation === 'delete' ? '' : row, 'hex'),
    }),
  );

function merge(stored: Buffer, incoming: Buffer): Buffer {
  return lastWriterWins(stored, incoming) === 'replace' ? incoming : stored;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) =>
    permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}

test('merge is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(storedRow, storedRow, storedRow, (a, b, c) => {
      assert.ok(merge(a, b).equals(merge(b, a)));
      assert.ok(merge(merge(a, b), c).equals(merge(a, merge(b, c))));
      assert.ok(merge(a, a).equals(a));
      assert.equal(lastWriterWins(a, Buffer.from(a)), 'keep');
    }),
    { numRuns: 2000 },
  );
});

test('every order of delivery, with every value delivered twice, ends in the same bytes', () => {
  fc.assert(
    fc.property(fc.array(storedRow, { minLength: 2, maxLength: 5 }), (values) => {
      const ends = permutations(values).map((order) => [...order, ...order].reduce(merge).toString('hex'));
      assert.equal(new Set(ends).size, 1);
    }),
    { numRuns: 200 },
  );
});

test('the event time decides first, then the clock reading, then the origin', () => {
  const of = (eventTimeUs: number, wallMs: number, counter: number, origin: string): Buffer =>
    cell({
      eventTimeUs,
      hlc: { wallMs, counter },
      origin,
      operation: 'upsert',
      payload: Buffer.from(origin),
    });
  const rising = [
    of(-1, 9, 9, 'z'),
    of(0, 0, 0, 'a'),
    of(0, 0, 1, 'a'),
    of(0, 1, 0, 'a'),
    of(0, 1, 0, 'b'),
    of(1, 0, 0, 'a'),
  ];
  for (let i = 1; i < rising.length; i++) {
    assert.equal(lastWriterWins(rising[i - 1] as Buffer, rising[i] as Buffer), 'replace');
    assert.equal(lastWriterWins(rising[i] as Buffer, rising[i - 1] as Buffer), 'keep');
  }
});

test('at one event time a later delete wins over an earlier row, and the other way round', () => {
  const row = { eventTimeUs: 7, origin: 'a', payload: Buffer.from('01', 'hex') };
  const first = cell({ ...row, hlc: { wallMs: 1, counter: 0 }, operation: 'upsert' });
  const gone = cell({ ...row, hlc: { wallMs: 1, counter: 1 }, operation: 'delete', payload: Buffer.alloc(0) });
  const again = cell({ ...row, hlc: { wallMs: 1, counter: 2 }, operation: 'upsert' });
  assert.equal(lastWriterWins(first, gone), 'replace');
  assert.equal(lastWriterWins(gone, first), 'keep');
  assert.equal(lastWriterWins(gone, again), 'replace');
});
