// Reads features, as fast as they come or at a rate, in a process of its own.
import { createHistogram } from 'node:perf_hooks';
import { loadProject } from '#adapters/project-files/load-project';
import { serveCalls } from '../lib/child.ts';
import { nowMs } from '../lib/http-socket.ts';
import { cpuSeconds } from '../lib/process-usage.ts';
import { type Row, RowMaker } from '../lib/rows.ts';
import type { Endpoint } from '../lib/stage.ts';
import { seeded } from '../lib/stats.ts';
import { Ticker } from '../lib/ticker.ts';
import { zipf } from '../lib/zipf.ts';
import {
  ConstantSystem,
  FeastFormSystem,
  type ReadConnection,
  type ReadShape,
  type ReadSystem,
  RedisSystem,
} from './read-system.ts';

export type ReadTarget =
  | { readonly kind: 'feast-form'; readonly endpoint: Endpoint }
  | { readonly kind: 'constant'; readonly endpoint: Endpoint; readonly bytes: Uint8Array }
  | { readonly kind: 'redis'; readonly port: number };

export interface ReadRun {
  readonly target: ReadTarget;
  readonly shape: ReadShape;
  /** Entities are drawn from so many keys. */
  readonly keys: number;
  readonly spread: 'uniform' | 'zipf';
  /** What may be read of a key is what one of these generations wrote. */
  readonly generations: readonly number[];
  readonly connections: number;
  /** Processes of the server, whose processor time is counted with the requests. */
  readonly pids: readonly number[];
  readonly seconds: number;
  readonly warmSeconds: number;
}

export interface Throughput {
  readonly requests: number;
  readonly seconds: number;
  readonly serverCpuSeconds: number;
  /** Processor time of this load: near `seconds`, the load was the limit. */
  readonly loadCpuSeconds: number;
  readonly answerBytes: number;
}

export interface Latency {
  readonly requests: number;
  /** From when a request was due until its answer was read, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** Different requests, asked again and again. */
const REQUESTS = 2_000;
/** Answers kept, to be verified when the clock has stopped. */
const VERIFIED = 200;
const US_PER_MS = 1000;
const US_PER_SECOND = 1_000_000;

let makers: ReadonlyMap<string, RowMaker> = new Map();

async function open({ projectFolder, pool }: { projectFolder: string; pool: readonly Row[] }): Promise<void> {
  const { views } = await loadProject(projectFolder);
  makers = new Map(views.map((view) => [view.name, new RowMaker(view, pool)]));
}

function systemOf(target: ReadTarget): ReadSystem {
  switch (target.kind) {
    case 'feast-form':
      return new FeastFormSystem(target.endpoint, makers);
    case 'constant':
      return new ConstantSystem(target.endpoint, makers, Buffer.from(target.bytes));
    case 'redis':
      return new RedisSystem(target.port, makers);
    default:
      return target satisfies never;
  }
}

interface Request {
  readonly keys: readonly number[];
  readonly encoded: Buffer;
}

/** Requests and connections of one run, and the answers that are verified after it. */
class Reading {
  readonly connections: ReadConnection[] = [];
  readonly #run: ReadRun;
  readonly #system: ReadSystem;
  readonly #requests: readonly Request[];
  readonly #kept: { readonly answer: unknown; readonly keys: readonly number[] }[] = [];
  readonly #keepEvery: number;
  #asked = 0;
  answerBytes = 0;

  constructor(run: ReadRun, keepEvery: number) {
    this.#run = run;
    this.#system = systemOf(run.target);
    this.#keepEvery = keepEvery;
    const random = seeded(run.shape.entities * 1_000 + run.keys);
    const draw = run.spread === 'zipf' ? zipf(run.keys, random) : () => Math.floor(random() * run.keys);
    this.#requests = Array.from({ length: REQUESTS }, () => {
      const keys = Array.from({ length: run.shape.entities }, draw);
      return { keys, encoded: this.#system.encode(keys, run.shape) };
    });
  }

