// How fast a region answers reads, alone and while it applies rows, against its peers.
import type { SuiteRun } from '../lib/bench.ts';
import { Child } from '../lib/child.ts';
import { NARROW_VIEWS, WIDE_VIEW } from '../lib/rows.ts';
import { Scope, sleep } from '../lib/scope.ts';
import { Stage } from '../lib/stage.ts';
import { ratio, type Sample, sample } from '../lib/stats.ts';
import type { ReadShape } from '../load/read-system.ts';
import type { Paced } from '../load/replicate.ts';
import type { Latency, ReadRun, Throughput } from '../load/serve.ts';
import { type Contestant, startFeast, startRedis } from './serve-peers.ts';

const SUITE = 'serve';
const ROUNDS = 5;
const CONNECTIONS = 32;
const APPLIED_ROWS_PER_SECOND = 20_000;
const APPLIED_ROWS_PER_BATCH = 100;
const APPLIED_IN_FLIGHT = 100;
const FILL_ROWS_PER_BATCH = 2_000;
const FILL_ROWS_AT_ONCE = 200_000;
const FILLED = 1;
const APPLIED = 2;
/** Well below what one serving process can do, so that the tail is that of the server and not of a queue. */
const REQUESTS_PER_SECOND = 2_000;
/** What Feast's Python server keeps up with. */
const FEAST_REQUESTS_PER_SECOND = 40;

const GOALS = {
  timesFeast: 25,
  timesFeastLarge: 50,
  ofFeastP99: 0.1,
  ofConstant: 0.5,
  twoWorkers: 1.8,
  applyingP99: 1.5,
} as const;

interface Settings {
  /** Keys of the first view; the others have `otherKeys`. */
  readonly keys: number;
  readonly otherKeys: number;
  readonly feastKeys: number;
  readonly seconds: number;
  readonly warmSeconds: number;
  readonly long: boolean;
}

const FULL: Settings = {
  keys: 1_000_000,
  otherKeys: 200_000,
  feastKeys: 20_000,
  seconds: 5,
  warmSeconds: 2,
  long: true,
};
const QUICK: Settings = {
  keys: 20_000,
  otherKeys: 5_000,
  feastKeys: 1_000,
  seconds: 1,
  warmSeconds: 0.5,
  long: false,
};

const ONE_VIEW = [NARROW_VIEWS[0]] as const;
const TEN_BY_TEN: ReadShape = { entities: 10, views: ONE_VIEW };
const HUNDRED_BY_FIFTY: ReadShape = { entities: 100, views: [WIDE_VIEW] };

export async function serve(run: SuiteRun): Promise<void> {
  const settings = run.quick ? QUICK : FULL;
  run.results.settings[SUITE] = {
    keys: settings.keys,
    keysOfOtherViews: settings.otherKeys,
    keysAtFeast: settings.feastKeys,
    connections: CONNECTIONS,
    secondsARound: settings.seconds,
    requestsPerSecondOpenLoop: REQUESTS_PER_SECOND,
    requestsPerSecondOpenLoopFeast: FEAST_REQUESTS_PER_SECOND,
    appliedRowsPerSecond: APPLIED_ROWS_PER_SECOND,
  };
  const scope = new Scope();
  try {
    const load = new Child(new URL('../load/serve.ts', import.meta.url));
    scope.defer(() => load.end());
    await load.call('open', { projectFolder: run.projectFolder, pool: run.pool });
    await new ServeSuite(run, settings, scope, load).all();
  } finally {
    await scope.end();
  }
}

class ServeSuite {
  readonly #run: SuiteRun;
  readonly #settings: Settings;
  readonly #scope: Scope;
  readonly #load: Child;

  constructor(run: SuiteRun, settings: Settings, scope: Scope, load: Child) {
    this.#run = run;
    this.#settings = settings;
    this.#scope = scope;
    this.#load = load;
  }

