import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MUTANTS } from '#sim/mutants/catalog';
import { seedsFor, tryMutant } from '#sim/runner/mutant-trial';

/**
 * A few bugs that soon show, for every run of the tests; all of them are tried by `npm run sim:mutants`. One at least for
 * each oracle that judges data.
 */
const SMOKE = [
  'acknowledge-before-fsync',
  'apply-twice',
  'keep-first',
  'forget-idempotency',
  'counter-stands-still',
  'checkpoint-before-data',
  'serve-before-durable',
  'trust-any-store',
  'control-ignores-revision',
  'read-the-real-clock',
];
/** A bug of the smoke must show within this many seeds. */
const SEEDS_MAX = 20;
const MS_MAX = 150_000;

const startedMs = performance.now();

for (const name of SMOKE) {
  test(`the oracles catch the mutant ${name}`, async () => {
    const mutant = MUTANTS.find((one) => one.name === name);
    assert.ok(mutant !== undefined, `${name} is in the catalog`);
    const giveUp = (): boolean => performance.now() - startedMs > MS_MAX;
    const verdict = await tryMutant(mutant, { seeds: seedsFor(mutant, SEEDS_MAX), giveUp });
    assert.ok(verdict.killed, `${mutant.bug} No oracle noticed in ${verdict.seedsTried} seeds.`);
    const known: readonly string[] = mutant.oracles;
    assert.ok(
      verdict.oracles.some((oracle) => known.includes(oracle)),
      JSON.stringify(verdict),
    );
  });
}
