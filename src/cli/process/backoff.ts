/** Pauses between attempts: doubling from `firstMs` to `maxMs`, each shortened at random by up to half, so that many do not come at once. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(options: {
    readonly firstMs: number;
    readonly maxMs: number;
    /** Uniform in [0, 1). */
    readonly random?: () => number;
  }) {
    this.#firstMs = options.firstMs;
    this.#maxMs = options.maxMs;
    this.#random = options.random ?? Math.random;
  }

  /** The pause before the next attempt, ms. */
  nextMs(): number {
    const fullMs = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 30);
    return Math.round(fullMs * (0.5 + this.#random() / 2));
  }

  reset(): void {
    this.#attempts = 0;
  }
}