  async all(): Promise<void> {
    const views = this.#settings.long ? [...NARROW_VIEWS, WIDE_VIEW] : [ONE_VIEW[0], WIDE_VIEW];
    const { stage, own } = await this.#stage(1, views);
    const constant = await this.#constant(own, TEN_BY_TEN);
    // Some ten thousand requests pass until a process runs its best code.
    this.#run.progress('warming up');
    for (const it of [own, constant]) await this.#throughput(it, TEN_BY_TEN);
    await this.#againstConstant(own, constant);
    await this.#shapes(own);
    await this.#applying(stage, own);
    if (this.#settings.long) await this.#twoWorkers(own);
    await this.#peers(own);
  }

  /** A hub and a replica; reads go to the replica. */
  async #stage(workers: number, views: readonly string[]): Promise<{ stage: Stage; own: Contestant }> {
    const { keys, otherKeys } = this.#settings;
    const stage = await Stage.start(this.#scope, { regions: 2, workers });
    const region = stage.replicas[0] ?? stage.hub;
    for (const view of views) {
      this.#run.progress(`filling ${view}`);
      await this.#fill(stage, view, view === ONE_VIEW[0] ? keys : otherKeys);
    }
    const own: Contestant = {
      name: workers === 1 ? 'antipode' : `antipode, ${workers} workers`,
      target: { kind: 'feast-form', endpoint: await stage.endpoint(region, 'read') },
      pids: () => stage.pids(region),
      keys: (view) => (view === ONE_VIEW[0] ? keys : otherKeys),
    };
    return { stage, own };
  }

  async #writer(stage: Stage, view: string, inFlight: number): Promise<Child> {
    const writer = new Child(new URL('../load/replicate.ts', import.meta.url));
    this.#scope.defer(() => writer.end());
    const replicas = await Promise.all(stage.replicas.map((region) => stage.endpoint(region, 'read')));
    const hub = await stage.endpoint(stage.hub, 'write');
    const { pool } = this.#run;
    const projectFolder = stage.project.folder;
    await writer.call('open', { kind: 'antipode', projectFolder, pool, inFlight, view, hub, replicas });
    return writer;
  }

