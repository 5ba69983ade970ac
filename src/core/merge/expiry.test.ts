import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeStored, type StampedChange } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import { afterCut, decodeCut, encodeCut, mayExpire } from '#core/merge/expiry';
import { mergeOf } from '#core/merge/merge-of';
import type { FeatureView } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';

function codecOf(granularity: FeatureView['granularity']): ViewCodec {
  return new ViewCodec(
    withVersion({
      name: 'stops',
      namespace: 'flights',
      joinKeys: [{ name: 'id', type: 'string' }],
      features: [
        { name: 'a', type: { scalar: 'int64', list: false }, nullable: true },
        { name: 'b', type: { scalar: 'int64', list: false }, nullable: true },
      ],
      ttlSeconds: 60,
      resolver: { kind: 'last-writer-wins' },
      granularity,
      eventTimeAheadMsMax: 0,
      sources: [],
      sql: null,
      eventTimeColumn: 't',
      owner: '',
      description: '',
      tags: {},
    }),
  );
}

const source = { origin: Buffer.from('us-east'), incarnation: Buffer.alloc(8, 1) };

function stored(codec: ViewCodec, eventTimeUs: number, features: readonly number[] | undefined, seq = 1): Buffer {
  const places = features ?? [0, 1];
  const change: StampedChange = {
    eventTimeUs,
    hlc: { wallMs: 1, counter: seq },
    source,
    seq,
    operation: 'upsert',
    generation: 0,
    features,
    row: codec.encodeFeatures(
      places,
      places.map(() => BigInt(seq)),
    ),
  };
  return encodeStored(codec, change);
}

test('a row goes when its event time lies before the cut, and not at it', () => {
  const codec = codecOf('row');
  assert.equal(afterCut(codec.view, stored(codec, 99, undefined), 100), 'remove');
  assert.equal(afterCut(codec.view, stored(codec, 100, undefined), 100), 'keep');
  assert.equal(afterCut(codec.view, stored(codec, -5, undefined), -4), 'remove');
});

test('of a row by features the cells that are old go, as if they had never been written', () => {
  const codec = codecOf('feature');
  const old = stored(codec, 50, [0]);
  const young = stored(codec, 150, [1], 2);
  const both = mergeOf(codec)(old, young);
  assert.ok(Buffer.isBuffer(both));
  assert.deepEqual(afterCut(codec.view, both, 100), young);
  assert.equal(afterCut(codec.view, both, 50), 'keep');
  assert.equal(afterCut(codec.view, both, 151), 'remove');
});

test('a cut before or after a merge leaves the same', () => {
  const codec = codecOf('feature');
  const values = [
    stored(codec, 50, [0]),
    stored(codec, 120, [0, 1], 2),
    stored(codec, 150, [1], 3),
    stored(codec, 90, [1], 4),
  ];
  const cut = (value: Buffer | undefined): Buffer | undefined => {
    const left = value === undefined ? 'remove' : afterCut(codec.view, value, 100);
    return left === 'remove' ? undefined : left === 'keep' ? value : left;
  };
  const merge = (a: Buffer | undefined, b: Buffer | undefined): Buffer | undefined => {
    if (a === undefined || b === undefined) return a ?? b;
    const decision = mergeOf(codec)(a, b);
    return decision === 'keep' ? a : decision === 'replace' ? b : decision;
  };
  for (const a of values)
    for (const b of values)
      assert.deepEqual(cut(merge(a, b)), merge(cut(a), cut(b)), `${values.indexOf(a)} and ${values.indexOf(b)}`);
});

test('a cut keeps its value over the wire; other bytes are none', () => {
  for (const cutUs of [0, 1, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])
    assert.equal(decodeCut(encodeCut(cutUs)), cutUs);
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(7), Buffer.alloc(9), Buffer.alloc(8, 0x7f)])
    assert.throws(
      () => decodeCut(bytes),
      (error) => error instanceof AntipodeError && error.code === 'FRAME_CORRUPT',
    );
});

test('only rows with a time to live, where the latest event time wins, are removed', () => {
  assert.equal(mayExpire({ ttlSeconds: 60, resolver: { kind: 'last-writer-wins' } }), true);
  assert.equal(mayExpire({ ttlSeconds: null, resolver: { kind: 'last-writer-wins' } }), false);
  assert.equal(mayExpire({ ttlSeconds: 60, resolver: { kind: 'max', by: null } }), false);
  assert.equal(mayExpire({ ttlSeconds: 60, resolver: { kind: 'counter' } }), false);
});
