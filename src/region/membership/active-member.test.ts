import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import type { IngestRequest } from '#region/engine-api';
import type { NamespaceStatus } from '#region/status';
import { InProcessTopology, TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);
const REGIONS = ['ap-south', 'eu-west', 'us-east'];

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

/** Three members of one active-active namespace, until `body` has ended. */
async function members(body: (topology: Members) => Promise<void>): Promise<void> {
  const topology = new Members({ setup: { namespace: 'flights', partitions: 2, replication: 'active-active' } });
  await topology.start();
  try {
    for (const region of REGIONS) await topology.until(async () => (await topology.namespace(region)).accepting);
    await body(topology);
  } finally {
    await topology.stop();
  }
}

class Members extends InProcessTopology {
  async namespace(region: string): Promise<NamespaceStatus> {
    const [status] = (await this.region(region).status()).namespaces;
    assert.ok(status !== undefined);
    return status;
  }

  async rows(region: string): Promise<number> {
    return (await this.region(region).status()).store.rows;
  }

  /** Positions of all streams, which are equal once everything has arrived. */
  async agree(rows: number): Promise<void> {
    const applied = async (region: string): Promise<string> => {
      const { streams, store } = await this.region(region).status();
      const positions = streams.filter(({ head }) => head > 0).map(({ stream, applied: to }) => [stream, to]);
      return JSON.stringify([store.rows, positions.sort()]);
    };
    await this.until(async () => {
      const [first, ...others] = await Promise.all(REGIONS.map(applied));
      return others.every((other) => other === first) && (await this.rows('us-east')) === rows;
    });
  }

  async incarnations(region: string): Promise<number> {
    const { streams } = await this.region(region).status();
    return new Set(streams.filter(({ origin }) => origin === region).map(({ incarnation }) => incarnation)).size;
  }

  async events(region: string): Promise<string[]> {
    return (await this.region(region).status()).events.map(({ event }) => event);
  }
}

test('every region accepts, and all see everything', () =>
  members(async (topology) => {
    for (const [index, region] of REGIONS.entries()) {
      const result = await topology.region(region).ingest(write(`K${index}`, BigInt(index), 1_000_000));
      assert.equal(result.hub, region);
      await topology.region(region).ingest(write('HOT', BigInt(index), 1_000_000, `hot-${index}`));
    }
    await topology.agree(4);
    const { role, hub, replication, waitsFor, members: fresh } = await topology.namespace('eu-west');
    assert.deepEqual([role, hub, replication, waitsFor], ['active', null, 'active-active', null]);
    assert.deepEqual(
      fresh?.map(({ region }) => region),
      REGIONS,
    );
    await topology.until(async () => (await topology.namespace('eu-west')).freshnessMs !== null);
    const again = await topology.region('ap-south').ingest(write('HOT', 2n, 1_000_000, 'hot-2'));
    assert.equal(again.duplicate, true);
    await assert.rejects(topology.region('eu-west').failover({ namespace: 'flights', actor: 'test' }), {
      code: 'FAILOVER_REFUSED',
    });
  }));

test('writes go on without the control store and without peers, and freshness names who is silent', () =>
  members(async (topology) => {
    await topology.region('us-east').ingest(write('A', 1n, 1_000_000));
    await topology.agree(1);
    await topology.until(async () => (await topology.namespace('eu-west')).freshnessMs !== null);
    await topology.stopControl();
    await topology.stopRegion('ap-south');
    await topology.stopRegion('us-east');
    assert.equal((await topology.region('eu-west').ingest(write('B', 2n, 1_000_000))).hub, 'eu-west');
    await topology.until(async () => {
      const { members: fresh } = await topology.namespace('eu-west');
      const ms = new Map(fresh?.map(({ region, freshnessMs }) => [region, freshnessMs ?? 0]));
      return (ms.get('us-east') ?? 0) > 300 && (ms.get('eu-west') ?? 1000) < 200;
    });
    assert.ok(((await topology.namespace('eu-west')).freshnessMs ?? 0) > 300);
    await topology.startControl();
    await topology.startRegion('us-east');
    await topology.startRegion('ap-south');
    await topology.agree(2);
    // Both had stopped in order: they go on with the streams they had, unless the record could not be written.
    await topology.until(async () => (await topology.namespace('us-east')).accepting);
  }));

