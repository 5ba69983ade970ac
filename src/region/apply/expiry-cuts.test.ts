import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { encodeCut } from '#core/merge/expiry';
import { ExpiryCuts, expiryKey, mergeExpiry } from '#region/apply/expiry-cuts';
import { encodeJsonRecord } from '#region/apply/records';

const VERSION = '00112233445566778899aabbccddeeff';

test('a cut that comes with copied rows binds at once, and no earlier one from a frame takes its place', async () => {
  const store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
  const expiry = new ExpiryCuts(store);
  assert.equal(expiry.cutUs(VERSION), Number.NEGATIVE_INFINITY);

  const theirs = encodeJsonRecord({ cutUs: 700, sweptUs: 700 });
  const copied = new Map([[expiryKey(VERSION), mergeExpiry(undefined, theirs)]]);
  await store.apply({ rows: [], checkpoints: new Map(), records: copied }, () => 'keep');
  expiry.copied(copied);
  assert.equal(expiry.cutUs(VERSION), 700);

  const records = new Map<string, Buffer | null>();
  expiry.begin();
  expiry.raise(VERSION, encodeCut(500), records);
  assert.equal(records.size, 0, 'what the store knows of the cut stays as it is');
  expiry.raise(VERSION, encodeCut(900), records);
  assert.deepEqual([...records.keys()], [expiryKey(VERSION)]);
  assert.equal(expiry.cutUs(VERSION), 900);
});
