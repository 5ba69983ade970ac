import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { barChart } from './chart.ts';
import { type Cell, type Report, Results, regressions, shown, table } from './report.ts';
import { ratio, sample, seeded } from './stats.ts';
import { zipf } from './zipf.ts';

function report(cells: readonly Cell[]): Report {
  const empty = { machine: {}, versions: {}, settings: {}, goals: [], skipped: [] };
  return { format: 1, startedAt: '2026-11-24T00:00:00.000Z', seconds: 1, quick: false, ...empty, cells };
}

function cell(metric: string, better: 'higher' | 'lower', median: number): Cell {
  const value = { median, min: median, max: median, rounds: 1 };
  return { suite: 's', case: 'c', contender: 'antipode', metric, unit: 'u', better, value };
}

suite('figures of rounds', () => {
  test('the median of odd and even numbers of rounds, with their spread', () => {
    assert.deepEqual(sample([3, 1, 2]), { median: 2, min: 1, max: 3, rounds: 3 });
    assert.deepEqual(sample([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4, rounds: 4 });
  });

  test('a ratio is that of rounds side by side, not of medians', () => {
    assert.deepEqual(ratio([10, 40, 90], [1, 2, 3]), { median: 20, min: 10, max: 30, rounds: 3 });
  });

  test('a seed gives the same numbers, in [0, 1) and spread', () => {
    const [first, second, other] = [seeded(7), seeded(7), seeded(8)];
    const drawn = Array.from({ length: 1000 }, first);
    assert.deepEqual(drawn, Array.from({ length: 1000 }, second));
    assert.notEqual(drawn[0], other());
    assert.ok(drawn.every((value) => value >= 0 && value < 1));
    assert.ok(Math.abs(drawn.reduce((sum, value) => sum + value, 0) / 1000 - 0.5) < 0.05);
  });

  test('by Zipf some keys are drawn far more often than others, and all are in range', () => {
    const draw = zipf(1000, seeded(1));
    const counts = new Map<number, number>();
    for (let at = 0; at < 10_000; at++) {
      const key = draw();
      assert.ok(Number.isInteger(key) && key >= 0 && key < 1000);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const [most = 0] = [...counts.values()].sort((a, b) => b - a);
    assert.ok(most > 1000 && most < 2000, `the most popular key was drawn ${most} times`);
  });
});

suite('goals', () => {
  test('a goal is reached by its median, on its side, and at its limit', () => {
    const results = new Results();
    const goal = (sign: '>=' | '<=', values: number[]): void =>
      results.goal({ suite: 's', name: 'n', sign, limit: 2, unit: 's', value: sample(values) });
    goal('>=', [1, 2, 3]);
    goal('>=', [1, 1, 9]);
    goal('<=', [1, 2, 3]);
    goal('<=', [3, 3, 1]);
    assert.deepEqual(
      results.goals.map((each) => [each.goal, each.reached, each.spread]),
      [
        ['>= 2 s', true, [1, 3]],
        ['>= 2 s', false, [1, 9]],
        ['<= 2 s', true, [1, 3]],
        ['<= 2 s', false, [1, 3]],
      ],
    );
  });
});

suite('regressions', () => {
  test('what is worse by more than the tolerance is named, on the side on which worse lies', () => {
    const base = report([cell('rate', 'higher', 100), cell('lag', 'lower', 100), cell('gone', 'lower', 1)]);
    assert.deepEqual(regressions(report([cell('rate', 'higher', 86), cell('lag', 'lower', 114)]), base, 0.15), []);
    const worse = regressions(report([cell('rate', 'higher', 80), cell('lag', 'lower', 120)]), base, 0.15);
    assert.deepEqual(worse, [
      's / c / antipode / rate: 100 -> 80.0 u (-20 %)',
      's / c / antipode / lag: 100 -> 120 u (+20 %)',
    ]);
    const better = report([cell('rate', 'higher', 300), cell('lag', 'lower', 10), cell('new', 'lower', 1)]);
    assert.deepEqual(regressions(better, base, 0.15), []);
  });
});

suite('what is printed', () => {
  test('numbers have the digits that carry meaning', () => {
    assert.deepEqual([1234567.8, 123.4, 12.34, 1.234, Number.NaN].map(shown), [
      '1,234,568',
      '123',
      '12.3',
      '1.23',
      '-',
    ]);
  });

  test('columns are as wide as their texts, and numbers stand to the right', () => {
    assert.equal(
      table(
        ['a', 'long'],
        [
          ['wide', '1'],
          ['b', '1,000'],
        ],
      ),
      'a     long\n----  -----\nwide      1\nb     1,000',
    );
  });

  test('a chart escapes what would be markup', () => {
    const chart = barChart('a < b', [{ label: 'c & d', value: 1, from: 1, to: 2, own: true }]);
    assert.match(chart, /a &lt; b/);
    assert.match(chart, /c &amp; d/);
  });
});
