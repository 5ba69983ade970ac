// Puts every seeded bug into the engine, one at a time, and looks which oracle notices.
//
//   npm run sim:mutants                              all of them, over all cores
//   npm run sim:mutants -- --json                    one JSON object on stdout; progress is on stderr
//   npm run sim:mutants -- --only keep-first,apply-twice
//   npm run sim:mutants -- --alone                   and for each oracle a bug that it catches with the others off
//   npm run sim:mutants -- --seeds 300 --minutes 60  the most for each, and for all together; these are the defaults
//
// Exits with 1 when a bug that is not explained lives, or more than one in twenty does; of a trial of all bugs also when an
// oracle catches none with the others off. A fifth of the minutes is kept for finding that out.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { MUTANTS } from '#sim/mutants/catalog';
import { ORACLES, type Oracle } from '#sim/oracle/violations';
import { seedsFor, tryMutant, type Verdict } from '#sim/runner/mutant-trial';
import { Pool } from '#sim/runner/pool';
import { Progress } from '#sim/runner/progress';

/** Share of the bugs that must be caught. */
const KILLED_SHARE_MIN = 0.95;
/** Share of the time after which no further seed is tried for bugs: the rest is for the oracles alone. */
const TRIAL_SHARE = 0.8;

const OPTIONS = {
  only: { type: 'string' },
  seeds: { type: 'string', default: '300' },
  minutes: { type: 'string', default: '60' },
  workers: { type: 'string', default: String(availableParallelism()) },
  alone: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

/** Seeds for one oracle alone and one bug. */
const ALONE_SEEDS_MAX = 12;

interface Alone {
  readonly oracle: Oracle;
  readonly mutant: string | undefined;
  readonly seed: number | undefined;
  readonly replay: string | undefined;
}

const { values } = readArguments();

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS });
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
}

function usage(problem: string): never {
  process.stderr.write(`${problem}\nThe head of src/sim/run-mutants.ts shows what can be asked.\n`);
  process.exit(2);
}

function above(name: 'seeds' | 'minutes' | 'workers'): number {
  const number = Number(values[name]);
  return number > 0 ? number : usage(`--${name} takes a number above 0.`);
}

const names = values.only?.split(',');
const unknown = names?.filter((name) => !MUTANTS.some((mutant) => mutant.name === name)) ?? [];
if (unknown.length > 0)
  usage(`No mutant is called ${unknown.join(', ')}. There are ${MUTANTS.map(({ name }) => name).join(', ')}.`);
const mutants = MUTANTS.filter(({ name }) => names?.includes(name) ?? true);

const startedMs = performance.now();
const allowedMs = above('minutes') * 60_000;
const wantsAlone = values.alone || names === undefined;
const over = (share: number) => (): boolean => performance.now() > startedMs + share * allowedMs;
const trialIsOver = over(wantsAlone ? TRIAL_SHARE : 1);
const allIsOver = over(1);
const lanes = new Pool(above('workers'));
const seedsMax = above('seeds');
const progress = new Progress(mutants.length, 'mutants');
const verdicts: Verdict[] = [];
await lanes.inLanes(mutants, async (mutant) => {
  const verdict = await tryMutant(mutant, { seeds: seedsFor(mutant, seedsMax), giveUp: trialIsOver });
  verdicts.push(verdict);
  tell(describe(verdict));
  progress.step(() => `${verdicts.filter(({ killed }) => killed).length} killed`);
  return 'go on';
});
const alone = wantsAlone ? await tryOracles() : [];
progress.end();

/** For each oracle a bug that it catches with all others off. */
async function tryOracles(): Promise<Alone[]> {
  const found: Alone[] = [];
  await lanes.inLanes(ORACLES, async (oracle) => {
    // Those that this oracle saw in their last run first, then those of which it is said that it may.
    const fired = verdicts.filter(({ oracles }) => oracles.includes(oracle));
    const named = mutants.filter((mutant) => mutant.oracles.includes(oracle));
    const candidates = new Set([...fired.map(({ mutant }) => mutants.find(({ name }) => name === mutant)), ...named]);
    let kill: Verdict | undefined;
    for (const mutant of candidates) {
      if (mutant === undefined) continue;
      const before = verdicts.find((verdict) => verdict.mutant === mutant.name)?.seed;
      const seeds = [...(before === undefined ? [] : [before]), ...seedsFor(mutant, ALONE_SEEDS_MAX)];
      const verdict = await tryMutant(mutant, { seeds, giveUp: allIsOver, oracles: [oracle] });
      if (!verdict.killed) continue;
      kill = verdict;
      break;
    }
    found.push({ oracle, mutant: kill?.mutant, seed: kill?.seed, replay: kill?.replay });
    tell(`${oracle.padEnd(40)} ${kill?.mutant ?? 'NOTHING'} with the others off`);
    return 'go on';
  });
  return found.sort((a, b) => ORACLES.indexOf(a.oracle) - ORACLES.indexOf(b.oracle));
}

/** What became of one; with --json beside the progress. */
function tell(text: string): void {
  (values.json ? process.stderr : process.stdout).write(`${text}\n`);
}

function describe(verdict: Verdict): string {
  const { mutant, killed, oracles, seed, seedsTried, seconds, explained, lost } = verdict;
  const end = killed
    ? `killed by ${oracles.join(', ')} on seed ${seed}, the ${seedsTried}. tried`
    : `LIVES after ${seedsTried} seeds${explained === undefined ? '' : `: ${explained}`}`;
  const runs = lost === undefined ? '' : `, a run was lost: ${lost.split('\n')[0]}`;
  return `${mutant.padEnd(40)} ${end}${runs} (${seconds} s)`;
}

const order = new Map(mutants.map(({ name }, index) => [name, index]));
verdicts.sort((a, b) => (order.get(a.mutant) ?? 0) - (order.get(b.mutant) ?? 0));
const survivors = verdicts.filter(({ killed }) => !killed);
const killed = verdicts.length - survivors.length;
const byOracle: Record<string, string[]> = {};
for (const { mutant, oracles } of verdicts)
  for (const oracle of oracles) byOracle[oracle] = [...(byOracle[oracle] ?? []), mutant];
const elapsedSeconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
const report = {
  mutants: verdicts.length,
  killed,
  killedShare: Number((killed / Math.max(1, verdicts.length)).toFixed(4)),
  survivors: survivors.map(({ mutant, bug, seedsTried, explained, lost }) => ({
    mutant,
    bug,
    seedsTried,
    explained,
    lost,
  })),
  byOracle,
  alone,
  verdicts,
  elapsedSeconds,
};
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else process.stdout.write(`${killed} of ${verdicts.length} killed in ${elapsedSeconds} s\n`);
const unexplained = survivors.filter(({ explained }) => explained === undefined);
// Of some bugs alone nothing follows for an oracle that catches others.
const idle = names === undefined ? alone.filter(({ mutant }) => mutant === undefined).map(({ oracle }) => oracle) : [];
if (idle.length > 0) process.stderr.write(`caught NOTHING with the others off: ${idle.join(', ')}\n`);
process.exitCode = unexplained.length > 0 || report.killedShare < KILLED_SHARE_MIN || idle.length > 0 ? 1 : 0;
