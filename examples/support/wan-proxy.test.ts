import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WanProxy, type WanShape } from './wan-proxy.ts';

/** Sends back what it gets. */
const echo = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => undefined);
  socket.pipe(socket);
});
const clients: Socket[] = [];
const proxies: WanProxy[] = [];

before(() => new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve)));
after(async () => {
  for (const client of clients) client.destroy();
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await new Promise((resolve) => echo.close(resolve));
});

async function proxyWith(shape: Partial<WanShape> = {}): Promise<WanProxy> {
  const proxy = new WanProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } });
  proxies.push(proxy);
  await proxy.start();
  proxy.shape(shape);
  return proxy;
}

async function client(proxy: WanProxy): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true });
  clients.push(socket);
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  return socket;
}

async function received(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    total += chunk.length;
    if (total >= bytes) break;
  }
  return Buffer.concat(chunks);
}

async function roundTripMs(socket: Socket): Promise<number> {
  const start = performance.now();
  socket.write('ping');
  await received(socket, 4);
  return performance.now() - start;
}

async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
}

describe('WanProxy', () => {
  it('delays each way', async () => {
    const socket = await client(await proxyWith({ delayMs: 40 }));
    const times: number[] = [];
    for (let i = 0; i < 9; i++) times.push(await roundTripMs(socket));
    times.sort((a, b) => a - b);
    assert.ok((times[0] as number) >= 79, `fastest round trip ${times[0]} ms`);
    assert.ok((times[4] as number) < 110, `median round trip ${times[4]} ms`);
  });

  it('paces to the bandwidth and loses no byte', async () => {
    const proxy = await proxyWith({ bytesPerSecond: 4 * 1024 * 1024 });
    const socket = await client(proxy);
    const sent = Buffer.alloc(2 * 1024 * 1024, 'abcdefg');
    const start = performance.now();
    socket.write(sent);
    const back = await received(socket, sent.length);
    const seconds = (performance.now() - start) / 1000;
    assert.ok(back.equals(sent));
    // Half a second at least; both directions overlap.
    assert.ok(seconds > 0.45 && seconds < 2, `took ${seconds} s`);
    assert.deepEqual(proxy.delivered, { 'to-target': sent.length, 'to-client': sent.length });
  });

  it('keeps no more than the window in flight', async () => {
    const windowBytes = 256 * 1024;
    const proxy = await proxyWith({ delayMs: 50, windowBytes });
    const socket = await client(proxy);
    const start = performance.now();
    socket.write(Buffer.alloc(1024 * 1024));
    await received(socket, 1024 * 1024);
    // Four windows, one each delay.
    assert.ok(performance.now() - start >= 4 * 50);
  });

  it('passes on the end of a connection after its bytes', async () => {
    const socket = await client(await proxyWith({ delayMs: 20 }));
    const all = received(socket, Infinity);
    socket.end('last words');
    assert.equal(String(await all), 'last words');
  });

  it('resets connections and refuses new ones until healed', async () => {
    const proxy = await proxyWith();
    const socket = await client(proxy);
    await roundTripMs(socket);
    const ended = closed(socket);
    proxy.cut('refuse');
    await ended;
    await closed(await client(proxy));
    assert.equal(proxy.open, 0);
    proxy.heal();
    await roundTripMs(await client(proxy));
    assert.equal(proxy.connections, 2);
  });

  it('swallows everything until healed, then delivers it', async () => {
    const proxy = await proxyWith();
    const socket = await client(proxy);
    await roundTripMs(socket);
    proxy.cut('blackhole');
    const before = { ...proxy.delivered };
    socket.write('held');
    const late = await client(proxy);
    late.write('too');
    await sleep(50);
    assert.deepEqual(proxy.delivered, before);
    assert.equal(socket.destroyed || late.destroyed, false);
    proxy.heal();
    assert.equal(String(await received(socket, 4)), 'held');
    assert.equal(String(await received(late, 3)), 'too');
  });

  it('can swallow one direction only', async () => {
    const proxy = await proxyWith();
    const socket = await client(proxy);
    proxy.cut('blackhole', 'to-client');
    socket.write('there');
    await sleep(50);
    assert.deepEqual(proxy.delivered, { 'to-target': 5, 'to-client': 0 });
    proxy.heal();
    assert.equal(String(await received(socket, 5)), 'there');
  });
});
