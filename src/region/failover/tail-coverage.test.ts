import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Coverage, coveredTo, covering } from '#region/failover/tail-coverage';

test('ranges that meet or overlap become one, in whatever order they come', () => {
  const range = fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 6 }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
      const taken = new Set<number>();
      let coverage: Coverage = [];
      for (const [from, length] of ranges) {
        coverage = covering(coverage, from, from + length);
        for (let seq = from + 1; seq <= from + length; seq++) taken.add(seq);
      }
      for (let from = 0; from < 40; from++) {
        let to = from;
        while (taken.has(to + 1)) to += 1;
        assert.equal(coveredTo(coverage, from), to, `from ${from} of ${JSON.stringify(coverage)}`);
      }
      for (const [index, [from]] of coverage.entries()) {
        const before = coverage[index - 1];
        if (before !== undefined) assert.ok(before[1] < from, JSON.stringify(coverage));
      }
    }),
  );
});
