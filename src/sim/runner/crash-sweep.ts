import { type CrashTarget, pointName, ROLES } from '#sim/crash/crash-points';
import type { FaultKind } from '#sim/knobs';
import { type Job, replayLine } from '#sim/runner/job';
import type { JobResult, Pool } from '#sim/runner/pool';
import type { Failure } from '#sim/runner/summary';

/** A point is met at one of its first passes: late ones make long runs. */
const NTH_MAX = 12;

export interface SweepReport {
  /** Labels and roles in which they were passed. */
  readonly points: Readonly<Record<string, readonly string[]>>;
  /** Pairs of role and label. */
  readonly pairs: number;
  /** Pairs at which a machine died once. */
  readonly hit: number;
  readonly missed: readonly string[];
  readonly violations: readonly Failure[];
}

interface Seen {
  readonly seed: number;
  readonly events: number;
  readonly count: number;
}

/**
 * Makes a machine die at every labelled point in every role that passes it: first runs seeds to learn the points, then
 * runs for each of them the cheapest of these seeds again, which passes the same points up to the death.
 */
export async function sweepCrashPoints(
  pool: Pool,
  seeds: readonly number[],
  options: {
    /** Faults beside the deaths, instead of those the seeds draw. */
    readonly kinds?: readonly FaultKind[] | undefined;
    /** Only labels that begin with one of these. */
    readonly labels?: readonly string[] | undefined;
    readonly onStep?: (text: string) => void;
  } = {},
): Promise<SweepReport> {
  const { kinds, labels, onStep = () => undefined } = options;
  const violations: Failure[] = [];
  const take = (job: Job, result: JobResult): void => {
    violations.push(...failuresOf(job, result));
  };
  const found = new Map<string, Seen>();
  await pool.inLanes(seeds, async (seed) => {
    const job: Job = { seed, kinds, points: true };
    const result = await pool.run(job);
    take(job, result);
    if ('report' in result) {
      const { events, points = {} } = result.report;
      for (const [name, count] of Object.entries(points)) {
        const { label } = targetOf(name, 1, 0);
        if (labels?.some((prefix) => label.startsWith(prefix)) === false) continue;
        const before = found.get(name);
        // The smaller seed among equal ones, so that the order in which runs end does not matter.
        if (before === undefined || events < before.events || (events === before.events && seed < before.seed))
          found.set(name, { seed, events, count });
      }
    }
    onStep(`seed ${seed} of ${seeds.length}: ${found.size} points`);
    return 'go on';
  });
  const names = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  const missed: string[] = [];
  let hit = 0;
  await pool.inLanes([...names.entries()], async ([index, [name, { seed, count }]]) => {
    const job: Job = { seed, kinds, crashAt: targetOf(name, count, index) };
    const result = await pool.run(job);
    take(job, result);
    if ('report' in result && result.report.crashed) hit++;
    else missed.push(name);
    onStep(`${hit} of ${names.length} points, ${violations.length} violations`);
    return 'go on';
  });
  return { points: byLabel(names.map(([name]) => name)), pairs: names.length, hit, missed: missed.sort(), violations };
}

function targetOf(name: string, count: number, index: number): CrashTarget {
  const role = ROLES.find((one) => name.startsWith(pointName(one, ''))) ?? 'replica';
  const nth = 1 + ((index * 7) % Math.min(count, NTH_MAX));
  return { role, label: name.slice(role.length + 1), nth, kind: index % 2 === 0 ? 'process' : 'machine' };
}

function byLabel(names: readonly string[]): Record<string, string[]> {
  const labels: Record<string, string[]> = {};
  for (const name of names) {
    const { role, label } = targetOf(name, 1, 0);
    labels[label] = [...(labels[label] ?? []), role];
  }
  return Object.fromEntries(Object.entries(labels).sort());
}

function failuresOf(job: Job, result: JobResult): Failure[] {
  const replay = replayLine(job);
  if ('lost' in result) return [{ seed: job.seed, oracle: 'health', text: result.lost.reason, replay }];
  return result.report.violations.map(({ oracle, text }) => ({ seed: job.seed, oracle, text, replay }));
}
