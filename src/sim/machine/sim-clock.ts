import type { Clock } from '#ports/clock';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { SimProcess } from '#sim/machine/sim-process';

/** Wall clock of a machine; regions' clocks differ. */
export interface WallClock {
  /** Ahead of true time, ms. Changed by faults. */
  offsetMs: number;
  /** Readings are whole multiples of this, ms. */
  readonly resolutionMs: number;
}

/** When simulated time begins, ms since the epoch. */
export const EPOCH_MS = 1_750_000_000_000;

/** What a wall clock reads at a moment of the simulation, ms since the epoch. */
export function readWall({ offsetMs, resolutionMs }: WallClock, nowMs: number): number {
  return Math.floor((EPOCH_MS + nowMs + offsetMs) / resolutionMs) * resolutionMs;
}

/** How late a timer is at the most, ms. */
const TIMER_LATE_MS_MAX = 0.5;

/** Time as one process sees it. Timers of a dead process never fire. */
export class SimClock implements Clock {
  readonly #process: SimProcess;
  readonly #wall: WallClock;
  readonly #random: SeededRandom;

  constructor(process: SimProcess, wall: WallClock, random: SeededRandom) {
    this.#process = process;
    this.#wall = wall;
    this.#random = random;
  }

  wallMs(): number {
    return readWall(this.#wall, this.#process.kernel.nowMs);
  }

  monotonicMs(): number {
    return 1000 + this.#process.kernel.nowMs - this.#process.startedMs - this.#process.suspendedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const event = this.#process.after(this.#late(ms), 'sleep', () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = (): void => {
        this.#process.kernel.cancel(event);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Runs missed by a pause are left out. */
  every(ms: number, task: () => void): () => void {
    let stopped = false;
    let event = this.#process.after(this.#late(ms), 'every', run.bind(undefined, this));
    function run(clock: SimClock): void {
      if (stopped) return;
      event = clock.#process.after(clock.#late(ms), 'every', () => run(clock));
      task();
    }
    return () => {
      stopped = true;
      this.#process.kernel.cancel(event);
    };
  }

  yield(): Promise<void> {
    return new Promise((resolve) => this.#process.after(this.#random.next() * 0.02, 'yield', resolve));
  }

  #late(ms: number): number {
    return Math.max(0, ms) + this.#random.next() * TIMER_LATE_MS_MAX;
  }
}
