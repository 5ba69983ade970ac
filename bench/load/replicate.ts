// Writes rows at one place and watches them appear at another, in a process of its own.
import { createHistogram } from 'node:perf_hooks';
import { loadProject } from '#adapters/project-files/load-project';
import { serveCalls } from '../lib/child.ts';
import { nowMs } from '../lib/http-socket.ts';
import { type Row, RowMaker, viewNamed } from '../lib/rows.ts';
import { until } from '../lib/scope.ts';
import type { Endpoint } from '../lib/stage.ts';
import { seeded } from '../lib/stats.ts';
import { Ticker } from '../lib/ticker.ts';
import { AntipodeContender } from './antipode-contender.ts';
import type { Batch, Contender } from './contender.ts';
import { NatsContender } from './nats-contender.ts';
import { RedisContender } from './redis-contender.ts';

export type OpenOptions = {
  readonly projectFolder: string;
  readonly pool: readonly Row[];
  readonly inFlight: number;
  readonly view: string;
} & (
  | { readonly kind: 'antipode'; readonly hub: Endpoint; readonly replicas: readonly Endpoint[] }
  | { readonly kind: 'redis'; readonly primaryPort: number; readonly replicaPorts: readonly number[] }
  | { readonly kind: 'nats'; readonly hubPort: number; readonly replicaPort: number }
);

export interface PrepareOptions {
  readonly rows: number;
  readonly rowsPerBatch: number;
  /** Rows are drawn evenly from so many keys. */
  readonly keys: number;
  /** Instead: each key from this one on once, in order. */
  readonly firstKey?: number;
  /** Which of its values a key gets; the next one after the last by default. */
  readonly generation?: number;
}

export interface FlatOut {
  readonly rows: number;
  /** Until the last batch was acknowledged. */
  readonly acknowledgedSeconds: number;
  /** Until the last row was visible at every replica. */
  readonly visibleSeconds: number;
}

export interface Paced {
  readonly rows: number;
  readonly seconds: number;
  /** From when a batch was due until it was visible at the replica, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** How late the last batch was sent, ms: the load kept its rate when this is small. */
  readonly lateMs: number;
  /** Of each batch: when it was due and when it was visible, on the clock of `nowMs`. */
  readonly dueMs: Float64Array;
  readonly shownMs: Float64Array;
}

const VISIBLE_MS_MAX = 120_000;
const SEEN_POLL_MS = 2;
/** Between two looks for the probe: what lags are exact to. More looks would take what is measured its processor time. */
const LOOK_PERIOD_MS = 1;
const VERIFIED_KEYS = 500;
/** Histograms count whole microseconds. */
const US_PER_MS = 1000;

let contender: Contender | undefined;
let inFlightMax = 1;
let probe = 0;
let generation = 0;
let batches: Batch[] = [];
let encoded: Buffer[] = [];

function opened(): Contender {
  if (contender === undefined) throw new Error('open it first');
  return contender;
}

async function open(options: OpenOptions): Promise<void> {
  const { views } = await loadProject(options.projectFolder);
  const maker = new RowMaker(viewNamed(views, options.view), options.pool);
  inFlightMax = options.inFlight;
  contender = await openContender(options, maker);
}

function openContender(options: OpenOptions, maker: RowMaker): Promise<Contender> {
  switch (options.kind) {
    case 'antipode':
      return AntipodeContender.open({ ...options, maker });
    case 'redis':
      return RedisContender.open({ ...options, maker });
    case 'nats':
      return NatsContender.open({ ...options, maker });
    default:
      return options satisfies never;
  }
}

function prepare({ rows, rowsPerBatch, keys, firstKey, generation: asked }: PrepareOptions): void {
  generation = asked ?? generation + 1;
  const random = seeded(probe);
  batches = Array.from({ length: Math.ceil(rows / rowsPerBatch) }, (_, at) => ({
    keys: Array.from({ length: Math.min(rowsPerBatch, rows - at * rowsPerBatch) }, (_, row) =>
      firstKey === undefined ? Math.floor(random() * keys) : firstKey + at * rowsPerBatch + row,
    ),
    generation,
    probe: ++probe,
  }));
  encoded = batches.map((batch) => opened().encode(batch));
}

