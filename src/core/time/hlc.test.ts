import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHlc, HLC_COUNTER_MAX, type Hlc, HybridClock } from '#core/time/hlc';

type Step =
  | { readonly kind: 'reserve'; readonly count: number; readonly nowMs: number }
  | { readonly kind: 'observe'; readonly seen: Hlc }
  | { readonly kind: 'restart' };

const wallMs = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.double({ min: 0, max: 50, noNaN: true }));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('reserve' as const), count: fc.integer({ min: 1, max: 5 }), nowMs: wallMs }),
  fc.record({
    kind: fc.constant('observe' as const),
    seen: fc.record(
      {
        wallMs: fc.integer({ min: 0, max: 60 }),
        counter: fc.oneof(
          fc.integer({ min: 0, max: 9 }),
          fc.integer({ min: HLC_COUNTER_MAX - 9, max: HLC_COUNTER_MAX }),
        ),
      },
      { noNullPrototype: true },
    ),
  }),
  fc.record({ kind: fc.constant('restart' as const) }),
);

test('readings only grow: under clocks that step back or have fractions, readings seen elsewhere, and restarts', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let clock = new HybridClock({ wallMs: 0, counter: 0 });
      let last: Hlc = { wallMs: 0, counter: 0 };
      for (const now of steps) {
        if (now.kind === 'observe') {
          clock.observe(now.seen);
          if (compareHlc(now.seen, last) > 0) last = now.seen;
        } else if (now.kind === 'restart') clock = new HybridClock(last);
        else {
          const base = clock.reserve(now.count, now.nowMs);
          assert.ok(compareHlc(base, last) > 0, `${JSON.stringify(base)} after ${JSON.stringify(last)}`);
          assert.ok(Number.isInteger(base.wallMs) && base.counter + now.count - 1 <= HLC_COUNTER_MAX);
          last = { wallMs: base.wallMs, counter: base.counter + now.count - 1 };
        }
        assert.deepEqual(clock.last, last);
      }
    }),
    { numRuns: 500 },
  );
});

test('a later wall clock starts the counter again', () => {
  const clock = new HybridClock({ wallMs: 10, counter: 7 });
  assert.deepEqual(clock.reserve(3, 11), { wallMs: 11, counter: 0 });
  assert.deepEqual(clock.reserve(1, 11), { wallMs: 11, counter: 3 });
});

test('a fraction of the millisecond already used is no progress', () => {
  const clock = new HybridClock({ wallMs: 0, counter: 0 });
  assert.deepEqual(clock.reserve(2, 5), { wallMs: 5, counter: 0 });
  assert.deepEqual(clock.reserve(1, 5.9), { wallMs: 5, counter: 2 });
});

test('a counter that would run over moves on to the next millisecond', () => {
  const clock = new HybridClock({ wallMs: 10, counter: HLC_COUNTER_MAX - 2 });
  assert.deepEqual(clock.reserve(2, 0), { wallMs: 10, counter: HLC_COUNTER_MAX - 1 });
  assert.deepEqual(clock.reserve(1, 0), { wallMs: 11, counter: 0 });
});

test('what was seen and lies below is not taken over', () => {
  const clock = new HybridClock({ wallMs: 10, counter: 7 });
  clock.observe({ wallMs: 10, counter: 6 });
  clock.observe({ wallMs: 9, counter: 99 });
  assert.deepEqual(clock.last, { wallMs: 10, counter: 7 });
});

test('reserving nothing is a bug', () => {
  const clock = new HybridClock({ wallMs: 0, counter: 0 });
  for (const count of [0, -1, 1.5, Number.NaN]) assert.throws(() => clock.reserve(count, 1), /at least one/);
});
