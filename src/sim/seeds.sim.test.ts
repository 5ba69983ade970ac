import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_KINDS, type FaultKind } from '#sim/knobs';
import { replayLine } from '#sim/runner/job';
import { Summary } from '#sim/runner/summary';
import { simulate } from '#sim/simulation';

const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const SEEDS = FULL ? 2000 : 30;
/** Seeds in one test: a failure names its own, and the rest still run. */
const BATCH = 10;

/** One of few events. */
const SHORT_SEED = 12;

const summary = new Summary();

async function holds(seed: number, kinds?: readonly FaultKind[]): Promise<void> {
  const report = await simulate({ seed, kinds });
  const replay = replayLine({ seed, kinds });
  summary.add(report, replay);
  const found = report.violations.map(({ oracle, atMs, text }) => `${oracle} at ${atMs.toFixed(3)} ms: ${text}`);
  assert.deepEqual(found, [], `seed ${seed}\n${found.join('\n')}\nreplay: ${replay}`);
}

test('each fault alone: I1 to I5, I8, I12, I14', async () => {
  for (const kind of FAULT_KINDS) await holds(SHORT_SEED, [kind]);
});

for (let from = 1; from <= SEEDS; from += BATCH) {
  test(`seeds ${from} to ${from + BATCH - 1}: I1 to I5, I8, I12, I14`, async () => {
    for (let seed = from; seed < from + BATCH; seed++) await holds(seed);
  });
}

test('the seeds reached what they are there for', () => {
  const { failovers, ackedWrites, faults, lostLogWrites, rareStates } = summary.toJSON(1);
  const states: Readonly<Record<string, number>> = rareStates;
  assert.ok(
    failovers > SEEDS / 2 && ackedWrites > SEEDS * 100 && faults > SEEDS * 5,
    JSON.stringify(summary.toJSON(1)),
  );
  assert.ok(lostLogWrites > 0, 'a crash lost writes that no fsync had reached');
  for (const state of [
    'holder-stalled',
    'lease-lost',
    'promotion-completed',
    'rebuild-beyond-seal',
    'rebuild-completed',
    'tail-found',
    'tail-replayed',
  ])
    assert.ok((states[state] ?? 0) > 0, `${state} was not reached`);
});
