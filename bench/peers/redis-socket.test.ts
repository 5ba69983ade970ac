import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { command, RedisSocket } from './redis-socket.ts';

test('replies of all kinds arrive whole, however they are cut into pieces', async (t) => {
  const wire = Buffer.from('+OK\r\n:12\r\n$5\r\na\r\nbc\r\n$-1\r\n*2\r\n$1\r\nx\r\n:3\r\n-ERR no\r\n');
  for (let piece = 1; piece <= wire.length; piece += 3) {
    const server = createServer((socket) => {
      socket.once('data', () => {
        for (let at = 0; at < wire.length; at += piece) socket.write(wire.subarray(at, at + piece));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const socket = await RedisSocket.open((server.address() as AddressInfo).port);
    const replies = await socket.send(command(['PING']), 6);
    assert.deepEqual(replies.slice(0, 5), ['OK', 12, 'a\r\nbc', null, ['x', 3]]);
    assert.match(String(replies[5]), /ERR no/);
    socket.close();
  }
});

test('what waits is told when the connection breaks', async (t) => {
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const socket = await RedisSocket.open((server.address() as AddressInfo).port);
  await assert.rejects(socket.call('PING'));
  await assert.rejects(socket.call('PING'));
});

test('a command is counted in bytes', () => {
  assert.equal(command(['SET', 'ü']), '*2\r\n$3\r\nSET\r\n$2\r\nü\r\n');
});
