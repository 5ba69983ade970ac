import { Agent, request } from 'node:http';
import { LogHistogram } from '#core/histogram';

export interface ReaderTarget {
  readonly region: string;
  readonly host: string;
  readonly port: number;
}

export interface ReadTally {
  requests: number;
  errors: number;
  /** Milliseconds. */
  readonly latency: LogHistogram;
  lastError: string | null;
}

interface ReadRequest {
  readonly features: readonly string[];
  readonly entities: Readonly<Record<string, readonly (string | number)[]>>;
}

/** Reads features in every region at a steady rate, each region from its own face, while everything else goes on. */
export class Readers {
  readonly tallies = new Map<string, ReadTally>();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #paused = new Set<string>();
  readonly #token: string;
  readonly #next: () => ReadRequest | undefined;

  constructor(options: {
    readonly targets: readonly ReaderTarget[];
    readonly token: string;
    readonly perSecond: number;
    readonly next: () => ReadRequest | undefined;
  }) {
    this.#token = options.token;
    this.#next = options.next;
    for (const target of options.targets) {
      this.tallies.set(target.region, { requests: 0, errors: 0, latency: new LogHistogram(), lastError: null });
      this.#timers.push(setInterval(() => this.#read(target), 1000 / options.perSecond));
    }
  }

  /** A region whose process is known to be dead is not asked; its errors would say nothing. */
  pause(region: string): void {
    this.#paused.add(region);
  }

  resume(region: string): void {
    this.#paused.delete(region);
  }

  /** Reads on their way are broken off, and are nobody's errors. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const region of this.tallies.keys()) this.#paused.add(region);
    this.#agent.destroy();
  }

  #read(target: ReaderTarget): void {
    const tally = this.tallies.get(target.region);
    const asked = this.#next();
    if (tally === undefined || asked === undefined || this.#paused.has(target.region)) return;
    const body = JSON.stringify(asked);
    const startedMs = performance.now();
    tally.requests += 1;
    const fail = (reason: string): void => {
      if (this.#paused.has(target.region)) return;
      tally.errors += 1;
      tally.lastError = reason;
    };
    const call = request(
      {
        agent: this.#agent,
        host: target.host,
        port: target.port,
        method: 'POST',
        path: '/get-online-features',
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          authorization: `Bearer ${this.#token}`,
        },
        timeout: 5000,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          tally.latency.record(performance.now() - startedMs);
          if (response.statusCode !== 200)
            fail(`${response.statusCode}: ${Buffer.concat(chunks).toString('utf8').slice(0, 200)}`);
        });
        response.on('error', (error) => fail(error.message));
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer within 5 s')));
    call.on('error', (error) => fail(error.message));
    call.end(body);
  }
}
