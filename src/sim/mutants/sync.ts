import type { Mutant } from '#sim/mutants/mutant';

/** Bugs of writes that several regions acknowledge, each to be caught by an oracle. */
export const SYNC_MUTANTS: readonly Mutant[] = [];
