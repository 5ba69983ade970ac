import { HttpSocket } from '../lib/http-socket.ts';
import { featureNames, keyOf, type Row, type RowMaker } from '../lib/rows.ts';
import { WrongAnswer } from '../lib/scope.ts';
import type { Endpoint } from '../lib/stage.ts';
import { command, RedisSocket } from '../peers/redis-socket.ts';
import { assertRow, columnsOf, readRequest } from './antipode-contender.ts';

/** What one request asks: all features of some views, of some entities. */
export interface ReadShape {
  readonly entities: number;
  readonly views: readonly string[];
}

/** Something that answers reads over connections of its own, one request at a time on each. */
export interface ReadSystem {
  encode(keys: readonly number[], shape: ReadShape): Buffer;
  open(): Promise<ReadConnection>;
  /** Throws WrongAnswer when the answer is not what was written in one of the generations. */
  verify(answer: unknown, keys: readonly number[], shape: ReadShape, generations: readonly number[]): void;
}

export interface ReadConnection {
  /** Resolves with what `verify` takes. */
  ask(encoded: Buffer): Promise<unknown>;
  close(): void;
}

type Makers = ReadonlyMap<string, RowMaker>;

/** A server that speaks Feast's form over HTTP: this system, and Feast's own. */
export class FeastFormSystem implements ReadSystem {
  readonly #endpoint: Endpoint;
  readonly #makers: Makers;

  constructor(endpoint: Endpoint, makers: Makers) {
    this.#endpoint = endpoint;
    this.#makers = makers;
  }

  encode(keys: readonly number[], { views }: ReadShape): Buffer {
    const features = views.flatMap((view) => featureNames(view).map((name) => `${view}:${name}`));
    return readRequest(this.#endpoint, { keys: keys.map(keyOf), features });
  }

  open(): Promise<ReadConnection> {
    return openHttp(this.#endpoint);
  }

  verify(answer: unknown, keys: readonly number[], { views }: ReadShape, generations: readonly number[]): void {
    const columns = columnsOf(200, answer as Buffer, views.flatMap(featureNames));
    for (const [at, key] of keys.entries()) {
      const row = columns.map((column) => column[at]);
      assertAny(`key ${key}`, row, generations, (generation) => wantedRow(this.#makers, views, key, generation));
    }
  }
}

/** A server that answers every request with the same bytes. */
export class ConstantSystem implements ReadSystem {
  readonly #like: FeastFormSystem;
  readonly #endpoint: Endpoint;
  readonly #bytes: Buffer;

  constructor(endpoint: Endpoint, makers: Makers, bytes: Buffer) {
    this.#endpoint = endpoint;
    this.#like = new FeastFormSystem(endpoint, makers);
    this.#bytes = bytes;
  }

  encode(keys: readonly number[], shape: ReadShape): Buffer {
    return this.#like.encode(keys, shape);
  }

  open(): Promise<ReadConnection> {
    return openHttp(this.#endpoint);
  }

  verify(answer: unknown): void {
    if (!this.#bytes.equals(answer as Buffer)) throw new WrongAnswer('the constant server sent other bytes');
  }
}

/** Redis: one HMGET for each entity and view, in one pipeline. */
export class RedisSystem implements ReadSystem {
  readonly #port: number;
  readonly #makers: Makers;
  readonly #commands = new Map<Buffer, number>();

  constructor(port: number, makers: Makers) {
    this.#port = port;
    this.#makers = makers;
  }

  encode(keys: readonly number[], { views }: ReadShape): Buffer {
    const reads = keys.flatMap((key) =>
      views.map((view) => command(['HMGET', redisKey(view, key), ...featureNames(view)])),
    );
    const bytes = Buffer.from(reads.join(''));
    this.#commands.set(bytes, reads.length);
    return bytes;
  }

  async open(): Promise<ReadConnection> {
    const socket = await RedisSocket.open(this.#port);
    return {
      ask: (encoded) => socket.send(encoded, this.#commands.get(encoded) ?? 0),
      close: () => socket.close(),
    };
  }

  verify(answer: unknown, keys: readonly number[], { views }: ReadShape, generations: readonly number[]): void {
    const replies = answer as readonly (readonly string[])[];
    for (const [at, key] of keys.entries()) {
      const row = views.flatMap((_, part) => replies[at * views.length + part] ?? []).map(Number);
      assertAny(`key ${key} at Redis`, row, generations, (generation) =>
        wantedRow(this.#makers, views, key, generation),
      );
    }
  }
}

export function redisKey(view: string, key: number): string {
  return `${view}/${keyOf(key)}`;
}

async function openHttp({ host, port }: Endpoint): Promise<ReadConnection> {
  const socket = await HttpSocket.open(host, port);
  return {
    ask: async (encoded) => {
      const { status, body } = await socket.request(encoded);
      if (status !== 200) throw new Error(`a read was answered with ${status}: ${body.toString().slice(0, 300)}`);
      return body;
    },
    close: () => socket.close(),
  };
}

function wantedRow(makers: Makers, views: readonly string[], key: number, generation: number): Row {
  return views.flatMap((view) => {
    const maker = makers.get(view);
    if (maker === undefined) throw new Error(`nobody knows view ${view}`);
    return maker.values(key, generation);
  });
}

/** Right when the row is that of any of the generations: rows are written while they are read. */
function assertAny(
  where: string,
  row: readonly unknown[],
  generations: readonly number[],
  wanted: (generation: number) => Row,
): void {
  for (const [at, generation] of generations.entries()) {
    try {
      assertRow(where, row, wanted(generation));
      return;
    } catch (error) {
      if (at + 1 === generations.length) throw error;
    }
  }
}
