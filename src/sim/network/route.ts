import type { SeededRandom } from '#sim/kernel/seeded-random';

/** The way from one node to another; each direction has its own. */
export class Route {
  /** While true nothing arrives; what was sent waits, as over a connection that repeats what is lost. */
  cut = false;
  /** Added to every delay, ms. */
  clogMs = 0;
  readonly #oneWayMs: number;
  readonly #jitterMs: number;
  readonly #random: SeededRandom;
  readonly #onStall: (sender: { giveUp(reason: string): void }) => void;
  readonly #spikeChance: number;

  constructor(options: {
    oneWayMs: number;
    jitterMs: number;
    /** Chance that a message is lost once and sent again. */
    spikeChance: number;
    random: SeededRandom;
    onStall: (sender: { giveUp(reason: string): void }) => void;
  }) {
    this.#oneWayMs = options.oneWayMs;
    this.#jitterMs = options.jitterMs;
    this.#spikeChance = options.spikeChance;
    this.#random = options.random;
    this.#onStall = options.onStall;
  }

  delayMs(): number {
    const again = this.#random.chance(this.#spikeChance) ? 200 + 2 * this.#oneWayMs : 0;
    return this.#oneWayMs + this.#random.exponential(this.#jitterMs) + this.clogMs + again;
  }

  /** A message could not arrive because of a cut. */
  stalled(sender: { giveUp(reason: string): void }): void {
    this.#onStall(sender);
  }
}
