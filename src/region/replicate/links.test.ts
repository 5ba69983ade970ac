import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import { firstRecord, promotedRecord } from '#core/failover/lease';
import { HALT_MS } from '#region/replicate/stream-failures';
import { chainOf, linked, pass, until } from '#region/testing/link-node.fixture';

const S1 = 'flights/0/us-east/00000000000000a1';
const S2 = 'flights/0/us-east/00000000000000a2';
const S3 = 'flights/0/eu-west/00000000000000b1';
const EPOCH_1 = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [S1] });
/** us-east lost its disk within the epoch and goes on under another incarnation. */
const WIPED = { ...EPOCH_1, streams: [S1, S2], reported: { [S1]: 1000 } };
const EPOCH_2 = promotedRecord(EPOCH_1, {
  holder: 'eu-west',
  streams: [S3],
  seal: { [S1]: 1000 },
  promised: [],
  missing: [],
  lossy: false,
});
const FRAMES = chainOf(S1, 10);

test('a sealed stream whose origin came back empty is fetched where it is whole, whoever is asked first', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, eu, ap }) => {
    for (const node of [us, eu, ap]) node.adopt(EPOCH_2);
    await eu.hold(S1, FRAMES);
    await ap.hold(S1, FRAMES.slice(0, 9));
    await ap.start();
    await us.start();
    await until(() => us.head(S1) === 900);
    await eu.start();
    await until(() => us.head(S1) === 1000 && ap.head(S1) === 1000);
  });
});

test('an open stream whose origin lost it is fetched where it is whole', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, eu, ap }) => {
    for (const node of [us, eu, ap]) node.adopt(WIPED);
    us.extended.add(S2);
    us.mayAppend = true;
    await eu.hold(S1, FRAMES);
    await ap.hold(S1, FRAMES.slice(0, 9));
    network.cut('us-east', 'eu-west');
    for (const node of [us, eu, ap]) await node.start();
    await until(() => ap.head(S1) === 1000);
    assert.equal(ap.link('us-east').state, 'connected');
    await until(() => us.head(S1) === 1000);
  });
});

test('the origin of an open stream that is behind does not vouch for it before it has caught up', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, eu, ap }) => {
    for (const node of [us, eu, ap]) node.adopt(WIPED);
    us.extended.add(S2);
    us.mayAppend = true;
    await us.start();
    assert.equal(us.links.vouchesFor(S2), true);
    assert.equal(us.links.vouchesFor(S1), false, 'the record knows more of it');
    await eu.hold(S1, FRAMES);
    for (const node of [eu, ap]) await node.start();
    await until(() => us.links.vouchesFor(S1));
    assert.equal(us.head(S1), 1000);
    us.mayAppend = false;
    assert.deepEqual([us.links.vouchesFor(S1), us.links.vouchesFor(S2)], [false, false]);
    assert.equal(eu.links.vouchesFor(S1), false, 'nobody vouches for the stream of another region');
  });
});

test('a relay is followed while the origin is away, and no longer once the origin is back', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, eu, ap }) => {
    for (const node of [us, eu, ap]) node.adopt(EPOCH_1);
    us.extended.add(S1);
    us.mayAppend = true;
    network.cut('us-east', 'ap-south');
    for (const node of [us, eu, ap]) await node.start();
    const append = async (from: number, to: number): Promise<void> =>
      us.log.append(S1, 1, FRAMES.slice(from / 100, to / 100));
    await append(0, 300);
    await until(() => ap.head(S1) === 300);
    assert.equal(ap.link('eu-west').changesReceived, 300);
    network.healAll();
    await until(() => ap.link('us-east').state === 'connected');
    await pass(1000);
    await append(300, 1000);
    await until(() => ap.head(S1) === 1000);
    await pass(1000);
    assert.equal(ap.link('us-east').changesReceived, 700);
    assert.equal(ap.link('eu-west').changesReceived, 300, 'the relay sends no more of it');
  });
});

test('a corrupt frame costs its stream at that peer, not the link: it is halted once and fetched elsewhere', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, eu, ap }) => {
    for (const node of [us, eu, ap]) node.adopt(EPOCH_1);
    us.extended.add(S1);
    us.mayAppend = true;
    await us.hold(S1, FRAMES);
    us.changeLog.rotten.add(500);
    await us.start();
    await ap.start();
    await until(() => ap.link('us-east').state === 'stopped');
    assert.match(ap.link('us-east').reason ?? '', /^FRAME_CORRUPT/);
    assert.equal(ap.head(S1), 400);
    assert.deepEqual(
      ap.events.list().flatMap(({ event }) => (event.startsWith('frame-') ? [event] : [])),
      ['frame-retried', 'frame-retried', 'frame-refused'],
    );
    const reads = us.changeLog.reads;
    await pass(HALT_MS / 2);
    assert.equal(us.changeLog.reads, reads, 'a halted stream rests');
    await until(() => us.changeLog.reads > reads);
    await until(() => ap.audited('frame-refused') === 1);
    assert.equal(ap.link('us-east').reconnects, 0);
    await eu.hold(S1, FRAMES);
    await eu.start();
    await until(() => ap.head(S1) === 1000);
    assert.equal(ap.audited('frame-refused'), 1);
    assert.equal(ap.link('us-east').reconnects, 0);
  });
});

test('a mended disk ends the halt: by itself after the pause, and at once with a new connection', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, ap }) => {
    for (const node of [us, ap]) node.adopt(EPOCH_1);
    us.extended.add(S1);
    us.mayAppend = true;
    await us.hold(S1, FRAMES);
    us.changeLog.rotten.add(500);
    await us.start();
    await ap.start();
    await until(() => ap.link('us-east').state === 'stopped');
    us.changeLog.rotten.clear();
    network.sever('us-east', 'ap-south');
    await until(() => ap.head(S1) === 1000, 2000);
    assert.equal(ap.link('us-east').state, 'connected');
  });
});

test('a stream that diverged is audited once over reconnections, and says nothing of freshness', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, ap }) => {
    for (const node of [us, ap]) node.adopt(EPOCH_1);
    us.extended.add(S1);
    us.mayAppend = true;
    await us.hold(S1, FRAMES.slice(0, 1));
    await ap.hold(S1, chainOf(S1, 0, Buffer.from('another history')));
    await us.start();
    await ap.start();
    await until(() => ap.link('us-east').state === 'stopped');
    assert.match(ap.link('us-east').reason ?? '', /^STREAM_DIVERGED/);
    for (let i = 0; i < 2; i++) {
      network.sever('us-east', 'ap-south');
      await pass(2000);
    }
    assert.equal(ap.link('us-east').reconnects, 2);
    assert.equal(ap.audited('frame-refused'), 1);
    assert.deepEqual(ap.announced.at(-1), { stream: S1, head: 100, watermarkMs: null });
  });
});
