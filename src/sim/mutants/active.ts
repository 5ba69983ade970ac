import type { Mutant } from '#sim/mutants/mutant';

/** Bugs of active-active namespaces, each to be caught by an oracle. */
export const ACTIVE_MUTANTS: readonly Mutant[] = [];
