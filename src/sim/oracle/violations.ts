import type { SimKernel } from '#sim/kernel/kernel';

/** Names of what an oracle holds: the invariants of the design, and that the engine stays on its feet. */
export const ORACLES = [
  'I1',
  'I2',
  'I3',
  'I4',
  'I5',
  'I6',
  'I7',
  'I8',
  'I9',
  'I12',
  'I14',
  'once',
  'sync',
  'fresh',
  'phantom',
  'bounded',
  'strong',
  'ports',
  'health',
] as const;
export type Oracle = (typeof ORACLES)[number];

export interface Violation {
  readonly oracle: Oracle;
  readonly atMs: number;
  readonly text: string;
}

const KEPT_MAX = 20;

/** What the oracles found. The first one ends the run: what comes after a broken promise means little. */
export class Violations {
  readonly list: Violation[] = [];
  readonly #kernel: SimKernel;
  readonly #listened: ReadonlySet<Oracle>;

  /** `listened`: the oracles that count; what the others find is passed over. */
  constructor(kernel: SimKernel, listened: readonly Oracle[] = ORACLES) {
    this.#kernel = kernel;
    this.#listened = new Set(listened);
  }

  add(oracle: Oracle, text: string): void {
    if (!this.#listened.has(oracle)) return;
    // A stack is for people: it may differ where the history does not.
    this.#kernel.note('oracle', `${oracle} violated: ${text.split('\n')[0]}`);
    if (this.list.length < KEPT_MAX) this.list.push({ oracle, atMs: this.#kernel.nowMs, text });
    this.#kernel.stop();
  }
}
