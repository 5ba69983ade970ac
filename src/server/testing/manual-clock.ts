import type { Clock } from '#ports/clock';

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 1000;
  readonly #timers = new Set<{ readonly everyMs: number; nextMs: number; readonly task: () => void }>();

  constructor(wallMs = Date.UTC(2026, 7, 2, 10)) {
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  async sleep(): Promise<void> {}

  async yield(): Promise<void> {}

  every(ms: number, task: () => void): () => void {
    const timer = { everyMs: ms, nextMs: this.#monotonicMs + ms, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that were not stopped. */
  get timers(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.nextMs > this.#monotonicMs) continue;
      timer.nextMs = this.#monotonicMs + timer.everyMs;
      timer.task();
    }
  }
}
