import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { isLive, payloadStart } from '#core/codec/cell';
import { readStored } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { type Merge, mergeOf } from '#core/merge/merge-of';
import { LONE_SURROGATES, makeCodec, ORIGINS, SCALARS, storedValues } from '#core/merge/testing/changes';
import { brokenLaw, merged } from '#core/merge/testing/laws';
import type { Feature, Granularity, JoinKey, Resolver, ScalarType } from '#core/model/feature-view';
import { readEventTimeUs } from '#core/model/stamp';

const OTHER: Feature = { name: 'b', type: { scalar: 'string', list: false }, nullable: true };
const PRIORITY: Resolver = { kind: 'region-priority', regions: [ORIGINS[2], ORIGINS[0]] };
const RUNS = 400;

function feature(scalar: ScalarType, list: boolean): Feature {
  return { name: 'a', type: { scalar, list }, nullable: true };
}

/** Every resolver with every granularity and every type it takes. */
function* cases(): Generator<readonly [string, ViewCodec]> {
  for (const scalar of SCALARS) {
    for (const list of [false, true]) {
      const type = `${scalar}${list ? ' list' : ''}`;
      const features = [feature(scalar, list), OTHER];
      for (const granularity of ['row', 'feature'] as const) {
        for (const resolver of [{ kind: 'last-writer-wins' } as const, PRIORITY])
          yield [`${resolver.kind} by ${granularity}: ${type}`, makeCodec(resolver, granularity, features)];
        if (list) continue;
        for (const kind of ['max', 'min'] as const) {
          const resolver: Resolver = { kind, by: granularity === 'row' ? 'a' : null };
          yield [`${kind} by ${granularity}: ${type}`, makeCodec(resolver, granularity, features)];
        }
      }
    }
  }
  for (const scalar of ['int64', 'float64'] as const) {
    const features = [feature(scalar, false), { ...feature('int64', false), name: 'b', nullable: false }];
    yield [`counter: ${scalar}`, makeCodec({ kind: 'counter' }, 'row', features)];
  }
}

/** The counter-example of the laws for generated values; undefined when none was found. */
function counterexample(codec: ViewCodec, merge: Merge, runs: number): string | undefined {
  const value = storedValues(codec);
  let broken: string | undefined;
  const outcome = fc.check(
    fc.property(value, value, value, (a, b, c) => {
      broken = brokenLaw(merge, a, b, c) ?? broken;
      return brokenLaw(merge, a, b, c) === undefined;
    }),
    { numRuns: runs, endOnFailure: true },
  );
  return outcome.failed ? broken : undefined;
}

suite('the laws of merging (P9.1)', () => {
  for (const [name, codec] of cases()) {
    test(name, () => {
      assert.equal(counterexample(codec, mergeOf(codec), RUNS), undefined);
    });
  }

  test('what values merge to can be served', () => {
    for (const [name, codec] of cases()) {
      const value = storedValues(codec);
      fc.assert(
        fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), (values) => {
          const end = values.reduce((a, b) => merged(mergeOf(codec), a, b));
          const { live, values: served } = readStored(codec, end);
          assert.equal(served.length, live || codec.view.granularity === 'feature' ? 2 : 0, name);
        }),
        { numRuns: 20 },
      );
    }
  });

  test('bytes that no change left behind merge by the same laws', () => {
    const noise = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
    for (const [name, codec] of cases()) {
      const value = fc.oneof(noise, storedValues(codec));
      const merge = mergeOf(codec);
      fc.assert(
        fc.property(value, value, value, (a, b, c) => {
          assert.equal(brokenLaw(merge, a, b, c), undefined, name);
        }),
        { numRuns: 40 },
      );
    }
  });
});

/** The bytes that a writer without a check would have made of `\\ud800`, where the row had `\\uffff`. */
function withSurrogate(bytes: Buffer): Buffer {
  const broken = Buffer.from(bytes);
  const text = Buffer.from('\uffff');
  for (let at = broken.indexOf(text); at >= 0; at = broken.indexOf(text, at + 3)) broken.set([0xed, 0xa0, 0x80], at);
  return broken;
}

