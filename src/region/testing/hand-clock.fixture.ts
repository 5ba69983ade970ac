import type { Clock } from '#ports/clock';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it; both its hands can be set apart. */
export class HandClock implements Clock {
  nowWallMs: number;
  #monotonicMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(wallMs = 1_000_000) {
    this.nowWallMs = wallMs;
  }

  wallMs(): number {
    return this.nowWallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { dueMs: this.#monotonicMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal.reason);
      });
    });
  }

  every(): () => void {
    return () => undefined;
  }

  async yield(): Promise<void> {}

  /** Sleeps that have not ended. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  advance(ms: number): void {
    this.nowWallMs += ms;
    this.#monotonicMs += ms;
    const due = this.#sleepers.filter((sleeper) => sleeper.dueMs <= this.#monotonicMs);
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.dueMs > this.#monotonicMs);
    for (const sleeper of due) sleeper.wake();
  }
}
