import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_LIMITS, type FaceOptions } from '#server/face-options';
import { makeView } from '#server/testing/fixtures';
import { startFace, type TestFace } from '#server/testing/test-face';

const DIRECT = '/get-online-features';
/** The same route, which the query leaves to Fastify. */
const BY_FASTIFY = '/get-online-features?';

const drivers = makeView('driver_stats', { driver_id: 'int64' }, { conv_rate: 'float64?', trips: 'int64?' });
const people = makeView('people', { name: 'string' }, { ages: 'int32[]?', city: 'string?' });
const GOOD = { features: ['driver_stats:conv_rate', 'driver_stats:trips'], entities: { driver_id: [1001, 1002] } };

async function listeningFace(context: TestContext, options: Partial<FaceOptions> = {}): Promise<[TestFace, number]> {
  const face = startFace(context, options);
  const nowUs = face.clock.wallMs() * 1000;
  face.engine.known = [drivers, people];
  face.reader.put(drivers, [1001n], nowUs - 60_000_000, [0.5, 2n ** 60n]);
  face.reader.put(drivers, [1003n], nowUs, null);
  face.reader.put(people, ['Zoë'], nowUs, [[1, 2], 'Malmö']);
  face.reader.putEncoded(drivers, Buffer.from('80000000000003ec', 'hex'), nowUs, Buffer.from([9, 9]), 'upsert');
  await face.app.listen({ host: '127.0.0.1', port: 0 });
  return [face, (face.app.server.address() as AddressInfo).port];
}

interface Sent {
  readonly status: number | undefined;
  readonly headers: readonly string[];
  readonly body: string;
}

function send(
  port: number,
  path: string,
  body: string | Buffer,
  headers: IncomingHttpHeaders = {},
  method = 'POST',
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const length = headers['transfer-encoding'] === undefined ? { 'content-length': Buffer.byteLength(body) } : {};
    const sent = httpRequest({ port, path, method, headers: { ...length, ...headers }, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode: status, rawHeaders } = response;
        const dateAt = rawHeaders.indexOf('Date');
        resolve({ status, headers: rawHeaders.toSpliced(dateAt, 2), body: Buffer.concat(chunks).toString('latin1') });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function open(context: TestContext, port: number): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(port, '127.0.0.1');
  context.after(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  await once(socket, 'connect');
  return { socket, text: () => text };
}

async function until(met: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !met(); i++) await sleep(10);
  assert.ok(met());
}

test('what is read directly and what Fastify answers are the same to the byte', async (context) => {
  const [face, port] = await listeningFace(context, { limits: { ...DEFAULT_LIMITS, bodyBytes: 4096 } });
  const bodies: (string | Buffer | object)[] = [
    GOOD,
    { ...GOOD, full_feature_names: true },
    { features: ['people:city', 'people:ages'], entities: { name: ['Zoë', 'nobody', '😀"\\'] } },
    { features: ['people:city', 'driver_stats:trips'], entities: { name: ['Zoë'], driver_id: [1001] } },
    { ...GOOD, entities: { driver_id: [1001, 1002, 1003, 1004] } },
    { ...GOOD, entities: { driver_id: [] } },
    { ...GOOD, entities: {} },
    { ...GOOD, entities: { driver_id: ['x'] } },
    { ...GOOD, entities: { driver_id: [1], other: [1, 2] } },
    { ...GOOD, features: ['driver_stats:nothing'] },
    { ...GOOD, features: ['no_such_view:f'] },
    { ...GOOD, features: ['driver_stats'] },
    { ...GOOD, features: [] },
    { ...GOOD, features: [1] },
    { feature_service: 'some', entities: {} },
    '{"features": [',
    '',
    Buffer.from([0xff, 0xfe]),
    '[1]',
    'x'.repeat(4097),
    ' '.repeat(4096),
  ];
  const statuses = new Set<number | undefined>();
  for (const each of bodies) {
    const body = typeof each === 'string' || each instanceof Buffer ? each : JSON.stringify(each);
    const direct = await send(port, DIRECT, body);
    assert.deepEqual(direct, await send(port, BY_FASTIFY, body), body.toString());
    statuses.add(direct.status);
  }
  assert.deepEqual([...statuses].sort(), [200, 404, 413, 422]);
  const good = JSON.stringify(GOOD);
  for (const headers of [
    { 'content-type': 'text/plain; charset=latin1' },
    { 'antipode-consistency': 'strong' },
    { 'antipode-consistency': 'session', 'antipode-session': '' },
    { 'antipode-session': 'no token' },
    { 'antipode-max-staleness-ms': '-1' },
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'identity' },
    { 'transfer-encoding': 'chunked' },
    { connection: 'close' },
    { expect: '100-continue' },
    face.bearer('read'),
  ]) {
    const direct = await send(port, DIRECT, good, headers);
    assert.deepEqual(direct, await send(port, BY_FASTIFY, good, headers), JSON.stringify(headers));
  }
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    assert.deepEqual(await send(port, DIRECT, '', {}, method), await send(port, BY_FASTIFY, '', {}, method), method);
  }
  face.reader.values.clear();
  const rebuilding = await send(port, DIRECT, good);
  assert.equal(rebuilding.status, 503);
  assert.deepEqual(rebuilding, await send(port, BY_FASTIFY, good));
});

