import type { SeededRandom } from '#sim/kernel/seeded-random';

/** When a lost packet is first sent again, beside the round trip, ms; each further time takes twice as long. */
const RETRANSMIT_MS = 200;
const RETRANSMISSIONS_MAX = 6;

/** The way from one node to another; each direction has its own. */
export class Route {
  /** Cut by a fault, which may end. */
  severed = false;
  /** Added to every delay, ms. */
  clogMs = 0;
  /** Chance that a packet is lost while a fault lasts; the connection sends it again, later and later. */
  lossChance = 0;
  /** How much more delays scatter than they should: packets overtake each other, and the connection puts them in order. */
  scatter = 1;
  /** Chance that a message to which nobody answers comes a second time over the same connection. */
  repeatChance = 0;
  readonly #oneWayMs: number;
  readonly #jitterMs: number;
  readonly #random: SeededRandom;
  readonly #onStall: (sender: { giveUp(reason: string): void }) => void;
  readonly #onLostThrice: () => void;
  readonly #spikeChance: number;
  readonly #detached: () => boolean;

  constructor(options: {
    oneWayMs: number;
    jitterMs: number;
    /** Chance that a message is lost once and sent again. */
    spikeChance: number;
    random: SeededRandom;
    onLostThrice: () => void;
    onStall: (sender: { giveUp(reason: string): void }) => void;
    /** Whether one of the two ends is taken off the net altogether. */
    detached: () => boolean;
  }) {
    this.#oneWayMs = options.oneWayMs;
    this.#jitterMs = options.jitterMs;
    this.#spikeChance = options.spikeChance;
    this.#random = options.random;
    this.#onLostThrice = options.onLostThrice;
    this.#onStall = options.onStall;
    this.#detached = options.detached;
  }

  /** While true nothing arrives; what was sent waits, as over a connection that repeats what is lost. */
  get cut(): boolean {
    return this.severed || this.#detached();
  }

  /** Ends all faults of this way. */
  heal(): void {
    this.severed = false;
    this.clogMs = 0;
    this.lossChance = 0;
    this.scatter = 1;
    this.repeatChance = 0;
  }

  delayMs(): number {
    const random = this.#random;
    const lossChance = Math.max(this.#spikeChance, this.lossChance);
    let againMs = 0;
    for (let tries = 0; tries < RETRANSMISSIONS_MAX && random.chance(lossChance); tries++) {
      againMs += (RETRANSMIT_MS + 2 * this.#oneWayMs) * 2 ** tries;
      if (tries === 2) this.#onLostThrice();
    }
    return this.#oneWayMs + random.exponential(this.#jitterMs * this.scatter) + this.clogMs + againMs;
  }

  /** After how long a message just sent is sent again, ms; undefined when it is not. */
  repeatMs(): number | undefined {
    // Without the fault nothing is drawn: it changes no other history.
    if (this.repeatChance === 0 || !this.#random.chance(this.repeatChance)) return undefined;
    return this.#random.chance(0.5) ? 0 : this.#random.exponential(2 * this.#oneWayMs);
  }

  /** A message could not arrive because of a cut. */
  stalled(sender: { giveUp(reason: string): void }): void {
    this.#onStall(sender);
  }
}