  async #fill(stage: Stage, view: string, keys: number): Promise<void> {
    const writer = await this.#writer(stage, view, 4);
    for (let firstKey = 0; firstKey < keys; firstKey += FILL_ROWS_AT_ONCE) {
      const rows = Math.min(FILL_ROWS_AT_ONCE, keys - firstKey);
      await writer.call('prepare', { rows, rowsPerBatch: FILL_ROWS_PER_BATCH, keys, firstKey, generation: FILLED });
      await writer.call('flatOut');
      await writer.call('verify');
    }
    await writer.end();
  }

  async #constant(like: Contestant, shape: ReadShape): Promise<Contestant> {
    const bytes = (await this.#load.call('oneAnswer', this.#readRun(like, shape))) as Uint8Array;
    const server = new Child(new URL('../load/constant-server.ts', import.meta.url));
    this.#scope.defer(() => server.end());
    const port = (await server.call('listen', bytes)) as number;
    const endpoint = { region: 'constant', host: '127.0.0.1', port, token: '' };
    return {
      name: 'node:http, constant bytes',
      target: { kind: 'constant', endpoint, bytes },
      pids: () => [server.pid],
      keys: like.keys,
    };
  }

  #readRun(it: Contestant, shape: ReadShape, spread: 'uniform' | 'zipf' = 'uniform'): ReadRun {
    return {
      target: it.target,
      shape,
      keys: Math.min(...shape.views.map(it.keys)),
      spread,
      generations: [FILLED, APPLIED],
      connections: CONNECTIONS,
      pids: it.pids(),
      seconds: this.#settings.seconds,
      warmSeconds: this.#settings.warmSeconds,
    };
  }

  /** One round of throughput: requests a second, and a second of processor time. */
  async #throughput(it: Contestant, shape: ReadShape, spread: 'uniform' | 'zipf' = 'uniform'): Promise<Rates> {
    const result = (await this.#load.call('closedLoop', this.#readRun(it, shape, spread))) as Throughput;
    return {
      perSecond: result.requests / result.seconds,
      perCpuSecond: result.requests / result.serverCpuSeconds,
      loadCores: result.loadCpuSeconds / result.seconds,
    };
  }

  async #latency(it: Contestant, shape: ReadShape, requestsPerSecond: number): Promise<Latency> {
    const run = { ...this.#readRun(it, shape), requestsPerSecond };
    return (await this.#load.call('openLoop', run)) as Latency;
  }

  /** Rounds of throughput of several, taken in turns. */
  async #turns(what: string, shape: ReadShape, contestants: readonly Contestant[], rounds: number): Promise<Rates[][]> {
    const found = contestants.map((): Rates[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [at, it] of contestants.entries()) {
        this.#run.progress(`${what}, round ${round + 1}: ${it.name}`);
        found[at]?.push(await this.#throughput(it, shape));
      }
    }
    for (const [at, it] of contestants.entries()) this.#reportRates(`${what}, closed loop`, it.name, found[at] ?? []);
    return found;
  }

  async #againstConstant(own: Contestant, constant: Contestant): Promise<void> {
    const what = '10 entities x 10 features';
    const [ours = [], theirs = []] = await this.#turns(what, TEN_BY_TEN, [own, constant], this.#run.rounds(ROUNDS));
    this.#goal('requests/s of those of constant bytes', '>=', GOALS.ofConstant, quotient(ours, theirs, 'perSecond'));
  }

  async #shapes(own: Contestant): Promise<void> {
    const fifty = { long: [...NARROW_VIEWS], short: [WIDE_VIEW] };
    const shapes: readonly (readonly [string, ReadShape])[] = [
      ['1 entity x 10 features', { entities: 1, views: ONE_VIEW }],
      ['100 entities x 10 features', { entities: 100, views: ONE_VIEW }],
      ['10 entities x 50 features of 1 view', { entities: 10, views: fifty.short }],
      ['100 entities x 50 features of 1 view', HUNDRED_BY_FIFTY],
    ];
    const more: readonly (readonly [string, ReadShape])[] = [
      ['1 entity x 50 features of 5 views', { entities: 1, views: fifty.long }],
      ['10 entities x 50 features of 5 views', { entities: 10, views: fifty.long }],
      ['100 entities x 50 features of 5 views', { entities: 100, views: fifty.long }],
    ];
    for (const [what, shape] of this.#settings.long ? [...shapes, ...more] : shapes)
      await this.#turns(what, shape, [own], 1);
    this.#run.progress('10 entities x 10 features, Zipf');
    const skewed = await this.#throughput(own, TEN_BY_TEN, 'zipf');
    this.#reportRates('10 entities x 10 features, Zipf, closed loop', own.name, [skewed]);
  }

  async #applying(stage: Stage, own: Contestant): Promise<void> {
    const quiet: Latency[] = [];
    const busy: Latency[] = [];
    const { seconds, warmSeconds, keys } = this.#settings;
    const rounds = this.#run.rounds(ROUNDS);
    const writer = await this.#writer(stage, ONE_VIEW[0], APPLIED_IN_FLIGHT);
    const rows = Math.ceil(APPLIED_ROWS_PER_SECOND * (seconds + warmSeconds + 2));
    for (let round = 0; round < rounds; round++) {
      this.#run.progress(`latency, round ${round + 1}: quiet`);
      quiet.push(await this.#latency(own, TEN_BY_TEN, REQUESTS_PER_SECOND));
      this.#run.progress(`latency, round ${round + 1}: while ${APPLIED_ROWS_PER_SECOND} rows/s are applied`);
      await writer.call('prepare', { rows, rowsPerBatch: APPLIED_ROWS_PER_BATCH, keys, generation: APPLIED });
      const writing = writer.call('paced', { rowsPerSecond: APPLIED_ROWS_PER_SECOND, warmSeconds: 0 });
      await sleep(500);
      const [latency, paced] = await Promise.all([this.#latency(own, TEN_BY_TEN, REQUESTS_PER_SECOND), writing]);
      busy.push(latency);
      this.#reportLate(paced as Paced);
    }
    await writer.end();
    const what = `10 entities x 10 features, ${REQUESTS_PER_SECOND} requests/s`;
    this.#reportLatency(`${what}, quiet`, own.name, quiet);
    this.#reportLatency(`${what}, ${APPLIED_ROWS_PER_SECOND} rows/s applied`, own.name, busy);
    const [p99Busy, p99Quiet] = [busy, quiet].map((each) => each.map((latency) => latency.p99Ms));
    this.#goal('p99 while applying, of the quiet one', '<=', GOALS.applyingP99, ratio(p99Busy ?? [], p99Quiet ?? []));
  }

  #reportLate({ lateMs, p99Ms }: Paced): void {
    this.#run.progress(
      `  rows were sent at most ${lateMs.toFixed(0)} ms late at the end, lag p99 ${p99Ms.toFixed(0)} ms`,
    );
  }

  async #twoWorkers(own: Contestant): Promise<void> {
    const scope = new Scope();
    try {
      const suite = new ServeSuite(this.#run, this.#settings, scope, this.#load);
      const { own: two } = await suite.#stage(2, ONE_VIEW);
      const what = '10 entities x 10 features, 1 or 2 workers';
      const [one = [], both = []] = await this.#turns(what, TEN_BY_TEN, [own, two], this.#run.rounds(ROUNDS));
      this.#goal(
        'requests/s with two workers, of those with one',
        '>=',
        GOALS.twoWorkers,
        quotient(both, one, 'perSecond'),
      );
    } finally {
      await scope.end();
    }
  }

  async #peers(own: Contestant): Promise<void> {
    const { feastKeys, long } = this.#settings;
    const rounds = this.#run.rounds(ROUNDS);
    const redis = await startRedis(this.#run, this.#scope, feastKeys);
    if (redis !== undefined) await this.#turns('10 entities x 10 features, against Redis', TEN_BY_TEN, [own, redis], 1);
    if (!long) return;
    const feast = await startFeast(this.#run, this.#scope, 'redis', feastKeys);
    if (feast !== undefined) {
      const small = '10 entities x 10 features, against Feast';
      const [ours = [], theirs = []] = await this.#turns(small, TEN_BY_TEN, [own, feast], rounds);
      const perCore = quotient(ours, theirs, 'perCpuSecond');
      this.#goal('requests/s per core of those of Feast on Redis, 10 x 10', '>=', GOALS.timesFeast, perCore);
      const large = '100 entities x 50 features, against Feast';
      const [wide = [], wideTheirs = []] = await this.#turns(large, HUNDRED_BY_FIFTY, [own, feast], rounds);
      const perCoreWide = quotient(wide, wideTheirs, 'perCpuSecond');
      this.#goal('requests/s per core of those of Feast on Redis, 100 x 50', '>=', GOALS.timesFeastLarge, perCoreWide);
      await this.#feastLatency(own, feast);
    }
    const onSqlite = await startFeast(this.#run, this.#scope, 'sqlite', feastKeys);
    if (onSqlite !== undefined)
      await this.#turns('10 entities x 10 features, against Feast', TEN_BY_TEN, [onSqlite], 1);
  }

  async #feastLatency(own: Contestant, feast: Contestant): Promise<void> {
    const found: Latency[][] = [[], []];
    for (let round = 0; round < this.#run.rounds(ROUNDS); round++) {
      for (const [at, it] of [own, feast].entries()) {
        this.#run.progress(`latency at ${FEAST_REQUESTS_PER_SECOND} requests/s, round ${round + 1}: ${it.name}`);
        found[at]?.push(await this.#latency(it, TEN_BY_TEN, FEAST_REQUESTS_PER_SECOND));
      }
    }
    const what = `10 entities x 10 features, ${FEAST_REQUESTS_PER_SECOND} requests/s`;
    for (const [at, it] of [own, feast].entries()) this.#reportLatency(what, it.name, found[at] ?? []);
    const [ours, theirs] = found.map((each) => each.map((latency) => latency.p99Ms));
    this.#goal('p99 of that of Feast on Redis, 10 x 10', '<=', GOALS.ofFeastP99, ratio(ours ?? [], theirs ?? []));
  }

  #goal(name: string, sign: '>=' | '<=', limit: number, value: Sample): void {
    this.#run.results.goal({ suite: SUITE, name, sign, limit, value });
  }

  #reportRates(what: string, contender: string, rounds: readonly Rates[]): void {
    const figures = [
      ['requests', 'per second', 'higher', 'perSecond'],
      ['requests', 'per second of processor time', 'higher', 'perCpuSecond'],
      ['load', 'cores', 'lower', 'loadCores'],
    ] as const;
    for (const [metric, unit, better, field] of figures) {
      const value = sample(rounds.map((round) => round[field]));
      this.#run.results.cell({ suite: SUITE, case: what, contender, metric: `${metric} ${unit}`, unit, better, value });
    }
  }

  #reportLatency(what: string, contender: string, rounds: readonly Latency[]): void {
    for (const [metric, field] of [
      ['p50', 'p50Ms'],
      ['p99', 'p99Ms'],
      ['p99.9', 'p999Ms'],
    ] as const) {
      const value = sample(rounds.map((round) => round[field]));
      this.#run.results.cell({ suite: SUITE, case: what, contender, metric, unit: 'ms', better: 'lower', value });
    }
  }
}

interface Rates {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** Processor time of the load: near 1, it was the limit. */
  readonly loadCores: number;
}

function quotient(ours: readonly Rates[], theirs: readonly Rates[], field: 'perSecond' | 'perCpuSecond'): Sample {
  return ratio(
    ours.map((round) => round[field]),
    theirs.map((round) => round[field]),
  );
}
