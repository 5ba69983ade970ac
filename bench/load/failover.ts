// Writes and reads through the death of the server that takes writes, in a process of its own.
import { randomBytes } from 'node:crypto';
import { loadProject } from '#adapters/project-files/load-project';
import { CHANGE_BATCH_CONTENT_TYPE } from '#server/change-batch';
import { serveCalls } from '../lib/child.ts';
import { HttpSocket, nowMs, postBytes } from '../lib/http-socket.ts';
import { featureNames, keyOf, type Row, RowMaker, viewNamed } from '../lib/rows.ts';
import { sleep } from '../lib/scope.ts';
import type { Endpoint } from '../lib/stage.ts';
import { Ticker } from '../lib/ticker.ts';
import { command, RedisSocket } from '../peers/redis-socket.ts';
import { columnsOf, isRow, readRequest } from './antipode-contender.ts';

export type FailoverTarget =
  | { readonly kind: 'antipode'; readonly regions: readonly Endpoint[]; readonly readers: readonly Endpoint[] }
  | { readonly kind: 'sentinel'; readonly sentinelPorts: readonly number[]; readonly primaryPort: number };

export interface FailoverOptions {
  readonly projectFolder: string;
  readonly pool: readonly Row[];
  readonly view: string;
  readonly target: FailoverTarget;
}

export interface FailoverResult {
  readonly batches: number;
  readonly acknowledged: number;
  /** From the kill until the first batch that was due after it was acknowledged, ms. */
  readonly writableMs: number;
  readonly reads: number;
  readonly readsFailed: number;
}

const ROWS_PER_SECOND = 10_000;
const ROWS_PER_BATCH = 50;
const PERIOD_MS = (ROWS_PER_BATCH * 1000) / ROWS_PER_SECOND;
const READ_PERIOD_MS = 5;
/** Of one attempt. */
const ATTEMPT_MS_MAX = 2_000;
const RETRY_MS = 20;
const IN_FLIGHT_MAX = 2_000;
const GENERATION = 1;
const VERIFIED_AT_ONCE = 100;

/** A system whose writers look for whoever takes writes. */
interface Target {
  /** One attempt. Rejects when it failed; the next one may go elsewhere. */
  write(batch: number): Promise<void>;
  /** Reads a row where writes were not taken before the kill. */
  read(): Promise<void>;
  /** Of these keys, those that are not there as they were written. */
  missing(keys: readonly number[]): Promise<number>;
  close(): void;
}

function keysOf(batch: number): number[] {
  return Array.from({ length: ROWS_PER_BATCH }, (_, at) => batch * ROWS_PER_BATCH + at);
}

class AntipodeTarget implements Target {
  readonly #regions: readonly Endpoint[];
  readonly #reader: Endpoint;
  readonly #maker: RowMaker;
  readonly #pools = new Map<Endpoint, HttpSocket[]>();
  readonly #run = randomBytes(6).toString('hex');
  readonly #eventTimeUs = Date.now() * 1000;
  #preferred = 0;

  constructor(target: FailoverTarget & { kind: 'antipode' }, maker: RowMaker) {
    this.#regions = target.regions;
    this.#reader = target.readers[0] as Endpoint;
    this.#maker = maker;
  }

