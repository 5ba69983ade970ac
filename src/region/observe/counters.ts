/** A count with its rate over the last whole second. Fed with the monotonic clock by its owner. */
export class RateCounter {
  #total = 0;
  #windowStartMs: number;
  #windowTotal = 0;
  #perSecond = 0;

  constructor(nowMs: number) {
    this.#windowStartMs = nowMs;
  }

  add(count: number, nowMs: number): void {
    this.#roll(nowMs);
    this.#total += count;
  }

  get total(): number {
    return this.#total;
  }

  perSecond(nowMs: number): number {
    this.#roll(nowMs);
    return this.#perSecond;
  }

  #roll(nowMs: number): void {
    const elapsed = nowMs - this.#windowStartMs;
    if (elapsed < 1000) return;
    this.#perSecond = Math.round(((this.#total - this.#windowTotal) * 1000) / elapsed);
    this.#windowStartMs = nowMs;
    this.#windowTotal = this.#total;
  }
}
