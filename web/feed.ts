import { EventStreamParser } from './event-stream.ts';
import { parseSnapshot, type RegionStatus } from './snapshot.ts';

/** Without a single byte for so long the connection is given up: a region that stopped silently holds sockets open. */
export const SILENCE_MS_MAX = 15_000;
export const RETRY_DELAY_MS_MIN = 500;
export const RETRY_DELAY_MS_MAX = 10_000;

export type FeedState =
  | { readonly phase: 'connecting'; readonly attempt: number }
  | { readonly phase: 'live' }
  /** The connection failed; the next attempt is due at `retryAtMs` of the monotonic clock. */
  | { readonly phase: 'waiting'; readonly reason: string; readonly attempt: number; readonly retryAtMs: number }
  /** The region wants a token; nothing is tried again until `reconnect`. */
  | { readonly phase: 'sign-in'; readonly forbidden: boolean };

export interface FeedOptions {
  readonly fetch: typeof fetch;
  readonly headers: () => Record<string, string>;
  /** Monotonic, ms. */
  readonly nowMs: () => number;
  readonly onSnapshot: (status: RegionStatus) => void;
  readonly onState: (state: FeedState) => void;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
}

/** Delay before attempt `attempt` (1 is the first repetition): doubling, bounded, and spread so that pages do not return together. */
export function retryDelayMs(attempt: number, random: number): number {
  const bound = Math.min(RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN * 2 ** Math.min(attempt - 1, 10));
  return Math.round(bound * (0.5 + random / 2));
}

/**
 * Keeps one connection to the region's events, for as long as the page is open. At most one attempt is under way; the
 * delay between attempts is bounded, their number is not, because a page left open over night should find the region again.
 */
export class Feed {
  readonly #options: FeedOptions;
  #attempt = 0;
  #connection: AbortController | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Connects now, dropping a connection or a wait under way. */
  reconnect(): void {
    this.close();
    const connection = new AbortController();
    this.#connection = connection;
    this.#options.onState({ phase: 'connecting', attempt: this.#attempt });
    void this.#run(connection);
  }

  /** Connects now if it would be tried later anyway: the machine came back online, the page came to the front. */
  hurry(): void {
    if (this.#retryTimer !== null) this.reconnect();
  }

  close(): void {
    this.#connection?.abort();
    this.#connection = null;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
  }

  async #run(connection: AbortController): Promise<void> {
    let reason = 'the region closed the connection';
    try {
      const response = await this.#withSilenceLimit(connection, () =>
        this.#options.fetch('/v1/events', {
          headers: { accept: 'text/event-stream', ...this.#options.headers() },
          cache: 'no-store',
          signal: connection.signal,
        }),
      );
      if (response.status === 401 || response.status === 403) {
        if (this.#connection !== connection) return;
        connection.abort();
        this.#options.onState({ phase: 'sign-in', forbidden: response.status === 403 });
        return;
      }
      if (!response.ok || response.body === null) throw new Error(`the region answered with HTTP ${response.status}`);
      await this.#read(connection, response.body);
    } catch (error: unknown) {
      reason = describe(error);
    }
    if (this.#connection !== connection) return;
    connection.abort();
    this.#wait(reason);
  }

  async #read(connection: AbortController, body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventStreamParser();
    let live = false;
    for (;;) {
      const piece = await this.#withSilenceLimit(connection, () => reader.read());
      if (piece.done || connection.signal.aborted) return;
      for (const message of parser.push(piece.value)) {
        const snapshot = parseSnapshot(message);
        if (!snapshot.ok) throw new Error(snapshot.reason);
        if (!live) {
          live = true;
          this.#attempt = 0;
          this.#options.onState({ phase: 'live' });
        }
        this.#options.onSnapshot(snapshot.status);
      }
    }
  }

  /** Aborting the connection makes the pending step fail with the reason given here. */
  async #withSilenceLimit<Value>(connection: AbortController, step: () => Promise<Value>): Promise<Value> {
    const timer = setTimeout(
      () => connection.abort(new Error(`no answer for ${SILENCE_MS_MAX / 1000} s`)),
      SILENCE_MS_MAX,
    );
    try {
      return await step();
    } finally {
      clearTimeout(timer);
    }
  }

  #wait(reason: string): void {
    this.#attempt += 1;
    const delayMs = retryDelayMs(this.#attempt, this.#options.random());
    this.#retryTimer = setTimeout(() => this.reconnect(), delayMs);
    this.#options.onState({
      phase: 'waiting',
      reason,
      attempt: this.#attempt,
      retryAtMs: this.#options.nowMs() + delayMs,
    });
  }
}

/** Browsers call every failure to connect a TypeError with a text of their own. */
function describe(error: unknown): string {
  if (error instanceof TypeError) return 'the region does not answer';
  return error instanceof Error ? error.message : 'the connection failed';
}
