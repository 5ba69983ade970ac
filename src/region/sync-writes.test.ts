import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import type { IngestRequest } from '#region/engine-api';
import { InProcessTopology, TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);

function write(code: string, options: Partial<IngestRequest> = {}): IngestRequest {
  const key = codec.encodeKey([code]);
  return {
    view: TEST_VIEW.name,
    version: TEST_VIEW.version,
    changes: [{ operation: 'upsert', eventTimeUs: 1_000_000, key, row: codec.encodeRow([0.5, 1n]) }],
    ...options,
  };
}

const ALL = ['ap-south', 'eu-west', 'us-east'];

test('a write waits for the regions it is asked to, is unknown without them, and a retry joins it', async () => {
  const topology = new InProcessTopology({ acknowledge: 2 });
  await topology.start();
  try {
    const us = topology.region('us-east');
    await topology.until(async () => (await us.status()).namespaces[0]?.accepting === true);
    const first = await us.ingest(write('SFO', { idempotencyKey: 'k1' }));
    assert.deepEqual([...first.durableIn].sort(), ALL);
    await assert.rejects(us.ingest(write('SFO', { acknowledge: 3 })), { code: 'ACKNOWLEDGE_IMPOSSIBLE' });

    await topology.stopRegion('ap-south');
    await assert.rejects(us.ingest(write('JFK', { idempotencyKey: 'k2' })), { code: 'OUTCOME_UNKNOWN' });
    const waiting = us.ingest(write('JFK', { idempotencyKey: 'k2' }));
    await topology.startRegion('ap-south');
    const again = await waiting;
    assert.equal(again.duplicate, true);
    assert.deepEqual([...again.durableIn].sort(), ALL);
    const forwarded = await topology.region('eu-west').ingest(write('LHR', { acknowledge: 1 }));
    assert.deepEqual([...forwarded.durableIn].sort(), ALL, 'a request asks for more, never for less');

    const status = (await us.status()).namespaces[0]?.acknowledgements;
    assert.deepEqual(status?.participants, ['ap-south', 'eu-west']);
    assert.equal(status?.count, 2);
  } finally {
    await topology.stop();
  }
});

test('a region that comes back with an empty disk takes part again, and what it holds counts', async () => {
  const topology = new InProcessTopology({ acknowledge: 2 });
  await topology.start();
  try {
    const us = topology.region('us-east');
    await topology.until(async () => (await us.status()).namespaces[0]?.accepting === true);
    await us.ingest(write('SFO', { idempotencyKey: 'k1' }));
    await topology.stopRegion('ap-south');
    topology.loseDisks('ap-south');
    await topology.startRegion('ap-south');
    await topology.until(async () => {
      const again = await us.ingest(write('SFO', { idempotencyKey: 'k1' })).catch(() => undefined);
      return again?.durableIn.includes('ap-south') === true;
    });
  } finally {
    await topology.stop();
  }
});

test('a person gives up a closed epoch that nobody there has: its seal is lowered, and what comes back of it is a tail', async () => {
  const topology = new InProcessTopology();
  await topology.start();
  try {
    const accepting = async (name: string): Promise<boolean> =>
      (await topology.region(name).status()).namespaces[0]?.accepting === true;
    await topology.until(() => accepting('us-east'));
    // Known here, so that ap-south holds the beginning of epoch 1 and lacks its end.
    await topology.region('us-east').ingest(write('SFO', { acknowledge: 2 }));
    await topology.stopRegion('ap-south');
    await topology.region('us-east').ingest(write('JFK', { acknowledge: 1, idempotencyKey: 'k1' }));
    await topology.region('eu-west').failover({ namespace: 'flights', actor: 'test' });
    await topology.until(() => accepting('eu-west'));
    await topology.stopRegion('us-east');
    await topology.stopRegion('eu-west');

    const ap = await topology.startRegion('ap-south');
    const order = { namespace: 'flights', actor: 'test' };
    await assert.rejects(ap.failover(order), { code: 'LOSS_REFUSED', message: /no connected region has the rest/ });
    const moved = await ap.failover({ ...order, allowLoss: true });
    assert.equal(moved.lossy, true);
    const lossy = (await ap.status()).namespaces[0]?.acknowledgements?.lossy ?? [];
    assert.equal(Object.keys(lossy.at(-1)?.lowered ?? {}).length, 1);
    assert.equal((await ap.status()).store.rows, 1);

    await topology.startRegion('eu-west');
    await topology.until(async () => (await ap.status()).store.rows === 2);
    await topology.until(async () => (await topology.region('eu-west').status()).store.rows === 2);
    const again = await ap.ingest(write('JFK', { idempotencyKey: 'k1' }));
    assert.equal(again.duplicate, true, 'the tail brought the key back');
  } finally {
    await topology.stop();
  }
});