test('a delete that is said to be a retry is accepted where every member says that it does not know it, and waits otherwise', () =>
  members(async (topology) => {
    const gone = (region: string, idempotencyKey: string, retried: boolean) =>
      topology.region(region).ingest({
        view: TEST_VIEW.name,
        version: TEST_VIEW.version,
        idempotencyKey,
        retried,
        changes: [{ operation: 'delete', eventTimeUs: 1_000_000, key: codec.encodeKey(['A']), row: Buffer.alloc(0) }],
      });
    const departures = (region: string): unknown => {
      const row = topology.stored(region, codec.rowKey(codec.encodeKey(['A'])));
      return row === undefined ? undefined : readStored(codec, row).values[1];
    };
    await topology.region('us-east').ingest(write('A', 1n, 1_000_000));
    await topology.agree(1);
    assert.equal((await gone('ap-south', 'first', true)).duplicate, false, 'all were asked, and none had it');
    await topology.region('us-east').ingest(write('A', 2n, 2_000_000));
    await topology.until(async () => REGIONS.every((region) => departures(region) === 2n));

    // us-east deletes it while nobody hears, and is gone with the answer.
    await topology.stopRegion('ap-south');
    await topology.stopRegion('eu-west');
    await gone('us-east', 'unheard', false);
    await topology.stopRegion('us-east');
    await topology.startRegion('eu-west');
    await topology.startRegion('ap-south');
    for (const region of ['eu-west', 'ap-south'])
      await topology.until(async () => (await topology.namespace(region)).accepting);
    await topology.region('eu-west').ingest(write('A', 3n, 3_000_000));
    await assert.rejects(gone('eu-west', 'unheard', true), { code: 'OUTCOME_UNKNOWN', message: /us-east may have/ });
    assert.equal(departures('eu-west'), 3n);
    // An upsert that is tried again is accepted: merge makes one row of both.
    await topology.region('eu-west').ingest({ ...write('B', 1n, 1_000_000, 'upsert'), retried: true });

    await topology.startRegion('us-east');
    const settled = async (): Promise<boolean> =>
      (await gone('eu-west', 'unheard', true).catch(() => undefined))?.duplicate === true;
    await topology.until(settled);
    await topology.until(async () => REGIONS.every((region) => departures(region) === 3n));
  }));

test('an orderly stop keeps the incarnation; a region without its disk begins another, and gets back what peers hold', () =>
  members(async (topology) => {
    await topology.region('us-east').ingest(write('A', 1n, 1_000_000, 'key-a'));
    await topology.agree(1);
    await topology.stopRegion('us-east');
    await topology.startRegion('us-east');
    await topology.until(async () => (await topology.namespace('us-east')).accepting);
    await topology.region('us-east').ingest(write('B', 1n, 1_000_000));
    assert.equal(await topology.incarnations('us-east'), 1);
    await topology.agree(2);

    await topology.stopRegion('us-east');
    topology.wipe('us-east');
    await topology.startRegion('us-east');
    await topology.until(async () => (await topology.namespace('us-east')).accepting);
    assert.ok((await topology.events('us-east')).includes('incarnation-begun'));
    // Its own keys are known again before it accepts.
    assert.equal((await topology.region('us-east').ingest(write('A', 1n, 1_000_000, 'key-a'))).duplicate, true);
    await topology.region('us-east').ingest(write('C', 1n, 1_000_000));
    await topology.agree(3);
    assert.equal(await topology.incarnations('us-east'), 2);
    const fresh = async (): Promise<boolean> => {
      const { freshnessMs } = await topology.namespace('eu-west');
      return freshnessMs !== null && freshnessMs < 1000;
    };
    await topology.until(fresh);
  }));

test('a start without the control store needs every peer, and begins another incarnation', () =>
  members(async (topology) => {
    await topology.region('us-east').ingest(write('A', 1n, 1_000_000));
    await topology.agree(1);
    await topology.stopRegion('us-east');
    await topology.stopRegion('ap-south');
    await topology.stopControl();
    await topology.startRegion('us-east');
    await topology.until(async () => ((await topology.namespace('us-east')).waitsFor ?? '').includes('ap-south'));
    assert.equal((await topology.namespace('us-east')).accepting, false);
    assert.equal(await topology.rows('us-east'), 1);
    // Until then a peer takes its writes.
    assert.equal((await topology.region('us-east').ingest(write('B', 1n, 1_000_000))).hub, 'eu-west');
    await topology.startRegion('ap-south');
    await topology.until(async () => (await topology.namespace('us-east')).accepting);
    await topology.region('us-east').ingest(write('C', 1n, 1_000_000));
    await topology.agree(3);
    assert.equal(await topology.incarnations('us-east'), 2);
  }));