test('the gate stands before direct reads too, and refuses before the body is there', async (context) => {
  const [face, port] = await listeningFace(context, { reads: 'token' });
  const good = JSON.stringify(GOOD);
  const foreign = { cookie: 'antipode_session_eu-west=a.1.b' };
  for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: 'Basic x' }, foreign]) {
    const direct = await send(port, DIRECT, good, headers);
    assert.equal(direct.status, 401, JSON.stringify(headers));
    assert.deepEqual(direct, await send(port, BY_FASTIFY, good, headers));
  }
  // Once remembered, a header is still held to its own token.
  for (const role of ['read', 'read', 'write', 'admin'] as const)
    assert.equal((await send(port, DIRECT, good, face.bearer(role))).status, 200);
  assert.equal(
    (await send(port, DIRECT, good, { authorization: `${face.bearer('read').authorization}x` })).status,
    401,
  );
  const audited = face.engine.audited.map(({ details }) => (details as { route: string }).route);
  assert.deepEqual([...new Set(audited)], ['POST /get-online-features']);

  const { socket, text } = await open(context, port);
  socket.write(`POST ${DIRECT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{`);
  await until(() => text().includes('\r\n\r\n'));
  assert.match(text(), /^HTTP\/1\.1 401 /);
  // The rest of its body may still come, so that a face that closes would wait for it.
  socket.destroy();
});

test('bodies that arrive in pieces, one after the other, or only in part', async (context) => {
  const [face, port] = await listeningFace(context);
  const body = JSON.stringify(GOOD);
  const head = `POST ${DIRECT} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
  const slow = await open(context, port);
  for (const piece of [head.slice(0, 30), head.slice(30), ...body]) {
    slow.socket.write(piece);
    await sleep(0);
  }
  await until(() => slow.text().endsWith(']}}'));
  slow.socket.write((head + body).repeat(3));
  await until(() => slow.text().split('HTTP/1.1 200').length === 5);

  // What follows a body is taken for the next request, and ends the connection.
  const endings: string[] = [];
  for (const path of [DIRECT, BY_FASTIFY]) {
    const longer = await open(context, port);
    longer.socket.write(`${head.replace(DIRECT, path)}${body}and more`);
    await once(longer.socket, 'end');
    endings.push(longer.text());
  }
  assert.match(endings[0] ?? '', /^HTTP\/1\.1 400 /);
  assert.equal(endings[0], endings[1]);

  const reads = face.reader.lookups;
  const gone = await open(context, port);
  gone.socket.write(head + body.slice(0, -1));
  await sleep(20);
  gone.socket.destroy();
  await sleep(20);
  assert.equal(face.reader.lookups, reads);
  assert.equal((await send(port, DIRECT, body)).status, 200);
});

test('a face that closes answers what it has begun to read, and ends the connection', async (context) => {
  const [face, port] = await listeningFace(context);
  const body = JSON.stringify(GOOD);
  const head = `POST ${DIRECT} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
  const { socket, text } = await open(context, port);
  socket.write(head + body + head + body.slice(0, 10));
  await until(() => text().includes(']}}'));
  let closed = false;
  const closing = face.app.close().then(() => {
    closed = true;
  });
  await sleep(50);
  assert.equal(closed, false);
  socket.write(body.slice(10));
  await once(socket, 'end');
  const answers = text().split('HTTP/1.1 ').slice(1);
  assert.equal(answers.length, 2);
  assert.match(answers[0] ?? '', /^200 .*connection: keep-alive/is);
  assert.match(answers[1] ?? '', /^200 .*connection: close/is);
  await closing;
});
