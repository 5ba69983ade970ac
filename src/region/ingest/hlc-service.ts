import { type Hlc, HybridClock } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { Journal } from '#ports/journal';

const KEY = 'hlc/bound';
/**
 * How far ahead of the wall clock the bound is persisted, ms: two small writes in this time at the most. A start begins at
 * the bound, and a hub whose readings are ahead waits before it accepts, so this is also what a restart of the hub costs.
 */
const RESERVE_MS = 1000;
/** How far the bound lies above the last reading at the least, ms: what one start after another adds while time stands still. */
const STEP_MS = 100;
/** Room below the bound that a reading needs, ms. */
const ROOM_MS = 20;
/** A reading seen elsewhere is taken over only up to this far ahead of the local wall clock, ms (P8). */
export const HLC_AHEAD_MS_MAX = 500;

/**
 * The region's hybrid logical clock, persisted ahead of use: what it hands out is always below a bound in the journal, and
 * a start begins at that bound, so that readings grow over crashes and over wall clocks that step back (I8).
 */
export class HlcService {
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #hlc: HybridClock;
  #boundMs: number;
  #extending: Promise<void> | undefined;

  constructor(options: { clock: Clock; journal: Journal }) {
    this.#clock = options.clock;
    this.#journal = options.journal;
    const stored = options.journal.get(KEY);
    this.#boundMs = stored === undefined ? 0 : Number(Buffer.from(stored).readBigUInt64BE(0));
    this.#hlc = new HybridClock({ wallMs: this.#boundMs, counter: 0 });
  }

  get last(): Hlc {
    return this.#hlc.last;
  }

  /** Wall time of the next reading at the earliest: what has been handed out or observed, or now. */
  #nextWallMs(): number {
    return Math.max(this.#clock.wallMs(), this.#hlc.last.wallMs);
  }

  /** How far the last reading lies ahead of the wall clock, ms; negative when it does not. */
  get aheadMs(): number {
    return this.#hlc.last.wallMs - this.#clock.wallMs();
  }

  /**
   * Persists a bound for the wall clock of this moment where one is needed. Await it before `tryReserve`, and begin again
   * where that gives nothing: whether the wall clock is to be trusted is asked before each bound.
   */
  async ready(): Promise<void> {
    if (this.#nextWallMs() + ROOM_MS > this.#boundMs) await this.#extend();
  }

  /** `count` consecutive readings, or undefined when the persisted bound is too near: await `ready` and try again. */
  tryReserve(count: number): Hlc | undefined {
    if (this.#nextWallMs() + 2 > this.#boundMs) return undefined;
    if (this.#clock.wallMs() + RESERVE_MS / 2 > this.#boundMs) this.#extendAhead();
    return this.#hlc.reserve(count, this.#clock.wallMs());
  }

  /** Takes note of a reading in an applied change. False when it lies beyond the bound and was not taken over. */
  observe(seen: Hlc): boolean {
    if (seen.wallMs > this.#clock.wallMs() + HLC_AHEAD_MS_MAX) return false;
    this.#hlc.observe(seen);
    return true;
  }

  /** For a new holder: starts above the sealed stamps whatever the local wall clock says. */
  startAbove(sealed: Hlc): void {
    this.#hlc.observe(sealed);
  }

  /** Early and in the background; a failure shows when the bound is really needed, in `ready`. */
  #extendAhead(): void {
    this.#extend().catch(() => undefined);
  }

  /** One write at a time. The end is noted in a later step than the begin, also when the journal refuses at once. */
  #extend(): Promise<void> {
    this.#extending ??= this.#writeBound().finally(() => {
      this.#extending = undefined;
    });
    return this.#extending;
  }

  async #writeBound(): Promise<void> {
    const boundMs = Math.ceil(Math.max(this.#clock.wallMs() + RESERVE_MS, this.#nextWallMs() + STEP_MS));
    const value = Buffer.allocUnsafe(8);
    value.writeBigUInt64BE(BigInt(boundMs));
    await this.#journal.write([{ kind: 'put', key: KEY, value }]);
    this.#boundMs = Math.max(this.#boundMs, boundMs);
  }
}
