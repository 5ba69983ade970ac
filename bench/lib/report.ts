import { type Sample, sample } from './stats.ts';

/** One figure of one contender. */
export interface Cell {
  readonly suite: string;
  /** What was done, such as `10 entities x 10 features, closed loop`. */
  readonly case: string;
  /** Who did it: `antipode` or a peer. */
  readonly contender: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly value: Sample;
}

/** A figure that was set before it was measured. */
export interface Goal {
  readonly suite: string;
  readonly name: string;
  /** Such as `>= 200000 rows/s`. */
  readonly goal: string;
  readonly value: number;
  readonly reached: boolean;
  /** Least and greatest of the rounds. */
  readonly spread: readonly [number, number];
}

export interface Skipped {
  readonly suite: string;
  readonly what: string;
  readonly reason: string;
}

/** All that one run found: what `--json` writes. */
export interface Report {
  readonly format: 1;
  readonly startedAt: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  readonly cells: readonly Cell[];
  readonly goals: readonly Goal[];
  readonly skipped: readonly Skipped[];
}

/** Collects what the suites find, and prints it as it comes. */
export class Results {
  readonly cells: Cell[] = [];
  readonly goals: Goal[] = [];
  readonly skipped: Skipped[] = [];
  readonly settings: Record<string, Record<string, string | number>> = {};
  readonly versions: Record<string, string> = {};
  /** How long a small write takes to be durable, ms. */
  disk: Sample = sample([]);

  cell(cell: Cell): void {
    this.cells.push(cell);
  }

  /** A goal of the form `value <sign> limit`. */
  goal(goal: {
    readonly suite: string;
    readonly name: string;
    readonly sign: '>=' | '<=';
    readonly limit: number;
    readonly unit?: string;
    readonly value: Sample;
  }): void {
    const { sign, limit, value } = goal;
    this.goals.push({
      suite: goal.suite,
      name: goal.name,
      goal: `${sign} ${limit}${goal.unit === undefined ? '' : ` ${goal.unit}`}`,
      value: value.median,
      reached: sign === '>=' ? value.median >= limit : value.median <= limit,
      spread: [value.min, value.max],
    });
  }

  skip(skipped: Skipped): void {
    this.skipped.push(skipped);
    console.log(`  left out: ${skipped.what}: ${skipped.reason}`);
  }
}

/** A number with as many digits as carry meaning. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** Columns as wide as their widest text; numbers stand to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => (/^-?[\d,.]+$/.test(text) ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** What a figure is, with its unit. */
export function figureName({ metric, unit }: Cell): string {
  return metric.endsWith(unit) ? metric : `${metric}, ${unit}`;
}

/** The cells of a suite, a line each. */
export function cellTable(cells: readonly Cell[]): string {
  return table(
    ['case', 'contender', 'metric', 'median', 'min', 'max', 'rounds'],
    cells.map((cell) => [
      cell.case,
      cell.contender,
      figureName(cell),
      shown(cell.value.median),
      shown(cell.value.min),
      shown(cell.value.max),
      String(cell.value.rounds),
    ]),
  );
}

export function goalTable(goals: readonly Goal[]): string {
  return table(
    ['suite', 'goal', 'wanted', 'measured', 'spread', 'reached'],
    goals.map((goal) => [
      goal.suite,
      goal.name,
      goal.goal,
      shown(goal.value),
      `${shown(goal.spread[0])} .. ${shown(goal.spread[1])}`,
      goal.reached ? 'yes' : 'no',
    ]),
  );
}

/** Figures that are worse than in another report by more than `tolerance` of it: a line each. */
export function regressions(now: Report, base: Report, tolerance: number): string[] {
  const known = new Map(base.cells.map((cell) => [cellName(cell), cell]));
  return now.cells.flatMap((cell) => {
    const before = known.get(cellName(cell));
    if (before === undefined) return [];
    const change = cell.value.median / before.value.median - 1;
    const worse = cell.better === 'higher' ? -change : change;
    if (!(worse > tolerance)) return [];
    const percent = `${change > 0 ? '+' : ''}${(change * 100).toFixed(0)} %`;
    return [
      `${cellName(cell)}: ${shown(before.value.median)} -> ${shown(cell.value.median)} ${cell.unit} (${percent})`,
    ];
  });
}

function cellName(cell: Cell): string {
  return `${cell.suite} / ${cell.case} / ${cell.contender} / ${cell.metric}`;
}
