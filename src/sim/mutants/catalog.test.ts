import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MUTANTS } from '#sim/mutants/catalog';
import { editsOf } from '#sim/mutants/mutant';
import { misfit } from '#sim/mutants/source-edit';

test('there are forty seeded bugs at least, each under a name of its own', () => {
  const names = new Set(MUTANTS.map(({ name }) => name));
  assert.equal(names.size, MUTANTS.length);
  assert.ok(MUTANTS.length >= 40, String(MUTANTS.length));
});

test('every change of the source has exactly one place to be made in', () => {
  const problems = MUTANTS.flatMap((mutant) =>
    editsOf(mutant).flatMap((edit) => misfit(edit)?.concat(` (${mutant.name})`) ?? []),
  );
  assert.deepEqual(problems, []);
});
