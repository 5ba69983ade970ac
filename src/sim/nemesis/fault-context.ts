import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { Knobs } from '#sim/knobs';
import type { ControlMachine } from '#sim/machine/control-machine';
import type { DeathKind } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import type { SimNetwork } from '#sim/network/sim-network';

/** What every kind of fault may use. */
export interface FaultContext {
  readonly kernel: SimKernel;
  readonly random: SeededRandom;
  readonly knobs: Knobs;
  readonly network: SimNetwork;
  readonly regions: readonly RegionMachine[];
  readonly control: ControlMachine;
  /** Whether faults still go on; after the heal none begins. */
  readonly running: () => boolean;
  /** Region that is hub of some namespace now, or any. */
  readonly hub: () => RegionMachine;
  /** Undoes a fault after a while, each at a time of its own. */
  readonly later: (undo: () => void) => void;
  /** Ends a process and starts it again after a while; false when there was none. */
  readonly crash: (machine: RegionMachine | ControlMachine, kind: DeathKind) => boolean;
  readonly restartLater: (machine: RegionMachine | ControlMachine) => void;
  /** Namespaces of which a person allowed that writes are left behind. */
  readonly allowedLoss: Set<string>;
  /** The engine did what no fault explains. */
  readonly onAnomaly: (text: string) => void;
}

/** Does something after a time, if faults still go on then. */
export function during(context: FaultContext, delayMs: number, work: () => void): void {
  context.kernel.schedule(delayMs, undefined, 'fault', () => {
    if (context.running()) work();
  });
}

/** The same elements in another order. */
export function shuffled<T>(elements: readonly T[], random: SeededRandom): T[] {
  const left = [...elements];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
  return order;
}
