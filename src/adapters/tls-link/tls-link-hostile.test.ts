import assert from 'node:assert/strict';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import { TestTopology, TOPOLOGY } from '#adapters/tls-link/tls-link.fixture';
import { LINK_PROTOCOL, type LinkRefusal } from '#adapters/tls-link/tls-link-transport';
import type { Channel } from '#ports/link-transport';

const DAY_MS = 86_400_000;
const topology = await TestTopology.create();
const otherTopology = await createAuthority({ topology: 'prod' });
const trusted = topology.authority.certPem + otherTopology.certPem;
const refusals: LinkRefusal[] = [];
const channels: Channel[] = [];

const server = await topology.node('eu', {
  handshakeMsMax: 300,
  connectionsMax: 8,
  credentials: { ...(await topology.credentials('eu')), caPem: trusted },
  onRefused: (refusal) => refusals.push(refusal),
});
await server.listen((channel) => channels.push(channel));
const client = await topology.node('us', { handshakeMsMax: 300 });
after(async () => {
  await client.close();
  await server.close();
});

/** A client that is not ours, as a trusted node unless told otherwise; `ended` resolves when its connection is over. */
async function rogue(options: ConnectionOptions = {}): Promise<{ socket: TLSSocket; ended: Promise<void> }> {
  const own = await topology.credentials('us');
  const socket = connectTls({
    ...topology.addressOf('eu'),
    cert: own.certPem,
    key: own.keyPem,
    ca: trusted,
    ALPNProtocols: [LINK_PROTOCOL],
    checkServerIdentity: () => undefined,
    ...options,
  });
  socket.on('error', () => undefined);
  socket.resume();
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { socket, ended };
}

async function refused(options: ConnectionOptions, reason: RegExp): Promise<void> {
  const before = { refusals: refusals.length, channels: channels.length };
  const { ended } = await rogue(options);
  await ended;
  assert.equal(channels.length, before.channels);
  assert.equal(refusals.length, before.refusals + 1);
  assert.match(refusals.at(-1)?.reason ?? '', reason);
}

describe('a listening node', () => {
  it('refuses a client without a certificate', async () => {
    await refused({ cert: undefined, key: undefined }, /CERTIFICATE/);
  });

  it('refuses an expired client certificate', async () => {
    const aged = await createAuthority({ topology: TOPOLOGY, nowMs: Date.now() - 10 * DAY_MS });
    const expired = await issueCertificate({
      authority: aged,
      node: 'us',
      nowMs: Date.now() - 5 * DAY_MS,
      validityDays: 1,
    });
    const current = await issueCertificate({ authority: aged, node: 'ap' });
    const credentials = { ...(await topology.credentials('asia')), caPem: trusted + aged.certPem };
    let accepted = 0;
    const listener = await topology.node('asia', { credentials });
    await listener.listen(() => accepted++);
    const address = topology.addressOf('asia');
    const { ended } = await rogue({ ...address, cert: expired.certPem, key: expired.keyPem });
    await ended;
    assert.equal(accepted, 0);
    const { socket } = await rogue({ ...address, cert: current.certPem, key: current.keyPem });
    await new Promise((resolve) => socket.once('data', resolve));
    assert.equal(accepted, 1);
    await listener.close();
  });

  it('refuses a node of another topology, though it trusts its authority', async () => {
    const issued = await issueCertificate({ authority: otherTopology, node: 'us' });
    await refused({ cert: issued.certPem, key: issued.keyPem }, /is for antipode:\/\/prod\/us/);
  });

  it('refuses a certificate that names no node', async () => {
    await refused({ cert: topology.authority.certPem, key: topology.authority.keyPem }, /./);
  });

  it('refuses other protocols and older TLS', async () => {
    await refused({ ALPNProtocols: ['antipode/2'] }, /NO_APPLICATION_PROTOCOL/);
    await refused({ ALPNProtocols: undefined }, /does not speak antipode\/1/);
    await refused({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }, /UNSUPPORTED_PROTOCOL/);
  });

  it('never resumes a session', async () => {
    const first = await rogue();
    const session = await new Promise<Buffer>((resolve) => first.socket.once('session', resolve));
    first.socket.destroy();
    const second = await rogue({ session });
    await new Promise((resolve) => second.socket.once('data', resolve));
    assert.equal(second.socket.isSessionReused(), false);
    second.socket.destroy();
    await second.ended;
  });

  it('drops garbage before TLS and connections that say nothing', async () => {
    const before = refusals.length;
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(100_000, 0xff), Buffer.alloc(0)]) {
      const socket = connectTcp(topology.addressOf('eu'));
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    assert.equal(refusals.length, before + 3);
  });

  it('closes the channel of a peer that announces a hostile length or an unknown header, with a reason', async () => {
    for (const header of [0x0100_0001, 0x7fff_ffff, 0xffff_ffff, 0x8900_0000]) {
      const { socket, ended } = await rogue();
      await new Promise((resolve) => socket.once('data', resolve));
      const channel = channels.at(-1) as Channel;
      const reason = new Promise<string>((resolve) => channel.onClose(resolve));
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(header);
      socket.write(bytes);
      assert.match(await reason, /^protocol violated: /);
      await ended;
    }
  });

  it('accepts only so many connections at a time, and serves on when they are gone', async () => {
    const sockets: Socket[] = [];
    const before = refusals.length;
    for (let i = 0; i < 20; i++) {
      const socket = connectTcp(topology.addressOf('eu'));
      socket.on('error', () => undefined);
      sockets.push(socket.resume());
    }
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    assert.ok(refusals.slice(before).filter(({ reason }) => reason === 'too many connections').length >= 12);
    (await client.connect('eu')).close('done');
  });
});

