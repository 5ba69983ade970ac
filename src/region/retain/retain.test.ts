import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import type { RegionStatus } from '#region/status';
import { InProcessTopology, REGIONS, TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);
const KEYS = 40;

/** Three regions that let go of what is older than `ageMs`, under a lease or as members of equal standing. */
async function withTopology(
  { members = false, ...retention }: { ageMs: number; bytes: number; members?: boolean },
  work: (
    topology: InProcessTopology,
    write: (count: number, addedUs?: number, region?: string) => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  const show = process.env['SHOW'] !== undefined;
  const topology = new InProcessTopology({
    leaseMs: 1500,
    retention,
    ...(members
      ? { setup: { namespace: 'flights', partitions: 1, replication: 'active-active' as const, retention } }
      : {}),
    ...(show ? { logger: { info: console.log, warn: console.log, error: console.log } } : {}),
  });
  let written = 0;
  const write = async (count: number, addedUs = 0, region = 'us-east'): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const n = written++;
      await topology.region(region).ingest({
        view: TEST_VIEW.name,
        version: TEST_VIEW.version,
        idempotencyKey: `k${n}`,
        changes: [
          {
            operation: 'upsert',
            eventTimeUs: 10_000_000 + n + addedUs,
            key: codec.encodeKey([`key ${n % KEYS}`]),
            row: codec.encodeRow([n, BigInt(n)]),
          },
        ],
      });
    }
  };
  await topology.start();
  try {
    await topology.until(async () => (await status(topology, 'us-east')).namespaces[0]?.accepting === true);
    await work(topology, write);
  } finally {
    await topology.stop();
  }
}

function status(topology: InProcessTopology, name: string): Promise<RegionStatus> {
  return topology.region(name).status();
}

async function happened(topology: InProcessTopology, name: string, event: string): Promise<boolean> {
  return (await status(topology, name)).events.some((known) => known.event === event);
}

test('old frames leave the logs once a snapshot holds them, and a region with an empty disk comes back from a peer', () =>
  withTopology({ ageMs: 200, bytes: 1e9 }, async (topology, write) => {
    await write(100);
    for (const name of REGIONS) await topology.until(() => happened(topology, name, 'log-truncated'));
    const truncated = await status(topology, 'us-east');
    assert.ok(truncated.log.snapshot !== null && truncated.log.snapshot.rows === KEYS);

    await topology.stopRegion('ap-south');
    topology.wipe('ap-south');
    await write(50);
    await topology.startRegion('ap-south');
    await topology.until(() => happened(topology, 'ap-south', 'gap-found'));
    const empty = await status(topology, 'ap-south');
    assert.equal(empty.state, 'rebuilding', 'an empty answer would be a wrong one');
    assert.equal(empty.namespaces[0]?.backfill?.phase, 'waiting');
    await topology.until(() => happened(topology, 'ap-south', 'backfill-completed'), 20_000);
    await topology.until(async () => {
      const { namespaces, store, state } = await status(topology, 'ap-south');
      return state === 'serving' && store.rows === KEYS && namespaces[0]?.backfill === null;
    });
    await write(10);
    await topology.until(async () => {
      const [here, there] = [await status(topology, 'us-east'), await status(topology, 'ap-south')];
      return here.streams.every(
        ({ stream, applied }) => there.streams.find((other) => other.stream === stream)?.applied === applied,
      );
    });
    assert.deepEqual(topology.storedRows('ap-south'), topology.storedRows('us-east'));
    const again = await topology.region('ap-south').failover({ namespace: 'flights', actor: 'test' });
    assert.equal(again.epoch, 2);
  }));

test('a store that is lost comes back from the snapshot and the logs', () =>
  withTopology({ ageMs: 200, bytes: 1e9 }, async (topology, write) => {
    await write(100);
    await topology.until(() => happened(topology, 'eu-west', 'log-truncated'));
    await write(20);
    await topology.stopRegion('eu-west');
    topology.loseStore('eu-west');
    await topology.startRegion('eu-west');
    await topology.until(() => happened(topology, 'eu-west', 'rebuild-completed'));
    assert.ok(await happened(topology, 'eu-west', 'snapshot-restored'));
    await topology.until(async () => (await status(topology, 'eu-west')).state === 'serving');
    await write(5);
    await topology.until(async () => topology.storedRows('eu-west').join() === topology.storedRows('us-east').join());
  }));

for (const [source, ageMs] of [
  ['the logs', 3_600_000],
  ['a snapshot', 200],
] as const) {
  test(`the totals of the conflict ledger outlive a store that comes back from ${source}`, () =>
    withTopology({ ageMs, bytes: 1e9 }, async (topology, write) => {
      await write(60);
      // Older than what is stored: all of them lose.
      await write(30, -1_000_000);
      const lost = async (): Promise<number> => (await topology.region('eu-west').conflictCounts())[0]?.superseded ?? 0;
      await topology.until(async () => (await lost()) === 30);
      if (ageMs < 1000) await topology.until(() => happened(topology, 'eu-west', 'log-truncated'));
      for (const before of [30, 35]) {
        await topology.stopRegion('eu-west');
        topology.loseStore('eu-west');
        await topology.startRegion('eu-west');
        assert.equal(await lost(), before, 'they are there from the start on');
        await topology.until(() => happened(topology, 'eu-west', 'rebuild-completed'));
        assert.equal(await happened(topology, 'eu-west', 'snapshot-restored'), ageMs < 1000);
        assert.equal(await lost(), before);
        await write(5, -2_000_000);
        await topology.until(async () => (await lost()) === before + 5);
      }
    }));
}

