import { LogHistogram } from '#core/histogram';

/** Times of arrival remembered per stream to turn a watermark into freshness. */
const WATERMARKS_MAX = 64;

/** How far a stream is said to be, and how fresh what is applied of it. */
export class StreamProgress {
  readonly lag = new LogHistogram();
  /** Announcements "up to this head, you have everything as of this time", oldest first, not yet reached. */
  readonly #pending: { head: number; watermarkMs: number }[] = [];
  #watermarkMs: number | null = null;
  announcedHead = 0;

  /** The origin says that at `watermarkMs` its stream ended at `head`. */
  announce(head: number, watermarkMs: number): void {
    const last = this.#pending[this.#pending.length - 1];
    if (last !== undefined && last.head === head) last.watermarkMs = Math.max(last.watermarkMs, watermarkMs);
    else if (this.#pending.length < WATERMARKS_MAX) this.#pending.push({ head, watermarkMs });
    else this.#pending[WATERMARKS_MAX - 1] = { head, watermarkMs };
  }

  /** Null until heard, and while it says a time that has not come yet here: one clock or the other is wrong. */
  watermarkMs(latestMs: number): number | null {
    return this.#watermarkMs === null || this.#watermarkMs > latestMs ? null : this.#watermarkMs;
  }

  /** Everything up to `applied` is in the store. */
  settle(applied: number, latestMs: number): void {
    while (this.#pending[0] !== undefined && this.#pending[0].head <= applied) {
      // One from before this region's clock was set back would stand in the way of all that follow.
      this.#watermarkMs = Math.max(this.watermarkMs(latestMs) ?? 0, this.#pending[0].watermarkMs);
      this.#pending.shift();
    }
  }
}
