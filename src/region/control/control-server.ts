import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { Host, Logger } from '#ports/host';
import type { Journal } from '#ports/journal';
import type { Channel, LinkTransport } from '#ports/link-transport';
import { RpcEnd } from '#region/replicate/rpc';

const VALUE_BYTES_MAX = 1024 * 1024;

interface Stored {
  readonly revision: number;
  readonly value: Buffer;
}

/**
 * The embedded control store: records with revisions in one fsynced journal, served over the same mutual TLS as regions
 * (P7). Linearizable because one process decides in one step: it compares and takes the new record into memory in the same
 * synchronous step, and answers (also to readers) only when the journal has it on disk.
 */
export class ControlServer {
  readonly #journal: Journal;
  readonly #transport: LinkTransport;
  readonly #clock: Clock;
  readonly #host: Host;
  readonly #log: Logger;
  readonly #members: ReadonlySet<string>;
  readonly #records = new Map<string, Stored>();
  /** Settles when every write begun so far is durable; readers wait for it, so that nobody sees what a crash could take back. */
  #durable: Promise<void> = Promise.resolve();

  constructor(options: {
    journal: Journal;
    transport: LinkTransport;
    clock: Clock;
    host: Host;
    log: Logger;
    members: readonly string[];
  }) {
    this.#journal = options.journal;
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#host = options.host;
    this.#log = options.log;
    this.#members = new Set(options.members);
  }

  async start(): Promise<void> {
    for (const [key, bytes] of this.#journal.list('control/')) {
      const stored = Buffer.from(bytes);
      this.#records.set(key.slice('control/'.length), {
        revision: Number(stored.readBigUInt64BE(0)),
        value: stored.subarray(8),
      });
    }
    await this.#transport.listen((channel) => this.#accept(channel));
    this.#log.info('control-store-ready', { records: this.#records.size });
  }

  async stop(): Promise<void> {
    await this.#transport.close();
    await this.#durable;
  }

  #accept(channel: Channel): void {
    if (!this.#members.has(channel.peer)) {
      channel.close(`${channel.peer} is not a region of this topology`);
      return;
    }
    const wallMs = (): number => this.#clock.wallMs();
    new RpcEnd({
      channel,
      clock: this.#clock,
      handlers: {
        ping: async () => ({ answer: { wallMs: this.#clock.wallMs() } }),
        controlGet: async ({ key }) => {
          const stored = this.#records.get(key);
          await this.#durable;
          return {
            answer: { revision: stored?.revision ?? 0, wallMs: wallMs() },
            blob: stored?.value ?? Buffer.alloc(0),
          };
        },
        controlCompareAndSet: async ({ key, expectedRevision }, blob) => {
          if (blob.length > VALUE_BYTES_MAX)
            throw new AntipodeError('REQUEST_TOO_LARGE', `control record ${key} exceeds ${VALUE_BYTES_MAX} bytes`);
          const current = this.#records.get(key);
          if ((current?.revision ?? 0) !== expectedRevision) {
            await this.#durable;
            return {
              answer: { ok: false, revision: current?.revision ?? 0, wallMs: wallMs() },
              blob: current?.value ?? Buffer.alloc(0),
            };
          }
          const revision = expectedRevision + 1;
          await this.#write(key, { revision, value: Buffer.from(blob) });
          return { answer: { ok: true, revision, wallMs: wallMs() } };
        },
      },
    });
  }

  /** The journal refuses a full disk before it takes anything: the record may be seen only once the journal has it. */
  async #write(key: string, stored: Stored): Promise<void> {
    const bytes = Buffer.allocUnsafe(8 + stored.value.length);
    bytes.writeBigUInt64BE(BigInt(stored.revision), 0);
    stored.value.copy(bytes, 8);
    const written = this.#journal.write([{ kind: 'put', key: `control/${key}`, value: bytes }]);
    this.#records.set(key, stored);
    this.#durable = Promise.all([this.#durable, written]).then(() => undefined);
    this.#durable.catch((error: unknown) => this.#host.fatal(error));
    await this.#durable;
  }
}
