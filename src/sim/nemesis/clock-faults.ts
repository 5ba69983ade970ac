import type { FaultKind } from '#sim/knobs';
import type { Machine } from '#sim/machine/machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import type { FaultContext } from '#sim/nemesis/fault-context';

export const CLOCK_FAULTS = [
  'step-clock',
  'drift-clock',
  'clock-back-at-restart',
  'clock-hour-ahead',
] as const satisfies readonly FaultKind[];
export type ClockFault = (typeof CLOCK_FAULTS)[number];

const HOUR_MS = 3_600_000;
/** Furthest that a drifting clock goes away from where it was, ms: as far as regions may differ. */
const DRIFT_MS_MAX = 150;

export function isClockFault(kind: FaultKind): kind is ClockFault {
  return CLOCK_FAULTS.some((fault) => fault === kind);
}

/** Faults of wall clocks. */
export class ClockFaults {
  readonly #c: FaultContext;
  /** What each clock that was ever meddled with is set to when it is set right, ms: faults overlap. */
  readonly #right = new Map<Machine, number>();
  /** The one whose clock goes wrong by an hour. */
  #hourOff: RegionMachine | undefined;

  constructor(context: FaultContext) {
    this.#c = context;
  }

  /** False when the fault found nothing to hit. */
  bring(kind: ClockFault): boolean {
    const { random, regions, control } = this.#c;
    switch (kind) {
      case 'step-clock':
        return this.#step(random.pick([...regions, control]));
      case 'drift-clock':
        return this.#drift(random.pick(regions));
      case 'clock-back-at-restart':
        return this.#backAtRestart(random.pick(regions));
      case 'clock-hour-ahead':
        return this.#hourAhead(random.pick(regions));
      default:
        return kind satisfies never;
    }
  }

  #step(machine: Machine): boolean {
    const max = this.#c.knobs.faults.clockOffsetMsMax;
    if (max === 0) return false;
    this.#right.set(machine, this.#c.random.next() * max);
    this.#setRight(machine);
    return true;
  }

  #rightOf(machine: Machine): number {
    const right = this.#right.get(machine) ?? machine.wall.offsetMs;
    this.#right.set(machine, right);
    return right;
  }

  #setRight(machine: Machine): void {
    machine.wall.offsetMs = this.#rightOf(machine);
  }

  /** Goes too fast or too slow for a while, then is set right in one step. */
  #drift(machine: Machine): boolean {
    const { random, knobs, kernel } = this.#c;
    const before = this.#rightOf(machine);
    const stepMs = 50;
    const ppm = random.logBetween(50, 20_000) * (random.chance(0.5) ? 1 : -1);
    let ended = false;
    const tick = (): void => {
      const driftMs = machine.wall.offsetMs - before;
      if (ended || Math.abs(driftMs) > Math.min(DRIFT_MS_MAX, knobs.faults.clockOffsetMsMax)) return;
      machine.wall.offsetMs += (stepMs * ppm) / 1e6;
      kernel.schedule(stepMs, undefined, 'drift', tick);
    };
    tick();
    this.#c.later(() => {
      ended = true;
      this.#setRight(machine);
    });
    return true;
  }

  /** The wall clock reads less after a start than before the death; it is set right later. */
  #backAtRestart(machine: RegionMachine): boolean {
    if (machine.process === undefined) return false;
    const { kernel, random } = this.#c;
    machine.crash('process');
    machine.wall.offsetMs = this.#rightOf(machine) - random.next() * 4000;
    kernel.schedule(random.next() * 100, undefined, 'restart', () => machine.start());
    this.#c.later(() => this.#setRight(machine));
    return true;
  }

  /**
   * One region believes it is an hour later, and is then set right. The same in the whole run, unless it is a `safety` one:
   * two that are off together, or one after the other within what is remembered of a peer's clock, bear each other out
   * against the control store, and the stamps that they give are waited for until their hour has come.
   */
  #hourAhead(machine: RegionMachine): boolean {
    this.#hourOff ??= machine;
    if (this.#hourOff !== machine && this.#c.knobs.mode !== 'safety') return false;
    const right = this.#rightOf(machine);
    if (machine.wall.offsetMs > HOUR_MS / 2) return false;
    machine.wall.offsetMs = right + HOUR_MS;
    this.#c.later(() => this.#setRight(machine));
    return true;
  }
}
