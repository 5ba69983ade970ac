// How fast rows get from the region that accepts them to the regions that serve them.
import type { SuiteRun } from '../lib/bench.ts';
import { Child } from '../lib/child.ts';
import { nowMs } from '../lib/http-socket.ts';
import type { Lines } from '../lib/lines.ts';
import { cpuSeconds } from '../lib/process-usage.ts';
import { NARROW_VIEWS } from '../lib/rows.ts';
import { Scope, sleep } from '../lib/scope.ts';
import { Stage } from '../lib/stage.ts';
import { ratio, sample } from '../lib/stats.ts';
import type { FlatOut, OpenOptions, Paced, PrepareOptions } from '../load/replicate.ts';
import { NatsServers } from '../peers/nats-servers.ts';
import { RedisServers } from '../peers/redis-servers.ts';

const SUITE = 'replicate';
const VIEW = NARROW_VIEWS[0];
const ROUNDS = 5;
const MILLION = 1_000_000;
const LAG_ROWS_PER_SECOND = 20_000;
const LAG_ROWS_PER_BATCH = 100;
const LAG_WARM_SECONDS = 1;
/** As many batches as could wait through a stall of half a second. */
const LAG_IN_FLIGHT = 100;
const FLAT_OUT_ROWS_PER_BATCH = 2_000;
const FLAT_OUT_IN_FLIGHT = 4;
const CUT_SECONDS = 10;
const BEFORE_CUT_SECONDS = 2;
/** Caught up: what becomes visible is no later than this, or than most of what became visible before the cut. */
const CAUGHT_UP_MS = 50;
const MOST = 0.99;
const LINE_BYTES_PER_SECOND = 100_000_000 / 8;

const GOALS = {
  rowsPerSecond: 200_000,
  timesRedis: 0.75,
  timesRedisAlways: 3,
  timesRedisBytes: 0.5,
  lagBeyondOneWayMs: 5,
  caughtUpSeconds: 2,
} as const;

interface Settings {
  readonly keys: number;
  readonly hotKeys: number;
  readonly rows: number;
  readonly lagSeconds: number;
  readonly delaysMs: readonly number[];
  readonly long: boolean;
}

const FULL: Settings = {
  keys: MILLION,
  hotKeys: 50_000,
  rows: 400_000,
  lagSeconds: 6,
  delaysMs: [0, 40, 80],
  long: true,
};
const QUICK: Settings = {
  keys: 40_000,
  hotKeys: 10_000,
  rows: 40_000,
  lagSeconds: 2,
  delaysMs: [40],
  long: false,
};

/** One system under measurement: its servers and the process that loads it. */
interface Contestant {
  readonly name: string;
  readonly lines: Lines;
  readonly pids: () => number[];
  open(inFlight: number): Promise<void>;
  readonly load: Child;
}

export async function replicate(run: SuiteRun): Promise<void> {
  const settings = run.quick ? QUICK : FULL;
  run.results.settings[SUITE] = {
    keys: settings.keys,
    rowsARound: settings.rows,
    rowsPerBatch: FLAT_OUT_ROWS_PER_BATCH,
    batchesInFlight: FLAT_OUT_IN_FLIGHT,
    lagRowsPerSecond: LAG_ROWS_PER_SECOND,
    lagRowsPerBatch: LAG_ROWS_PER_BATCH,
  };
  const scope = new Scope();
  try {
    const contestants = [await antipode(run, scope, 1)];
    await addRedis(run, contestants, scope);
    if (settings.long) await addNats(run, contestants, scope);
    await flatOut(run, contestants, settings);
    await lag(run, contestants.slice(0, 2), settings);
    if (settings.long) await narrowLine(run, contestants.slice(0, 2), settings);
    const others = contestants.slice(1).filter(({ name }) => !name.endsWith('always'));
    if (settings.long) await cut(run, [...contestants.slice(0, 1), ...others], settings);
  } finally {
    await scope.end();
  }
  if (settings.long) await twoReplicas(run, settings);
}

async function antipode(run: SuiteRun, scope: Scope, replicas: number): Promise<Contestant> {
  const stage = await Stage.start(scope, { regions: replicas + 1, lines: true });
  const hub = await stage.endpoint(stage.hub, 'write');
  const readers = await Promise.all(stage.replicas.map((region) => stage.endpoint(region, 'read')));
  if (stage.lines === undefined) throw new Error('the stage has no lines');
  const pids = (): number[] => stage.topology.regions.flatMap((region) => stage.pids(region));
  return contestant(scope, { name: 'antipode', lines: stage.lines, pids }, (inFlight) => ({
    kind: 'antipode',
    projectFolder: stage.project.folder,
    pool: run.pool,
    inFlight,
    view: VIEW,
    hub,
    replicas: readers,
  }));
}

