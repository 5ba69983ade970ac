import type { Mutant } from '#sim/mutants/mutant';

/** Bugs of the conflict ledger, each to be caught by an oracle. */
export const LEDGER_MUTANTS: readonly Mutant[] = [];
