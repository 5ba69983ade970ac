import { toAntipodeError } from '#core/errors';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { ControlMachine } from '#sim/machine/control-machine';
import type { DeathKind, Machine } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import { isNetworkFault, NetworkFaults } from '#sim/nemesis/network-faults';
import type { SimNetwork } from '#sim/network/sim-network';

export interface NemesisOptions {
  readonly kernel: SimKernel;
  readonly random: SeededRandom;
  readonly knobs: Knobs;
  readonly network: SimNetwork;
  readonly regions: readonly RegionMachine[];
  readonly control: ControlMachine;
  readonly onAnomaly: (text: string) => void;
}

/** Brings faults about, of the kinds this run has, until told to heal. */
export class Nemesis {
  readonly counts = new Map<FaultKind, number>();
  readonly #o: NemesisOptions;
  readonly #networkFaults: NetworkFaults;
  #running = false;

  constructor(options: NemesisOptions) {
    this.#o = options;
    this.#networkFaults = new NetworkFaults({
      random: options.random.fork('network'),
      network: options.network,
      regions: options.regions.map(({ name }) => name),
      control: options.control.name,
      hub: () => this.#hub().name,
      lengthMs: options.knobs.faults.lengthMs,
      later: (undo) => this.#later(undo),
    });
  }

  start(): void {
    this.#running = true;
    this.#next();
  }

  /** Ends all faults and their consequences: everything runs and is connected. */
  heal(): void {
    const { kernel, network, regions, control } = this.#o;
    this.#running = false;
    kernel.note('nemesis', 'heals');
    network.healAll();
    for (const machine of [control, ...regions]) {
      machine.restoreKnobs();
      machine.process?.resume();
      machine.start();
    }
  }

  get running(): boolean {
    return this.#running;
  }

  /** Starts a machine's process after a while, or at the heal. */
  restartLater(machine: RegionMachine | ControlMachine): void {
    const { kernel, random, knobs } = this.#o;
    const downMs = this.#running ? random.exponential(knobs.faults.downMs) : random.next() * 500;
    kernel.schedule(downMs, undefined, 'restart', () => machine.start());
  }

  #next(): void {
    const { kernel, random, knobs } = this.#o;
    kernel.schedule(random.exponential(knobs.faults.intervalMs), undefined, 'nemesis', () => {
      if (!this.#running) return;
      const kind = random.pick(knobs.faults.kinds);
      if (this.#bring(kind)) this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      this.#next();
    });
  }

  /** False when the fault found nothing to hit. */
  #bring(kind: FaultKind): boolean {
    const { random, regions, control } = this.#o;
    this.#o.kernel.note('nemesis', kind);
    if (isNetworkFault(kind)) return this.#networkFaults.bring(kind);
    switch (kind) {
      case 'crash-region':
        return this.#crash(random.pick(regions), 'process');
      case 'crash-hub':
        return this.#crash(this.#hub(), 'process');
      case 'crash-machine':
        return this.#crash(random.pick(regions), 'machine');
      case 'stop-region':
        return this.#stop(random.pick(regions));
      case 'pause-region':
        return this.#pause(random.pick(regions));
      case 'chase-hub':
        return this.#chaseHub();
      case 'pause-hub':
        return this.#pause(this.#hub());
      case 'crash-control':
        return this.#crash(control, random.chance(0.3) ? 'machine' : 'process');
      case 'pause-control':
        return this.#pause(control);
      case 'slow-disk':
        return this.#slowDisk(random.pick([...regions, control]));
      case 'failed-fsync':
        return this.#failFsync(random.pick(regions));
      case 'full-store':
        return this.#for(
          random.pick(regions),
          (machine) => {
            machine.store.full = true;
          },
          (machine) => {
            machine.store.full = false;
          },
        );
      case 'full-log':
        return this.#for(
          random.pick(regions),
          (machine) => {
            machine.log.full = true;
          },
          (machine) => {
            machine.log.full = false;
          },
        );
      case 'no-free-space':
        return this.#for(
          random.pick(regions),
          (machine) => {
            machine.freeBytes = 0;
          },
          (machine) => {
            machine.freeBytes = 1e12;
          },
        );
      case 'step-clock':
        return this.#stepClock(random.pick([...regions, control]));
      case 'clock-back-at-restart':
        return this.#clockBack(random.pick(regions));
      case 'planned-failover':
        return this.#failover(random.pick(regions));
      default:
        return kind satisfies never;
    }
  }

  #hub(): RegionMachine {
    const { random, regions, control, knobs } = this.#o;
    const holder = control.lease(random.pick(knobs.namespaces).name)?.holder;
    return regions.find(({ name }) => name === holder) ?? random.pick(regions);
  }

  #crash(machine: RegionMachine | ControlMachine, kind: DeathKind): boolean {
    if (machine.process === undefined) return false;
    machine.crash(kind);
    this.restartLater(machine);
    return true;
  }

  #stop(machine: RegionMachine): boolean {
    if (machine.running === undefined || machine.paused) return false;
    machine.stop(() => {
      if (this.#o.random.chance(0.3)) machine.reboot();
      this.restartLater(machine);
    });
    return true;
  }

  #pause(machine: Machine): boolean {
    const process = machine.process;
    if (process === undefined || process.paused) return false;
    process.pause();
    this.#later(() => process.resume());
    return true;
  }

  #slowDisk(machine: Machine): boolean {
    machine.fsyncMs *= this.#o.random.logBetween(5, 500);
    this.#later(() => machine.restoreKnobs());
    return true;
  }

  #failFsync(machine: RegionMachine): boolean {
    if (machine.running === undefined) return false;
    machine.failNextFsync();
    return true;
  }

  #for(
    machine: RegionMachine,
    begin: (machine: RegionMachine) => void,
    end: (machine: RegionMachine) => void,
  ): boolean {
    if (machine.running === undefined) return false;
    begin(machine);
    this.#later(() => end(machine));
    return true;
  }

  #stepClock(machine: Machine): boolean {
    const max = this.#o.knobs.faults.clockOffsetMsMax;
    if (max === 0) return false;
    machine.wall.offsetMs = this.#o.random.next() * max;
    return true;
  }

  #failover(machine: RegionMachine): boolean {
    const { random, knobs, onAnomaly } = this.#o;
    const running = machine.running;
    if (running === undefined) return false;
    const { name: namespace } = random.pick(knobs.namespaces);
    running.process.after(0, 'failover', () => {
      running.region.failover({ namespace, actor: 'nemesis' }).then(
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
    const { kernel, random, regions, control, knobs } = this.#o;
    const namespace = random.pick(knobs.namespaces);
    const endMs = kernel.nowMs + namespace.leaseMs * 8;
    let epoch = 0;
    const look = (): void => {
      const lease = control.lease(namespace.name);
      if (!this.#running || kernel.nowMs > endMs) return;
      if (lease !== undefined && lease.epoch > epoch) {
        epoch = lease.epoch;
        const hub = regions.find(({ name }) => name === lease.holder);
        kernel.schedule(random.next() * namespace.leaseMs, undefined, 'chase', () => {
          if (!this.#running || hub === undefined) return;
          this.#o.network.healAll();
          for (const machine of regions) if (machine !== hub) machine.start();
          if (random.chance(0.3)) this.#crash(hub, 'process');
          else this.#networkFaults.isolate([hub.name]);
        });
      }
      kernel.schedule(50, undefined, 'chase', look);
    };
    look();
    return true;
  }

  /** The wall clock reads less after a start than before the death; it is set right later. */
  #clockBack(machine: RegionMachine): boolean {
    if (machine.process === undefined) return false;
    const { kernel, random } = this.#o;
    const before = machine.wall.offsetMs;
    machine.crash('process');
    machine.wall.offsetMs = before - random.next() * 4000;
    kernel.schedule(random.next() * 100, undefined, 'restart', () => machine.start());
    this.#later(() => {
      machine.wall.offsetMs = before;
    });
    return true;
  }

  #later(undo: () => void): void {
    const { kernel, random, knobs } = this.#o;
    kernel.schedule(random.exponential(knobs.faults.lengthMs), undefined, 'undo', undo);
  }
}
