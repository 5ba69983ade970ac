import type { Mutant } from '#sim/mutants/mutant';

/** Bugs of retention, gaps and backfill, each to be caught by an oracle. */
export const GAPS_MUTANTS: readonly Mutant[] = [];
