// How much the simulator gets through: what it can find in a night depends on it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SuiteRun } from '../lib/bench.ts';
import { WrongAnswer } from '../lib/scope.ts';
import { sample } from '../lib/stats.ts';

const SUITE = 'sim';
const ROUNDS = 3;
const RUN = fileURLToPath(new URL('../../src/sim/run.ts', import.meta.url));
const SEED_FIRST = 1;

/** Of the simulator's own summary. */
interface Summary {
  readonly eventsPerSecond: number;
  readonly ackedWrites: number;
  readonly elapsedMs: number;
  readonly violations: readonly unknown[];
}

export async function sim(run: SuiteRun): Promise<void> {
  const seeds = run.quick ? 1 : 16;
  const rounds = run.rounds(ROUNDS);
  run.results.settings[SUITE] = { seeds, firstSeed: SEED_FIRST };
  const summaries: Summary[] = [];
  for (let round = 0; round < rounds; round++) {
    run.progress(`round ${round + 1}: seeds ${SEED_FIRST} to ${SEED_FIRST + seeds - 1}`);
    summaries.push(await simulate(seeds));
  }
  const report = (metric: string, unit: string, value: (summary: Summary) => number): void =>
    run.results.cell({
      suite: SUITE,
      case: `${seeds} seeds, all cores`,
      contender: 'antipode',
      metric,
      unit,
      better: 'higher',
      value: sample(summaries.map(value)),
    });
  report('events', 'per second', (summary) => summary.eventsPerSecond);
  report('acknowledged writes', 'per second', (summary) => (summary.ackedWrites * 1000) / summary.elapsedMs);
  report('simulated runs', 'per second', (summary) => (seeds * 1000) / summary.elapsedMs);
}

/** The same seeds give the same events every time, so only the time differs. */
async function simulate(seeds: number): Promise<Summary> {
  const args = ['--conditions=antipode-source', RUN, '--seeds', String(seeds), '--from', String(SEED_FIRST), '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new WrongAnswer(`the simulator ended with ${code}: ${stdout.slice(0, 500)}`);
  return JSON.parse(stdout) as Summary;
}
