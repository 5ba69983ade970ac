import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import type { IngestRequest, ReadRowsRequest } from '#region/engine-api';
import type { Region } from '#region/region';
import { InProcessTopology, TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);
const STREAM = 'flights/0/us-east/00000000000000ff';

function write(code: string, departures: bigint, eventTimeUs: number): IngestRequest {
  const change = { operation: 'upsert', eventTimeUs, key: codec.encodeKey([code]) } as const;
  return {
    view: TEST_VIEW.name,
    version: TEST_VIEW.version,
    changes: [{ ...change, row: codec.encodeRow([0.5, departures]) }],
  };
}

function readOf(code: string, fields: Partial<ReadRowsRequest>): ReadRowsRequest {
  const keys = [codec.rowKey(codec.encodeKey([code]))];
  return { namespace: 'flights', level: 'session', keys, fallback: 'forward', budgetMs: 1000, ...fields };
}

async function started(t: TestContext): Promise<InProcessTopology> {
  const topology = new InProcessTopology();
  await topology.start();
  t.after(() => topology.stop());
  await topology.until(async () => (await hubStatus(topology))?.accepting === true);
  for (const name of ['eu-west', 'ap-south'])
    await topology.until(async () => (await topology.region(name).status()).namespaces[0]?.hub === 'us-east');
  return topology;
}

async function hubStatus(topology: InProcessTopology) {
  return (await topology.region('us-east').status()).namespaces[0];
}

async function clocksKnown(topology: InProcessTopology, name: string): Promise<void> {
  await topology.until(async () => (await topology.region(name).status()).clock.offsets.length === 3);
}

function departures(row: Buffer | null | undefined): unknown {
  assert.ok(row instanceof Buffer);
  return codec.decodeRow(row, row.length - codec.encodeRow([0.5, 1n]).length, row.length)[1];
}

suite('reads at a level', () => {
  test('a session shows its write in any region at once', async (t) => {
    const topology = await started(t);
    const written = await topology.region('eu-west').ingest(write('SFO', 7n, 1_000_000));
    for (const name of ['ap-south', 'eu-west', 'us-east']) {
      const seen = { epoch: 0, streams: written.positions };
      const answer = await topology.region(name).readRows(readOf('SFO', { seen }));
      assert.equal(departures(answer.rows[0]), 7n);
      assert.equal(answer.stale, false);
      for (const [stream, seq] of Object.entries(written.positions))
        assert.ok((answer.seen.streams[stream] ?? 0) >= seq, 'the answer covers what was read');
    }
  });

  test('what nobody can show is refused in time, or told to be stale', async (t) => {
    const topology = await started(t);
    const region = topology.region('ap-south');
    const seen = { epoch: 0, streams: { [STREAM]: 9 } };
    const startMs = performance.now();
    await assert.rejects(region.readRows(readOf('SFO', { seen, budgetMs: 150 })), { code: 'STALE_READ' });
    assert.ok(performance.now() - startMs < 1000, 'not for ever');
    const stale = await region.readRows(readOf('SFO', { seen, budgetMs: 50, fallback: 'stale' }));
    assert.deepEqual([stale.stale, stale.region, stale.rows], [true, 'ap-south', [null]]);
    assert.equal(stale.seen.streams[STREAM], 9, 'the session forgets nothing');
    await assert.rejects(region.readRows(readOf('SFO', { seen: { epoch: 99, streams: {} }, budgetMs: 20 })), {
      code: 'STALE_READ',
    });
  });

  test('a position past a seal is lost, and says so everywhere', async (t) => {
    const topology = await started(t);
    const { positions } = await topology.region('us-east').ingest(write('SFO', 1n, 1_000_000));
    const [stream = '', seq = 0] = Object.entries(positions)[0] ?? [];
    await topology.region('eu-west').failover({ namespace: 'flights', actor: 'test' });
    const { epoch } = await topology.region('eu-west').readRows(readOf('SFO', {}));
    await topology.until(async () => (await topology.region('ap-south').readRows(readOf('SFO', {}))).epoch === epoch);
    for (const name of ['eu-west', 'ap-south']) {
      const beyond = { epoch: 0, streams: { [stream]: seq + 50 } };
      await assert.rejects(topology.region(name).readRows(readOf('SFO', { seen: beyond })), {
        code: 'SESSION_LOST',
        message: /ends at/,
      });
      const answer = await topology.region(name).readRows(readOf('SFO', { seen: { epoch: 0, streams: positions } }));
      assert.equal(departures(answer.rows[0]), 1n);
      assert.equal(answer.seen.epoch, epoch, 'the closed epoch needs no positions any more');
      assert.equal(answer.seen.streams[stream], undefined);
    }
  });

  test('a strong read is the hub’s, confirmed at the control store', async (t) => {
    const topology = await started(t);
    await topology.region('us-east').ingest(write('SFO', 3n, 1_000_000));
    for (const name of ['us-east', 'ap-south']) {
      const answer = await topology.region(name).readRows(readOf('SFO', { level: 'strong' }));
      assert.deepEqual([answer.region, departures(answer.rows[0]), answer.stale], ['us-east', 3n, false]);
    }
    const stay = topology.region('ap-south').readRows(readOf('SFO', { level: 'strong', fallback: 'refuse' }));
    await assert.rejects(stay, { code: 'STALE_READ', message: /not the hub/ });
    await topology.stopControl();
    const unconfirmed = topology.region('us-east').readRows(readOf('SFO', { level: 'strong', budgetMs: 400 }));
    await assert.rejects(unconfirmed, { code: 'STALE_READ' });
    await topology.startControl();
  });

  test('a bounded read counts the bound between clocks, and goes to the hub when it must', async (t) => {
    const topology = await started(t);
    await topology.region('us-east').ingest(write('SFO', 3n, 1_000_000));
    const region = topology.region('ap-south');
    const here = readOf('SFO', { level: 'bounded', maxStalenessMs: 5000 });
    await topology.until(async () => (await region.readRows(here)).region === 'ap-south');
    const tight = await region.readRows({ ...here, maxStalenessMs: 300 });
    assert.equal(tight.region, 'us-east', 'half a second may lie between two clocks');
    topology.network.cut('us-east', 'ap-south');
    topology.network.cut('ap-south', 'us-east');
    await topology.until(async () => {
      const answer = await region.readRows({ ...here, maxStalenessMs: 1500, fallback: 'stale', budgetMs: 20 });
      return answer.stale;
    });
    topology.network.healAll();
  });
});