describe('a connecting node', () => {
  const listening = async (answer: (socket: Socket) => void): Promise<{ port: number; close: () => void }> => {
    const sockets: Socket[] = [];
    const tcp = createTcpServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      answer(socket);
    });
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    return {
      port: (tcp.address() as AddressInfo).port,
      close: () => {
        tcp.close();
        for (const socket of sockets) socket.destroy();
      },
    };
  };

  it('reports a server that does not speak TLS', async () => {
    const plain = await listening((socket) => socket.write('220 mail.example.org ESMTP\r\n'));
    const node = await topology.node('x1', { addressOf: () => ({ host: '127.0.0.1', port: plain.port }) });
    await assert.rejects(node.connect('eu'), { code: 'PROTOCOL_MISMATCH' });
    plain.close();
  });

  it('gives up on a server that accepts and says nothing', async () => {
    const mute = await listening(() => undefined);
    const node = await topology.node('x2', {
      handshakeMsMax: 100,
      addressOf: () => ({ host: '127.0.0.1', port: mute.port }),
    });
    await assert.rejects(node.connect('eu'), { code: 'PEER_UNAVAILABLE', message: /no answer within 100 ms/ });
    mute.close();
  });

  it('gives up on a peer that never says READY, and on one that speaks TLS but not this protocol', async () => {
    const credentials = await topology.credentials('eu');
    for (const [ALPNProtocols, code] of [
      [[LINK_PROTOCOL], 'PEER_UNAVAILABLE'],
      [undefined, 'PROTOCOL_MISMATCH'],
    ] as const) {
      const sockets: Socket[] = [];
      const tls = createTlsServer({
        cert: credentials.certPem,
        key: credentials.keyPem,
        ALPNProtocols: ALPNProtocols?.slice(),
      });
      tls.on('secureConnection', (socket) => sockets.push(socket.on('error', () => undefined)));
      await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
      const { port } = tls.address() as AddressInfo;
      const node = await topology.node('x3', { handshakeMsMax: 100, addressOf: () => ({ host: '127.0.0.1', port }) });
      await assert.rejects(node.connect('eu'), { code });
      tls.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  it('hints at its own certificate when the server ends the handshake in silence', async () => {
    const foreign = await createAuthority({ topology: TOPOLOGY });
    const issued = await issueCertificate({ authority: foreign, node: 'us' });
    const node = await topology.node('us', { credentials: { ...issued, caPem: trusted + foreign.certPem } });
    await assert.rejects(node.connect('eu'), { code: 'PEER_UNAVAILABLE', message: /its log says why/ });
  });

  it('takes only its own credentials', async () => {
    const credentials = await topology.credentials('us');
    await assert.rejects(topology.node('eu', { credentials }), { code: 'CERTIFICATE_INVALID' });
  });

  it('abandons connects when the transport closes', async () => {
    const mute = await listening(() => undefined);
    const node = await topology.node('x4', { addressOf: () => ({ host: '127.0.0.1', port: mute.port }) });
    const connecting = assert.rejects(node.connect('eu'), { code: 'PEER_UNAVAILABLE' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await node.close();
    await connecting;
    mute.close();
  });
});
