/**
 * Counts of non-negative values in buckets that grow by about 2 % (32 a doubling): quantiles to within that error, in
 * a fixed 5 KiB. Values are in the caller's unit; below `smallest` they share the first bucket.
 */
export class LogHistogram {
  readonly #counts = new Uint32Array(1280);
  readonly #smallest: number;
  #count = 0;
  #max = 0;
  #sum = 0;

  constructor(smallest = 0.01) {
    this.#smallest = smallest;
  }

  record(value: number, times = 1): void {
    const bucket = value <= this.#smallest ? 0 : Math.ceil(Math.log2(value / this.#smallest) * 32);
    const index = Math.min(this.#counts.length - 1, Math.max(0, bucket));
    this.#counts[index] = (this.#counts[index] as number) + times;
    this.#count += times;
    this.#sum += value * times;
    if (value > this.#max) this.#max = value;
  }

  get count(): number {
    return this.#count;
  }

  get max(): number | null {
    return this.#count === 0 ? null : this.#max;
  }

  get mean(): number | null {
    return this.#count === 0 ? null : this.#sum / this.#count;
  }

  /** Upper edge of the bucket that holds the quantile; null when empty. */
  quantile(q: number): number | null {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(q * this.#count));
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i] as number;
      if (seen >= rank) return Math.min(this.#max, this.#smallest * 2 ** (i / 32));
    }
    return this.#max;
  }

  add(other: LogHistogram): void {
    for (let i = 0; i < this.#counts.length; i++)
      this.#counts[i] = (this.#counts[i] as number) + (other.#counts[i] as number);
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#max = Math.max(this.#max, other.#max);
  }
}
