import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import type { IngestRequest } from '#region/engine-api';
import { InProcessTopology, TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);

function write(code: string, departures: bigint, eventTimeUs: number, idempotencyKey?: string): IngestRequest {
  return {
    view: TEST_VIEW.name,
    version: TEST_VIEW.version,
    idempotencyKey,
    changes: [
      { operation: 'upsert', eventTimeUs, key: codec.encodeKey([code]), row: codec.encodeRow([0.5, departures]) },
    ],
  };
}

test('a write at any region reaches every region; a killed hub is succeeded; its return loses nothing', async () => {
  const topology = new InProcessTopology(
    process.env['SHOW'] === undefined ? {} : { logger: { info: console.log, warn: console.log, error: console.log } },
  );
  await topology.start();
  try {
    const accepting = async (name: string): Promise<boolean> =>
      (await topology.region(name).status()).namespaces[0]?.accepting === true;
    const knowsHub = async (name: string, hub: string): Promise<boolean> =>
      (await topology.region(name).status()).namespaces[0]?.hub === hub;
    await topology.until(() => accepting('us-east'));
    for (const name of ['eu-west', 'ap-south']) await topology.until(() => knowsHub(name, 'us-east'));
    const first = await topology.region('us-east').ingest(write('SFO', 1n, 1_000_000, 'k1'));
    assert.equal(first.accepted, 1);
    assert.equal(first.hub, 'us-east');
    const forwarded = await topology.region('ap-south').ingest(write('JFK', 2n, 1_000_000));
    assert.equal(forwarded.hub, 'us-east');
    const again = await topology.region('eu-west').ingest(write('SFO', 1n, 1_000_000, 'k1'));
    assert.equal(again.duplicate, true);
    assert.deepEqual(again.positions, first.positions);
    const other = topology.region('eu-west').ingest(write('LAX', 9n, 1_000_000, 'k1'));
    await assert.rejects(other, { code: 'IDEMPOTENCY_KEY_REUSED' });
    const applied = async (name: string): Promise<number> => (await topology.region(name).status()).store.rows;
    for (const name of ['us-east', 'eu-west', 'ap-south'])
      await topology.until(async () => (await applied(name)) === 2);

    await topology.stopRegion('us-east');
    await topology.until(async () => (await accepting('eu-west')) || (await accepting('ap-south')));
    const successor = (await accepting('eu-west')) ? 'eu-west' : 'ap-south';
    await topology.until(() => knowsHub('eu-west', successor));
    const second = await topology.region('eu-west').ingest(write('LHR', 3n, 1_000_000));
    assert.equal(second.hub, successor);
    await topology.startRegion('us-east');
    await topology.until(async () => (await applied('us-east')) === 3);
    const status = await topology.region('us-east').status();
    assert.equal(status.namespaces[0]?.role, 'follower');

    const moved = await topology.region('us-east').failover({ namespace: 'flights', actor: 'test' });
    assert.equal(moved.lossy, false);
    assert.equal((await topology.region('us-east').ingest(write('LHR', 4n, 2_000_000))).hub, 'us-east');
    assert.equal((await topology.region('us-east').auditVerify()).ok, true);
  } finally {
    await topology.stop();
  }
});

test('a retry is the same write when a row that its first try held back is not too far ahead any more', async (t) => {
  const topology = new InProcessTopology({ leaseMs: 10_000 });
  t.after(() => topology.stop());
  await topology.start();
  const region = topology.region('us-east');
  await topology.until(async () => (await region.status()).namespaces[0]?.accepting === true);
  const aheadUs = (Date.now() + TEST_VIEW.eventTimeAheadMsMax + 400) * 1000;
  const [near, far] = [write('SFO', 1n, 1_000_000, 'k'), write('JFK', 2n, aheadUs, 'k')];
  const request = { ...near, changes: [...near.changes, ...far.changes] };
  const first = await region.ingest(request);
  assert.deepEqual([first.accepted, first.quarantined.map(({ index }) => index)], [1, [1]]);
  await topology.until(async () => Date.now() * 1000 > aheadUs - TEST_VIEW.eventTimeAheadMsMax * 1000);
  const again = await region.ingest(request);
  assert.deepEqual([again.duplicate, again.accepted, again.positions], [true, 1, first.positions]);
  const other = { ...request, changes: [...write('LAX', 1n, 1_000_000).changes, ...far.changes] };
  await assert.rejects(region.ingest(other), { code: 'IDEMPOTENCY_KEY_REUSED' });
});

test('a hub that was restarted goes on in its epoch, and refuses an order to take it over from itself', async (t) => {
  // A lease that no busy machine lets lapse while the hub is away.
  const topology = new InProcessTopology({ leaseMs: 10_000 });
  t.after(() => topology.stop());
  await topology.start();
  const standing = async () => (await topology.region('us-east').status()).namespaces[0];
  await topology.until(async () => (await standing())?.accepting === true);
  const before = await standing();
  await topology.stopRegion('us-east');
  await topology.startRegion('us-east');
  const order = () => topology.region('us-east').failover({ namespace: 'flights', actor: 'test' });
  await assert.rejects(order(), { code: 'FAILOVER_REFUSED', message: /is the hub of flights already/ });
  await topology.until(async () => (await standing())?.accepting === true);
  assert.equal((await standing())?.epoch, before?.epoch);
  await assert.rejects(order(), { code: 'FAILOVER_REFUSED', message: /is the hub of flights already/ });
});
