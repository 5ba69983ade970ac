import { ACTIVE_MUTANTS } from '#sim/mutants/active';
import { CLOCKS_MUTANTS } from '#sim/mutants/clocks';
import { CORE_MUTANTS } from '#sim/mutants/core';
import { DURABILITY_MUTANTS } from '#sim/mutants/durability';
import { EXPIRY_MUTANTS } from '#sim/mutants/expiry';
import { GAPS_MUTANTS } from '#sim/mutants/gaps';
import { LEASES_MUTANTS } from '#sim/mutants/leases';
import { LEDGER_MUTANTS } from '#sim/mutants/ledger';
import { MERGE_MUTANTS } from '#sim/mutants/merge';
import type { Mutant } from '#sim/mutants/mutant';
import { READS_MUTANTS } from '#sim/mutants/reads';
import { SYNC_MUTANTS } from '#sim/mutants/sync';

/** Every seeded bug, by area: what past systems got wrong. */
export const MUTANTS: readonly Mutant[] = [
  ...CORE_MUTANTS,
  ...LEASES_MUTANTS,
  ...DURABILITY_MUTANTS,
  ...MERGE_MUTANTS,
  ...LEDGER_MUTANTS,
  ...ACTIVE_MUTANTS,
  ...SYNC_MUTANTS,
  ...EXPIRY_MUTANTS,
  ...READS_MUTANTS,
  ...GAPS_MUTANTS,
  ...CLOCKS_MUTANTS,
];