async function addRedis(run: SuiteRun, contestants: Contestant[], scope: Scope): Promise<void> {
  const [own] = contestants;
  if (own === undefined) return;
  try {
    for (const appendfsync of run.quick ? (['off'] as const) : (['off', 'always'] as const)) {
      const servers = await RedisServers.start(scope, { replicas: 1, appendfsync });
      run.results.versions['redis'] = servers.version;
      const name = appendfsync === 'off' ? 'redis, durable nowhere' : 'redis, appendfsync always';
      const { lines, pids, primaryPort, replicaPorts } = servers;
      const made = contestant(scope, { name, lines, pids: () => pids }, (inFlight) => ({
        kind: 'redis',
        projectFolder: run.projectFolder,
        pool: run.pool,
        inFlight,
        view: VIEW,
        primaryPort,
        replicaPorts,
      }));
      contestants.push(made);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    run.results.skip({ suite: SUITE, what: 'Redis', reason: error.message });
  }
}

async function addNats(run: SuiteRun, contestants: Contestant[], scope: Scope): Promise<void> {
  try {
    const { lines, pids, version, hubPort, replicaPort } = await NatsServers.start(scope);
    run.results.versions['nats'] = version;
    const made = contestant(scope, { name: 'nats jetstream mirror', lines, pids: () => pids }, (inFlight) => ({
      kind: 'nats',
      projectFolder: run.projectFolder,
      pool: run.pool,
      inFlight,
      view: VIEW,
      hubPort,
      replicaPort,
    }));
    contestants.push(made);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    run.results.skip({ suite: SUITE, what: 'NATS JetStream', reason: error.message });
  }
}

function contestant(
  scope: Scope,
  system: { readonly name: string; readonly lines: Lines; readonly pids: () => number[] },
  options: (inFlight: number) => OpenOptions,
): Contestant {
  const load = new Child(new URL('../load/replicate.ts', import.meta.url));
  scope.defer(() => load.end());
  return {
    ...system,
    load,
    open: async (inFlight) => {
      await load.call('close');
      await load.call('open', options(inFlight));
    },
  };
}

interface Round {
  readonly rowsPerSecond: number;
  readonly acknowledgedPerSecond: number;
  readonly cpuSecondsPerMillion: number;
  readonly bytesPerRow: number;
}

async function oneRound(it: Contestant, prepare: Omit<PrepareOptions, 'rowsPerBatch'>): Promise<Round> {
  // Anew each time: servers close connections that are idle while others have their turn.
  await it.open(FLAT_OUT_IN_FLIGHT);
  await it.load.call('prepare', { ...prepare, rowsPerBatch: FLAT_OUT_ROWS_PER_BATCH });
  const bytesBefore = await it.lines.delivered();
  const cpuBefore = cpuSeconds(it.pids());
  const { rows, visibleSeconds, acknowledgedSeconds } = (await it.load.call('flatOut')) as FlatOut;
  const cpu = cpuSeconds(it.pids()) - cpuBefore;
  const bytes = (await it.lines.delivered()) - bytesBefore;
  await it.load.call('verify');
  return {
    rowsPerSecond: rows / visibleSeconds,
    acknowledgedPerSecond: rows / acknowledgedSeconds,
    cpuSecondsPerMillion: (cpu * MILLION) / rows,
    bytesPerRow: bytes / rows,
  };
}

/** Every key once, in order, so that all rounds write into stores of the same size; it warms everything up, too. */
async function fill(it: Contestant, keys: number): Promise<void> {
  const each = Math.min(keys, 200_000);
  for (let rows = 0; rows < keys; rows += each) await oneRound(it, { rows: each, keys, firstKey: rows });
}

async function flatOut(run: SuiteRun, contestants: readonly Contestant[], settings: Settings): Promise<void> {
  for (const it of contestants) await fill(it, settings.keys);
  const rounds = contestants.map((): Round[] => []);
  for (let round = 0; round < run.rounds(ROUNDS); round++) {
    for (const [at, it] of contestants.entries()) {
      run.progress(`round ${round + 1}: ${it.name}`);
      rounds[at]?.push(await oneRound(it, { rows: settings.rows, keys: settings.keys }));
    }
  }
  for (const [at, it] of contestants.entries())
    report(run, `flat out, 1 replica, ${settings.keys} keys`, it.name, rounds[at] ?? []);
  for (const it of contestants) {
    const hot = await oneRound(it, { rows: settings.rows, keys: settings.hotKeys });
    report(run, `flat out, 1 replica, ${settings.hotKeys} keys`, it.name, [hot]);
  }
  const [own = [], redis, always] = rounds;
  const { results } = run;
  results.goal({
    suite: SUITE,
    name: 'rows/s durable and visible at the replica',
    sign: '>=',
    limit: GOALS.rowsPerSecond,
    unit: 'rows/s',
    value: sample(own.map((round) => round.rowsPerSecond)),
  });
  const against = (name: string, rival: readonly Round[] | undefined, limit: number): void => {
    if (rival === undefined) return;
    const [ours, theirs] = [own, rival].map((each) => each.map((round) => round.rowsPerSecond));
    results.goal({ suite: SUITE, name, sign: '>=', limit, value: ratio(ours ?? [], theirs ?? []) });
  };
  against('rows/s as a multiple of Redis durable nowhere', redis, GOALS.timesRedis);
  against('rows/s as a multiple of Redis with appendfsync always', always, GOALS.timesRedisAlways);
  if (redis === undefined) return;
  const [ours, theirs] = [own, redis].map((each) => each.map((round) => round.bytesPerRow));
  results.goal({
    suite: SUITE,
    name: 'bytes per row as a multiple of those of Redis',
    sign: '<=',
    limit: GOALS.timesRedisBytes,
    value: ratio(ours ?? [], theirs ?? []),
  });
}

function report(run: SuiteRun, what: string, name: string, rounds: readonly Round[]): void {
  const figures = [
    ['visible at the replica', 'rows/s', 'higher', 'rowsPerSecond'],
    ['acknowledged', 'rows/s', 'higher', 'acknowledgedPerSecond'],
    ['processor time of all servers', 's per million rows', 'lower', 'cpuSecondsPerMillion'],
    ['on the line', 'bytes per row', 'lower', 'bytesPerRow'],
  ] as const;
  for (const [metric, unit, better, field] of figures) {
    const value = sample(rounds.map((round) => round[field]));
    run.results.cell({ suite: SUITE, case: what, contender: name, metric, unit, better, value });
  }
}

async function pacedRound(it: Contestant, seconds: number, keys: number): Promise<Paced> {
  const rows = LAG_ROWS_PER_SECOND * seconds;
  await it.open(LAG_IN_FLIGHT);
  await it.load.call('prepare', { rows, rowsPerBatch: LAG_ROWS_PER_BATCH, keys });
  const paced = it.load.call('paced', { rowsPerSecond: LAG_ROWS_PER_SECOND, warmSeconds: LAG_WARM_SECONDS });
  return (await paced) as Paced;
}

async function lag(run: SuiteRun, contestants: readonly Contestant[], settings: Settings): Promise<void> {
  for (const delayMs of settings.delaysMs) {
    const rounds = contestants.map((): Paced[] => []);
    for (const it of contestants) await it.lines.delay(delayMs);
    for (let round = 0; round < run.rounds(ROUNDS); round++) {
      for (const [at, it] of contestants.entries()) {
        run.progress(`lag over ${delayMs} ms, round ${round + 1}: ${it.name}`);
        rounds[at]?.push(await pacedRound(it, settings.lagSeconds + LAG_WARM_SECONDS, settings.keys));
        await it.load.call('verify');
      }
    }
    for (const [at, it] of contestants.entries())
      reportLag(run, `${LAG_ROWS_PER_SECOND} rows/s, ${delayMs} ms one way`, it.name, rounds[at] ?? []);
    run.results.goal({
      suite: SUITE,
      name: `lag p99 beyond one way, over ${delayMs} ms`,
      sign: '<=',
      limit: GOALS.lagBeyondOneWayMs,
      unit: 'ms',
      value: sample((rounds[0] ?? []).map((round) => round.p99Ms - delayMs)),
    });
  }
  for (const it of contestants) await it.lines.delay(0);
}

function reportLag(run: SuiteRun, what: string, name: string, rounds: readonly Paced[]): void {
  const figures = [
    ['lag p50', 'p50Ms'],
    ['lag p99', 'p99Ms'],
    ['lag p99.9', 'p999Ms'],
    ['last batch sent late', 'lateMs'],
  ] as const;
  for (const [metric, field] of figures) {
    const value = sample(rounds.map((round) => round[field]));
    run.results.cell({ suite: SUITE, case: what, contender: name, metric, unit: 'ms', better: 'lower', value });
  }
}

async function narrowLine(run: SuiteRun, contestants: readonly Contestant[], settings: Settings): Promise<void> {
  for (const it of contestants) {
    run.progress(`100 Mbit/s: ${it.name}`);
    await it.lines.bandwidth(LINE_BYTES_PER_SECOND);
    const round = await oneRound(it, { rows: settings.rows, keys: settings.keys });
    report(run, 'flat out, 1 replica, 100 Mbit/s', it.name, [round]);
    await it.lines.bandwidth(Number.POSITIVE_INFINITY);
  }
}

/** The line is cut for ten seconds while rows keep coming. */
async function cut(run: SuiteRun, contestants: readonly Contestant[], settings: Settings): Promise<void> {
  const seconds = contestants.map((): number[] => []);
  const wholeSeconds = BEFORE_CUT_SECONDS + CUT_SECONDS + 8;
  for (let round = 0; round < run.rounds(ROUNDS); round++) {
    for (const [at, it] of contestants.entries()) {
      run.progress(`cut of ${CUT_SECONDS} s, round ${round + 1}: ${it.name}`);
      let healedMs = 0;
      const faults = async (): Promise<void> => {
        await sleep((LAG_WARM_SECONDS + BEFORE_CUT_SECONDS) * 1000);
        await it.lines.cut();
        await sleep(CUT_SECONDS * 1000);
        healedMs = nowMs();
        await it.lines.heal();
      };
      const rows = LAG_ROWS_PER_SECOND * wholeSeconds;
      await it.open(LAG_IN_FLIGHT);
      await it.load.call('prepare', { rows, rowsPerBatch: LAG_ROWS_PER_BATCH, keys: settings.keys });
      const load = it.load.call('paced', { rowsPerSecond: LAG_ROWS_PER_SECOND, warmSeconds: LAG_WARM_SECONDS });
      const [paced] = await Promise.all([load as Promise<Paced>, faults()]);
      await it.load.call('verify');
      seconds[at]?.push(caughtUpSeconds(paced, healedMs));
    }
  }
  for (const [at, it] of contestants.entries()) {
    run.results.cell({
      suite: SUITE,
      case: `line cut for ${CUT_SECONDS} s at ${LAG_ROWS_PER_SECOND} rows/s`,
      contender: it.name,
      metric: 'caught up after',
      unit: 's',
      better: 'lower',
      value: sample(seconds[at] ?? []),
    });
  }
  run.results.goal({
    suite: SUITE,
    name: `caught up after a cut of ${CUT_SECONDS} s`,
    sign: '<=',
    limit: GOALS.caughtUpSeconds,
    unit: 's',
    value: sample(seconds[0] ?? []),
  });
}

/** From the heal until a batch is visible after it that is no later than batches were before the cut. */
function caughtUpSeconds({ dueMs, shownMs }: Paced, healedMs: number): number {
  const cutMs = healedMs - CUT_SECONDS * 1000;
  const lags = Array.from(shownMs, (shown, at) => shown - (dueMs[at] ?? 0));
  const before = lags.filter((_, at) => (shownMs[at] ?? 0) < cutMs).sort((x, y) => x - y);
  const usualMs = before[Math.floor(before.length * MOST)] ?? 0;
  const at = lags.findIndex((lag, batch) => (shownMs[batch] ?? 0) > healedMs && lag <= Math.max(CAUGHT_UP_MS, usualMs));
  return at < 0 ? Number.POSITIVE_INFINITY : ((shownMs[at] ?? 0) - healedMs) / 1000;
}

async function twoReplicas(run: SuiteRun, settings: Settings): Promise<void> {
  const scope = new Scope();
  try {
    const own = await antipode(run, scope, 2);
    await oneRound(own, { rows: settings.rows / 4, keys: settings.keys });
    run.progress('2 replicas');
    const round = await oneRound(own, { rows: settings.rows, keys: settings.keys });
    report(run, `flat out, 2 replicas, ${settings.keys} keys`, own.name, [round]);
  } finally {
    await scope.end();
  }
}
