import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packItems, type StoreItem, unpackItems } from '#core/codec/store-items';

const items: StoreItem[] = [
  { kind: 'record', key: Buffer.from('definition/a'), value: Buffer.alloc(0) },
  { kind: 'row', key: Buffer.from([0, 255, 1]), value: Buffer.alloc(70_000, 7) },
];

test('items come back as they were', () => {
  assert.deepEqual(unpackItems(packItems(items)), items);
  assert.deepEqual(unpackItems(packItems([])), []);
});

test('a cut or changed chunk is refused', () => {
  const chunk = packItems(items.slice(0, 1));
  for (let length = 1; length < chunk.length; length++)
    assert.throws(() => unpackItems(chunk.subarray(0, length)), { code: 'SNAPSHOT_CORRUPT' }, `${length} bytes`);
  assert.throws(() => unpackItems(Buffer.concat([Buffer.from([9]), chunk.subarray(1)])), { code: 'SNAPSHOT_CORRUPT' });
});
