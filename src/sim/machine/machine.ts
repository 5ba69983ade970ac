import { type DiskImage, MemoryDisk } from '#adapters/memory/memory-disk';
import { CrashPoints, type CrashRole, type CrashTarget, type PointCounts } from '#sim/crash/crash-points';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { DiskKnobs } from '#sim/knobs';
import type { WallClock } from '#sim/machine/sim-clock';
import { SimProcess } from '#sim/machine/sim-process';
import type { SimNetwork } from '#sim/network/sim-network';

export type DeathKind = 'process' | 'machine';

/** Both disks of a machine at some time. */
export interface MachineImage {
  readonly log: DiskImage;
  readonly store: DiskImage;
}

/** Where machines may die, for all machines of a run together. */
export interface CrashSetup {
  /** Undefined where nobody asks how often points were passed. */
  readonly counts: PointCounts | undefined;
  readonly target: { left: number; readonly at: CrashTarget } | undefined;
}

/** The longest a disk takes, ms: one that hangs for longer is dead. */
const FSYNC_MS_MAX = 5000;

/** A peer hears of a dead process at once, of a dead machine late. */
const NOTICE_MS = { process: 200, machine: 15_000 } as const;

/**
 * What outlives a process: the disks, the wall clock, the identity of the boot. At a crash, of the log's writes that were
 * not yet durable a prefix survives, chosen by chance; the store survives whole, unless the machine died with it.
 */
export class Machine {
  readonly name: string;
  readonly wall: WallClock;
  readonly log: MemoryDisk;
  readonly store: MemoryDisk;
  freeBytes = 1e12;
  /** Time an fsync takes now, on average, ms. */
  fsyncMs: number;
  /** Writes lost at crashes so far. */
  lostWrites = 0;
  /** Labelled points at which this machine can die. */
  readonly points: CrashPoints;
  /** Called when it died at one of them. */
  onCrashPoint: () => void = () => undefined;
  protected readonly kernel: SimKernel;
  protected readonly random: SeededRandom;
  protected readonly network: SimNetwork;
  readonly #knobs: DiskKnobs;
  readonly #lying: boolean;
  #boot = 1;
  #process: SimProcess | undefined;

  constructor(options: {
    name: string;
    kernel: SimKernel;
    random: SeededRandom;
    network: SimNetwork;
    disk: DiskKnobs;
    wall: WallClock;
    /** The log's disk says `durable` before it is: for tests of the oracles. */
    lyingDisk?: boolean;
    crash: CrashSetup;
  }) {
    this.name = options.name;
    this.kernel = options.kernel;
    this.random = options.random.fork(options.name);
    this.network = options.network;
    this.wall = options.wall;
    this.#knobs = options.disk;
    this.fsyncMs = options.disk.fsyncMs;
    this.#lying = options.lyingDisk ?? false;
    this.log = new MemoryDisk(this.#lying ? {} : { scheduleDurable: (commit) => this.#fsync(commit) });
    if (this.#lying) this.#writeBackNowAndThen();
    this.store = new MemoryDisk();
    this.points = new CrashPoints({
      ...options.crash,
      role: () => this.role(),
      die: (kind) => {
        this.kernel.moment('died-at-a-point');
        this.crash(kind);
        this.onCrashPoint();
      },
    });
  }

  /** What it is at this moment, as the points have it. */
  protected role(): CrashRole {
    return 'replica';
  }

  get bootId(): string {
    return `boot-${this.#boot}`;
  }

  /** The process that runs, if one does. */
  get process(): SimProcess | undefined {
    return this.#process?.alive === true ? this.#process : undefined;
  }

  get paused(): boolean {
    return this.process?.paused === true;
  }

  restoreKnobs(): void {
    this.fsyncMs = this.#knobs.fsyncMs;
    this.freeBytes = 1e12;
    this.store.full = false;
    this.log.full = false;
  }

  protected applyDelay(process: SimProcess): Promise<void> {
    return new Promise((resolve) => process.after(this.random.exponential(this.#knobs.applyMs), 'applied', resolve));
  }

  protected begin(): SimProcess {
    const process = new SimProcess(this.kernel, this.name, this.points);
    this.#process = process;
    return process;
  }

  crash(kind: DeathKind): void {
    const process = this.process;
    if (process === undefined) return;
    this.kernel.note(this.name, `${kind} dies`);
    this.kernel.moment(`died-as-${this.role()}`);
    process.die();
    this.network.died(process, NOTICE_MS[kind]);
    const keepWrites = this.random.integer(this.log.pendingWrites + 1);
    const lost = this.log.pendingWrites - keepWrites;
    this.lostWrites += lost;
    if (lost > 0) this.kernel.moment(keepWrites > 0 ? 'log-writes-kept-in-part' : 'log-writes-lost');
    if (this.#lying) this.log.dropUnsynced();
    else this.log.crash({ keepWrites });
    if (kind === 'machine') this.#loseMachine();
    else this.store.crash();
  }

  /** The machine goes down and up again after its process ended in order: what was synced is there. */
  reboot(): void {
    if (this.process !== undefined) return;
    this.kernel.note(this.name, 'reboots');
    this.#boot++;
    this.store.dropUnsynced();
  }

  copyDisks(): MachineImage {
    return { log: this.log.image(), store: this.store.image() };
  }

  /** The machine dies and comes back with other disks: an older copy of its own, or empty ones. */
  replaceDisks(image: MachineImage | undefined): void {
    this.crash('machine');
    this.#boot++;
    this.log.replace(image?.log);
    this.store.replace(image?.store);
  }

  #loseMachine(): void {
    this.#boot++;
    // What was written back before the power went is anything from nothing new to everything.
    const share = this.random.pick([0, 0.5, 0.9, 1]);
    let kept = 0;
    let lost = 0;
    this.store.dropUnsyncedUnless(() => {
      const keeps = this.random.chance(share);
      if (keeps) kept++;
      else lost++;
      return keeps;
    });
    if (kept > 0 && lost > 0) this.kernel.moment('store-lost-in-part');
  }

  #writeBackNowAndThen(): void {
    this.kernel.schedule(this.random.exponential(300), undefined, 'write-back', () => {
      this.log.sync();
      this.#writeBackNowAndThen();
    });
  }

  #fsync(commit: () => void): void {
    const ms = Math.min(FSYNC_MS_MAX, this.random.exponential(this.fsyncMs));
    this.#process?.after(ms, 'fsync', commit);
  }
}
