import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { MemoryKv } from '#adapters/memory/memory-kv';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import type { FaultKind } from '#sim/knobs';
import type { MachineImage } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import type { FaultContext } from '#sim/nemesis/fault-context';

export const DISK_FAULTS = [
  'slow-disk',
  'failed-fsync',
  'full-store',
  'full-log',
  'no-free-space',
  'slow-control-disk',
  'failed-control-fsync',
  'full-control',
  'copy-disks',
  'roll-back-disks',
  'wipe-disks',
  'lose-store',
  'flip-log-bit',
] as const satisfies readonly FaultKind[];
export type DiskFault = (typeof DISK_FAULTS)[number];

export function isDiskFault(kind: FaultKind): kind is DiskFault {
  return DISK_FAULTS.some((fault) => fault === kind);
}

/** Faults of what outlives a process. */
export class DiskFaults {
  readonly #c: FaultContext;
  readonly #images = new Map<string, MachineImage>();

  constructor(context: FaultContext) {
    this.#c = context;
  }

  /** False when the fault found nothing to hit. */
  bring(kind: DiskFault): boolean {
    const { random, regions, control } = this.#c;
    const machine = random.pick(regions);
    switch (kind) {
      case 'slow-disk':
      case 'slow-control-disk': {
        const slow = kind === 'slow-disk' ? machine : control;
        slow.fsyncMs *= random.logBetween(5, 500);
        this.#c.later(() => slow.restoreKnobs());
        return true;
      }
      case 'failed-fsync':
        if (machine.running === undefined) return false;
        machine.failNextFsync();
        return true;
      case 'failed-control-fsync':
        if (control.process === undefined) return false;
        control.failNextFsync();
        return true;
      case 'full-store':
        return this.#fill(machine, machine.store);
      case 'full-log':
        return this.#fill(machine, machine.log);
      case 'full-control':
        control.log.full = true;
        this.#c.later(() => {
          control.log.full = false;
        });
        return true;
      case 'no-free-space':
        if (machine.running === undefined) return false;
        machine.freeBytes = 0;
        this.#c.later(() => machine.restoreKnobs());
        return true;
      case 'copy-disks':
        this.#images.set(machine.name, machine.copyDisks());
        return true;
      case 'roll-back-disks':
        return this.#rollBack();
      case 'wipe-disks':
        return this.#replaceDisks(machine, undefined);
      case 'lose-store':
        if (machine.process === undefined) return false;
        machine.crash('machine');
        machine.store.replace(undefined);
        this.#c.restartLater(machine);
        return true;
      case 'flip-log-bit':
        return this.#flipBit(machine);
      default:
        return kind satisfies never;
    }
  }

  /**
   * A frame reads otherwise than it was written. Where loss has a limit, the logs of all others hold it, too: one that alone
   * does may stay away for good.
   */
  #flipBit(machine: RegionMachine): boolean {
    const { random, regions, knobs, kernel } = this.#c;
    const log = logOf(machine);
    const streams = log.streams().filter((stream) => log.head(stream).seq > log.start(stream).seq);
    if (streams.length === 0) return false;
    const stream = random.pick(streams);
    const ends: number[] = [];
    for (let end = log.endAfter(stream, log.start(stream).seq); end !== undefined; end = log.endAfter(stream, end))
      ends.push(end);
    const end = random.pick(ends);
    const others = regions.filter((other) => other !== machine).map(logOf);
    if (knobs.mode !== 'safety' && !others.every((other) => reads(other, stream, end))) return false;
    const table = machine.log.table('frames');
    const numbers = machine.log.table('streams').get(Buffer.from(stream));
    if (numbers === undefined) return false;
    const key = Buffer.alloc(10);
    key.writeUInt32BE(numbers.readUInt32BE(0), 0);
    key.writeUIntBE(end, 4, 6);
    const value = table.get(key);
    if (value === undefined) return false;
    const changed = Buffer.from(value);
    const at = random.integer(changed.length);
    changed[at] = (changed[at] as number) ^ (1 << random.integer(8));
    table.set(key.toString('latin1'), changed);
    machine.setup?.history.flipped(stream, end);
    kernel.note(machine.name, `a bit of the frame of ${stream} that ends at ${end} has flipped`);
    return true;
  }

  #fill(machine: RegionMachine, disk: { full: boolean }): boolean {
    if (machine.running === undefined) return false;
    disk.full = true;
    this.#c.later(() => {
      disk.full = false;
    });
    return true;
  }

  /** A machine comes back with its disks as they once were; one that was copied long ago first of all. */
  #rollBack(): boolean {
    const { random, regions, kernel } = this.#c;
    const copied = regions.filter(({ name }) => this.#images.has(name));
    const machine = random.pick(copied.length > 0 ? copied : regions);
    const image = this.#images.get(machine.name);
    if (image !== undefined) return this.#replaceDisks(machine, image);
    // Nothing to go back to yet: what the disks hold now, some time later.
    const copy = machine.copyDisks();
    kernel.schedule(random.exponential(this.#c.knobs.faults.lengthMs), undefined, 'fault', () => {
      if (this.#c.running()) this.#replaceDisks(machine, copy);
    });
    return true;
  }

  /**
   * The disks are replaced by an older copy or by empty ones. Where loss has a limit, what the disks hold must stand in
   * another region's log too: no protocol gives back what nobody has.
   */
  #replaceDisks(machine: RegionMachine, image: MachineImage | undefined): boolean {
    const { knobs, regions } = this.#c;
    if (knobs.mode !== 'safety' && !heldElsewhere(machine, regions)) return false;
    const kind = image === undefined ? 'wiped' : 'rolled back';
    this.#c.kernel.note(machine.name, `its disks are ${kind}`);
    this.#c.kernel.moment(image === undefined ? 'disks-wiped' : 'disks-rolled-back');
    machine.replaceDisks(image);
    this.#images.delete(machine.name);
    this.#c.restartLater(machine);
    return true;
  }
}

/** Whether every frame in the machine's log is in the log of some other one. */
function heldElsewhere(machine: RegionMachine, regions: readonly RegionMachine[]): boolean {
  const own = logOf(machine);
  const others = regions.filter((other) => other !== machine).map(logOf);
  return own.streams().every((stream) => {
    const { seq, hash } = own.head(stream);
    return others.some((other) => {
      const held = other.hashAt(stream, seq);
      return held !== undefined && Buffer.from(hash).equals(held) && isReadable(other, stream);
    });
  });
}

/** Whether a log can give the frame that ends at `end`. */
function reads(log: ChangeLog, stream: string, end: number): boolean {
  return log.head(stream).seq >= end && log.start(stream).seq < end && isReadable(log, stream);
}

/** Whether all that a log holds of a stream is as it was written. */
function isReadable(log: ChangeLog, stream: string): boolean {
  let frames: readonly LoggedFrame[] = [];
  try {
    frames = log.read(stream, log.start(stream).seq, Number.MAX_SAFE_INTEGER);
  } catch {
    return false;
  }
  return (frames[frames.length - 1]?.to ?? log.start(stream).seq) === log.head(stream).seq;
}

/** The durable log on a machine's disk, whether its process runs or not. */
export function logOf(machine: RegionMachine): ChangeLog {
  return new KvChangeLog(new MemoryKv(machine.log));
}
