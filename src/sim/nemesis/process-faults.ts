import { toAntipodeError } from '#core/errors';
import type { FaultKind } from '#sim/knobs';
import type { Machine } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import { type FaultContext, shuffled } from '#sim/nemesis/fault-context';
import type { NetworkFaults } from '#sim/nemesis/network-faults';

export const PROCESS_FAULTS = [
  'crash-region',
  'crash-hub',
  'crash-machine',
  'crash-at-point',
  'power-loss',
  'stop-region',
  'pause-region',
  'pause-hub',
  'suspend-hub',
  'chase-hub',
  'crash-control',
  'pause-control',
  'planned-failover',
] as const satisfies readonly FaultKind[];
export type ProcessFault = (typeof PROCESS_FAULTS)[number];

export function isProcessFault(kind: FaultKind): kind is ProcessFault {
  return PROCESS_FAULTS.some((fault) => fault === kind);
}

/** Faults of processes and whole machines, and people's orders. */
export class ProcessFaults {
  readonly #c: FaultContext;
  readonly #networkFaults: NetworkFaults;

  constructor(context: FaultContext, networkFaults: NetworkFaults) {
    this.#c = context;
    this.#networkFaults = networkFaults;
  }

  /** False when the fault found nothing to hit. */
  bring(kind: ProcessFault): boolean {
    const { random, regions, control, crash } = this.#c;
    switch (kind) {
      case 'crash-region':
        return crash(random.pick(regions), 'process');
      case 'crash-hub':
        return crash(this.#c.hub(), 'process');
      case 'crash-machine':
        return crash(random.pick(regions), 'machine');
      case 'crash-at-point':
        return random.pick([...regions, control]).points.armAny(random);
      case 'power-loss':
        return this.#powerLoss();
      case 'stop-region':
        return this.#stop(random.pick(regions));
      case 'pause-region':
        return this.#pause(random.pick(regions));
      case 'pause-hub':
        return this.#pause(this.#c.hub());
      case 'chase-hub':
        return this.#chaseHub();
      case 'suspend-hub':
        return this.#suspend(this.#c.hub());
      case 'crash-control':
        return crash(control, random.chance(0.3) ? 'machine' : 'process');
      case 'pause-control':
        return this.#pause(control);
      case 'planned-failover':
        return this.#failover(random.pick(regions));
      default:
        return kind satisfies never;
    }
  }

  /** Several machines at once, the control store perhaps among them. */
  #powerLoss(): boolean {
    const { random, regions, control, crash } = this.#c;
    const hit = shuffled([...regions, control], random).slice(0, 2 + random.integer(regions.length));
    return hit.map((machine) => crash(machine, 'machine')).includes(true);
  }

  #stop(machine: RegionMachine): boolean {
    if (machine.running === undefined || machine.paused) return false;
    machine.stop(() => {
      if (this.#c.random.chance(0.3)) machine.reboot();
      this.#c.restartLater(machine);
    });
    return true;
  }

  #pause(machine: Machine): boolean {
    const process = machine.process;
    if (process === undefined || process.paused) return false;
    process.pause();
    this.#c.later(() => process.resume());
    return true;
  }

  #suspend(machine: Machine): boolean {
    const process = machine.process;
    if (process === undefined || process.paused) return false;
    process.suspend();
    this.#c.later(() => process.resume());
    return true;
  }

  #failover(machine: RegionMachine): boolean {
    const { random, knobs, onAnomaly } = this.#c;
    const running = machine.running;
    if (running === undefined) return false;
    const { name: namespace } = random.pick(knobs.namespaces);
    const allowLoss = random.chance(0.3);
    if (allowLoss) this.#c.allowedLoss.add(namespace);
    running.process.after(0, 'failover', () => {
      running.region.failover({ namespace, actor: 'nemesis', allowLoss }).then(
        () => undefined,
        (caught: unknown) => {
          const error = toAntipodeError(caught);
          if (running.process.alive && error.code === 'INTERNAL')
            onAnomaly(`failover to ${machine.name}: ${error.message} ${error.stack}`);
        },
      );
    });
    return true;
  }

  /** Takes the hub away, and its successors soon after they have come, while the earlier ones return. */
  #chaseHub(): boolean {
    const { kernel, random, regions, control, knobs, network } = this.#c;
    const namespace = random.pick(knobs.namespaces);
    const endMs = kernel.nowMs + namespace.leaseMs * 8;
    let epoch = 0;
    const look = (): void => {
      const lease = control.lease(namespace.name);
      if (!this.#c.running() || kernel.nowMs > endMs) return;
      if (lease !== undefined && lease.epoch > epoch) {
        epoch = lease.epoch;
        const hub = regions.find(({ name }) => name === lease.holder);
        kernel.schedule(random.next() * namespace.leaseMs, undefined, 'chase', () => {
          if (!this.#c.running() || hub === undefined) return;
          network.healAll();
          for (const machine of regions) if (machine !== hub) machine.start();
          if (random.chance(0.3)) this.#c.crash(hub, 'process');
          else this.#networkFaults.isolate([hub.name]);
        });
      }
      kernel.schedule(50, undefined, 'chase', look);
    };
    look();
    return true;
  }
}