suite('clocks', () => {
  const accepts = (region: Region) =>
    region.ingest(write('SFO', 1n, 1_000_000)).then(
      () => 'accepted',
      (error: { code: string }) => error.code,
    );

  test('a hub whose clock is stepped away from its peers accepts nothing until it is back', async (t) => {
    const topology = await started(t);
    const hub = topology.region('us-east');
    await clocksKnown(topology, 'us-east');
    topology.wallAheadMs.set('us-east', 3_600_000);
    assert.equal(await accepts(hub), 'CLOCK_SKEWED', 'in the very next append');
    assert.equal(await accepts(topology.region('eu-west')), 'CLOCK_SKEWED', 'forwarded');
    const skewed = await hub.status();
    assert.match(skewed.clock.fenced ?? '', /off/);
    assert.equal(skewed.namespaces[0]?.accepting, false);
    topology.wallAheadMs.set('us-east', 0);
    assert.equal(await accepts(hub), 'accepted', 'no stamp of the wrong hour was given, so none has to be waited for');
    const events = (await hub.status()).events.map(({ event }) => event);
    assert.ok(events.includes('clock-fenced') && events.includes('clock-fence-ended'));
    const audited = (await hub.auditEntries({ after: -1, limit: 100 })).map(({ action }) => action);
    assert.ok(audited.includes('clock-fenced'));
  });

  test('a region that starts with a wrong clock leaves no trace of it', async (t) => {
    const topology = await started(t);
    await topology.stopRegion('us-east');
    topology.wallAheadMs.set('us-east', 3_600_000);
    const wrong = await topology.startRegion('us-east');
    await topology.until(async () => (await wrong.status()).clock.fenced !== null);
    await topology.stopRegion('us-east');
    topology.wallAheadMs.set('us-east', 0);
    const region = await topology.startRegion('us-east');
    await clocksKnown(topology, 'us-east');
    // Another may have taken over meanwhile, and may do so again while this machine is busy.
    await topology.until(async () => {
      const found = (await region.status()).namespaces[0];
      if (found?.role === 'follower')
        await region.failover({ namespace: 'flights', actor: 'test' }).catch(() => undefined);
      return found?.accepting === true;
    }, 15_000);
    assert.equal((await region.ingest(write('SFO', 1n, 1_000_000))).hub, 'us-east');
  });

  test('a change stamped too far ahead waits in the log and is applied when its time has come', async (t) => {
    const topology = await started(t);
    const behind = topology.region('ap-south');
    topology.wallAheadMs.set('ap-south', -1500);
    const { positions } = await topology.region('us-east').ingest(write('SFO', 5n, 1_000_000));
    const [stream = '', seq = 0] = Object.entries(positions)[0] ?? [];
    const standing = async () => (await behind.status()).streams.find((each) => each.stream === stream);
    await topology.until(async () => (await standing())?.head === seq);
    const parked = await standing();
    assert.ok((parked?.applied ?? 0) < seq, 'durable here, and not applied');
    assert.ok((parked?.parkedUntilMs ?? 0) > Date.now() - 1500);
    const seen = { epoch: 0, streams: positions };
    const elsewhere = await behind.readRows(readOf('SFO', { seen, budgetMs: 400 }));
    assert.equal(elsewhere.region, 'us-east', 'a session is answered by a region that has it');
    await topology.until(async () => (await standing())?.applied === seq, 3000);
    assert.equal((await standing())?.parkedUntilMs, null);
  });

  test('a write is stamped above what its session has seen, and refused when that lies too far ahead', async (t) => {
    const topology = await started(t);
    const hub = topology.region('us-east');
    const wallMs = Date.now() + 400;
    const { hlc } = await hub.ingest({ ...write('SFO', 1n, 1_000_000), observed: { wallMs, counter: 5 } });
    assert.ok(hlc.wallMs > wallMs || (hlc.wallMs === wallMs && hlc.counter > 5));
    const far = topology.region('eu-west').ingest({
      ...write('SFO', 1n, 1_000_000),
      observed: { wallMs: Date.now() + 60_000, counter: 0 },
    });
    await assert.rejects(far, { code: 'CLOCK_SKEWED' });
  });
});
