// Runs simulations from the command line.
//
//   npm run sim -- --seeds 200                  the seeds 1 to 200, over all cores, and their sum
//   npm run sim -- --seeds 200 --from 1000      the seeds 1000 to 1199; --seeds 1000..1199 is the same
//   npm run sim -- --seeds 1000 --json          one JSON object on stdout; progress is on stderr
//   npm run sim -- --seed 7                     one seed, and what came of it
//   npm run sim -- --seed 7 --trace             with everything that happens; --notes: with what is worth reading
//   npm run sim -- --seeds 50 --faults crash-hub,isolate-hub   with faults of these kinds alone
//   npm run sim -- --seeds 200 --mutant keep-first             with a bug put in
//   npm run sim -- --crash-points --seeds 30    a death at every labelled point, in every role that passes it
//   npm run sim -- --crash-points --only-labels snapshot,log-      at those whose label begins so
//
// Exits with 1 when an oracle was violated, and prints the line that replays the seed.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { parseTarget } from '#sim/crash/crash-points';
import { FAULT_KINDS, type FaultKind } from '#sim/knobs';
import { MUTANTS } from '#sim/mutants/catalog';
import { editsOf } from '#sim/mutants/mutant';
import { ORACLES, type Oracle } from '#sim/oracle/violations';
import type { SimReport } from '#sim/report';
import { sweepCrashPoints } from '#sim/runner/crash-sweep';
import { type Job, replayLine } from '#sim/runner/job';
import { Pool } from '#sim/runner/pool';
import { Progress } from '#sim/runner/progress';
import { Summary } from '#sim/runner/summary';

const OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  from: { type: 'string' },
  workers: { type: 'string' },
  trace: { type: 'boolean', default: false },
  notes: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  mutant: { type: 'string' },
  faults: { type: 'string' },
  verbose: { type: 'boolean', default: false },
  oracles: { type: 'string' },
  'crash-points': { type: 'boolean', default: false },
  'only-labels': { type: 'string' },
  'crash-at': { type: 'string' },
  'fail-fast': { type: 'boolean', default: false },
} as const;

// Whoever reads may have seen enough: `| head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const { values } = readArguments();
const mutant = readMutant();
const edits = editsOf(MUTANTS.find(({ name }) => name === mutant));
const kinds = readKinds();
const oracles = readOracles();
const crashAt = values['crash-at'] === undefined ? undefined : parseTarget(values['crash-at']);
if (values['crash-at'] !== undefined && crashAt === undefined)
  usage("--crash-at takes a role, a label, a number and a kind, such as 'hub append-own before#1 process'.");

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS });
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function usage(problem: string): never {
  process.stderr.write(`${problem}\nThe head of src/sim/run.ts shows what can be asked.\n`);
  process.exit(2);
}

function readMutant(): string | undefined {
  if (values.mutant === undefined || MUTANTS.some(({ name }) => name === values.mutant)) return values.mutant;
  return usage(`--mutant takes one of ${MUTANTS.map(({ name }) => name).join(', ')}.`);
}

function readKinds(): readonly FaultKind[] | undefined {
  const asked = values.faults?.split(',');
  // As they were given: their order, and how often one stands there, belongs to the history that a line replays.
  const known = asked?.flatMap((name) => FAULT_KINDS.find((kind) => kind === name) ?? []);
  return asked === undefined || known?.length === asked.length
    ? known
    : usage(`--faults takes some of ${FAULT_KINDS.join(',')}.`);
}

function readOracles(): readonly Oracle[] | undefined {
  const asked = values.oracles?.split(',');
  const known = asked && ORACLES.filter((oracle) => asked.includes(oracle));
  return asked === undefined || known?.length === asked.length
    ? known
    : usage(`--oracles takes some of ${ORACLES.join(',')}.`);
}

function whole(name: string, text: string, least: number): number {
  const number = Number(text);
  return Number.isSafeInteger(number) && number >= least
    ? number
    : usage(`--${name} takes a whole number from ${least}.`);
}

function readSeeds(): readonly number[] {
  if (values.seed !== undefined) return [whole('seed', values.seed, 0)];
  const [count, end] = (values.seeds ?? '20').split('..');
  const from = end === undefined ? whole('from', values.from ?? '1', 0) : whole('seeds', count ?? '', 0);
  const to = end === undefined ? from + whole('seeds', count ?? '', 1) - 1 : whole('seeds', end, from);
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function readWorkers(): number {
  return whole('workers', values.workers ?? String(availableParallelism()), 1);
}

function describe(report: SimReport, ms: number): string {
  const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0);
  return [
    `seed ${report.seed}`,
    `${(report.virtualMs / 1000).toFixed(0)} s virtual`,
    `${report.events} events`,
    `${report.ackedWrites} acked`,
    `${faults} faults`,
    `${report.epochs} failovers (${report.lossyFailovers} lossy)`,
    `${report.states['tail-replayed'] ?? 0} tails replayed`,
    `agreed after ${report.convergedMs?.toFixed(0) ?? '-'} ms`,
    `${Math.round((report.events / Math.max(1, ms)) * 1000)} events/s`,
    report.traceHash,
  ].join(' · ');
}