test('a member that is away keeps frames, until there is no space for them', () =>
  withTopology({ ageMs: 100, bytes: 20_000 }, async (topology, write) => {
    await write(20);
    await topology.until(async () => (await status(topology, 'ap-south')).streams.some(({ applied }) => applied >= 20));
    await topology.stopRegion('ap-south');
    await write(150);
    await topology.until(() => happened(topology, 'us-east', 'retention-forced'));
    await topology.startRegion('ap-south');
    await topology.until(() => happened(topology, 'ap-south', 'backfill-completed'), 20_000);
    await topology.until(async () => topology.storedRows('ap-south').join() === topology.storedRows('us-east').join());
  }));

test('a frame that the disk gives back changed is replaced by the copy of a peer, and applied then', () =>
  withTopology({ ageMs: 3_600_000, bytes: 1e9 }, async (topology, write) => {
    await write(60);
    await topology.until(async () => topology.storedRows('ap-south').join() === topology.storedRows('us-east').join());
    await topology.stopRegion('ap-south');
    topology.loseStore('ap-south');
    topology.damageFrame('ap-south', 20);
    await topology.startRegion('ap-south');
    await topology.until(() => happened(topology, 'ap-south', 'frame-repaired'));
    await topology.until(async () => topology.storedRows('ap-south').join() === topology.storedRows('us-east').join());
    assert.ok(await happened(topology, 'ap-south', 'frame-damaged'));
  }));

test('a damaged frame of which no log has a copy is made good from the store of a peer', () =>
  withTopology({ ageMs: 3_600_000, bytes: 1e9 }, async (topology, write) => {
    await write(60);
    for (const name of REGIONS)
      await topology.until(async () => topology.storedRows(name).join() === topology.storedRows('us-east').join());
    for (const name of ['ap-south', 'eu-west']) await topology.stopRegion(name);
    for (const name of REGIONS) topology.damageFrame(name, 20);
    topology.loseStore('ap-south');
    for (const name of ['ap-south', 'eu-west']) await topology.startRegion(name);
    await topology.until(() => happened(topology, 'ap-south', 'backfill-completed'), 20_000);
    await topology.until(async () => topology.storedRows('ap-south').join() === topology.storedRows('us-east').join());
    await topology.until(async () => (await status(topology, 'ap-south')).state === 'serving');
  }));

test('a damaged frame that its origin had sent to nobody is made good from its store', () =>
  withTopology({ ageMs: 3_600_000, bytes: 1e9, members: true }, async (topology, write) => {
    await write(20);
    for (const name of REGIONS)
      await topology.until(async () => topology.storedRows(name).join() === topology.storedRows('us-east').join());
    for (const name of ['ap-south', 'eu-west']) await topology.stopRegion(name);
    await write(40);
    topology.damageFrame('us-east', 40);
    for (const name of ['ap-south', 'eu-west']) await topology.startRegion(name);
    for (const name of REGIONS)
      await topology.until(async () => topology.storedRows(name).join() === topology.storedRows('us-east').join());
    assert.ok(await happened(topology, 'us-east', 'frame-damaged'));
    await topology.until(() => happened(topology, 'eu-west', 'backfill-completed'));
  }));

test('two members of which each lacks what only the store of the other holds fill each other', () =>
  withTopology({ ageMs: 100, bytes: 20_000, members: true }, async (topology, write) => {
    const accepts = async (name: string) => (await status(topology, name)).namespaces[0]?.accepting === true;
    for (const name of REGIONS) await topology.until(() => accepts(name));
    await topology.stopRegion('eu-west');
    await write(150, 0, 'ap-south');
    await topology.until(() => happened(topology, 'ap-south', 'retention-forced'));
    for (const name of ['ap-south', 'us-east']) await topology.stopRegion(name);
    topology.wipe('us-east');
    for (const name of ['eu-west', 'us-east']) await topology.startRegion(name);
    await topology.until(() => accepts('eu-west'));
    await write(150, 0, 'eu-west');
    await topology.until(() => happened(topology, 'eu-west', 'retention-forced'));
    await topology.stopRegion('us-east');
    assert.equal(await happened(topology, 'eu-west', 'gap-found'), false);
    await topology.startRegion('ap-south');
    for (const name of ['ap-south', 'eu-west'])
      await topology.until(() => happened(topology, name, 'backfill-completed'), 20_000);
    await topology.until(async () => topology.storedRows('ap-south').join() === topology.storedRows('eu-west').join());
  }));