suite('lone surrogates', () => {
  const invalid = { code: 'ROW_INVALID' };

  test('get into no key and no value, by whatever way, and leave no trace', () => {
    for (const [name, codec] of cases()) {
      const [a] = codec.view.features as [Feature, Feature];
      if (a.type.scalar !== 'string') continue;
      const { list } = a.type;
      for (const text of LONE_SURROGATES) {
        const value = list ? ['a', text] : text;
        const good = list ? ['a'] : 'a';
        const [joinKey] = codec.view.joinKeys as [JoinKey];
        for (const refused of [
          () => codec.encodeRow([value, 'b']),
          () => codec.encodeRow([good, text]),
          () => codec.encodeFeatures([0], [value]),
          () => codec.encodeFeatures([1], [text]),
          () => codec.encodeKey([text]),
          () => codec.acceptValue(a, value, 'row 1'),
          () => codec.acceptKeyValue(joinKey, text, 'row 1'),
        ])
          assert.throws(refused, invalid, `${name}: ${refused}`);
        assert.deepEqual(codec.decodeRow(codec.encodeRow([good, 'b'])), [good, 'b']);
      }
    }
  });

  test('bytes that hold one are no key, no row and no value', () => {
    for (const [name, codec] of cases()) {
      const [a] = codec.view.features as [Feature, Feature];
      if (a.type.scalar !== 'string') continue;
      const row = withSurrogate(codec.encodeRow([a.type.list ? ['\uffff'] : '\uffff', 'b']));
      const first = withSurrogate(codec.encodeFeatures([0], [a.type.list ? ['\uffff'] : '\uffff']));
      for (const refused of [
        () => codec.decodeRow(row),
        () => codec.splitRow(row, [0, 1]),
        () => codec.decodeRowFeature(0, row, 0, row.length),
        () => codec.decodeFeatures([0], first),
        () => codec.decodeFeature(0, first, 0, first.length),
        () => codec.decodeKey(withSurrogate(codec.encodeKey(['\uffff']))),
      ])
        assert.throws(refused, invalid, `${name}: ${refused}`);
    }
  });

  test('stored by a fault all the same, they merge by the same laws', () => {
    for (const [name, codec] of cases()) {
      if (!codec.view.features.some(({ type }) => type.scalar === 'string')) continue;
      const value = storedValues(codec);
      const either = fc.oneof(value, value.map(withSurrogate));
      const merge = mergeOf(codec);
      fc.assert(
        fc.property(either, either, either, (x, y, z) => {
          assert.equal(brokenLaw(merge, x, y, z), undefined, name);
        }),
        { numRuns: 40 },
      );
    }
  });
});

suite('the laws can fail', () => {
  const codecOf = (resolver: Resolver, granularity: Granularity): ViewCodec =>
    makeCodec(resolver, granularity, [
      feature('float64', false),
      { name: 'b', type: { scalar: 'int64', list: false }, nullable: true },
    ]);
  const first = (codec: ViewCodec, value: Buffer): number =>
    isLive(value) ? Number(codec.decodeRow(value, payloadStart(value, 0, true), value.length)[0] ?? 0) : 0;
  const max = codecOf({ kind: 'max', by: 'a' }, 'row');
  const counter = codecOf({ kind: 'counter' }, 'row');
  const byFeature = codecOf({ kind: 'last-writer-wins' }, 'feature');
  const broken: readonly (readonly [string, ViewCodec, Merge])[] = [
    [
      'of equal event times the later to arrive wins',
      codecOf({ kind: 'last-writer-wins' }, 'row'),
      (stored, incoming) => (readEventTimeUs(incoming) >= readEventTimeUs(stored) ? 'replace' : 'keep'),
    ],
    [
      'max without a tie-break',
      max,
      (stored, incoming) => (first(max, incoming) > first(max, stored) ? 'replace' : 'keep'),
    ],
    [
      'max for which nothing is less than NaN',
      max,
      (stored, incoming) => (first(max, incoming) < first(max, stored) ? 'keep' : 'replace'),
    ],
    [
      'a counter that keeps what is stored within a generation',
      counter,
      (stored, incoming) => (mergeOf(counter)(stored, incoming) === 'replace' ? 'replace' : 'keep'),
    ],
    [
      'a counter that appends every component it is given',
      counter,
      (stored, incoming) => Buffer.concat([stored, incoming.subarray(payloadStart(incoming, 0, true))]),
    ],
    [
      'partial rows that overwrite each other',
      byFeature,
      (stored, incoming) => (stored.compare(incoming) < 0 && incoming.length > stored.length ? 'replace' : 'keep'),
    ],
    ['bytes that depend on the order', byFeature, (stored, incoming) => Buffer.concat([stored, incoming])],
  ];
  for (const [name, codec, merge] of broken) {
    test(name, () => {
      assert.notEqual(counterexample(codec, merge, 3000), undefined);
    });
  }
});
