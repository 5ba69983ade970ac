// What a row costs as rows and regions become more.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ProjectPaths } from '#cli/project/project-paths';
import type { SuiteRun } from '../lib/bench.ts';
import { Child } from '../lib/child.ts';
import { cpuSeconds, memoryOf } from '../lib/process-usage.ts';
import { NARROW_VIEWS } from '../lib/rows.ts';
import { Scope } from '../lib/scope.ts';
import { Stage } from '../lib/stage.ts';
import { type Sample, sample } from '../lib/stats.ts';
import type { FlatOut } from '../load/replicate.ts';
import type { Latency, ReadRun } from '../load/serve.ts';

const SUITE = 'scale';
const ROUNDS = 5;
const VIEW = NARROW_VIEWS[0];
const MILLION = 1_000_000;
const MIB = 1024 * 1024;
/** Unit of `stat.blocks`. */
const BLOCK_BYTES = 512;
const ROWS_PER_BATCH = 2_000;
const IN_FLIGHT = 4;
const FILL_ROWS_AT_ONCE = 200_000;
const CONNECTIONS = 32;
const REQUESTS_PER_SECOND = 2_000;
/** The p99 at the greatest size is compared with that at this one. */
const REFERENCE_ROWS = MILLION;
const GOALS = { timesP99: 2, memoryMib: 300 } as const;

interface Settings {
  readonly sizes: readonly number[];
  readonly regions: readonly number[];
  readonly overwrites: number;
  readonly latencySeconds: number;
}

const FULL: Settings = {
  sizes: [10_000, 100_000, MILLION, 5 * MILLION, 20 * MILLION],
  regions: [2, 3, 5],
  overwrites: 200_000,
  latencySeconds: 4,
};
const QUICK: Settings = {
  sizes: [2_000, 20_000],
  regions: [2],
  overwrites: 10_000,
  latencySeconds: 1,
};

export async function scale(run: SuiteRun): Promise<void> {
  const settings = run.quick ? QUICK : FULL;
  run.results.settings[SUITE] = {
    overwrites: settings.overwrites,
    requestsPerSecond: REQUESTS_PER_SECOND,
    latencySeconds: settings.latencySeconds,
  };
  await bySize(run, settings);
  for (const regions of settings.regions) await byRegions(run, settings, regions);
}

/** One region, so that the machine's memory holds as many rows as possible. */
async function bySize(run: SuiteRun, settings: Settings): Promise<void> {
  const scope = new Scope();
  try {
    const stage = await Stage.start(scope, { regions: 1 });
    const writer = await writerOf(run, scope, stage);
    const reader = new Child(new URL('../load/serve.ts', import.meta.url));
    scope.defer(() => reader.end());
    await reader.call('open', { projectFolder: run.projectFolder, pool: run.pool });
    const p99 = new Map<number, Sample>();
    let memory = sample([]);
    let filled = 0;
    for (const rows of settings.sizes) {
      run.progress(`${rows} rows`);
      for (; filled < rows; filled += Math.min(FILL_ROWS_AT_ONCE, rows - filled)) {
        const part = { rows: Math.min(FILL_ROWS_AT_ONCE, rows - filled), firstKey: filled, generation: 1 };
        await writer.call('prepare', { ...part, rowsPerBatch: ROWS_PER_BATCH, keys: rows });
        await writer.call('flatOut');
      }
      const what = `${rows} rows, 1 region`;
      const { perSecond, cpuPerMillion } = await overwrite(writer, stage, settings.overwrites, rows);
      cell(run, what, 'overwritten', 'rows/s', 'higher', sample([perSecond]));
      cell(run, what, 'processor time', 's per million rows', 'lower', sample([cpuPerMillion]));
      const latency: number[] = [];
      for (let round = 0; round < run.rounds(ROUNDS); round++)
        latency.push((await readLatency(reader, stage, rows, settings.latencySeconds)).p99Ms);
      p99.set(rows, sample(latency));
      cell(run, what, 'read p99', 'ms', 'lower', sample(latency));
      memory = sample([memoryOf(stage.pids(stage.hub).slice(0, 1)).anonymous / MIB]);
      cell(run, what, 'engine memory outside the map', 'MiB', 'lower', memory);
      const data = new ProjectPaths(stage.project).data(stage.hub);
      for (const folder of ['log', 'store'])
        cell(run, what, `${folder} on disk`, 'bytes per row', 'lower', sample([bytesOn(join(data, folder)) / rows]));
    }
    const greatest = settings.sizes.at(-1) ?? 0;
    const [last, reference] = [p99.get(greatest), p99.get(REFERENCE_ROWS)];
    run.results.goal({
      suite: SUITE,
      name: `engine memory outside the map at ${greatest} rows`,
      sign: '<=',
      limit: GOALS.memoryMib,
      unit: 'MiB',
      value: memory,
    });
    if (last === undefined || reference === undefined) return;
    const times = (value: number): number => value / reference.median;
    run.results.goal({
      suite: SUITE,
      name: `read p99 at ${greatest} rows, of that at ${REFERENCE_ROWS}`,
      sign: '<=',
      limit: GOALS.timesP99,
      value: { ...last, median: times(last.median), min: times(last.min), max: times(last.max) },
    });
  } finally {
    await scope.end();
  }
}

