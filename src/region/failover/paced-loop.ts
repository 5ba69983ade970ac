import { type AntipodeError, toAntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { Random } from '#ports/random';

/** Runs a task again and again, with a pause between that varies by a tenth, until the signal aborts. */
export class PacedLoop {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #signal: AbortSignal;
  readonly #task: () => Promise<void>;
  readonly #intervalMs: () => number;
  readonly #onError: (error: AntipodeError) => void;
  #early: (() => void) | undefined;

  constructor(options: {
    clock: Clock;
    random: Random;
    signal: AbortSignal;
    task: () => Promise<void>;
    intervalMs: () => number;
    /** A run failed; the next one comes all the same. */
    onError: (error: AntipodeError) => void;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#signal = options.signal;
    this.#task = options.task;
    this.#intervalMs = options.intervalMs;
    this.#onError = options.onError;
  }

  /** Resolves after the run under way when the signal aborted. */
  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        await this.#task();
      } catch (caught) {
        if (this.#signal.aborted) return;
        this.#onError(toAntipodeError(caught));
      }
      await this.#pause();
    }
  }

  /** Ends the pause: the task runs soon. */
  hurry(): void {
    this.#early?.();
  }

  async #pause(): Promise<void> {
    const early = new AbortController();
    this.#early = () => early.abort();
    const pauseMs = this.#intervalMs() * (0.9 + this.#random.next() / 5);
    if (!this.#signal.aborted) await this.#clock.sleep(pauseMs, early.signal).catch(() => undefined);
    this.#early = undefined;
  }
}
