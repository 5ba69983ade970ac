import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import type { StreamStanding } from '#core/failover/lease';
import { Projection } from '#region/apply/projection';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { beyondSeal } from '#region/retain/snapshot-manifest';

const STREAM = 'flights/0/us-east/00000000000000aa';

const outliving = { save: async () => undefined, seed: () => new Map() };

function logSealedAt(seal: number): NamespaceLog {
  const standing: StreamStanding = { kind: 'sealed', epoch: 1, seal };
  return { namespace: 'flights', standing: () => standing } as unknown as NamespaceLog;
}

test('how far copied rows reach counts against a seal as a checkpoint does, over a restart, until the store is emptied', async () => {
  const store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
  let ids = 0;
  const random = { next: () => 0.5, hex: () => `id${ids++}` };
  const projection = new Projection({ store, random, outliving });
  await projection.begin();
  const { id } = projection;
  const records = projection.cover([[STREAM, 50]]);
  await store.apply({ rows: [], checkpoints: new Map([[STREAM, 30]]), records }, () => 'keep');
  for (const one of [projection, new Projection({ store, random, outliving })]) {
    one.load();
    assert.equal(one.id, id);
    assert.equal(one.beyondSeal(logSealedAt(50), store.checkpoints()), undefined);
    assert.deepEqual(one.beyondSeal(logSealedAt(49), store.checkpoints()), { stream: STREAM, applied: 50, seal: 49 });
    assert.equal(one.cover([[STREAM, 40]]).size, 0, 'a reach only grows');
  }
  await projection.wipe();
  assert.notEqual(projection.id, id);
  assert.equal(projection.reach(STREAM), 0);
});

test('a copy is ruled out by a seal below what it reaches to', () => {
  assert.equal(beyondSeal({ [STREAM]: 50 }, [logSealedAt(50)]), undefined);
  assert.deepEqual(beyondSeal({ [STREAM]: 50 }, [logSealedAt(49)]), { stream: STREAM, to: 50, seal: 49 });
});

test('a copy that reaches beyond the end of the log is torn until the log has come as far, or a seal says that it will not', async () => {
  const store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
  const projection = new Projection({ store, random: { next: () => 0.5, hex: () => 'id' }, outliving });
  const records = projection.cover([[STREAM, 50]]);
  await store.apply({ rows: [], checkpoints: new Map([[STREAM, 30]]), records }, () => 'keep');
  projection.load();
  const logOf = (standing: StreamStanding, seq: number, live?: unknown) =>
    ({ namespace: 'flights', standing: () => standing, head: () => ({ seq }), live }) as unknown as NamespaceLog;
  const open: StreamStanding = { kind: 'open', epoch: 1 };
  assert.deepEqual(projection.torn(logOf(open, 40)), { stream: STREAM, reach: 50, head: 40 });
  assert.equal(projection.torn(logOf(open, 50)), undefined);
  assert.equal(projection.torn(logOf({ kind: 'sealed', epoch: 1, seal: 50 }, 40)), undefined);
  assert.equal(projection.torn(logOf(open, 40, {})), undefined, 'no seal comes where there is no lease');
});
