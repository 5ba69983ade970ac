import type { CrashPoints } from '#sim/crash/crash-points';
import type { EventOwner, SimEvent } from '#sim/kernel/event-heap';
import type { SimKernel } from '#sim/kernel/kernel';

/** One life of a process: all its events are its own, die with it, and wait while it is paused. */
export class SimProcess implements EventOwner {
  readonly name: string;
  readonly kernel: SimKernel;
  readonly startedMs: number;
  readonly points: CrashPoints | undefined;
  /** Called once, when the process dies. */
  readonly deathWatchers = new Set<() => void>();
  #alive = true;
  #paused = false;
  #suspendedMs = 0;
  #suspendedSinceMs: number | undefined;
  #held: SimEvent[] = [];

  constructor(kernel: SimKernel, name: string, points?: CrashPoints) {
    this.kernel = kernel;
    this.name = name;
    this.points = points;
    this.startedMs = kernel.nowMs;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  hold(event: SimEvent): void {
    this.#held.push(event);
  }

  after(delayMs: number, label: string, run: () => void, detail = 0): SimEvent {
    return this.kernel.schedule(delayMs, this, label, run, detail);
  }

  /** As SIGSTOP: nothing of it runs, its timers come due all the same. */
  pause(): void {
    this.#paused = true;
  }

  /** As a virtual machine that is stopped and goes on: even monotonic time stands still meanwhile. */
  suspend(): void {
    this.pause();
    this.#suspendedSinceMs = this.kernel.nowMs;
  }

  /** Time that went by while the machine did not, ms. */
  get suspendedMs(): number {
    return this.#suspendedMs;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#suspendedSinceMs !== undefined) this.#suspendedMs += this.kernel.nowMs - this.#suspendedSinceMs;
    this.#suspendedSinceMs = undefined;
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.kernel.release(event);
  }

  /** As SIGKILL. */
  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#held = [];
    for (const watch of this.deathWatchers) watch();
  }
}
