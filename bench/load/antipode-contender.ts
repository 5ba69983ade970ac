import { randomBytes } from 'node:crypto';
import { CHANGE_BATCH_CONTENT_TYPE, encodeChangeBatch } from '#server/change-batch';
import { HttpSocket, postBytes } from '../lib/http-socket.ts';
import { featureNames, JOIN_KEY, keyOf, type Row, type RowMaker } from '../lib/rows.ts';
import { WrongAnswer } from '../lib/scope.ts';
import type { Endpoint } from '../lib/stage.ts';
import type { Batch, Contender, ContenderOptions } from './contender.ts';

const PROBE_KEY = 'PROBE';
/** Keys of one verifying read. */
const VERIFIED_AT_ONCE = 100;

/** Batches over HTTP into the hub, under idempotency keys, as `antipode ingest` sends them; reads over HTTP at replicas. */
export class AntipodeContender implements Contender {
  readonly #maker: RowMaker;
  readonly #hub: Endpoint;
  readonly #replicas: readonly Endpoint[];
  readonly #idle: HttpSocket[];
  readonly #readers: readonly HttpSocket[];
  readonly #probeReads: readonly Buffer[];
  readonly #run = randomBytes(6).toString('hex');
  readonly #eventTimeUs = Date.now() * 1000;
  #requests = 0;

  private constructor(
    options: ContenderOptions & { readonly hub: Endpoint; readonly replicas: readonly Endpoint[] },
    writers: HttpSocket[],
    readers: readonly HttpSocket[],
  ) {
    this.#maker = options.maker;
    this.#hub = options.hub;
    this.#replicas = options.replicas;
    this.#idle = writers;
    this.#readers = readers;
    this.#probeReads = options.replicas.map((replica) => this.#read(replica, [PROBE_KEY], [this.#features()[0] ?? '']));
  }

  static async open(
    options: ContenderOptions & { readonly hub: Endpoint; readonly replicas: readonly Endpoint[] },
  ): Promise<AntipodeContender> {
    const { hub, replicas, inFlight } = options;
    const writers = Array.from({ length: inFlight }, () => HttpSocket.open(hub.host, hub.port));
    const readers = replicas.map(({ host, port }) => HttpSocket.open(host, port));
    return new AntipodeContender(options, await Promise.all(writers), await Promise.all(readers));
  }

  get replicas(): number {
    return this.#replicas.length;
  }

  encode({ keys, generation, probe }: Batch): Buffer {
    const { codec } = this.#maker;
    const [, ...rest] = this.#maker.values(0, generation);
    const changes = keys.map((key) => ({
      operation: 'upsert' as const,
      eventTimeUs: this.#eventTimeUs + generation,
      key: this.#maker.key(key),
      row: this.#maker.row(key, generation),
    }));
    const probeChange = {
      operation: 'upsert' as const,
      eventTimeUs: this.#eventTimeUs + probe,
      key: codec.encodeKey([PROBE_KEY]),
      row: this.#maker.encode([probe, ...rest]),
    };
    return postBytes({
      host: this.#hub.host,
      path: `/v1/ingest/${codec.view.name}`,
      body: encodeChangeBatch({ version: codec.view.version, changes: [...changes, probeChange] }),
      headers: {
        'content-type': CHANGE_BATCH_CONTENT_TYPE,
        authorization: `Bearer ${this.#hub.token}`,
        'idempotency-key': `${this.#run}.${this.#requests++}`,
      },
    });
  }

  async write(encoded: Buffer): Promise<void> {
    const socket = this.#idle.pop();
    if (socket === undefined) throw new Error('more batches in flight than connections');
    const { status, body } = await socket.request(encoded);
    this.#idle.push(socket);
    if (status !== 200) throw new Error(`the hub answered ${status}: ${body.toString()}`);
  }

  async seen(replica: number): Promise<number> {
    const reply = await this.#reader(replica).request(this.#probeReads[replica] as Buffer);
    const value = columnsOf(reply.status, reply.body, [this.#features()[0] ?? ''])[0]?.[0];
    return typeof value === 'number' ? value : -1;
  }

  async verify(replica: number, keys: readonly number[], generation: number): Promise<void> {
    const names = this.#features();
    for (let from = 0; from < keys.length; from += VERIFIED_AT_ONCE) {
      const asked = keys.slice(from, from + VERIFIED_AT_ONCE);
      const read = this.#read(this.#replicas[replica] as Endpoint, asked.map(keyOf), names);
      const { status, body } = await this.#reader(replica).request(read);
      const columns = columnsOf(status, body, names);
      for (const [at, key] of asked.entries()) {
        const got = columns.map((column) => column[at]);
        assertRow(`key ${key} at ${this.#replicas[replica]?.region}`, got, this.#maker.values(key, generation));
      }
    }
  }

  close(): void {
    for (const socket of [...this.#idle, ...this.#readers]) socket.close();
  }

  #features(): readonly string[] {
    return featureNames(this.#maker.codec.view.name);
  }

  #read(replica: Endpoint, keys: readonly string[], names: readonly string[]): Buffer {
    return readRequest(replica, { keys, features: names.map((name) => `${this.#maker.codec.view.name}:${name}`) });
  }

  #reader(replica: number): HttpSocket {
    return this.#readers[replica] as HttpSocket;
  }
}

/** The bytes of a read of features in Feast's form. */
export function readRequest(
  endpoint: Endpoint,
  read: { readonly keys: readonly string[]; readonly features: readonly string[] },
): Buffer {
  return postBytes({
    host: endpoint.host,
    path: '/get-online-features',
    body: JSON.stringify({ features: read.features, entities: { [JOIN_KEY]: read.keys } }),
    headers: { authorization: `Bearer ${endpoint.token}` },
  });
}

/** Values by feature in the order of `names`, then by entity row, of an answer in Feast's form, whatever its own order. */
export function columnsOf(status: number, body: Buffer, names: readonly string[]): readonly (readonly unknown[])[] {
  if (status !== 200) throw new Error(`a read was answered with ${status}: ${body.toString().slice(0, 300)}`);
  const { metadata, results } = JSON.parse(body.toString()) as {
    metadata: { feature_names: readonly string[] };
    results: readonly { values: readonly unknown[] }[];
  };
  return names.map((name) => {
    const column = results[metadata.feature_names.indexOf(name)];
    if (column === undefined) throw new WrongAnswer(`feature ${name} is missing in ${body.toString().slice(0, 300)}`);
    return column.values;
  });
}

/** Whether these are the values that were written. Floats of four bytes come with as few digits as tell them apart. */
export function isRow(got: readonly unknown[], wanted: Row): boolean {
  return (
    got.length === wanted.length &&
    wanted.every(
      (value, at) =>
        got[at] === value || (typeof value === 'number' && Math.fround(Number(got[at])) === Math.fround(value)),
    )
  );
}

export function assertRow(where: string, got: readonly unknown[], wanted: Row): void {
  if (isRow(got, wanted)) return;
  throw new WrongAnswer(`${where}: read ${JSON.stringify(got)}, written was ${JSON.stringify(wanted)}`);
}
