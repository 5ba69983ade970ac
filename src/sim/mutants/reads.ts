import type { Mutant } from '#sim/mutants/mutant';

/** Bugs of reads, each to be caught by an oracle. */
export const READS_MUTANTS: readonly Mutant[] = [];
