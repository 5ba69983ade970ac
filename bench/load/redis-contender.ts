import { featureNames, keyOf, type Row, type RowMaker } from '../lib/rows.ts';
import { WrongAnswer } from '../lib/scope.ts';
import { command, RedisSocket } from '../peers/redis-socket.ts';
import type { Batch, Contender, ContenderOptions } from './contender.ts';

const PROBE_KEY = 'PROBE';

/** A row is a hash of ten fields under its key; a batch is a pipeline of HSET. */
export class RedisContender implements Contender {
  readonly #maker: RowMaker;
  readonly #names: readonly string[];
  readonly #idle: RedisSocket[];
  readonly #readers: readonly RedisSocket[];
  readonly #sizes = new Map<Buffer, number>();

  private constructor(maker: RowMaker, writers: RedisSocket[], readers: readonly RedisSocket[]) {
    this.#maker = maker;
    this.#names = featureNames(maker.codec.view.name);
    this.#idle = writers;
    this.#readers = readers;
  }

  static async open(
    options: ContenderOptions & { readonly primaryPort: number; readonly replicaPorts: readonly number[] },
  ): Promise<RedisContender> {
    const writers = Array.from({ length: options.inFlight }, () => RedisSocket.open(options.primaryPort));
    const readers = options.replicaPorts.map((port) => RedisSocket.open(port));
    return new RedisContender(options.maker, await Promise.all(writers), await Promise.all(readers));
  }

  get replicas(): number {
    return this.#readers.length;
  }

  encode({ keys, generation, probe }: Batch): Buffer {
    const rows = keys.map((key) => this.#hset(keyOf(key), this.#maker.values(key, generation)));
    const [, ...rest] = this.#maker.values(0, generation);
    const bytes = Buffer.from([...rows, this.#hset(PROBE_KEY, [probe, ...rest])].join(''));
    this.#sizes.set(bytes, keys.length + 1);
    return bytes;
  }

  async write(encoded: Buffer): Promise<void> {
    const socket = this.#idle.pop();
    if (socket === undefined) throw new Error('more batches in flight than connections');
    const replies = await socket.send(encoded, this.#sizes.get(encoded) ?? 0);
    this.#idle.push(socket);
    const refused = replies.find((reply) => typeof reply !== 'number');
    if (refused !== undefined) throw new Error(`Redis answered ${String(refused)}`);
  }

  async seen(replica: number): Promise<number> {
    const value = await (this.#readers[replica] as RedisSocket).call('HGET', PROBE_KEY, this.#names[0] ?? '');
    return value === null ? -1 : Number(value);
  }

  async verify(replica: number, keys: readonly number[], generation: number): Promise<void> {
    const reads = keys.map((key) => command(['HMGET', keyOf(key), ...this.#names])).join('');
    const replies = await (this.#readers[replica] as RedisSocket).send(reads, keys.length);
    for (const [at, key] of keys.entries()) {
      const wanted = this.#maker.values(key, generation).map(String);
      if (JSON.stringify(replies[at]) === JSON.stringify(wanted)) continue;
      throw new WrongAnswer(`key ${key} at Redis: read ${JSON.stringify(replies[at])}, written was ${wanted}`);
    }
  }

  close(): void {
    for (const socket of [...this.#idle, ...this.#readers]) socket.close();
  }

  #hset(key: string, row: Row): string {
    return command(['HSET', key, ...this.#names.flatMap((name, at) => [name, String(row[at])])]);
  }
}