/** As many batches in flight as allowed; then one more, alone, which is therefore the last in any order. */
async function flatOut(): Promise<FlatOut> {
  const system = opened();
  const last = system.encode({ keys: [], generation, probe: ++probe });
  const beganMs = nowMs();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < encoded.length) await system.write(encoded[next++] as Buffer);
  };
  await Promise.all(Array.from({ length: inFlightMax }, lane));
  const acknowledgedMs = nowMs();
  await system.write(last);
  await visibleEverywhere(probe);
  const visibleMs = nowMs();
  return {
    rows: rowsPrepared(),
    acknowledgedSeconds: (acknowledgedMs - beganMs) / 1000,
    visibleSeconds: (visibleMs - beganMs) / 1000,
  };
}

async function visibleEverywhere(wanted: number): Promise<void> {
  const system = opened();
  for (let replica = 0; replica < system.replicas; replica++) {
    await until(
      `row ${wanted} at replica ${replica}`,
      VISIBLE_MS_MAX,
      async () => (await system.seen(replica)) >= wanted,
      SEEN_POLL_MS,
    );
  }
}

/** Sends batches when they are due, whatever became of those before, and notes when the first replica shows each. */
async function paced({
  rowsPerSecond,
  warmSeconds,
}: {
  readonly rowsPerSecond: number;
  /** At the beginning, not counted. */
  readonly warmSeconds: number;
}): Promise<Paced> {
  const system = opened();
  const perBatchMs = ((batches[0]?.keys.length ?? 0) * 1000) / rowsPerSecond;
  const firstProbe = batches[0]?.probe ?? 0;
  const histogram = createHistogram({ figures: 3 });
  const beganMs = nowMs() + 20;
  const dueMs = (at: number): number => beganMs + at * perBatchMs;
  const dues = Float64Array.from(encoded, (_, at) => dueMs(at));
  const shownMs = new Float64Array(encoded.length);
  let sent = 0;
  let shown = 0;
  let inFlight = 0;
  let lateMs = 0;
  let asking = false;
  let lookMs = 0;
  let maxMs = 0;
  await new Promise<void>((resolve, reject) => {
    const ticker = new Ticker(() => {
      const now = nowMs();
      while (sent < encoded.length && inFlight < inFlightMax && dueMs(sent) <= now) {
        lateMs = now - dueMs(sent);
        inFlight += 1;
        system.write(encoded[sent++] as Buffer).then(() => {
          inFlight -= 1;
        }, fail);
      }
      if (!asking && shown < sent && now >= lookMs) look();
    });
    const look = (): void => {
      asking = true;
      lookMs = nowMs() + LOOK_PERIOD_MS;
      system.seen(0).then((value) => {
        asking = false;
        const now = nowMs();
        for (; shown <= value - firstProbe && shown < sent; shown++) {
          const lagMs = Math.max(0.001, now - dueMs(shown));
          shownMs[shown] = now;
          if (dueMs(shown) < beganMs + warmSeconds * 1000) continue;
          maxMs = Math.max(maxMs, lagMs);
          histogram.record(Math.ceil(lagMs * US_PER_MS));
        }
        if (shown >= encoded.length) ticker.stop().then(resolve, reject);
      }, fail);
    };
    const fail = (error: unknown): void => {
      ticker.stop().then(() => reject(error), reject);
    };
  });
  return {
    rows: rowsPrepared(),
    seconds: (nowMs() - beganMs) / 1000,
    p50Ms: histogram.percentile(50) / US_PER_MS,
    p99Ms: histogram.percentile(99) / US_PER_MS,
    p999Ms: histogram.percentile(99.9) / US_PER_MS,
    maxMs,
    lateMs,
    dueMs: dues,
    shownMs,
  };
}

function rowsPrepared(): number {
  return batches.reduce((sum, batch) => sum + batch.keys.length, 0);
}

/** Compares what was last written with what every replica shows. */
async function verify(): Promise<void> {
  const system = opened();
  const step = Math.max(1, Math.floor(batches.length / VERIFIED_KEYS));
  const keys = batches.filter((_, at) => at % step === 0).flatMap((batch) => batch.keys.slice(0, step === 1 ? 10 : 1));
  for (let replica = 0; replica < system.replicas; replica++)
    await system.verify(replica, keys.slice(0, VERIFIED_KEYS), generation);
}

function close(): void {
  contender?.close();
}

serveCalls({ open, prepare, flatOut, paced, verify, close });
