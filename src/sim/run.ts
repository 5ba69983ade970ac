// Runs simulations from the command line.
//
//   node --conditions=antipode-source src/sim/run.ts --seed 7            one seed, and what came of it
//   node --conditions=antipode-source src/sim/run.ts --seed 7 --trace    with everything that happens
//   node --conditions=antipode-source src/sim/run.ts --seeds 1..200      many, and their sum
//   node --conditions=antipode-source src/sim/run.ts --seeds 1..50 --faults crash-hub,isolate-hub   of these kinds alone
//   node --conditions=antipode-source src/sim/run.ts --seeds 1..200 --mutant keep-first     with a bug put in
//
// Exits with 1 when an oracle was violated, and prints the line that replays the seed.
import { parseArgs } from 'node:util';
import { FAULT_KINDS } from '#sim/knobs';
import { MUTANTS } from '#sim/mutants';
import type { SimReport } from '#sim/report';
import { simulate } from '#sim/simulation';
import { Summary } from '#sim/summary';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    trace: { type: 'boolean', default: false },
    notes: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    faults: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function range(): readonly [number, number] {
  if (values.seed !== undefined) return [Number(values.seed), Number(values.seed)];
  const match = /^(\d+)(?:\.\.(\d+))?$/.exec(values.seeds ?? '1..20');
  if (match === null) {
    print('--seeds takes a number of seeds or a range such as 1..200.');
    process.exit(2);
  }
  return match[2] === undefined ? [1, Number(match[1])] : [Number(match[1]), Number(match[2])];
}

function line(report: SimReport, ms: number): string {
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

const mutant = MUTANTS.find(({ name }) => name === values.mutant);
if (values.mutant !== undefined && mutant === undefined) {
  print(`--mutant takes one of ${MUTANTS.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}
const asked = values.faults?.split(',');
const kinds = asked && FAULT_KINDS.filter((kind) => asked.includes(kind));
if (asked !== undefined && kinds?.length !== asked.length) {
  print(`--faults takes some of ${FAULT_KINDS.join(',')}.`);
  process.exit(2);
}
const [first, last] = range();
const single = first === last;
const summary = new Summary();
const startedMs = performance.now();
for (let seed = first; seed <= last; seed++) {
  const seedStartedMs = performance.now();
  const onLine: ((text: string) => void) | undefined = values.trace
    ? print
    : values.notes
      ? (text: string) => text.includes(' * ') && print(text)
      : undefined;
  const report = await simulate({ seed, mutant, kinds, print: onLine });
  summary.add(report);
  if (!values.json && (single || values.verbose || report.violations.length > 0))
    print(line(report, performance.now() - seedStartedMs));
  if (single && !values.json) {
    print(`outcomes ${JSON.stringify(report.outcomes)}`);
    print(`faults   ${JSON.stringify(report.faults)}`);
    print(`states   ${JSON.stringify(report.states)}`);
  }
  if (report.violations.length === 0) continue;
  process.exitCode = 1;
  if (values.json) continue;
  for (const { oracle, atMs, text } of report.violations) print(`  ${oracle} at ${atMs.toFixed(3)} ms: ${text}`);
  print(`  replay: node --conditions=antipode-source src/sim/run.ts --seed ${seed} --trace`);
  if (!values['keep-going']) break;
}
if (values.json) print(JSON.stringify(summary.toJSON(performance.now() - startedMs)));
else if (!single) print(summary.text(performance.now() - startedMs));