  async connect(): Promise<void> {
    for (let at = 0; at < this.#run.connections; at++) this.connections.push(await this.#system.open());
  }

  async ask(connection: ReadConnection): Promise<void> {
    const number = this.#asked++;
    const { keys, encoded } = this.#requests[number % REQUESTS] as Request;
    const answer = await connection.ask(encoded);
    if (number % this.#keepEvery !== 0 || this.#kept.length >= VERIFIED) return;
    if (Buffer.isBuffer(answer)) this.answerBytes = answer.length;
    this.#kept.push({ answer, keys });
  }

  verify(): void {
    if (this.#kept.length === 0) throw new Error('no answer was kept to be verified');
    for (const { answer, keys } of this.#kept)
      this.#system.verify(answer, keys, this.#run.shape, this.#run.generations);
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }
}

/** Every connection asks again as soon as it was answered. Requests count by when they were answered. */
async function closedLoop(run: ReadRun): Promise<Throughput> {
  const reading = new Reading(run, 50);
  try {
    await reading.connect();
    const countFromMs = nowMs() + run.warmSeconds * 1000;
    const endMs = countFromMs + run.seconds * 1000;
    let requests = 0;
    let began: Usage | undefined;
    let ended: Usage | undefined;
    const lane = async (connection: ReadConnection): Promise<void> => {
      for (;;) {
        await reading.ask(connection);
        const now = nowMs();
        if (now >= endMs) {
          ended ??= usageOf(run.pids);
          return;
        }
        if (now < countFromMs) continue;
        began ??= usageOf(run.pids);
        requests += 1;
      }
    };
    await Promise.all(reading.connections.map(lane));
    if (began === undefined || ended === undefined || requests === 0)
      throw new Error(`no request was answered in ${run.seconds} s`);
    reading.verify();
    return {
      requests,
      seconds: run.seconds,
      serverCpuSeconds: (ended.server - began.server) * (run.seconds / (ended.atSeconds - began.atSeconds)),
      loadCpuSeconds: ended.load - began.load,
      answerBytes: reading.answerBytes,
    };
  } finally {
    reading.close();
  }
}

/** Processor time until now, seconds. */
interface Usage {
  readonly server: number;
  readonly load: number;
  readonly atSeconds: number;
}

function usageOf(pids: readonly number[]): Usage {
  const { user, system } = process.cpuUsage();
  return { server: cpuSeconds(pids), load: (user + system) / US_PER_SECOND, atSeconds: nowMs() / 1000 };
}

/** Requests at random times at a mean rate, whatever became of those before. */
async function openLoop(run: ReadRun & { readonly requestsPerSecond: number }): Promise<Latency> {
  const reading = new Reading(run, Math.ceil((run.requestsPerSecond * run.seconds) / VERIFIED));
  try {
    await reading.connect();
    const random = seeded(run.requestsPerSecond);
    const histogram = createHistogram({ figures: 3 });
    const idle = [...reading.connections];
    const due: number[] = [];
    const beganMs = nowMs() + 5;
    const countFromMs = beganMs + run.warmSeconds * 1000;
    const endMs = countFromMs + run.seconds * 1000;
    let nextMs = beganMs;
    let requests = 0;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void => {
        ticker.stop().then(() => reject(error), reject);
      };
      const send = (connection: ReadConnection, dueMs: number): void => {
        reading.ask(connection).then(() => {
          if (dueMs >= countFromMs) {
            requests += 1;
            histogram.record(Math.max(1, Math.round((nowMs() - dueMs) * US_PER_MS)));
          }
          const waiting = due.shift();
          if (waiting === undefined) idle.push(connection);
          else send(connection, waiting);
        }, fail);
      };
      const finish = (): void => {
        if (nextMs > endMs && idle.length === reading.connections.length) ticker.stop().then(resolve, reject);
      };
      const ticker = new Ticker(() => {
        const now = nowMs();
        for (; nextMs <= now && nextMs <= endMs; nextMs -= (Math.log(1 - random()) * 1000) / run.requestsPerSecond) {
          const connection = idle.pop();
          if (connection === undefined) due.push(nextMs);
          else send(connection, nextMs);
        }
        finish();
      });
    });
    reading.verify();
    return {
      requests,
      p50Ms: histogram.percentile(50) / US_PER_MS,
      p99Ms: histogram.percentile(99) / US_PER_MS,
      p999Ms: histogram.percentile(99.9) / US_PER_MS,
      maxMs: histogram.max / US_PER_MS,
    };
  } finally {
    reading.close();
  }
}

/** The bytes of one answer, for a server that gives nothing else. */
async function oneAnswer(run: ReadRun): Promise<Uint8Array> {
  const system = systemOf(run.target);
  const connection = await system.open();
  const keys = Array.from({ length: run.shape.entities }, (_, at) => at);
  const answer = await connection.ask(system.encode(keys, run.shape));
  connection.close();
  return Uint8Array.from(answer as Buffer);
}

serveCalls({ open, closedLoop, openLoop, oneAnswer });
