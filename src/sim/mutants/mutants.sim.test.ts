import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MUTANTS } from '#sim/mutants/catalog';
import { simulate } from '#sim/simulation';

/** A bug must show within this many seeds. */
const SEEDS_MAX = 40;

for (const mutant of MUTANTS) {
  test(`the oracles catch the mutant ${mutant.name}`, async () => {
    const seeds = Array.from({ length: SEEDS_MAX }, (_, index) => index + 1);
    for (const seed of [...(mutant.firstSeeds ?? []), ...seeds]) {
      const { violations } = await simulate({ seed, mutant, kinds: mutant.faults });
      const [first] = violations;
      if (first === undefined) continue;
      assert.ok(mutant.oracles.includes(first.oracle), `seed ${seed}: ${first.oracle} ${first.text}`);
      return;
    }
    assert.fail(`${mutant.bug} No oracle noticed in ${SEEDS_MAX} seeds.`);
  });
}
