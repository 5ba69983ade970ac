import { assert } from '#core/errors';

/** A reading of the hybrid logical clock: two fields, never packed into one double. */
export interface Hlc {
  /** Milliseconds since the epoch, at most 2^48 - 1. */
  readonly wallMs: number;
  /** Orders events of one millisecond; unsigned 32 bits. */
  readonly counter: number;
}

export const HLC_WALL_MS_MAX = 2 ** 48 - 1;
export const HLC_COUNTER_MAX = 0xffff_ffff;

export function compareHlc(a: Hlc, b: Hlc): number {
  return a.wallMs - b.wallMs || a.counter - b.counter;
}

/**
 * Hybrid logical clock (P8). Readings only grow, over restarts too: the owner persists a bound ahead of use and starts
 * from it. `reserve(n)` hands out n consecutive counters at once, so that a frame of n changes needs one base reading.
 * The clock holds no timer and reads no time: `nowMs` comes with every call.
 */
export class HybridClock {
  #wallMs: number;
  #counter: number;

  /** Starts above `floor`: nothing handed out is ever at or below it. */
  constructor(floor: Hlc) {
    this.#wallMs = floor.wallMs;
    this.#counter = floor.counter;
  }

  /** Last reading handed out or observed. */
  get last(): Hlc {
    return { wallMs: this.#wallMs, counter: this.#counter };
  }

  /** The first of `count` consecutive readings (base, base+1, … in the counter), all above everything seen so far. */
  reserve(count: number, nowMs: number): Hlc {
    assert(count >= 1 && Number.isSafeInteger(count), 'reserve at least one reading');
    // Whole milliseconds: half of one more than the last reading is no progress, and must not restart the counter.
    const wallMs = Math.floor(nowMs);
    if (wallMs > this.#wallMs) {
      this.#wallMs = wallMs;
      this.#counter = 0;
    } else if (this.#counter + count > HLC_COUNTER_MAX) {
      this.#wallMs += 1;
      this.#counter = 0;
    } else {
      this.#counter += 1;
    }
    const base = { wallMs: this.#wallMs, counter: this.#counter };
    this.#counter += count - 1;
    return base;
  }

  /** Takes note of a reading seen elsewhere: later readings are above it. The caller bounds how far ahead it may lie. */
  observe(seen: Hlc): void {
    if (compareHlc(seen, this.last) > 0) {
      this.#wallMs = seen.wallMs;
      this.#counter = seen.counter;
    }
  }
}
