import { keyOf, type RowMaker } from '../lib/rows.ts';
import { WrongAnswer } from '../lib/scope.ts';
import { MIRROR, SUBJECTS } from '../peers/nats-servers.ts';
import { NatsRequests, NatsSocket, publication } from '../peers/nats-socket.ts';
import type { Batch, Contender, ContenderOptions } from './contender.ts';

const PROBE_KEY = 'PROBE';
/** Subjects that acknowledgements come to end in the number of their batch. */
const ACKNOWLEDGED = '_INBOX.bench';
const ACKNOWLEDGEMENT = '{"stream"';

/** A row is the last message of a subject, its values as JSON; every message is acknowledged by JetStream. */
export class NatsContender implements Contender {
  readonly #maker: RowMaker;
  readonly #reader: NatsRequests;
  readonly #waiting = new Map<string, { left: number; resolve: () => void; reject: (error: Error) => void }>();
  readonly #sizes = new Map<Buffer, { readonly reply: string; readonly messages: number }>();
  #writer: NatsSocket | undefined;
  #encoded = 0;

  private constructor(maker: RowMaker, reader: NatsRequests) {
    this.#maker = maker;
    this.#reader = reader;
  }

  static async open(
    options: ContenderOptions & { readonly hubPort: number; readonly replicaPort: number },
  ): Promise<NatsContender> {
    const contender = new NatsContender(options.maker, await NatsRequests.open(options.replicaPort));
    contender.#writer = await NatsSocket.open(
      options.hubPort,
      (subject, payload) => contender.#acknowledged(subject, payload),
      (error) => {
        for (const { reject } of contender.#waiting.values()) reject(error);
      },
    );
    contender.#writer.subscribe(`${ACKNOWLEDGED}.*`);
    return contender;
  }

  get replicas(): number {
    return 1;
  }

  encode({ keys, generation, probe }: Batch): Buffer {
    const reply = `${ACKNOWLEDGED}.${this.#encoded++}`;
    const rows = keys.map((key) =>
      publication(`${SUBJECTS}.${keyOf(key)}`, reply, JSON.stringify(this.#maker.values(key, generation))),
    );
    const bytes = Buffer.from([...rows, publication(`${SUBJECTS}.${PROBE_KEY}`, reply, `[${probe}]`)].join(''));
    this.#sizes.set(bytes, { reply, messages: keys.length + 1 });
    return bytes;
  }

  write(encoded: Buffer): Promise<void> {
    const size = this.#sizes.get(encoded);
    if (size === undefined) return Promise.reject(new Error('nobody encoded this'));
    return new Promise((resolve, reject) => {
      this.#waiting.set(size.reply, { left: size.messages, resolve, reject });
      this.#writer?.send(encoded);
    });
  }

  async seen(): Promise<number> {
    const [value] = (await this.#last(PROBE_KEY)) ?? [];
    return typeof value === 'number' ? value : -1;
  }

  async verify(_replica: number, keys: readonly number[], generation: number): Promise<void> {
    for (const key of keys) {
      const got = JSON.stringify(await this.#last(keyOf(key)));
      const wanted = JSON.stringify(this.#maker.values(key, generation));
      if (got !== wanted) throw new WrongAnswer(`key ${key} at NATS: read ${got}, written was ${wanted}`);
    }
  }

  close(): void {
    this.#writer?.close();
    this.#reader.close();
  }

  /** The last row of a key in the mirror. */
  async #last(key: string): Promise<readonly unknown[] | undefined> {
    const subject = `$JS.API.STREAM.MSG.GET.${MIRROR}`;
    const answer = await this.#reader.request(subject, { last_by_subj: `${SUBJECTS}.${key}` });
    const { data } = (answer['message'] ?? {}) as { data?: string };
    return data === undefined ? undefined : (JSON.parse(Buffer.from(data, 'base64').toString()) as unknown[]);
  }

  #acknowledged(reply: string, payload: Buffer): void {
    const waiting = this.#waiting.get(reply);
    if (waiting === undefined) return;
    const text = payload.toString('latin1', 0, ACKNOWLEDGEMENT.length);
    if (text !== ACKNOWLEDGEMENT) waiting.reject(new Error(`JetStream answered ${payload.toString()}`));
    waiting.left -= 1;
    if (waiting.left > 0) return;
    this.#waiting.delete(reply);
    waiting.resolve();
  }
}
