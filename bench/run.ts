// Measures this system and its peers on this machine: one command, nothing to start before it.
//
//   npm run bench                                   every suite
//   npm run bench -- replicate serve                some suites
//   npm run bench -- --quick                        small and short, to see that all of it works and answers are right
//   npm run bench -- --json FILE --compare BASE     writes what it found, and names what is worse than in another such file
//   npm run bench -- serve --quick --profile DIR    and then bench/top.ts DIR: where the time goes
//
// Exit code 0: everything ran and every answer was right, whatever the times. 1: not. 2: it was not called rightly.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Suite } from './lib/bench.ts';
import { diskSyncMs } from './lib/disk.ts';
import { installNothing } from './lib/programs.ts';
import { cellTable, goalTable, type Report, Results, regressions } from './lib/report.ts';
import { realRows } from './lib/rows.ts';
import { Scope, WrongAnswer } from './lib/scope.ts';
import { newProject, profileInto } from './lib/stage.ts';
import { failover } from './suites/failover.ts';
import { footprint } from './suites/footprint.ts';
import { replicate } from './suites/replicate.ts';
import { scale } from './suites/scale.ts';
import { serve } from './suites/serve.ts';
import { sim } from './suites/sim.ts';

const SUITES: Readonly<Record<string, Suite>> = { replicate, serve, failover, footprint, sim, scale };
/** Two runs on one machine differ by so much. */
const TOLERANCE = 0.15;
const GIB = 1024 ** 3;

const USAGE = `npm run bench -- [suite…] [--json FILE] [--quick] [--rounds N] [--compare BASE] [--profile DIR]

Suites: ${Object.keys(SUITES).join(', ')}; all of them by default.
  --json FILE      write cells, goals, versions and settings to FILE
  --quick          small and short, with the peers that are installed: checks answers, its times mean little
  --rounds N       rounds of the cells that goals are made of, instead of the 5 that count
  --compare BASE   name the figures that are more than ${TOLERANCE * 100} % worse than in BASE, a file that --json wrote
  --profile DIR    CPU profiles of our processes, for bench/top.ts; they cost time, so figures of such a run do not count
  --help           this text
`;

class Misuse extends Error {}

interface Options {
  readonly suites: readonly string[];
  readonly json: string | undefined;
  readonly quick: boolean;
  readonly rounds: number | undefined;
  readonly base: Report | undefined;
}

function options(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      compare: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false, short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const unknown = positionals.filter((name) => !Object.hasOwn(SUITES, name));
  if (unknown.length > 0) throw new Misuse(`No suite is named ${unknown.join(', ')}.`);
  // Read first: a run of an hour must not end with a misspelt name.
  const base = values.compare === undefined ? undefined : readReport(values.compare);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (values.profile !== undefined) profileInto(values.profile);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1))
    throw new Misuse('--rounds takes a number from 1.');
  return { suites: positionals, json: values.json, quick: values.quick, rounds, base };
}

function readReport(file: string): Report {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch (error) {
    throw new Misuse(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  if (report.format !== 1) throw new Misuse(`${file} is no report of this program.`);
  return report;
}

async function measure({ suites: asked, quick, rounds }: Options): Promise<Report> {
  const startedAt = new Date().toISOString();
  const beganMs = performance.now();
  const results = new Results();
  const scope = new Scope();
  try {
    const projectFolder = await newProject(scope, { regions: 1 });
    const pool = await realRows();
    const disk = diskSyncMs();
    console.log(`fdatasync of 8 KiB takes ${disk.median.toFixed(2)} ms here, at most ${disk.max.toFixed(2)}`);
    results.disk = disk;
    for (const [name, suite] of Object.entries(SUITES)) {
      if (asked.length > 0 && !asked.includes(name)) continue;
      const suiteBeganMs = performance.now();
      console.log(`\n== ${name}`);
      const progress = (text: string): void =>
        console.log(`  ${((performance.now() - suiteBeganMs) / 1000).toFixed(0).padStart(4)} s  ${text}`);
      await suite({
        results,
        quick,
        rounds: (wanted) => (quick ? 1 : (rounds ?? wanted)),
        pool,
        projectFolder,
        progress,
      });
      console.log(`\n${cellTable(results.cells.filter((cell) => cell.suite === name))}`);
    }
  } finally {
    await scope.end();
  }
  return {
    format: 1,
    startedAt,
    seconds: Math.round((performance.now() - beganMs) / 1000),
    quick,
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / GIB),
      kernel: release(),
      fdatasyncMs: Number(results.disk.median.toFixed(3)),
    },
    versions: { node: process.version, ...results.versions },
    settings: results.settings,
    cells: results.cells,
    goals: results.goals,
    skipped: results.skipped,
  };
}

async function main(): Promise<number> {
  const asked = options();
  if (asked.quick) installNothing();
  const { json, quick, base } = asked;
  const report = await measure(asked);
  if (!quick) console.log(`\n== goals\n${goalTable(report.goals)}`);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  if (base !== undefined) {
    const worse = regressions(report, base, TOLERANCE);
    console.log(`\n== against ${base.startedAt}\n${worse.length === 0 ? 'nothing is worse' : worse.join('\n')}`);
  }
  console.log(
    `\nEvery answer was right. ${report.seconds} s${quick ? '; the times of the quick form mean little' : ''}.`,
  );
  return 0;
}

// Sources are compiled once, not by every process of every suite. What runs is the same.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('../.antipode/bench/compiled', import.meta.url));

// Processes of ours end with this one; the exit of this one ends those of others.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

try {
  process.exitCode = await main();
} catch (error) {
  const misused =
    error instanceof Misuse ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  if (misused) console.error(`${(error as Error).message}\n\n${USAGE}`);
  else if (error instanceof WrongAnswer) console.error(`\nA wrong answer voids this run: ${error.message}`);
  else console.error(error);
  process.exitCode = misused ? 2 : 1;
}