function describeFailure(report: SimReport, job: Job): string {
  const found = report.violations.map(({ oracle, atMs, text }) => `  ${oracle} at ${atMs.toFixed(3)} ms: ${text}`);
  return [...found, `  replay: ${replayLine(job)}`].join('\n');
}

/** One seed, which may print as it goes. */
async function runOne(job: Job): Promise<boolean> {
  const onLine = (text: string): void => {
    if (values.trace || text.includes(' * ')) print(text);
  };
  const pool = new Pool(1, edits);
  const result = await pool.run({ ...job, prints: values.trace || values.notes }, onLine);
  await pool.close();
  if ('lost' in result) {
    print(`lost: ${result.lost.reason}`);
    return false;
  }
  const { report, ms } = result;
  const failed = report.violations.length > 0;
  if (values.json) {
    const summary = new Summary();
    summary.add(report, replayLine(job));
    print(JSON.stringify(summary.toJSON(ms)));
    return !failed;
  }
  print(describe(report, ms));
  print(`outcomes ${JSON.stringify(report.outcomes)}`);
  print(`faults   ${JSON.stringify(report.faults)}`);
  print(`states   ${JSON.stringify(report.states)}`);
  if (failed) print(describeFailure(report, job));
  return !failed;
}

async function runMany(jobs: readonly Job[]): Promise<boolean> {
  const startedMs = performance.now();
  const workers = Math.min(jobs.length, readWorkers());
  const summary = new Summary();
  const progress = new Progress(jobs.length, 'seeds');
  // What fails is told at once; with --json beside the progress.
  const tell = (text: string): void => {
    if (values.json) process.stderr.write(`${text}\n`);
    else print(text);
  };
  const pool = new Pool(workers, edits);
  await pool.inLanes(jobs, async (job) => {
    const result = await pool.run(job);
    const failuresBefore = summary.failed.length;
    if ('lost' in result) {
      summary.addLost(result.lost, replayLine(job));
      tell(`seed ${job.seed} was lost: ${result.lost.reason}\n  replay: ${replayLine(job)}`);
    } else {
      summary.add(result.report, replayLine(job));
      const failed = result.report.violations.length > 0;
      if (values.verbose || failed) tell(describe(result.report, result.ms));
      if (failed) tell(describeFailure(result.report, job));
    }
    progress.step(() => summary.brief);
    return values['fail-fast'] && summary.failed.length > failuresBefore ? 'stop' : 'go on';
  });
  await pool.close();
  progress.end();
  const elapsedMs = performance.now() - startedMs;
  print(values.json ? JSON.stringify(summary.toJSON(elapsedMs)) : summary.text(elapsedMs));
  return summary.failed.length === 0;
}

async function runSweep(seeds: readonly number[]): Promise<boolean> {
  const startedMs = performance.now();
  const pool = new Pool(readWorkers());
  const progress = new Progress(undefined, 'runs');
  const report = await sweepCrashPoints(pool, seeds, {
    kinds,
    labels: values['only-labels']?.split(','),
    onStep: (text) => progress.step(() => text),
  });
  await pool.close();
  progress.end();
  const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
  if (values.json) print(JSON.stringify({ ...report, seconds }));
  else {
    for (const [label, roles] of Object.entries(report.points)) print(`${label.padEnd(48)} ${roles.join(' ')}`);
    for (const { seed, oracle, text, replay } of report.violations)
      print(`seed ${seed}: ${oracle}: ${text}\n  replay: ${replay}`);
    const { pairs, hit, missed, violations } = report;
    const labels = Object.keys(report.points).length;
    print(`${labels} labels, ${hit} of ${pairs} deaths, ${violations.length} violations in ${seconds} s`);
    if (missed.length > 0) print(`missed: ${missed.join(', ')}`);
  }
  return report.violations.length === 0 && report.missed.length === 0;
}

const seeds = readSeeds();
const jobs = seeds.map((seed): Job => ({ seed, kinds, mutant, crashAt, oracles }));
const [only] = jobs;
const ok = values['crash-points']
  ? await runSweep(seeds)
  : jobs.length === 1 && only !== undefined
    ? await runOne(only)
    : await runMany(jobs);
process.exitCode = ok ? 0 : 1;
