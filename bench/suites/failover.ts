// How long nobody can write after the region that takes writes was killed, and what is lost then.
import type { SuiteRun } from '../lib/bench.ts';
import { Child } from '../lib/child.ts';
import { NARROW_VIEWS } from '../lib/rows.ts';
import { Scope, sleep, until, WrongAnswer } from '../lib/scope.ts';
import { Stage } from '../lib/stage.ts';
import { ratio, sample } from '../lib/stats.ts';
import type { FailoverResult, FailoverTarget } from '../load/failover.ts';
import { SentinelServers } from '../peers/sentinel-servers.ts';

const SUITE = 'failover';
const ROUNDS = 5;
/** A region that is silent for so long is taken for dead: lease and margin of ours, down-after of Sentinel. */
const DETECTION_MS = 1_000;
const MARGIN_MS = 100;
const WRITABLE_MS_MAX = 30_000;
const AFTER_MS = 1_000;
const GOALS = { timesSentinel: 0.9, lostRows: 0 } as const;

interface Outcome extends FailoverResult {
  readonly lostRows: number;
}

export async function failover(run: SuiteRun): Promise<void> {
  const rounds = run.rounds(ROUNDS);
  const beforeKillMs = run.quick ? 1_000 : 3_000;
  run.results.settings[SUITE] = { writesPerSecond: 10_000, detectionMs: DETECTION_MS, acknowledgedByOthers: 1 };
  const contenders: [string, (beforeKillMs: number) => Promise<Outcome>][] = [
    ['antipode, acknowledge 1', (ms) => ours(run, ms)],
  ];
  if (!run.quick) contenders.push([`redis sentinel, down-after ${DETECTION_MS}`, (ms) => sentinels(run, ms)]);
  const found = contenders.map((): Outcome[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, [name, measure]] of contenders.entries()) {
      run.progress(`round ${round + 1}: ${name}`);
      try {
        found[at]?.push(await measure(beforeKillMs));
      } catch (error) {
        if (at === 0 || !(error instanceof Error) || error instanceof WrongAnswer) throw error;
        run.results.skip({ suite: SUITE, what: name, reason: error.message });
        contenders.length = 1;
      }
    }
  }
  for (const [at, [name]] of contenders.entries()) report(run, name, found[at] ?? []);
  const [own = [], theirs = []] = found;
  if (theirs.length > 0) {
    const [mine, sentinel] = [own, theirs].map((each) => each.map((outcome) => outcome.writableMs));
    const value = ratio(mine ?? [], sentinel ?? []);
    const name = 'time to writable, of that of Redis Sentinel';
    run.results.goal({ suite: SUITE, name, sign: '<=', limit: GOALS.timesSentinel, value });
  }
  const value = sample(own.map((outcome) => outcome.lostRows));
  const name = 'acknowledged rows lost, acknowledge 1';
  run.results.goal({ suite: SUITE, name, sign: '<=', limit: GOALS.lostRows, unit: 'rows', value });
}

async function ours(run: SuiteRun, beforeKillMs: number): Promise<Outcome> {
  const scope = new Scope();
  try {
    const leaseMs = DETECTION_MS - MARGIN_MS;
    const stage = await Stage.start(scope, { regions: 3, acknowledge: 1, leaseMs, marginMs: MARGIN_MS });
    const regions = await Promise.all(stage.topology.regions.map((region) => stage.endpoint(region, 'write')));
    const target: FailoverTarget = { kind: 'antipode', regions, readers: regions.slice(1) };
    const kill = (): Promise<void> => stage.topology.killRegion(stage.hub);
    const outcome = await throughKill(run, scope, { target, kill, beforeKillMs });
    if (outcome.lostRows > 0)
      throw new WrongAnswer(`${outcome.lostRows} rows were acknowledged by two regions and are lost`);
    return outcome;
  } finally {
    await scope.end();
  }
}

async function sentinels(run: SuiteRun, beforeKillMs: number): Promise<Outcome> {
  const scope = new Scope();
  try {
    const servers = await SentinelServers.start(scope, { downAfterMs: DETECTION_MS });
    const { sentinelPorts, primaryPort } = servers;
    const target: FailoverTarget = { kind: 'sentinel', sentinelPorts, primaryPort };
    return await throughKill(run, scope, { target, kill: () => servers.killPrimary(), beforeKillMs });
  } finally {
    await scope.end();
  }
}

async function throughKill(
  run: SuiteRun,
  scope: Scope,
  options: { readonly target: FailoverTarget; readonly kill: () => Promise<void>; readonly beforeKillMs: number },
): Promise<Outcome> {
  const load = new Child(new URL('../load/failover.ts', import.meta.url));
  scope.defer(() => load.end());
  const { pool, projectFolder } = run;
  await load.call('start', { projectFolder, pool, view: NARROW_VIEWS[0], target: options.target });
  await sleep(options.beforeKillMs);
  await load.call('killing');
  await options.kill();
  await until('somebody takes writes again', WRITABLE_MS_MAX, async () => (await load.call('writable')) as boolean);
  await sleep(AFTER_MS);
  const result = (await load.call('stop')) as FailoverResult;
  const lostRows = (await load.call('lost')) as number;
  run.progress(`  writable after ${result.writableMs.toFixed(0)} ms, ${lostRows} acknowledged rows lost`);
  return { ...result, lostRows };
}

function report(run: SuiteRun, contender: string, outcomes: readonly Outcome[]): void {
  const figures = [
    ['time to writable', 'ms', 'writableMs'],
    ['acknowledged rows lost', 'rows', 'lostRows'],
    ['reads failed', 'reads', 'readsFailed'],
    ['reads asked', 'reads', 'reads'],
  ] as const;
  const what = 'hub killed under 10,000 rows/s';
  for (const [metric, unit, field] of figures) {
    const value = sample(outcomes.map((outcome) => outcome[field]));
    run.results.cell({ suite: SUITE, case: what, contender, metric, unit, better: 'lower', value });
  }
}
