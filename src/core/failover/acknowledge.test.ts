import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isMet, LOCAL, type Requirement, raised, requirementOf, weaker } from '#core/failover/acknowledge';

const REGIONS = ['ap', 'eu', 'us', 'sa'];

test('a rule by number waits for as many; one by name waits for those that are not the hub', () => {
  assert.deepEqual(requirementOf(0, 'us'), LOCAL);
  assert.deepEqual(requirementOf(2, 'us'), { count: 2, regions: [] });
  assert.deepEqual(requirementOf(['us', 'eu', 'ap'], 'us'), { count: 2, regions: ['ap', 'eu'] });
  assert.deepEqual(requirementOf(['eu'], 'us'), { count: 1, regions: ['eu'] });
});

test('a hub that is the only named region waits for one other all the same', () => {
  assert.deepEqual(requirementOf(['eu'], 'eu'), { count: 1, regions: [] });
});

test('a request asks for more, never for less', () => {
  const named = requirementOf(['eu'], 'us');
  assert.deepEqual(raised(named, 2), { count: 2, regions: ['eu'] });
  assert.equal(raised(named, 0), named);
  assert.equal(raised(named, undefined), named);
});

test('by name is not by number: as many other regions do not do', () => {
  const named = requirementOf(['eu'], 'us');
  assert.equal(isMet(named, ['ap', 'sa']), false);
  assert.equal(isMet(named, ['eu']), true);
  assert.equal(isMet({ count: 2, regions: ['eu'] }, ['eu']), false);
  assert.equal(isMet({ count: 2, regions: ['eu'] }, ['eu', 'ap']), true);
});

test('what either of two rules let through, the weaker of them lets through', () => {
  const requirement = fc.oneof(
    fc.integer({ min: 0, max: 3 }).map((count) => requirementOf(count, 'us')),
    fc.subarray(REGIONS, { minLength: 1 }).map((names) => requirementOf(names, 'us')),
  );
  fc.assert(
    fc.property(requirement, requirement, fc.subarray(['ap', 'eu', 'sa']), (a: Requirement, b: Requirement, held) => {
      const both = weaker(a, b);
      if (isMet(a, held) || isMet(b, held)) assert.ok(isMet(both, held), JSON.stringify({ a, b, both, held }));
      assert.deepEqual(weaker(b, a), both);
    }),
  );
});
