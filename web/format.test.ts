import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  formatAxisDuration,
  formatBytes,
  formatClock,
  formatCompact,
  formatDuration,
  formatInstant,
  formatRate,
  joinWords,
} from './format.ts';

suite('numbers with units', () => {
  test('durations keep about two figures and change their unit in time', () => {
    const cases: readonly (readonly [number | null, string])[] = [
      [null, '–'],
      [Number.NaN, '–'],
      [-40, '0 ms'],
      [0, '0 ms'],
      [0.4, '<1 ms'],
      [83.6, '84 ms'],
      [999.4, '999 ms'],
      [999.6, '1.0 s'],
      [9_949, '9.9 s'],
      [9_950, '10 s'],
      [59_499, '59 s'],
      [59_600, '1 min'],
      [184_000, '3 min 4 s'],
      [7_380_000, '2 h 3 min'],
      [3 * 86_400_000 + 4 * 3_600_000, '3 d 4 h'],
    ];
    for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
  });

  test('an axis shows powers of ten without decimals', () => {
    assert.deepEqual([1, 10, 1000, 100_000, 1_000_000].map(formatAxisDuration), [
      '1 ms',
      '10 ms',
      '1 s',
      '100 s',
      '1k s',
    ]);
  });

  test('rates, bytes and short counts', () => {
    assert.equal(formatRate(null, 'rows'), '–');
    assert.equal(formatRate(0, 'rows'), '0 rows/s');
    assert.equal(formatRate(4.24, 'rows'), '4.2 rows/s');
    assert.equal(formatRate(12_345.6, 'rows'), '12,346 rows/s');
    assert.deepEqual([0, 999, 1000, 34_400_000, 999_600_000].map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '34 MB',
      '1.0 GB',
    ]);
    assert.equal(formatCompact(12_345), '12.3k');
  });

  test('times are UTC, and a broken one does not stop the page', () => {
    const at = Date.UTC(2026, 10, 23, 16, 4, 31);
    assert.equal(formatClock(at), '16:04:31');
    assert.equal(formatInstant(at), '2026-11-23 16:04:31 UTC');
    assert.equal(formatClock(Number.NaN), '??:??:??');
  });

  test('lists in words', () => {
    assert.deepEqual([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(joinWords), ['', 'a', 'a and b', 'a, b and c']);
  });
});
