import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate } from '#sim/simulation';

/** Chosen by nothing but their numbers. */
const SEEDS = [3, 14, 15, 92];

test('a seed has one history: twice the same trace, events and outcome', async () => {
  for (const seed of SEEDS) {
    const first = await simulate({ seed });
    const second = await simulate({ seed });
    assert.deepEqual(second, first, `seed ${seed}`);
  }
});

test('another seed has another history', async () => {
  const hashes = new Set<string>();
  for (const seed of SEEDS) hashes.add((await simulate({ seed, kinds: ['reset-link'] })).traceHash);
  assert.equal(hashes.size, SEEDS.length);
});
