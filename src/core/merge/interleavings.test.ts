import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readStored, storedExtent } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { type Merge, mergeOf } from '#core/merge/merge-of';
import { makeCodec, ORIGINS, storedOf } from '#core/merge/testing/changes';
import { merged } from '#core/merge/testing/laws';
import type { Feature, FeatureValue, Granularity, Resolver } from '#core/model/feature-view';

const OPERATIONS_MAX = 4;
const FEATURES: readonly Feature[] = [
  { name: 'a', type: { scalar: 'float64', list: false }, nullable: true },
  { name: 'b', type: { scalar: 'int64', list: false }, nullable: true },
];

/** What a client does; a half is a partial row, and under row granularity a whole one. */
const KINDS = ['high', 'low', 'delete'] as const;
type Kind = (typeof KINDS)[number];

/** An operation: what, where, and which of the operations before it its origin has applied, as bits. */
interface Operation {
  readonly kind: Kind;
  readonly origin: number;
  readonly seen: number;
}

/** Every history of `length` operations; origins come in the order of their first use in half of them, reversed in the other. */
function* histories(length: number): Generator<readonly Operation[]> {
  function* grow(before: readonly Operation[], origins: number): Generator<readonly Operation[]> {
    if (before.length === length) {
      yield before;
      return;
    }
    for (let origin = 0; origin < Math.min(origins + 1, ORIGINS.length); origin++) {
      const own = before.reduce((bits, operation, i) => (operation.origin === origin ? bits | (1 << i) : bits), 0);
      for (let seen = 0; seen < 1 << before.length; seen++) {
        // What an origin wrote it has applied; what it has applied of another, it has from its beginning on.
        if ((seen & own) !== own || !isPrefix(before, seen)) continue;
        for (const kind of KINDS) yield* grow([...before, { kind, origin, seen }], Math.max(origins, origin + 1));
      }
    }
  }
  yield* grow([], 0);
}

/** Streams are applied in order: of two operations of one origin the later is never there without the earlier. */
function isPrefix(operations: readonly Operation[], seen: number): boolean {
  const ended = new Set<number>();
  return operations.every(({ origin }, i) => {
    const has = (seen & (1 << i)) !== 0;
    if (!has) ended.add(origin);
    return !has || !ended.has(origin);
  });
}

function valuesOf(kind: Kind, index: number): FeatureValue[] {
  return kind === 'high' ? [2, 7n] : [index % 2 === 0 ? Number.NaN : -0, null];
}

/** Stored forms of the operations of a history, each made with what its origin had then. */
function play(codec: ViewCodec, merge: Merge, history: readonly Operation[], names: readonly string[]): Buffer[] {
  const forms: Buffer[] = [];
  const readings: number[] = [];
  for (const [index, { kind, origin, seen }] of history.entries()) {
    const before = forms.filter((_, i) => (seen & (1 << i)) !== 0);
    const state = before.length === 0 ? undefined : before.reduce((a, b) => merged(merge, a, b));
    const prior = state === undefined ? { eventTimeUs: 0, generation: 0 } : storedExtent(codec, state);
    // Clock readings grow with what was seen and are equal otherwise: ties between origins are the rule.
    const wallMs = 1 + Math.max(0, ...readings.filter((_, i) => (seen & (1 << i)) !== 0));
    readings.push(wallMs);
    const half = codec.view.granularity === 'feature' && index % 2 === 1;
    const values = valuesOf(kind, index);
    forms.push(
      storedOf(codec, {
        eventTimeUs: kind === 'delete' ? Math.max(5, prior.eventTimeUs) : 5,
        hlc: { wallMs, counter: 0 },
        origin: names[origin] as string,
        seq: index + 1,
        operation: kind === 'delete' ? 'delete' : 'upsert',
        generation: prior.generation + (kind === 'delete' ? 1 : 0),
        features: half && kind !== 'delete' ? [kind === 'high' ? 0 : 1] : undefined,
        values: half && kind !== 'delete' ? [values[kind === 'high' ? 0 : 1] as FeatureValue] : values,
        producer: { name: names[origin] as string, sequence: index },
      }),
    );
  }
  return forms;
}

