import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { ControlMachine } from '#sim/machine/control-machine';
import type { DeathKind } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import { ClockFaults, isClockFault } from '#sim/nemesis/clock-faults';
import { DiskFaults, isDiskFault } from '#sim/nemesis/disk-faults';
import type { FaultContext } from '#sim/nemesis/fault-context';
import { isNetworkFault, NetworkFaults } from '#sim/nemesis/network-faults';
import { ProcessFaults } from '#sim/nemesis/process-faults';
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
  /** Namespaces of which a person allowed that writes are left behind. */
  readonly allowedLoss = new Set<string>();
  readonly #o: NemesisOptions;
  readonly #networkFaults: NetworkFaults;
  readonly #processFaults: ProcessFaults;
  readonly #diskFaults: DiskFaults;
  readonly #clockFaults: ClockFaults;
  /** Regions that stay away while a core has to do without them. */
  readonly #away = new Set<RegionMachine>();
  #running = false;

  constructor(options: NemesisOptions) {
    this.#o = options;
    const context = (name: string): FaultContext => ({
      ...options,
      random: options.random.fork(name),
      running: () => this.#running,
      allowedLoss: this.allowedLoss,
      hub: () => this.#hub(),
      later: (undo) => this.#later(undo),
      crash: (machine, kind) => this.#crash(machine, kind),
      restartLater: (machine) => this.restartLater(machine),
    });
    this.#networkFaults = new NetworkFaults(context('network'));
    this.#processFaults = new ProcessFaults(context('process'), this.#networkFaults);
    this.#diskFaults = new DiskFaults(context('disk'));
    this.#clockFaults = new ClockFaults(context('clock'));
  }

  start(): void {
    this.#running = true;
    this.#next();
  }

  /** Ends all faults and their consequences: everything runs and is connected, but for regions that stay `away`. */
  heal(away: readonly RegionMachine[] = []): void {
    const { kernel, random, network, regions, control } = this.#o;
    this.#running = false;
    kernel.note('nemesis', away.length === 0 ? 'heals' : `heals all but ${away.map(({ name }) => name).join(', ')}`);
    for (const machine of away) {
      this.#away.add(machine);
      network.detach(machine.name);
      if (random.chance(0.5)) machine.crash(random.chance(0.5) ? 'process' : 'machine');
    }
    network.healAll();
    for (const machine of [control, ...regions]) if (!away.some((other) => other === machine)) this.#mend(machine);
  }

  /** The regions that stayed away come back. */
  healRest(): void {
    this.#o.kernel.note('nemesis', 'heals the rest');
    const machines = [...this.#away];
    this.#away.clear();
    for (const machine of machines) {
      this.#o.network.attach(machine.name);
      this.#mend(machine);
    }
  }

  get running(): boolean {
    return this.#running;
  }

  /** Starts a machine's process after a while, or at the heal. */
  restartLater(machine: RegionMachine | ControlMachine): void {
    const { kernel, random, knobs } = this.#o;
    const downMs = this.#running ? random.exponential(knobs.faults.downMs) : random.next() * 500;
    kernel.schedule(downMs, undefined, 'restart', () => {
      if (![...this.#away].some((away) => away === machine)) machine.start();
    });
  }

  #mend(machine: RegionMachine | ControlMachine): void {
    machine.restoreKnobs();
    machine.points.disarm();
    machine.process?.resume();
    machine.start();
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
    this.#o.kernel.note('nemesis', kind);
    if (isNetworkFault(kind)) return this.#networkFaults.bring(kind);
    if (isDiskFault(kind)) return this.#diskFaults.bring(kind);
    if (isClockFault(kind)) return this.#clockFaults.bring(kind);
    return this.#processFaults.bring(kind);
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

  #later(undo: () => void): void {
    const { kernel, random, knobs } = this.#o;
    kernel.schedule(random.exponential(knobs.faults.lengthMs), undefined, 'undo', undo);
  }
}
