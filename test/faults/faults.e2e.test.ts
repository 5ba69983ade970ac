// Real regions under faults: what their clients saw passes the checkers, and does not when the engine has a bug.
// `npm run faults` has more scenarios and runs for as long as one likes.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { suite, type TestContext, test } from 'node:test';
import { FULL } from '../support/local-topology.ts';
import { checkHistory, type Verdict } from './checkers.ts';
import { History } from './history.ts';
import { perform } from './perform.ts';
import { SCENARIOS, scenarioOf } from './scenarios.ts';
import { WEAKENED, type WeakenedEngine, weakenedEngine } from './weakened/weakened.ts';

const SEED = Number(process.env['ANTIPODE_SEED'] ?? randomInt(2 ** 31));
/** One after the other on the same regions: what each leaves behind is what the next one meets. */
const TOURS = [
  ['cut-off-replica', 'kill-region', 'halt-hub', 'isolate-hub', 'half-open', 'kill-control'],
  ['flip-log', 'flip-store'],
];
/** Bugs that show under one scenario, put into one engine: each has a checker of its own to notice it. The long form takes them one by one. */
const TOGETHER = [
  ['always-fresh', 'forgets-sessions'],
  ['unconfirmed-strong-reads', 'ignores-seal'],
  ['stale-lease', 'forgets-idempotency'],
  ['forgets-rows'],
];
/** What every history must have given the checkers to look at. */
const LOOKED_AT = [
  ...['intact', 'epochs', 'freshness', 'eventual', 'session', 'bounded', 'strong'],
  ...['beyond-seal', 'identical', 'once', 'refused', 'acknowledged'],
];

/** Of reads that asked for a level, so many must have been answered at it: it was judged, and not only refused. */
const READS_AT_LEVEL_MIN = 100;

suite('three real regions under faults', () => {
  const runnable = SCENARIOS.filter(({ skip }) => skip === undefined || skip() === false);
  for (const names of FULL ? [...TOURS, ...runnable.map(({ name }) => [name])] : TOURS) {
    test(`no promise is broken: ${names.join(', ')}`, async (t) => {
      t.diagnostic(`seed ${SEED}; the same draws again: ANTIPODE_SEED=${SEED}`);
      const history = new History();
      await perform(t, { scenario: names.map(scenarioOf), seed: SEED, history });
      const verdict = checkHistory(history);
      report(t, history, verdict);
      assert.deepEqual(verdict.violations, []);
      assert.ok(acknowledgedDeletes(history) > 0, 'clients deleted rows');
      for (const checker of LOOKED_AT) assert.ok((verdict.checked[checker] ?? 0) > 0, `${checker} looked at something`);
      for (const [level, reads] of Object.entries(verdict.levels))
        assert.ok(reads >= READS_AT_LEVEL_MIN, `${reads} reads at the level ${level}`);
    });
  }

  for (const names of FULL ? WEAKENED.map(({ name }) => [name]) : TOGETHER) {
    test(`checkers notice the engine that has the bugs: ${names.join(', ')}`, async (t) => {
      const engines = names.map(weakenedEngine);
      const [first] = engines as [WeakenedEngine];
      const history = new History();
      await perform(t, {
        scenario: scenarioOf(first.scenario),
        seed: SEED,
        history,
        weakened: engines,
        tail: engines.find(({ tail }) => tail !== undefined)?.tail,
      });
      const verdict = checkHistory(history);
      report(t, history, verdict);
      const noticed = verdict.violations.map(({ checker }) => checker);
      for (const { bug, checkers } of engines)
        assert.ok(
          checkers.every((checker) => noticed.includes(checker)),
          `${checkers.join(' and ')} notice: ${bug}`,
        );
    });
  }
});

function acknowledgedDeletes(history: History): number {
  return history.of('write').filter(({ operation, outcome }) => operation === 'delete' && outcome === 'ok').length;
}

function report(t: TestContext, history: History, { checked, violations, levels }: Verdict): void {
  const acknowledged = history.of('write').filter(({ outcome }) => outcome === 'ok').length;
  t.diagnostic(
    `${acknowledged} answers to writes, ${acknowledgedDeletes(history)} of them to deletes, ${history.of('fault').length} disturbances`,
  );
  t.diagnostic(`reads at each level ${JSON.stringify(levels)}`);
  t.diagnostic(`looked at ${JSON.stringify(checked)}, found ${JSON.stringify(violations)}`);
}
