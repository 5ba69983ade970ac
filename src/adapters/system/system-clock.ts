import { assert } from '#core/errors';
import type { Clock } from '#ports/clock';

/** The longest delay `setTimeout` can do; a longer one would fire at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** The clock of the machine. Timers keep the process alive until they are stopped. */
export class SystemClock implements Clock {
  readonly #wallOffsetMs: number;

  /** `wallOffsetMs` makes the wall clock wrong by that much, for tests; the monotonic clock is never touched. Default 0. */
  constructor(options: { readonly wallOffsetMs?: number } = {}) {
    this.#wallOffsetMs = options.wallOffsetMs ?? 0;
  }

  wallMs(): number {
    return Date.now() + this.#wallOffsetMs;
  }

  monotonicMs(): number {
    return performance.now();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.#at(performance.now() + ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Runs that were missed, by a pause of the process or a slow task, are left out. */
  every(ms: number, task: () => void): () => void {
    assert(ms > 0, 'a period is positive');
    let dueMs = performance.now() + ms;
    let cancel = (): void => undefined;
    const run = (): void => {
      dueMs = Math.max(dueMs + ms, performance.now());
      cancel = this.#at(dueMs, run);
      task();
    };
    cancel = this.#at(dueMs, run);
    return () => cancel();
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Calls back at a moment of the monotonic clock, however far away, never early. Returns how to cancel. */
  #at(dueMs: number, callback: () => void): () => void {
    assert(!Number.isNaN(dueMs), 'a delay is a number');
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const leftMs = dueMs - performance.now();
      timer = setTimeout(
        () => (performance.now() >= dueMs ? callback() : arm()),
        Math.min(Math.max(Math.ceil(leftMs), 0), DELAY_MS_MAX),
      );
    };
    arm();
    return () => clearTimeout(timer);
  }
}
