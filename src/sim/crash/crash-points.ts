import type { SeededRandom } from '#sim/kernel/seeded-random';

/** What a machine is while it passes a point; a hub of any namespace counts as hub. */
export const ROLES = ['hub', 'candidate', 'replica', 'control'] as const;
export type CrashRole = (typeof ROLES)[number];

/** A point of a run: the `nth` time that a machine in this role passes the label. */
export interface CrashTarget {
  readonly role: CrashRole;
  readonly label: string;
  /** From 1. */
  readonly nth: number;
  readonly kind: 'process' | 'machine';
}

/** `hub append-own before#3 machine`: how a point is given on a command line. */
export function formatTarget({ role, label, nth, kind }: CrashTarget): string {
  return `${pointName(role, label)}#${nth} ${kind}`;
}

/** Undefined when the text is no point. */
export function parseTarget(text: string): CrashTarget | undefined {
  const match = /^(hub|candidate|replica|control) (.+)#(\d+) (process|machine)$/.exec(text);
  if (match === null) return undefined;
  const [, role, label, nth, kind] = match;
  return { role: role as CrashRole, label: label ?? '', nth: Number(nth), kind: kind as CrashTarget['kind'] };
}

/** Passes of labelled points, over all machines of a run: `hub append-own before` -> 17. */
export type PointCounts = Map<string, number>;

export function pointName(role: CrashRole, label: string): string {
  return `${role} ${label}`;
}

/**
 * Labelled points at which a machine can be made to die: before and after every write to disk, every transaction of the
 * store, every message, every call to the control store. `hit` is asked at each of them and tells whether the machine has
 * just died there.
 */
export class CrashPoints {
  readonly #die: (kind: 'process' | 'machine') => void;
  readonly #role: () => CrashRole;
  readonly #counts: PointCounts | undefined;
  readonly #target: { left: number; readonly at: CrashTarget } | undefined;
  /** Labels that this machine passed, for a nemesis to choose from. */
  readonly #seen = new Set<string>();
  #armed: string | undefined;

  constructor(options: {
    readonly role: () => CrashRole;
    /** Shared by all machines of a run. */
    readonly counts: PointCounts | undefined;
    readonly target?: { left: number; readonly at: CrashTarget } | undefined;
    readonly die: (kind: 'process' | 'machine') => void;
  }) {
    this.#role = options.role;
    this.#counts = options.counts;
    this.#target = options.target;
    this.#die = options.die;
  }

  /** True when the machine died here: nothing of what comes next happened. */
  hit(label: string): boolean {
    this.#seen.add(label);
    if (this.#counts !== undefined) {
      const name = pointName(this.#role(), label);
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    }
    const target = this.#target;
    if (target !== undefined && target.at.label === label && target.at.role === this.#role() && --target.left === 0) {
      this.#die(target.at.kind);
      return true;
    }
    if (this.#armed !== label) return false;
    this.#armed = undefined;
    this.#die('process');
    return true;
  }

  /** Dies at the next pass of some point that was passed before. False when there is none. */
  armAny(random: SeededRandom): boolean {
    if (this.#seen.size === 0) return false;
    this.#armed = random.pick([...this.#seen]);
    return true;
  }

  disarm(): void {
    this.#armed = undefined;
  }
}
