import type { ServerResponse } from 'node:http';
import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { StatusSource } from '#server/operations/status-source';

/** How often watchers get a status. */
export const EVENT_INTERVAL_MS = 500;
/** Watchers of one face; each costs a socket and the serialised status on it. */
export const WATCHERS_MAX = 64;
/** A watcher that has not taken its last status for so many ticks is dropped; a page that is still there connects again. */
export const MISSED_TICKS_MAX = 20;

/**
 * Sends the region's status to watchers as server-sent events. The status is asked for and serialised once a tick for all
 * of them, and not at all while nobody watches. While the engine does not answer, a comment keeps the connections alive.
 */
export class EventStream {
  readonly #source: StatusSource;
  readonly #logger: Logger;
  /** Each with the number of statuses it has missed in a row. */
  readonly #watchers = new Map<ServerResponse, number>();
  readonly #stop: () => void;
  #sending = false;
  #closed = false;

  constructor(options: { readonly source: StatusSource; readonly clock: Clock; readonly logger: Logger }) {
    this.#source = options.source;
    this.#logger = options.logger;
    this.#stop = options.clock.every(EVENT_INTERVAL_MS, () => this.#tick());
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Throws OVERLOADED when there are too many watchers; call it before the response is taken over. */
  requireRoom(): void {
    if (this.#closed || this.#watchers.size >= WATCHERS_MAX) {
      throw new AntipodeError(
        'OVERLOADED',
        `${this.#watchers.size} pages watch this region already, at most ${WATCHERS_MAX}`,
      );
    }
  }

  /** Takes over a response and sends the first status at once. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write(': connected\n\n');
    this.#watchers.set(response, 0);
    const remove = () => this.#watchers.delete(response);
    response.once('close', remove);
    response.once('error', remove);
    this.#tick();
  }

  /** Ends all watchers' responses, so that the server can close. */
  close(): void {
    this.#closed = true;
    this.#stop();
    for (const watcher of this.#watchers.keys()) watcher.end();
    this.#watchers.clear();
  }

  #tick(): void {
    if (this.#watchers.size === 0 || this.#sending) return;
    this.#sending = true;
    void this.#send();
  }

  async #send(): Promise<void> {
    try {
      const status = await this.#source.status();
      this.#broadcast(`event: status\ndata: ${JSON.stringify(status)}\n\n`);
    } catch (error) {
      this.#logger.warn('status-not-sent', { error: String(error) });
      this.#broadcast(': the engine does not answer\n\n');
    } finally {
      this.#sending = false;
    }
  }

  #broadcast(text: string): void {
    for (const [watcher, missed] of this.#watchers) {
      // A watcher that is behind misses this status and gets a later one: what waits for it never grows.
      if (watcher.writableLength === 0) {
        watcher.write(text);
        this.#watchers.set(watcher, 0);
      } else if (missed >= MISSED_TICKS_MAX) watcher.destroy();
      else this.#watchers.set(watcher, missed + 1);
    }
  }
}