/**
 * What every subset of the operations merges to, or a history of deliveries that ends otherwise than another one. With
 * that all orders of all deliveries are told apart: each adds one operation to a subset.
 */
function states(merge: Merge, forms: readonly Buffer[]): Buffer[] | undefined {
  const of: Buffer[] = [Buffer.alloc(0)];
  for (let subset = 1; subset < 1 << forms.length; subset++) {
    let state: Buffer | undefined;
    for (const [i, form] of forms.entries()) {
      const bit = 1 << i;
      if ((subset & bit) === 0) continue;
      const before = of[subset & ~bit] as Buffer;
      const after = subset === bit ? form : merged(merge, before, form);
      if (state !== undefined && !state.equals(after)) return undefined;
      // And once more: a redelivery changes nothing.
      if (!merged(merge, after, form).equals(after)) return undefined;
      state = after;
    }
    of.push(state as Buffer);
  }
  return of;
}

/** Whether the last operation had seen all others. */
function endsKnowing(history: readonly Operation[]): boolean {
  return history.at(-1)?.seen === (1 << (history.length - 1)) - 1;
}

interface Tally {
  histories: number;
  diverging: number;
  /** Deletes that had seen everything, after which something was left. */
  undead: number;
  /** Writes that had seen everything, the last of it a delete that had too, after which nothing was there. */
  unborn: number;
}

function explore(codec: ViewCodec, merge: Merge): Tally {
  const tally: Tally = { histories: 0, diverging: 0, undead: 0, unborn: 0 };
  for (let length = 1; length <= OPERATIONS_MAX; length++) {
    for (const history of histories(length)) {
      for (const names of [ORIGINS, ORIGINS.toReversed()]) {
        tally.histories++;
        const end = states(merge, play(codec, merge, history, names))?.at(-1);
        if (end === undefined) tally.diverging++;
        else if (endsKnowing(history)) {
          const { live } = readStored(codec, end);
          const isDelete = history.at(-1)?.kind === 'delete';
          if (isDelete && live) tally.undead++;
          const afterDelete = history.at(-2)?.kind === 'delete' && endsKnowing(history.slice(0, -1));
          if (!isDelete && afterDelete && !live) tally.unborn++;
        }
      }
    }
  }
  return tally;
}

const CASES: readonly (readonly [Resolver, Granularity])[] = [
  [{ kind: 'last-writer-wins' }, 'row'],
  [{ kind: 'last-writer-wins' }, 'feature'],
  [{ kind: 'region-priority', regions: [ORIGINS[1]] }, 'row'],
  [{ kind: 'region-priority', regions: [ORIGINS[1], ORIGINS[2]] }, 'feature'],
  [{ kind: 'max', by: 'a' }, 'row'],
  [{ kind: 'max', by: null }, 'feature'],
  [{ kind: 'min', by: 'a' }, 'row'],
  [{ kind: 'min', by: null }, 'feature'],
  [{ kind: 'counter' }, 'row'],
];

suite(`every history of up to ${OPERATIONS_MAX} operations of 3 origins, in every order of delivery`, () => {
  for (const [resolver, granularity] of CASES) {
    test(`${resolver.kind} by ${granularity}`, () => {
      const codec = makeCodec(resolver, granularity, FEATURES);
      const { histories: count, ...faults } = explore(codec, mergeOf(codec));
      assert.ok(count > 10_000, `${count} histories`);
      // A region of less rank can neither delete nor replace what one of a higher rank wrote.
      const expected =
        resolver.kind === 'region-priority' ? { ...faults, diverging: 0 } : { diverging: 0, undead: 0, unborn: 0 };
      assert.deepEqual(faults, expected);
      if (resolver.kind === 'region-priority') assert.ok(faults.undead > 0);
    });
  }

  test('a wrong merge is found out', () => {
    const row = makeCodec({ kind: 'last-writer-wins' }, 'row', FEATURES);
    assert.ok(explore(row, () => 'replace').diverging > 0);
    const max = makeCodec({ kind: 'max', by: 'a' }, 'row', FEATURES);
    assert.ok(explore(max, (a, b) => (readStored(max, b).live ? mergeOf(max)(a, b) : 'keep')).diverging > 0);
  });
});
