import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from './backoff.ts';

test('pauses double up to a bound, and begin anew after a reset', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 1 });
  assert.deepEqual(
    Array.from({ length: 6 }, () => backoff.nextMs()),
    [100, 200, 400, 800, 1_000, 1_000],
  );
  backoff.reset();
  assert.equal(backoff.nextMs(), 100);
});

test('chance shortens a pause by half at most', () => {
  const shortest = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0 });
  assert.equal(shortest.nextMs(), 50);
  const endless = new Backoff({ firstMs: 100, maxMs: 1_000 });
  for (let i = 0; i < 2_000; i++) assert.ok(endless.nextMs() <= 1_000);
});
