import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import { AntipodeError, type ErrorCode } from '#core/errors';
import type { Channel } from '#ports/link-transport';
import { OPEN_REQUESTS_MAX, type RequestHandlers, RpcEnd } from '#region/replicate/rpc';
import { decodeMessage, encodeMessage, type Message } from '#region/replicate/wire';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { settle } from '#region/testing/held-disk.fixture';

const code = (expected: ErrorCode) => (error: unknown) => error instanceof AntipodeError && error.code === expected;

/** Two ends of one channel: `near` is raw or speaks RPC, `far` serves. */
async function pair(): Promise<{ near: Channel; far: Channel; clock: HandClock }> {
  const network = new MemoryNetwork();
  const accepted: Channel[] = [];
  await network.transport('eu-west').listen((channel) => accepted.push(channel));
  const near = await network.transport('us-east').connect('eu-west');
  await settle();
  return { near, far: accepted[0] as Channel, clock: new HandClock() };
}

async function served(handlers: RequestHandlers): Promise<{ client: RpcEnd; near: Channel; clock: HandClock }> {
  const { near, far, clock } = await pair();
  new RpcEnd({ channel: far, clock, handlers });
  return { client: new RpcEnd({ channel: near, clock }), near, clock };
}

const FOREVER = new Promise<never>(() => undefined);

test('a request gets its answer with its blob, and the asker is who it proved to be', async () => {
  const { client } = await served({
    controlGet: async ({ key }, blob, peer) => ({
      answer: { revision: key.length, wallMs: 7 },
      blob: Buffer.concat([blob, Buffer.from(peer)]),
    }),
  });
  const { answer, blob } = await client.request(
    'controlGet',
    { key: 'abc' },
    { timeoutMs: 100, blob: Buffer.from('> ') },
  );
  assert.deepEqual(answer, { revision: 3, wallMs: 7 });
  assert.equal(blob.toString(), '> us-east');
});

test('answers out of order reach who asked', async () => {
  const waiting: (() => void)[] = [];
  const { client } = await served({
    controlGet: async ({ key }) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { answer: { revision: Number(key), wallMs: 7 } };
    },
  });
  const asked = [1, 2, 3].map((n) => client.request('controlGet', { key: String(n) }, { timeoutMs: 100 }));
  await settle();
  for (const answer of waiting.reverse()) {
    answer();
    await settle();
  }
  assert.deepEqual(
    (await Promise.all(asked)).map(({ answer }) => answer.revision),
    [1, 2, 3],
  );
});

test('a refusal arrives with its code; anything else thrown arrives as INTERNAL', async () => {
  const { client } = await served({
    ping: async () => {
      throw new AntipodeError('NOT_HOLDER', 'not me', { remedy: 'ask another' });
    },
    controlGet: async () => {
      throw new TypeError('a fault');
    },
  });
  await assert.rejects(client.request('ping', {}, { timeoutMs: 100 }), (error: unknown) => {
    assert.ok(error instanceof AntipodeError);
    assert.deepEqual([error.code, error.message, error.remedy], ['NOT_HOLDER', 'not me', 'ask another']);
    return true;
  });
  await assert.rejects(client.request('controlGet', { key: 'a' }, { timeoutMs: 100 }), code('INTERNAL'));
});

test('no answer in time is PEER_TIMEOUT; the late answer is dropped and the channel goes on', async () => {
  let answer: () => void = () => undefined;
  const { client, clock } = await served({
    ping: async () => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return { answer: { wallMs: 0 } };
    },
    controlGet: async () => ({ answer: { revision: 1, wallMs: 7 } }),
  });
  const asked = client.request('ping', {}, { timeoutMs: 50 });
  asked.catch(() => undefined);
  await settle();
  clock.advance(49);
  await settle();
  clock.advance(1);
  await assert.rejects(asked, code('PEER_TIMEOUT'));
  answer();
  await settle();
  const next = await client.request('controlGet', { key: 'a' }, { timeoutMs: 50 });
  assert.equal(next.answer.revision, 1);
  assert.equal(clock.sleeping, 0, 'no timer is left behind');
});

test('the end of the channel fails what is open with PEER_UNAVAILABLE, and everything after it', async () => {
  const { client, near } = await served({ ping: () => FOREVER });
  const asked = client.request('ping', {}, { timeoutMs: 50 });
  asked.catch(() => undefined);
  await settle();
  near.close('cut');
  await assert.rejects(asked, code('PEER_UNAVAILABLE'));
  await assert.rejects(client.request('ping', {}, { timeoutMs: 50 }), code('PEER_UNAVAILABLE'));
});

test('bytes that are no message end the channel', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(40, 0xff)]) {
    const { near, far, clock } = await pair();
    new RpcEnd({ channel: far, clock });
    near.send(bytes);
    await settle();
    assert.equal(near.closed, true);
    assert.equal(far.closed, true);
  }
});

test('a one-way message nobody expects ends the channel', async () => {
  const { near, far, clock } = await pair();
  new RpcEnd({ channel: far, clock });
  near.send(encodeMessage('heads', 0, {}));
  await settle();
  assert.equal(far.closed, true);
});

test('requests that are unknown, not served here or of another shape are refused; the channel goes on', async () => {
  const { near, far, clock } = await pair();
  new RpcEnd({ channel: far, clock, handlers: { ping: async () => ({ answer: { wallMs: 0 } }) } });
  const answers: Message[] = [];
  near.onMessage((bytes) => answers.push(decodeMessage(bytes)));
  const bodies = [
    { name: 'explode', body: {} },
    { name: '__proto__', body: {} },
    { name: 'toString', body: {} },
    { name: 'promise', body: {} },
    { name: 'ping', body: 7 },
    { body: {} },
    null,
    [],
  ];
  for (const [i, body] of bodies.entries()) near.send(encodeMessage('request', i, body));
  near.send(encodeMessage('request', 99, { name: 'ping', body: {} }));
  await settle();
  assert.deepEqual(
    answers.map(({ kind, id, body }) => [kind, id, (body as { code?: string }).code]),
    [...bodies.map((_, i) => ['failure', i, 'PROTOCOL_MISMATCH']), ['response', 99, undefined]],
  );
  assert.equal(far.closed, false);
});

test('an answer of another shape is PROTOCOL_MISMATCH; answers nobody asked for are ignored', async () => {
  const { near, far, clock } = await pair();
  const client = new RpcEnd({ channel: near, clock });
  far.onMessage((bytes) => {
    const { id } = decodeMessage(bytes);
    far.send(encodeMessage('response', id + 1000, { revision: 1 }));
    far.send(encodeMessage('response', id, { revision: 'one' }));
  });
  await assert.rejects(client.request('controlGet', { key: 'a' }, { timeoutMs: 50 }), code('PROTOCOL_MISMATCH'));
  assert.equal(near.closed, false);
});

test('more open requests than the limit are refused here, and accepted again when some have ended', async () => {
  const { client, clock } = await served({ ping: () => FOREVER });
  const open = Array.from({ length: OPEN_REQUESTS_MAX }, () => client.request('ping', {}, { timeoutMs: 50 }));
  for (const asked of open) asked.catch(() => undefined);
  await assert.rejects(client.request('ping', {}, { timeoutMs: 50 }), code('OVERLOADED'));
  await settle();
  clock.advance(50);
  await Promise.allSettled(open);
  const again = client.request('ping', {}, { timeoutMs: 50 });
  again.catch(() => undefined);
  await settle();
  clock.advance(50);
  // The other end still works on the first ones: it is there that the limit holds now.
  await assert.rejects(again, code('OVERLOADED'));
});