  async write(batch: number): Promise<void> {
    const at = this.#preferred;
    const region = this.#regions[at] as Endpoint;
    const body = this.#maker.batch(keysOf(batch), { generation: GENERATION, eventTimeUs: this.#eventTimeUs });
    const headers = {
      'content-type': CHANGE_BATCH_CONTENT_TYPE,
      authorization: `Bearer ${region.token}`,
      'idempotency-key': `${this.#run}.${batch}`,
    };
    const path = `/v1/ingest/${this.#maker.codec.view.name}`;
    try {
      await this.#send(region, postBytes({ host: region.host, path, body, headers }));
    } catch (error) {
      if (this.#preferred === at) this.#preferred = (at + 1) % this.#regions.length;
      throw error;
    }
  }

  async read(): Promise<void> {
    await this.#values([0]);
  }

  async missing(keys: readonly number[]): Promise<number> {
    let missing = 0;
    for (let from = 0; from < keys.length; from += VERIFIED_AT_ONCE) {
      const asked = keys.slice(from, from + VERIFIED_AT_ONCE);
      const columns = await this.#values(asked);
      for (const [at, key] of asked.entries()) {
        const got = columns.map((column) => column[at]);
        if (!isRow(got, this.#maker.values(key, GENERATION))) missing += 1;
      }
    }
    return missing;
  }

  close(): void {
    for (const sockets of this.#pools.values()) for (const socket of sockets) socket.close();
  }

  async #values(keys: readonly number[]): Promise<readonly (readonly unknown[])[]> {
    const { name } = this.#maker.codec.view;
    const names = featureNames(name);
    const features = names.map((feature) => `${name}:${feature}`);
    const body = await this.#send(this.#reader, readRequest(this.#reader, { keys: keys.map(keyOf), features }));
    return columnsOf(200, body, names);
  }

  /** A connection that fails, or takes too long, is not used again. */
  async #send(endpoint: Endpoint, bytes: Buffer): Promise<Buffer> {
    const pool = this.#pools.get(endpoint) ?? [];
    this.#pools.set(endpoint, pool);
    const socket = pool.pop() ?? (await HttpSocket.open(endpoint.host, endpoint.port));
    const timer = setTimeout(() => socket.close(), ATTEMPT_MS_MAX);
    try {
      const { status, body } = await socket.request(bytes);
      pool.push(socket);
      if (status !== 200) throw new Error(`${endpoint.region} answered ${status}`);
      return body;
    } finally {
      clearTimeout(timer);
    }
  }
}

class SentinelTarget implements Target {
  readonly #sentinels: readonly number[];
  readonly #maker: RowMaker;
  readonly #names: readonly string[];
  #primaryPort: number;
  #socket: Promise<RedisSocket>;
  #looking: Promise<void> | undefined;

  constructor(target: FailoverTarget & { kind: 'sentinel' }, maker: RowMaker) {
    this.#sentinels = target.sentinelPorts;
    this.#primaryPort = target.primaryPort;
    this.#maker = maker;
    this.#names = featureNames(maker.codec.view.name);
    this.#socket = RedisSocket.open(this.#primaryPort);
  }

  async write(batch: number): Promise<void> {
    const keys = keysOf(batch);
    const commands = keys.map((key) => {
      const row = this.#maker.values(key, GENERATION);
      return command(['HSET', keyOf(key), ...this.#names.flatMap((name, at) => [name, String(row[at])])]);
    });
    try {
      const replies = await (await this.#socket).send(commands.join(''), keys.length);
      const refused = replies.find((reply) => typeof reply !== 'number');
      if (refused !== undefined) throw new Error(String(refused));
    } catch (error) {
      await this.#look();
      throw error;
    }
  }

  /** Clients of Sentinel read from the primary unless they ask for its replicas themselves. */
  async read(): Promise<void> {
    const socket = await this.#socket;
    await socket.call('HGET', keyOf(0), this.#names[0] ?? '');
  }

  async missing(keys: readonly number[]): Promise<number> {
    const socket = await this.#socket;
    const reads = keys.map((key) => command(['HMGET', keyOf(key), ...this.#names])).join('');
    const replies = await socket.send(reads, keys.length);
    const written = (key: number): string => JSON.stringify(this.#maker.values(key, GENERATION).map(String));
    return keys.filter((key, at) => JSON.stringify(replies[at]) !== written(key)).length;
  }

  close(): void {
    this.#socket.then(
      (socket) => socket.close(),
      () => undefined,
    );
  }

  /** Asks the sentinels who is primary, once for all who wait. */
  #look(): Promise<void> {
    this.#looking ??= this.#find().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #find(): Promise<void> {
    for (const port of this.#sentinels) {
      try {
        const sentinel = await RedisSocket.open(port);
        const answer = await sentinel.call('SENTINEL', 'get-master-addr-by-name', 'bench');
        sentinel.close();
        if (Array.isArray(answer)) this.#primaryPort = Number(answer[1]);
        break;
      } catch {
        // The next one knows as well.
      }
    }
    this.#socket.then(
      (socket) => socket.close(),
      () => undefined,
    );
    this.#socket = RedisSocket.open(this.#primaryPort);
    this.#socket.catch(() => undefined);
  }
}

let target: Target | undefined;
let ticker: Ticker | undefined;
let running: Promise<unknown>[] = [];
let stopped = false;
let beganMs = 0;
let killedMs = Number.POSITIVE_INFINITY;
let batches = 0;
let inFlight = 0;
let acknowledgedMs: number[] = [];
let reads = 0;
let readsFailed = 0;

async function start(options: FailoverOptions): Promise<void> {
  const { views } = await loadProject(options.projectFolder);
  const maker = new RowMaker(viewNamed(views, options.view), options.pool);
  const made =
    options.target.kind === 'antipode'
      ? new AntipodeTarget(options.target, maker)
      : new SentinelTarget(options.target, maker);
  target = made;
  await insist(made, 0);
  beganMs = nowMs();
  batches = 1;
  acknowledgedMs = [beganMs];
  let nextRead = beganMs;
  ticker = new Ticker(() => {
    const now = nowMs();
    while (beganMs + batches * PERIOD_MS <= now && inFlight < IN_FLIGHT_MAX) {
      const batch = batches++;
      inFlight += 1;
      running.push(
        insist(made, batch).finally(() => {
          inFlight -= 1;
        }),
      );
    }
    if (now < nextRead) return;
    nextRead = now + READ_PERIOD_MS;
    reads += 1;
    running.push(
      made.read().catch(() => {
        readsFailed += 1;
      }),
    );
  });
}

/** Tries a batch until it is acknowledged or the load stops. */
async function insist(system: Target, batch: number): Promise<void> {
  while (!stopped) {
    try {
      await system.write(batch);
      acknowledgedMs[batch] = nowMs();
      return;
    } catch {
      await sleep(RETRY_MS);
    }
  }
}

/** The kill is about to happen. */
function killing(): void {
  killedMs = nowMs();
}

/** Whether a batch that was due after the kill is acknowledged. */
function writable(): boolean {
  return firstAfterKill() !== undefined;
}

function firstAfterKill(): number | undefined {
  const from = Math.ceil((killedMs - beganMs) / PERIOD_MS);
  const after = acknowledgedMs.filter((ms, batch) => batch >= from && ms > killedMs);
  return after.length === 0 ? undefined : Math.min(...after);
}

async function stop(): Promise<FailoverResult> {
  await ticker?.stop();
  await sleep(500);
  stopped = true;
  await Promise.allSettled(running);
  running = [];
  return {
    batches,
    acknowledged: acknowledgedMs.filter((ms) => ms !== undefined).length,
    writableMs: (firstAfterKill() ?? Number.POSITIVE_INFINITY) - killedMs,
    reads,
    readsFailed,
  };
}

/** Rows that were acknowledged and are not there. */
async function lost(): Promise<number> {
  if (target === undefined) throw new Error('nothing was written');
  const keys = [...acknowledgedMs.keys()].filter((batch) => acknowledgedMs[batch] !== undefined).flatMap(keysOf);
  const missing = await target.missing(keys);
  target.close();
  return missing;
}

serveCalls({ start, killing, writable, stop, lost });
