import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { linkTransportContract } from '#adapters/contracts/link-transport.contract';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import type { Channel } from '#ports/link-transport';

const HIGH_WATER_BYTES = 1024 * 1024;
const network = new MemoryNetwork({ highWaterBytes: HIGH_WATER_BYTES });

linkTransportContract('MemoryNetwork', {
  node: (name) => network.transport(name),
  rival: (name) => network.transport(name),
  flaws: ['impostor'],
  flawed: (name) => network.transport('mallory', { listensAs: name }),
  highWaterBytes: HIGH_WATER_BYTES,
  inFlightBytesMax: 64 * 1024,
});

describe('MemoryNetwork faults', () => {
  async function pair() {
    const net = new MemoryNetwork();
    const accepted = Promise.withResolvers<Channel>();
    const eu = net.transport('eu');
    await eu.listen(accepted.resolve);
    const us = net.transport('us');
    const client = await us.connect('eu');
    const server = await accepted.promise;
    const atServer: string[] = [];
    const atClient: string[] = [];
    server.onMessage((message) => atServer.push(String(message)));
    client.onMessage((message) => atClient.push(String(message)));
    return { net, us, client, server, atServer, atClient };
  }

  it('holds one direction while it is cut and delivers in order after heal', async () => {
    const { net, us, client, server, atServer, atClient } = await pair();
    net.cut('us', 'eu');
    client.send(Buffer.from('a'));
    client.send(Buffer.from('b'));
    server.send(Buffer.from('c'));
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual([atServer, atClient], [[], ['c']]);
    await assert.rejects(us.connect('eu'), { code: 'PEER_UNAVAILABLE' });
    net.heal('us', 'eu');
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual(atServer, ['a', 'b']);
  });

  it('tells of a close behind a cut only after heal', async () => {
    const { net, client, server, atServer } = await pair();
    net.cut('us', 'eu');
    client.send(Buffer.from('a'));
    client.close('done');
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(server.closed, false);
    net.healAll();
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual(atServer, ['a']);
    assert.equal(server.closed, true);
  });

  it('severs both ends', async () => {
    const { net, client, server } = await pair();
    const reasons: string[] = [];
    client.onClose((reason) => reasons.push(reason));
    server.onClose((reason) => reasons.push(reason));
    net.sever('eu', 'us', 'reset');
    assert.deepEqual(reasons, ['reset', 'reset']);
  });
});
