// Writes docs/performance.md from what a run found:
//
//   npm run bench -- --json bench/baselines/2-cores.json      on a machine that does nothing else
//   node scripts/node.js bench/write-docs.ts bench/baselines/2-cores.json
//
// What the figures mean is in bench/reading.md and is taken over as it is.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { barChart } from './lib/chart.ts';
import { type Cell, figureName, type Report, shown } from './lib/report.ts';

const READING = fileURLToPath(new URL('reading.md', import.meta.url));
const DOCS = fileURLToPath(new URL('../docs', import.meta.url));

/** Figures that a picture shows better than a table: name of the file, title, and which cells. */
const CHARTS = [
  {
    file: 'performance-replication.svg',
    title: 'Rows a second, visible at the replica (longer is better)',
    suite: 'replicate',
    takes: (cell: Cell) => cell.metric === 'visible at the replica' && cell.case.startsWith('flat out, 1 replica'),
  },
  {
    file: 'performance-lag.svg',
    title: 'Lag p99 at 20,000 rows/s, ms (shorter is better)',
    suite: 'replicate',
    takes: (cell: Cell) => cell.metric === 'lag p99',
  },
  {
    file: 'performance-serving.svg',
    title: 'Reads a second of processor time, 10 entities x 10 features (longer is better)',
    suite: 'serve',
    takes: (cell: Cell) =>
      cell.metric === 'requests per second of processor time' &&
      /^10 entities x 10 features(, (against|closed))/.test(cell.case) &&
      !(cell.contender === 'antipode' && cell.case.includes('against')),
  },
] as const;

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function goals(report: Report): string {
  return markdownTable(
    ['suite', 'goal', 'wanted', 'measured', 'rounds from .. to', 'reached'],
    report.goals.map((goal) => [
      goal.suite,
      goal.name,
      goal.goal,
      shown(goal.value),
      `${shown(goal.spread[0])} .. ${shown(goal.spread[1])}`,
      goal.reached ? 'yes' : '**no**',
    ]),
  );
}

function suite(report: Report, name: string): string {
  const cells = report.cells.filter((cell) => cell.suite === name);
  const settings = Object.entries(report.settings[name] ?? {}).map(([key, value]) => `${key} ${value}`);
  const charts = CHARTS.filter((chart) => chart.suite === name).flatMap((chart) => {
    const bars = cells.filter(chart.takes).map((cell) => ({
      label: `${cell.contender}: ${cell.case}`,
      value: cell.value.median,
      from: cell.value.min,
      to: cell.value.max,
      own: cell.contender.startsWith('antipode'),
    }));
    if (bars.length === 0) return [];
    writeFileSync(`${DOCS}/${chart.file}`, barChart(chart.title, bars));
    return [`![${chart.title}](${chart.file})`];
  });
  const rows = cells.map((cell) => [
    cell.case,
    cell.contender,
    figureName(cell),
    shown(cell.value.median),
    cell.value.rounds === 1 ? '' : `${shown(cell.value.min)} .. ${shown(cell.value.max)}`,
  ]);
  return [
    `## ${name}`,
    `Settings: ${settings.join(', ')}.`,
    ...charts,
    markdownTable(['case', 'contender', 'metric', 'median', 'rounds from .. to'], rows),
  ].join('\n\n');
}

function document(report: Report): string {
  const machine = Object.entries(report.machine).map(([key, value]) => `${key} ${value}`);
  const versions = Object.entries(report.versions).map(([key, value]) => `${key} ${value}`);
  const suites = [...new Set(report.cells.map((cell) => cell.suite))];
  const skipped = report.skipped.map(({ suite: of, what, reason }) => `- ${of}: ${what}: ${reason}`);
  return `${[
    '# Performance',
    '<!-- Written by bench/write-docs.ts from a report of `npm run bench`; the reading is bench/reading.md. -->',
    `Measured ${report.startedAt.slice(0, 10)} in one run of ${Math.ceil(report.seconds / 60)} minutes: ${machine.join(', ')}; ${versions.join(', ')}. How, and what it does not show: [bench/README.md](../bench/README.md).`,
    readFileSync(READING, 'utf8').trim(),
    '## Goals',
    goals(report),
    ...suites.map((name) => suite(report, name)),
    ...(skipped.length === 0 ? [] : ['## Left out', skipped.join('\n')]),
  ].join('\n\n')}\n`;
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('node scripts/node.js bench/write-docs.ts REPORT, where REPORT is a file that --json wrote.');
  process.exitCode = 2;
} else {
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  writeFileSync(`${DOCS}/performance.md`, document(report));
}
