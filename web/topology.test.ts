import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeRegion } from './dev/fake-region.ts';
import type { RegionStatus } from './snapshot.ts';
import { deriveTopology, linkHealth, missingAt, RECONNECT_GRACE_MS } from './topology.ts';

function statusOf(region: string, act: (fake: FakeRegion) => void = () => {}): RegionStatus {
  const fake = new FakeRegion({
    region,
    regions: ['us-east', 'eu-west', 'ap-south'],
    startMs: 1_000_000,
    partitions: 2,
  });
  fake.advance(10_000);
  act(fake);
  return fake.status();
}

suite('topology', () => {
  test('the serving region comes first, the hub carries its epoch', () => {
    const topology = deriveTopology(statusOf('eu-west'));
    assert.deepEqual(
      topology.nodes.map((node) => node.region),
      ['eu-west', 'ap-south', 'us-east'],
    );
    assert.deepEqual(topology.nodes[2]?.hubOf, [{ namespace: 'flights', epoch: 3 }]);
    assert.equal(topology.nodes[0]?.place, 'Ireland');
  });

  test('regions without a link are known from leases, streams and acknowledgements', () => {
    const status = statusOf('us-east');
    const [namespace] = status.namespaces;
    const [stream] = status.streams;
    assert.ok(namespace !== undefined && stream !== undefined);
    const topology = deriveTopology({
      ...status,
      links: [],
      namespaces: [{ ...namespace, hub: 'leaseholder' }],
      streams: [{ ...stream, origin: 'origin', durableAt: { acknowledger: 1 } }],
    });
    assert.deepEqual(
      topology.nodes.map((node) => node.region),
      ['us-east', 'acknowledger', 'leaseholder', 'origin'],
    );
    assert.deepEqual(
      topology.nodes.slice(1).map((node) => node.state),
      Array(3).fill('no link from here'),
    );
  });

  test('a link is cut once its reason outlasts the grace of a reconnect', () => {
    const [link] = statusOf('us-east', (fake) => fake.cutLink('ap-south')).links.filter(
      (one) => one.peer === 'ap-south',
    );
    assert.ok(link !== undefined);
    assert.equal(linkHealth(link, link.sinceMs + RECONNECT_GRACE_MS - 1), 'connecting');
    assert.equal(linkHealth(link, link.sinceMs + RECONNECT_GRACE_MS), 'cut');
    assert.equal(linkHealth({ ...link, reason: null }, link.sinceMs + 60_000), 'connecting');
    assert.equal(linkHealth({ ...link, state: 'stopped' }, link.sinceMs), 'stopped');
  });

  test('backlog counts both directions', () => {
    const status = statusOf('us-east', (fake) => {
      fake.cutLink('ap-south');
      fake.advance(10_000);
    });
    const links = deriveTopology(status).links;
    const owed = status.streams.reduce((sum, stream) => sum + stream.head - (stream.durableAt['ap-south'] ?? 0), 0);
    assert.equal(links.find((link) => link.peer === 'ap-south')?.backlogOut, owed);
    assert.ok(owed > 50_000);
    assert.equal(links.find((link) => link.peer === 'eu-west')?.backlogIn, 0);
    assert.equal(
      deriveTopology(statusOf('eu-west')).links[0]?.backlogOut,
      null,
      'a follower has nothing to acknowledge',
    );
  });

  test('a peer that never acknowledged lacks everything', () => {
    const [stream] = statusOf('us-east').streams;
    assert.ok(stream !== undefined);
    assert.equal(missingAt({ ...stream, head: 7, durableAt: {} }, 'x'), 7);
    assert.equal(missingAt({ ...stream, head: 7, durableAt: { x: 9 } }, 'x'), 0);
  });
});
