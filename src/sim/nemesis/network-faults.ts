import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { FaultKind } from '#sim/knobs';
import type { SimNetwork } from '#sim/network/sim-network';

export const NETWORK_FAULTS = [
  'cut-one-way',
  'cut-both-ways',
  'isolate',
  'isolate-hub',
  'isolate-hub-with-one',
  'cut-control',
  'clog',
  'reset-link',
  'half-open-link',
] as const satisfies readonly FaultKind[];
export type NetworkFault = (typeof NETWORK_FAULTS)[number];

export function isNetworkFault(kind: FaultKind): kind is NetworkFault {
  return NETWORK_FAULTS.some((fault) => fault === kind);
}

/** Faults of the ways between nodes. */
export class NetworkFaults {
  readonly #random: SeededRandom;
  readonly #network: SimNetwork;
  readonly #regions: readonly string[];
  readonly #control: string;
  readonly #hub: () => string;
  readonly #lengthMs: number;
  /** Undoes a fault after a while, each at a time of its own. */
  readonly #later: (undo: () => void) => void;

  constructor(options: {
    random: SeededRandom;
    network: SimNetwork;
    regions: readonly string[];
    control: string;
    hub: () => string;
    lengthMs: number;
    later: (undo: () => void) => void;
  }) {
    this.#random = options.random;
    this.#network = options.network;
    this.#regions = options.regions;
    this.#control = options.control;
    this.#hub = options.hub;
    this.#lengthMs = options.lengthMs;
    this.#later = options.later;
  }

  /** False when the fault found nothing to hit. */
  bring(kind: NetworkFault): boolean {
    const random = this.#random;
    const nodes = [...this.#regions, this.#control];
    const a = random.pick(nodes);
    const b = random.pick(nodes.filter((name) => name !== a));
    switch (kind) {
      case 'cut-one-way':
        return this.#cut([[a, b]]);
      case 'cut-both-ways':
        return this.#cut(bothWays(a, b));
      case 'isolate':
        return this.isolate([a]);
      case 'isolate-hub':
        return this.isolate([this.#hub()]);
      case 'isolate-hub-with-one': {
        const hub = this.#hub();
        return this.isolate([hub, random.pick(this.#regions.filter((name) => name !== hub))]);
      }
      case 'cut-control':
        return this.#cut(bothWays(random.pick(this.#regions), this.#control));
      case 'clog': {
        const route = this.#network.route(a, b);
        route.clogMs = random.exponential(this.#lengthMs / 2);
        this.#later(() => {
          route.clogMs = 0;
        });
        return true;
      }
      case 'reset-link':
        return this.#network.reset(a, b, 100) > 0;
      case 'half-open-link':
        return this.#network.reset(a, b, 30_000) > 0;
      default:
        return kind satisfies never;
    }
  }

  /** Cuts off some nodes from all others. */
  isolate(inside: readonly string[]): boolean {
    const outside = [this.#control, ...this.#regions].filter((name) => !inside.includes(name));
    return this.#cut(inside.flatMap((a) => outside.flatMap((b) => bothWays(a, b))));
  }

  #cut(directions: readonly (readonly [string, string])[]): boolean {
    for (const [from, to] of directions) this.#network.cut(from, to);
    // Healed one after the other, in another order.
    for (const [from, to] of directions) this.#later(() => this.#network.heal(from, to));
    return true;
  }
}

function bothWays(a: string, b: string): (readonly [string, string])[] {
  return [
    [a, b],
    [b, a],
  ];
}
