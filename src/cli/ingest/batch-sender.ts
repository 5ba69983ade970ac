import type { Producer } from '#core/codec/counter-state';
import { type AntipodeError, toAntipodeError } from '#core/errors';
import type { IngestResult } from '#region/engine-api';
import { Backoff } from '../process/backoff.ts';
import type { RegionClient } from '../region-client.ts';

const RETRY_MS_FIRST = 50;
const RETRY_MS_MAX = 1_000;

export interface SentBatch {
  readonly result: IngestResult;
  /** The region that answered. */
  readonly region: string;
  readonly retries: number;
}

/**
 * Sends encoded batches to whichever region takes them. An outcome that is unknown, or a region that cannot now, is
 * settled by sending the same batch under the same key again, said to be a retry once an outcome is unknown, after a growing pause with jitter and at the next region:
 * the hub may have moved. A refusal that no repetition would change is thrown at once.
 */
export class BatchSender {
  readonly #clients: readonly RegionClient[];
  readonly #retryMsMax: number;
  readonly #onRetry: (error: AntipodeError, region: string) => void;
  /** The client that batches are sent to first: the hub, once it is known. */
  #preferred = 0;

  constructor(options: {
    readonly clients: readonly RegionClient[];
    /** How long one batch is tried, ms. */
    readonly retryMsMax: number;
    readonly onRetry?: ((error: AntipodeError, region: string) => void) | undefined;
  }) {
    this.#clients = options.clients;
    this.#retryMsMax = options.retryMsMax;
    this.#onRetry = options.onRetry ?? (() => undefined);
  }

  /** Resolves when a region has acknowledged the batch. `hurry` aborts the waiting for a better time, not a request. */
  async send(options: {
    readonly view: string;
    readonly batch: Buffer;
    readonly idempotencyKey: string;
    readonly producer?: Producer | undefined;
    readonly acknowledge?: number | undefined;
    readonly hurry?: AbortSignal | undefined;
  }): Promise<SentBatch> {
    const { hurry, ...request } = options;
    const backoff = new Backoff({ firstMs: RETRY_MS_FIRST, maxMs: RETRY_MS_MAX });
    const untilMs = performance.now() + this.#retryMsMax;
    let retried = false;
    for (let retries = 0; ; retries++) {
      const at = this.#preferred;
      const client = this.#clients[at] as RegionClient;
      try {
        const result = await client.ingest({ ...request, retried });
        this.#prefer(result.hub);
        return { result, region: client.region, retries };
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (!isWorthRepeating(error) || hurry?.aborted === true || performance.now() > untilMs) throw error;
        retried ||= error.disposition === 'unknown';
        this.#onRetry(error, client.region);
        // A region that is merely busy or full says so of itself; elsewhere it would only be forwarded to.
        if (error.code !== 'OVERLOADED' && at === this.#preferred) {
          this.#preferred = (at + 1) % this.#clients.length;
        }
        await pause(backoff.nextMs(), hurry);
      }
    }
  }

  #prefer(hub: string): void {
    const at = this.#clients.findIndex((client) => client.region === hub);
    if (at >= 0) this.#preferred = at;
  }
}

function isWorthRepeating(error: AntipodeError): boolean {
  return error.disposition === 'retry' || error.disposition === 'unknown' || error.disposition === 'reset';
}

/** Ends early, without an error, when told to hurry. */
function pause(ms: number, hurry: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      hurry?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    hurry?.addEventListener('abort', end);
    if (hurry?.aborted === true) end();
  });
}
