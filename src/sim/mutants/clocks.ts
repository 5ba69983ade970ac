import type { Mutant } from '#sim/mutants/mutant';
import { forgetful } from '#sim/mutants/patching';

/** Bugs of the hybrid clock, each to be caught by an oracle. */
export const CLOCKS_MUTANTS: readonly Mutant[] = [
  {
    name: 'forget-clock',
    bug: 'The bound of the hybrid clock is not persisted.',
    faults: ['clock-back-at-restart'],
    tune: (knobs) => ({ ...knobs, faults: { ...knobs.faults, intervalMs: 500 } }),
    oracles: ['I8'],
    journal: (inner) => forgetful(inner, 'hlc/'),
  },
];
