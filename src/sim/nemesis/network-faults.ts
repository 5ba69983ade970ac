import type { FaultKind } from '#sim/knobs';
import { during, type FaultContext, shuffled } from '#sim/nemesis/fault-context';

export const NETWORK_FAULTS = [
  'cut-one-way',
  'cut-both-ways',
  'isolate',
  'isolate-hub',
  'isolate-hub-with-one',
  'cut-control',
  'cut-hub-from-control',
  'deafen',
  'mute',
  'bridge',
  'swizzle-clog',
  'flap-hub',
  'clog',
  'lossy-link',
  'reorder-link',
  'orphan-channels',
  'reset-link',
  'half-open-link',
  'repeat-messages',
] as const satisfies readonly FaultKind[];
export type NetworkFault = (typeof NETWORK_FAULTS)[number];

type Direction = readonly [from: string, to: string];

export function isNetworkFault(kind: FaultKind): kind is NetworkFault {
  return NETWORK_FAULTS.some((fault) => fault === kind);
}

/** Faults of the ways between nodes. */
export class NetworkFaults {
  readonly #c: FaultContext;
  readonly #regions: readonly string[];

  constructor(context: FaultContext) {
    this.#c = context;
    this.#regions = context.regions.map(({ name }) => name);
  }

  /** False when the fault found nothing to hit. */
  bring(kind: NetworkFault): boolean {
    const { random, network, control } = this.#c;
    const nodes = [...this.#regions, control.name];
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
        return this.#cut(bothWays(random.pick(this.#regions), control.name));
      case 'cut-hub-from-control':
        return this.#cut(bothWays(this.#hub(), control.name));
      case 'deafen':
        return this.#cut(this.#others(a).map((other): Direction => [other, a]));
      case 'mute':
        return this.#cut(this.#others(a).map((other): Direction => [a, other]));
      case 'bridge':
        return this.#bridge();
      case 'swizzle-clog':
        return this.#swizzle(random.chance(0.5) ? this.#hub() : a);
      case 'flap-hub':
        return this.#flap(this.#hub());
      case 'clog':
        return this.#bend([a, b], (route) => {
          route.clogMs = random.exponential(this.#c.knobs.faults.lengthMs / 2);
        });
      case 'lossy-link':
        return this.#bend([a, b], (route) => {
          route.lossChance = random.between(0.02, 0.3);
        });
      case 'reorder-link':
        return this.#bend([a, b], (route) => {
          route.scatter = random.logBetween(5, 200);
        });
      case 'repeat-messages':
        return this.#bend(random.chance(0.5) ? [a, b] : [b, a], (route) => {
          route.repeatChance = random.between(0.05, 0.5);
        });
      case 'orphan-channels':
        network.orphanChance = 0.5;
        this.#c.later(() => {
          network.orphanChance = 0;
        });
        return network.reset(a, b, 100) > 0;
      case 'reset-link':
        return network.reset(a, b, 100) > 0;
      case 'half-open-link':
        return network.reset(a, b, 30_000) > 0;
      default:
        return kind satisfies never;
    }
  }

  /** Cuts off some nodes from all others. */
  isolate(inside: readonly string[]): boolean {
    const outside = [this.#c.control.name, ...this.#regions].filter((name) => !inside.includes(name));
    return this.#cut(inside.flatMap((a) => outside.flatMap((b) => bothWays(a, b))));
  }

  #hub(): string {
    return this.#c.hub().name;
  }

  #others(name: string): string[] {
    return [this.#c.control.name, ...this.#regions].filter((other) => other !== name);
  }

  #cut(directions: readonly Direction[]): boolean {
    const { network, later } = this.#c;
    for (const [from, to] of directions) network.cut(from, to);
    // Healed one after the other, in another order.
    for (const [from, to] of directions) later(() => network.heal(from, to));
    return true;
  }

  /** One direction gets worse for a while. */
  #bend([from, to]: Direction, worsen: (route: ReturnType<FaultContext['network']['route']>) => void): boolean {
    const route = this.#c.network.route(from, to);
    worsen(route);
    this.#c.later(() => {
      route.clogMs = 0;
      route.lossChance = 0;
      route.scatter = 1;
      route.repeatChance = 0;
    });
    return true;
  }

  /** Two groups that do not see each other, and one region that both see. */
  #bridge(): boolean {
    const { random, control } = this.#c;
    const middle = random.pick(this.#regions);
    const sides: [string[], string[]] = [[], []];
    for (const name of this.#others(middle)) sides[random.integer(2) as 0 | 1].push(name);
    if (sides[0].length === 0 || sides[1].length === 0) return this.#cut(bothWays(middle, control.name));
    return this.#cut(sides[0].flatMap((a) => sides[1].flatMap((b) => bothWays(a, b))));
  }

  /** The ways of one node are cut one by one, and opened one by one in another order. */
  #swizzle(victim: string): boolean {
    const { random, network, knobs } = this.#c;
    const ways = this.#others(victim).flatMap((other) => bothWays(victim, other));
    const stepMs = knobs.faults.lengthMs / 4;
    let atMs = 0;
    for (const [from, to] of shuffled(ways, random)) {
      during(this.#c, atMs, () => network.cut(from, to));
      atMs += random.exponential(stepMs);
    }
    for (const [from, to] of shuffled(ways, random)) {
      this.#c.kernel.schedule(atMs, undefined, 'unclog', () => network.heal(from, to));
      atMs += random.exponential(stepMs);
    }
    return true;
  }

  /** The hub comes and goes in a rhythm near the length of its lease. */
  #flap(hub: string): boolean {
    const { random, network, knobs, kernel } = this.#c;
    const leaseMs = random.pick(knobs.namespaces).leaseMs * random.between(0.4, 1.3);
    const ways = this.#others(hub).flatMap((other) => bothWays(hub, other));
    for (let beat = 0; beat < 3 + random.integer(6); beat++) {
      const beginMs = beat * 2 * leaseMs;
      during(this.#c, beginMs, () => {
        for (const [from, to] of ways) network.cut(from, to);
      });
      kernel.schedule(beginMs + leaseMs, undefined, 'unflap', () => {
        for (const [from, to] of ways) network.heal(from, to);
      });
    }
    return true;
  }
}

function bothWays(a: string, b: string): Direction[] {
  return [
    [a, b],
    [b, a],
  ];
}
