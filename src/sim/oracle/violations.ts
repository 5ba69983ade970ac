import type { SimKernel } from '#sim/kernel/kernel';

/** Names of what an oracle holds: the invariants of the design, and that the engine stays on its feet. */
export type Oracle =
  | 'I1'
  | 'I2'
  | 'I3'
  | 'I4'
  | 'I5'
  | 'I8'
  | 'I9'
  | 'I12'
  | 'I14'
  | 'once'
  | 'fresh'
  | 'ports'
  | 'health';

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

  constructor(kernel: SimKernel) {
    this.#kernel = kernel;
  }

  add(oracle: Oracle, text: string): void {
    this.#kernel.note('oracle', `${oracle} violated: ${text}`);
    if (this.list.length < KEPT_MAX) this.list.push({ oracle, atMs: this.#kernel.nowMs, text });
    this.#kernel.stop();
  }
}
