import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogHistogram } from '#core/histogram';

/** Width of a bucket: 32 a doubling. */
const BUCKET_RATIO = 2 ** (1 / 32);

function histogramOf(values: readonly number[]): LogHistogram {
  const histogram = new LogHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

test('an empty histogram has no quantile, mean or maximum', () => {
  const histogram = new LogHistogram();
  assert.deepEqual([histogram.count, histogram.max, histogram.mean, histogram.quantile(0.5)], [0, null, null, null]);
});

test('a quantile lies at or above the true one, by one bucket at the most', () => {
  const values = fc.array(fc.double({ min: 0.02, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(values, fc.constantFrom(0, 0.01, 0.5, 0.9, 0.99, 1), (list, q) => {
      const sorted = [...list].sort((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(q * list.length)) - 1] as number;
      const estimate = histogramOf(list).quantile(q) as number;
      assert.ok(estimate >= exact * (1 - 1e-9), `${estimate} is below ${exact}`);
      assert.ok(estimate <= exact * BUCKET_RATIO * (1 + 1e-9), `${estimate} is more than a bucket above ${exact}`);
    }),
  );
});

test('maximum and mean are exact, also far beyond the last bucket', () => {
  const histogram = histogramOf([1, 2, 3, 1e15]);
  assert.equal(histogram.max, 1e15);
  assert.equal(histogram.mean, (6 + 1e15) / 4);
  assert.ok((histogram.quantile(1) as number) <= 1e15);
});

test('values below the smallest share the first bucket', () => {
  const histogram = new LogHistogram(1);
  for (const value of [0, 0.2, 1]) histogram.record(value);
  assert.equal(histogram.quantile(1), 1);
  histogram.record(2);
  assert.equal(histogram.quantile(0.5), 1);
});

test('a value recorded n times weighs as n values', () => {
  const weighted = new LogHistogram();
  weighted.record(5, 99);
  weighted.record(500);
  assert.equal(weighted.count, 100);
  assert.ok((weighted.quantile(0.99) as number) < 6);
  assert.ok((weighted.quantile(1) as number) === 500);
});

test('adding histograms is the same as recording everything in one', () => {
  const values = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 50 });
  fc.assert(
    fc.property(values, values, (left, right) => {
      const sum = histogramOf(left);
      sum.add(histogramOf(right));
      const whole = histogramOf([...left, ...right]);
      assert.deepEqual(
        [sum.count, sum.max, sum.quantile(0.5), sum.quantile(0.99)],
        [whole.count, whole.max, whole.quantile(0.5), whole.quantile(0.99)],
      );
    }),
  );
});
