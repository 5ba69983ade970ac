import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvJournal } from '#adapters/kv/kv-journal';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import type { Host } from '#ports/host';
import type { LinkTransport } from '#ports/link-transport';
import { ControlClient } from '#region/control/control-client';
import { ControlServer } from '#region/control/control-server';
import { QUIET, REAL_CLOCK, TEST_HOST } from '#region/testing/in-process.fixture';

async function serve(disk: MemoryDisk, network: MemoryNetwork, host: Host = TEST_HOST): Promise<ControlServer> {
  const server = new ControlServer({
    journal: new KvJournal(new MemoryKv(disk)),
    transport: network.transport('control'),
    clock: REAL_CLOCK,
    host,
    log: QUIET,
    members: ['us-east'],
  });
  await server.start();
  return server;
}

/** A transport that counts the channels it opened and nobody has closed. */
function counted(transport: LinkTransport): { transport: LinkTransport; open: () => number; opened: () => number } {
  let opened = 0;
  let closed = 0;
  return {
    transport: {
      listen: (accept) => transport.listen(accept),
      close: () => transport.close(),
      connect: async (peer, signal) => {
        const channel = await transport.connect(peer, signal);
        opened += 1;
        channel.onClose(() => {
          closed += 1;
        });
        return channel;
      },
    },
    open: () => opened - closed,
    opened: () => opened,
  };
}

test('a record that a full disk refuses is seen by nobody, before or after a restart', async () => {
  const disk = new MemoryDisk();
  const network = new MemoryNetwork();
  const server = await serve(disk, network);
  const client = new ControlClient({ transport: network.transport('us-east'), clock: REAL_CLOCK, deadlineMs: 500 });
  assert.deepEqual(await client.compareAndSet('lease', 0, Buffer.from('one')), { kind: 'ok', revision: 1 });
  disk.full = true;
  assert.equal((await client.compareAndSet('lease', 1, Buffer.from('two'))).kind, 'unknown');
  const seen = await client.get('lease');
  assert.deepEqual([seen.revision, Buffer.from(seen.value).toString()], [1, 'one']);
  disk.full = false;
  assert.deepEqual(await client.compareAndSet('lease', 1, Buffer.from('three')), { kind: 'ok', revision: 2 });
  await client.close();
  await server.stop();

  const again = await serve(disk, network);
  const reader = new ControlClient({ transport: network.transport('us-east'), clock: REAL_CLOCK, deadlineMs: 500 });
  const stored = await reader.get('lease');
  assert.deepEqual([stored.revision, Buffer.from(stored.value).toString()], [2, 'three']);
  await reader.close();
  await again.stop();
});

test('a write that fails otherwise ends the process, and is seen by nobody who asks later', async () => {
  const fatal: unknown[] = [];
  const host: Host = { ...TEST_HOST, fatal: (error) => fatal.push(error) as never };
  const disk = new MemoryDisk();
  const network = new MemoryNetwork();
  const server = await serve(disk, network, host);
  const client = new ControlClient({ transport: network.transport('us-east'), clock: REAL_CLOCK, deadlineMs: 200 });
  disk.failNextSync();
  assert.equal((await client.compareAndSet('lease', 0, Buffer.from('one'))).kind, 'unknown');
  assert.equal(fatal.length, 1);
  await assert.rejects(client.get('lease'), { code: 'CONTROL_UNAVAILABLE' });
  await client.close();
  await server.stop().catch(() => undefined);
});

test('calls that find the channel closed share one new channel', async () => {
  const disk = new MemoryDisk();
  const network = new MemoryNetwork();
  const server = await serve(disk, network);
  const { transport, open, opened } = counted(network.transport('us-east'));
  const client = new ControlClient({ transport, clock: REAL_CLOCK, deadlineMs: 500 });
  await Promise.all([client.get('a'), client.get('b'), client.get('c')]);
  assert.equal(opened(), 1);
  network.sever('us-east', 'control');
  await Promise.all([client.get('a'), client.get('b'), client.get('c')]);
  assert.equal(opened(), 2);
  await client.close();
  assert.equal(open(), 0);
  await server.stop();
});
