import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import { FaultyLine } from '#adapters/tls-link/faulty-line.fixture';
import { TestTopology, TOPOLOGY } from '#adapters/tls-link/tls-link.fixture';
import type { TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';
import type { Channel } from '#ports/link-transport';

const SILENCE_MS_MAX = 500;
const topology = await TestTopology.create();
const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
});

function keep<T extends TlsLinkTransport | FaultyLine>(closable: T): T {
  closers.push(() => closable.close());
  return closable;
}

const closing = (channel: Channel) => new Promise<string>((resolve) => channel.onClose(resolve));

/** A channel from `us` to `eu` through a line that can be cut. */
async function channelThroughLine() {
  const accepted = Promise.withResolvers<Channel>();
  const eu = keep(await topology.node('eu', { silenceMsMax: SILENCE_MS_MAX }));
  await eu.listen(accepted.resolve);
  const line = keep(new FaultyLine(topology.addressOf('eu')));
  const address = await line.start();
  const us = keep(await topology.node('us', { silenceMsMax: SILENCE_MS_MAX, addressOf: () => address }));
  const client = await us.connect('eu');
  return { line, client, server: await accepted.promise };
}

describe('liveness of a channel', () => {
  it('keeps an idle channel open, with a receiver or without one', async () => {
    const { client, server } = await channelThroughLine();
    client.onMessage(() => undefined);
    await sleep(SILENCE_MS_MAX * 3);
    assert.deepEqual([client.closed, server.closed], [false, false]);
  });

  it('keeps a channel open whose receiver takes nothing while the peer sends all it may', async () => {
    const { client, server } = await channelThroughLine();
    while (client.send(Buffer.alloc(64 * 1024)));
    server.send(Buffer.from('unread'));
    await sleep(SILENCE_MS_MAX * 3);
    assert.deepEqual([client.closed, server.closed], [false, false]);
  });

  it('keeps a channel open while a large message crawls over a slow line', async () => {
    const { line, client, server } = await channelThroughLine();
    const received = new Promise<Buffer>((resolve) => server.onMessage(resolve));
    line.crawlMs = 60;
    client.send(Buffer.alloc(1024 * 1024));
    assert.equal((await received).length, 1024 * 1024);
    assert.deepEqual([client.closed, server.closed], [false, false]);
  });

  it('ends a half-open channel at both ends within the bound', async () => {
    const { line, client, server } = await channelThroughLine();
    const start = performance.now();
    line.silent = 'both';
    const reasons = await Promise.all([closing(client), closing(server)]);
    assert.deepEqual(new Set(reasons), new Set([`no sign of life within ${SILENCE_MS_MAX} ms`]));
    assert.ok(performance.now() - start < SILENCE_MS_MAX * 2);
  });

  it('ends a channel that hears nothing though it is heard', async () => {
    const { line, client } = await channelThroughLine();
    line.silent = 'to-client';
    assert.match(await closing(client), /no sign of life/);
  });

  it('ends both ends at once when the connection is reset', async () => {
    const { line, client, server } = await channelThroughLine();
    line.reset();
    for (const reason of await Promise.all([closing(client), closing(server)])) {
      assert.match(reason, /ECONNRESET|lost|ended/);
    }
  });

  it('notices a peer whose process is stopped', async () => {
    // The other process may start slowly or be slowed down.
    const silenceMsMax = 1500;
    const accepted = Promise.withResolvers<Channel>();
    const eu = keep(await topology.node('eu', { silenceMsMax }));
    await eu.listen(accepted.resolve);
    const child = fork(fileURLToPath(new URL('./silent-peer.fixture.ts', import.meta.url)));
    try {
      child.send({
        credentials: await topology.credentials('us'),
        port: eu.address?.port,
        silenceMsMax,
      });
      await once(child, 'message');
      const channel = await accepted.promise;
      await sleep(silenceMsMax);
      assert.equal(channel.closed, false);
      child.kill('SIGSTOP');
      assert.match(await closing(channel), /no sign of life/);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  it('does not take a pause of its own process for silence of the peer', async () => {
    const { client, server } = await channelThroughLine();
    const until = performance.now() + SILENCE_MS_MAX * 2;
    while (performance.now() < until);
    await sleep(SILENCE_MS_MAX);
    assert.deepEqual([client.closed, server.closed], [false, false]);
  });
});

describe('reloading credentials', () => {
  const connectAs = async (name: string, credentials: Awaited<ReturnType<TestTopology['credentials']>>) =>
    keep(await topology.node(name, { credentials })).connect('hub');

  it('closes the channels of peers that are not trusted any more, and those only', async () => {
    const successor = await createAuthority({ topology: TOPOLOGY });
    const both = topology.authority.certPem + successor.certPem;
    const renewed = { ...(await issueCertificate({ authority: successor, node: 'new' })), caPem: both };
    const hub = keep(
      await topology.node('hub', { credentials: { ...(await topology.credentials('hub')), caPem: both } }),
    );
    await hub.listen((channel) => channel.onMessage((message) => channel.send(message)));

    const before = { ...(await topology.credentials('old')), caPem: both };
    const old = await connectAs('old', before);
    const fresh = await connectAs('new', renewed);
    const oldClosed = closing(old);
    hub.reloadCredentials({
      ...(await issueCertificate({ authority: successor, node: 'hub' })),
      caPem: successor.certPem,
    });
    await oldClosed;

    const echoed = new Promise<Buffer>((resolve) => fresh.onMessage(resolve));
    fresh.send(Buffer.from('still here'));
    assert.equal(String(await echoed), 'still here');
    await assert.rejects(connectAs('old', before), { code: 'PEER_UNAVAILABLE' });
    (await connectAs('new', renewed)).close('done');
  });

  it('uses the new certificate for connections of its own', async () => {
    const listener = keep(await topology.node('hub'));
    await listener.listen(() => undefined);
    const successor = await createAuthority({ topology: TOPOLOGY });
    const node = keep(await topology.node('us'));
    (await node.connect('hub')).close('done');
    const issued = await issueCertificate({ authority: successor, node: 'us' });
    node.reloadCredentials({ ...issued, caPem: successor.certPem });
    await assert.rejects(node.connect('hub'), { code: 'CERTIFICATE_INVALID' });
  });

  it('keeps what it has when the new credentials are of no use', async () => {
    const hub = keep(await topology.node('hub'));
    await hub.listen(() => undefined);
    const client = await connectAs('us', await topology.credentials('us'));
    const other = await topology.credentials('other');
    const good = await topology.credentials('hub');
    const expired = await topology.credentials('hub', { nowMs: Date.now() - 3 * 86_400_000, validityDays: 1 });
    for (const credentials of [other, expired, { ...good, keyPem: other.keyPem }, { ...good, caPem: '' }]) {
      assert.throws(() => hub.reloadCredentials(credentials), { code: 'CERTIFICATE_INVALID' });
    }
    assert.equal(client.closed, false);
    (await connectAs('ap', await topology.credentials('ap'))).close('done');
  });
});