async function byRegions(run: SuiteRun, settings: Settings, regions: number): Promise<void> {
  const scope = new Scope();
  try {
    run.progress(`${regions} regions`);
    const stage = await Stage.start(scope, { regions });
    const writer = await writerOf(run, scope, stage);
    await overwrite(writer, stage, settings.overwrites / 4, settings.overwrites);
    const { perSecond, cpuPerMillion } = await overwrite(writer, stage, settings.overwrites, settings.overwrites);
    const what = `${regions} regions, ${settings.overwrites} keys`;
    cell(run, what, 'visible in all regions', 'rows/s', 'higher', sample([perSecond]));
    cell(run, what, 'processor time a region', 's per million rows', 'lower', sample([cpuPerMillion / regions]));
    const engines = stage.topology.regions.map((region) => memoryOf(stage.pids(region).slice(0, 1)).anonymous / MIB);
    cell(run, what, 'engine memory outside the map', 'MiB', 'lower', sample(engines));
  } finally {
    await scope.end();
  }
}

/** Reads for verification go to every region but the hub, or to the hub when it is alone. */
async function writerOf(run: SuiteRun, scope: Scope, stage: Stage): Promise<Child> {
  const writer = new Child(new URL('../load/replicate.ts', import.meta.url));
  scope.defer(() => writer.end());
  const readers = stage.replicas.length === 0 ? [stage.hub] : stage.replicas;
  await writer.call('open', {
    kind: 'antipode',
    projectFolder: stage.project.folder,
    pool: run.pool,
    view: VIEW,
    inFlight: IN_FLIGHT,
    hub: await stage.endpoint(stage.hub, 'write'),
    replicas: await Promise.all(readers.map((region) => stage.endpoint(region, 'read'))),
  });
  return writer;
}

async function overwrite(
  writer: Child,
  stage: Stage,
  rows: number,
  keys: number,
): Promise<{ readonly perSecond: number; readonly cpuPerMillion: number }> {
  await writer.call('prepare', { rows, rowsPerBatch: ROWS_PER_BATCH, keys, generation: 2 });
  const pids = stage.topology.regions.flatMap((region) => stage.pids(region));
  const before = cpuSeconds(pids);
  const { visibleSeconds } = (await writer.call('flatOut')) as FlatOut;
  const cpu = cpuSeconds(pids) - before;
  await writer.call('verify');
  return { perSecond: rows / visibleSeconds, cpuPerMillion: (cpu * MILLION) / rows };
}

async function readLatency(reader: Child, stage: Stage, keys: number, seconds: number): Promise<Latency> {
  const run: ReadRun & { requestsPerSecond: number } = {
    target: { kind: 'feast-form', endpoint: await stage.endpoint(stage.hub, 'read') },
    shape: { entities: 10, views: [VIEW] },
    keys,
    spread: 'uniform',
    generations: [1, 2],
    connections: CONNECTIONS,
    pids: [],
    seconds,
    warmSeconds: Math.min(1, seconds / 2),
    requestsPerSecond: REQUESTS_PER_SECOND,
  };
  return (await reader.call('openLoop', run)) as Latency;
}

/** Blocks that the files of a folder take: files are sparse, and have a reserve. */
function bytesOn(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).blocks * BLOCK_BYTES, 0);
}

function cell(
  run: SuiteRun,
  what: string,
  metric: string,
  unit: string,
  better: 'higher' | 'lower',
  value: Sample,
): void {
  run.results.cell({ suite: SUITE, case: what, contender: 'antipode', metric, unit, better, value });
}
