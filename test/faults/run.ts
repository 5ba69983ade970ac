// Faults on real regions, and the checkers over what their clients saw.
//
//   npm run faults                              every scenario once
//   npm run faults -- --scenario kill-hub       one of them; --list names all
//   npm run faults -- --minutes 60              scenarios in a drawn order, until the time is up
//   npm run faults -- --history FILE            keeps the history of the last scenario, one JSON line an event
//   npm run faults -- --weakened                engines with a bug put in, each of which a checker must notice
//   npm run faults -- --check FILE              only judges a history that was kept
//   npm run faults -- --json                    one object at the end, and nothing else on standard output
//
// Exit code 0: no violation, with --weakened in every run one; 1: otherwise, or a scenario that did not come to its end;
// 2: wrong usage.
import { parseArgs } from 'node:util';
import { checkHistory, type Verdict } from './checkers.ts';
import { History } from './history.ts';
import { perform } from './perform.ts';
import { RunScope } from './run-scope.ts';
import { SCENARIOS, type Scenario, scenarioOf } from './scenarios.ts';
import { WEAKENED, type WeakenedEngine } from './weakened/weakened.ts';

interface Summary {
  readonly scenario: string;
  readonly weakened: string | null;
  readonly seed: number;
  readonly seconds: number;
  readonly writesAcknowledged: number;
  readonly reads: number;
  readonly faults: number;
  /** By level: those that asked for it and were answered at it. */
  readonly readsAtLevel: Verdict['levels'];
  readonly checked: Readonly<Record<string, number>>;
  readonly violations: Verdict['violations'];
  /** Why the scenario did not come to its end; null when it did. */
  readonly error: string | null;
}

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    history: { type: 'string' },
    check: { type: 'string' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    weakened: { type: 'boolean', default: false },
    engine: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

function print(text: string): void {
  if (!values.json) console.log(text);
}

function summaryOf(history: History, seconds: number, error: string | null): Summary {
  const [run] = history.of('run');
  const { checked, violations, levels } = checkHistory(history);
  return {
    scenario: run?.scenario ?? '?',
    weakened: run?.weakened ?? null,
    seed: run?.seed ?? 0,
    seconds: Math.round(seconds * 10) / 10,
    writesAcknowledged: new Set(
      history
        .of('write')
        .filter(({ outcome }) => outcome === 'ok')
        .map(({ write }) => write),
    ).size,
    reads: history.of('read').filter(({ outcome }) => outcome === 'ok').length,
    faults: history.of('fault').length,
    readsAtLevel: levels,
    checked,
    violations,
    error,
  };
}

function printSummary(summary: Summary): void {
  const { scenario, weakened, seed, seconds, writesAcknowledged, reads, faults, checked, violations, error } = summary;
  const name = weakened === null ? scenario : `${weakened} (${scenario})`;
  print(
    `${succeeded(summary) ? 'ok  ' : 'FAIL'}  ${name.padEnd(18)} seed ${seed}  ${seconds} s  ${writesAcknowledged} writes acknowledged, ${reads} reads, ${faults} disturbances`,
  );
  print(`      reads: ${counts(summary.readsAtLevel)}`);
  print(`      looked at: ${counts(checked)}`);
  if (error !== null) print(`      ${error}`);
  for (const { checker, count, examples } of violations) {
    print(`      ${checker}: ${count} violations`);
    for (const example of examples) print(`        ${example}`);
  }
}

function counts(figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

/** A real engine breaks no promise; one with a bug breaks the promise that its checker is there for. */
function succeeded({ weakened, violations, error }: Summary): boolean {
  if (error !== null) return false;
  const engine = WEAKENED.find(({ name }) => name === weakened);
  return engine === undefined
    ? violations.length === 0
    : engine.checkers.every((checker) => violations.some((violation) => violation.checker === checker));
}

function runnable({ name, skip }: Scenario): boolean {
  const reason = skip?.() ?? false;
  if (reason !== false) print(`skip  ${name.padEnd(18)} ${reason}`);
  return reason === false;
}

interface Run {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly engine?: WeakenedEngine | undefined;
}

async function runOne({ scenario, seed, engine }: Run): Promise<Summary> {
  const history = new History(values.history);
  const scope = new RunScope((line) => {
    if (values.verbose) process.stderr.write(`      ${line}\n`);
  });
  const startedMs = performance.now();
  let error: string | null = null;
  try {
    await perform(scope, {
      scenario,
      seed,
      history,
      weakened: engine === undefined ? [] : [engine],
      tail: engine?.tail,
    });
  } catch (caught) {
    error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught);
  } finally {
    await scope.end();
  }
  const summary = summaryOf(history, (performance.now() - startedMs) / 1000, error);
  printSummary(summary);
  return summary;
}

function* plan(): Generator<Run> {
  const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
  if (values.weakened) {
    for (const [at, engine] of WEAKENED.filter(({ name }) => (values.engine ?? name) === name).entries())
      yield { scenario: scenarioOf(engine.scenario), seed: firstSeed + at, engine };
    return;
  }
  const chosen =
    values.scenario === undefined ? SCENARIOS.filter(runnable) : values.scenario.split(',').map(scenarioOf);
  if (values.minutes === undefined) {
    for (const [at, scenario] of chosen.entries()) yield { scenario, seed: firstSeed + at };
    return;
  }
  const endMs = performance.now() + Number(values.minutes) * 60_000;
  for (let at = 0; performance.now() < endMs; at++)
    yield { scenario: chosen[(firstSeed + at) % chosen.length] as Scenario, seed: firstSeed + at };
}

async function main(): Promise<number> {
  if (values.list) {
    for (const { name, about } of SCENARIOS) console.log(`${name.padEnd(18)} ${about}`);
    return 0;
  }
  const numbers = [values.minutes, values.seed].filter((value) => value !== undefined);
  if (numbers.some((value) => !(Number(value) >= 0))) throw new Error('--minutes and --seed take a number');
  const summaries: Summary[] = [];
  if (values.check === undefined) for (const run of plan()) summaries.push(await runOne(run));
  else {
    const summary = summaryOf(History.read(values.check), 0, null);
    printSummary(summary);
    summaries.push(summary);
  }
  const violations = summaries.flatMap((each) => (each.weakened === null ? each.violations : []));
  const failed = summaries.filter((each) => !succeeded(each)).length;
  if (values.json) console.log(JSON.stringify({ runs: summaries, violations, failed }, null, 2));
  else print(`\n${summaries.length} runs, ${summaries.length - failed} as they should be, ${failed} not`);
  return failed === 0 && summaries.length > 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
