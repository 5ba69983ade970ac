import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ViewCodec } from '#core/codec/view-codec';
import { makeCodec } from '#core/merge/testing/changes';
import type { Granularity } from '#core/model/feature-view';
import type { IngestChange } from '#region/engine-api';
import { validateRequest } from '#region/ingest/validate';

/** What a writer without a check makes of `\\ud800`, in place of `\\uffff`. */
function withSurrogate(bytes: Buffer): Buffer {
  const at = bytes.indexOf(Buffer.from('\uffff'));
  assert.ok(at >= 0);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from([0xed, 0xa0, 0x80]), bytes.subarray(at + 3)]);
}

function codecOf(granularity: Granularity): ViewCodec {
  return makeCodec({ kind: 'last-writer-wins' }, granularity, [
    { name: 'a', type: { scalar: 'string', list: false }, nullable: true },
    { name: 'b', type: { scalar: 'string', list: true }, nullable: true },
  ]);
}

test('a lone surrogate in an encoded key, row or partial row refuses the request with one stable code', () => {
  const [byRow, byFeature] = [codecOf('row'), codecOf('feature')];
  const change = {
    operation: 'upsert',
    eventTimeUs: 1,
    key: byRow.encodeKey(['k']),
    row: byRow.encodeRow(['a', ['b']]),
  } as const;
  const submit = (codec: ViewCodec, changes: readonly IngestChange[]) =>
    validateRequest({ view: codec.view.name, version: codec.view.version, changes }, codec, 1);
  assert.equal(submit(byRow, [change]).changes.length, 1);
  const key = withSurrogate(byRow.encodeKey(['x\uffff']));
  for (const [codec, wrong] of [
    [byRow, { ...change, key }],
    [byRow, { ...change, key, operation: 'delete', row: Buffer.alloc(0) }],
    [byRow, { ...change, row: withSurrogate(byRow.encodeRow(['\uffff', []])) }],
    [byRow, { ...change, row: withSurrogate(byRow.encodeRow(['a', ['b', '\uffff']])) }],
    [byFeature, { ...change, features: [0], row: withSurrogate(byFeature.encodeFeatures([0], ['\uffff'])) }],
    [byFeature, { ...change, features: [1], row: withSurrogate(byFeature.encodeFeatures([1], [['\uffff']])) }],
  ] as const)
    assert.throws(() => submit(codec, [change, wrong]), { code: 'ROW_INVALID' });
});
