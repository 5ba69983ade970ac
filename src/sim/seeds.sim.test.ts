import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, test } from 'node:test';
import { CORPUS } from '#sim/corpus';
import { FAULT_KINDS } from '#sim/knobs';
import { type Job, replayLine } from '#sim/runner/job';
import { Pool } from '#sim/runner/pool';
import { Summary } from '#sim/runner/summary';
import { SOMETIMES } from '#sim/sometimes';

const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const SEEDS = FULL ? 2000 : 200;
/** Real time after which no further seed is begun: of all runs of this file, the corpus and the single faults among them. */
const MS_MAX = FULL ? 3_600_000 : 180_000;
/** What the seeds from 1 on have of it at the least. */
const MS_MIN = 60_000;
/** A seed that has begun goes on to its end. */
const TIMEOUT_MS = MS_MAX + 120_000;
/** One of few events. */
const SHORT_SEED = 12;
/** Rare states of which a share is reached when this many seeds were run. */
const SEEDS_FOR_STATES = 60;

const pool = new Pool(availableParallelism());
const beganMs = performance.now();
after(() => pool.close());

async function run(jobs: readonly Job[], msMax = Number.POSITIVE_INFINITY): Promise<Summary> {
  const summary = new Summary();
  const startedMs = performance.now();
  await pool.inLanes(jobs, async (job) => {
    if (performance.now() - startedMs > msMax) return 'stop';
    const result = await pool.run(job);
    if ('lost' in result) summary.addLost(result.lost, replayLine(job));
    else summary.add(result.report, replayLine(job));
    return 'go on';
  });
  return summary;
}

function assertNoViolation(summary: Summary): void {
  const found = summary.failed.map(({ seed, oracle, text, replay }) => `seed ${seed}: ${oracle}: ${text}\n${replay}`);
  assert.equal(found.length, 0, found.join('\n'));
}

test('past failures do not come back', { timeout: TIMEOUT_MS }, async () => {
  const jobs = CORPUS.flatMap(({ seeds, kinds, crashAt }) => seeds.map((seed): Job => ({ seed, kinds, crashAt })));
  assertNoViolation(await run(jobs));
});

test('each fault alone: every oracle', { timeout: TIMEOUT_MS }, async () => {
  assertNoViolation(await run(FAULT_KINDS.map((kind): Job => ({ seed: SHORT_SEED, kinds: [kind] }))));
});

test('seeds from 1 on: every oracle, and what they are there for', { timeout: TIMEOUT_MS }, async () => {
  const jobs = Array.from({ length: SEEDS }, (_, index): Job => ({ seed: index + 1 }));
  const summary = await run(jobs, Math.max(MS_MIN, MS_MAX - (performance.now() - beganMs)));
  assertNoViolation(summary);
  const { seeds, failovers, ackedWrites, faults, sometimes, lostLogWrites } = summary.toJSON(1);
  const reached = JSON.stringify({ seeds, failovers, ackedWrites, faults, sometimes });
  assert.ok(failovers > seeds / 2 && ackedWrites > seeds * 100 && faults > seeds * 5, reached);
  assert.ok(lostLogWrites > 0, 'a crash lost writes that no fsync had reached');
  if (seeds >= SEEDS_FOR_STATES) assert.ok(sometimes.reached >= SOMETIMES.length * 0.75, reached);
});
