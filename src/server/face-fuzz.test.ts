import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { CHANGE_BATCH_CONTENT_TYPE } from '#server/change-batch';
import { routesOf } from '#server/face';
import { DRIVERS } from '#server/testing/fixtures';
import { startFace } from '#server/testing/test-face';

const runs = { numRuns: Number(process.env['FUZZ_RUNS'] ?? 150) };

/** Names that routes know, mixed with ones they do not, so that bodies get past the first check. */
const name = fc.oneof(
  fc.constantFrom(
    'features',
    'entities',
    'feature_service',
    'full_feature_names',
    'driver_id',
    'id',
    'origin',
    'destination',
    'df',
    'to',
    'push_source_name',
    'feature_view_name',
    'event_timestamp',
    'conv_rate',
    'trips',
    '__proto__',
    'constructor',
    'namespace',
    'token',
  ),
  fc.string({ maxLength: 6 }),
);
const scalar = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    -0,
    1e308,
    -1e-308,
    2 ** 60,
    '9223372036854775807',
    '',
    '1',
    'online',
    '2026-08-02',
    'driver_stats',
    'everything',
  ),
  fc.constantFrom<unknown>('driver_stats:trips', 'everything:b_int64', 'route_stats@latest:delay', ':', 'a@b:c'),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.double(),
  fc.integer(),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

/** Bodies with the right outline, whose parts are anything. */
const frame = fc.record(
  { driver_id: value, conv_rate: value, trips: value, event_timestamp: value },
  { requiredKeys: [] },
);
const outlined = fc.oneof(
  fc.record({
    features: fc.oneof(fc.array(scalar, { maxLength: 4 }), value),
    entities: fc.oneof(fc.dictionary(name, fc.array(scalar, { maxLength: 3 })), value),
  }),
  fc.record(
    {
      push_source_name: fc.oneof(fc.constant('driver_stats'), value),
      df: fc.oneof(frame, value),
      to: fc.oneof(fc.constant('online'), value),
    },
    { requiredKeys: [] },
  ),
  fc.record(
    { feature_view_name: fc.oneof(fc.constant('driver_stats'), value), df: fc.oneof(frame, value) },
    { requiredKeys: [] },
  ),
);

const body = fc.oneof(
  value.map((json) => Buffer.from(JSON.stringify(json) ?? 'null')),
  outlined.map((json) => Buffer.from(JSON.stringify(json))),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  // Cut off, or with one byte changed.
  fc.tuple(outlined, fc.nat(), fc.nat(255)).map(([json, at, byte]) => {
    const bytes = Buffer.from(JSON.stringify(json));
    return at % 2 === 0
      ? bytes.subarray(0, at % bytes.length)
      : bytes.fill(byte, at % bytes.length, (at % bytes.length) + 1);
  }),
);

suite('whatever a client sends', () => {
  for (const url of ['/get-online-features', '/push', '/write-to-online-store', '/v1/failover', '/v1/login']) {
    test(`${url} answers below 500, in JSON or empty`, async (t) => {
      const face = startFace(t);
      face.reader.put(DRIVERS, [1n], 1000, [0.5, 1n]);
      await fc.assert(
        fc.asyncProperty(body, async (bytes) => {
          const { status, text, headers } = await face.post(url, bytes, face.bearer('admin'));
          assert.ok(status < 500, `${status} ${text}`);
          if (text !== '') JSON.parse(text);
          if (status >= 400) assert.ok(headers['antipode-error'] !== undefined);
        }),
        runs,
      );
      assert.equal(({} as Record<string, unknown>)['features'], undefined, 'no prototype was changed');
      assert.ok(!face.logger.lines.some((line) => line.level === 'error'));
    });
  }

  test('a batch of any bytes', async (t) => {
    const face = startFace(t);
    const headers = { ...face.bearer('write'), 'content-type': CHANGE_BATCH_CONTENT_TYPE };
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const batch = Buffer.concat([Buffer.from([1]), Buffer.from(DRIVERS.version, 'hex'), Buffer.from(bytes)]);
        assert.ok((await face.post('/v1/ingest/driver_stats', batch, headers)).status < 500);
      }),
      runs,
    );
  });

  test('any path, query and header on any route', async (t) => {
    const face = startFace(t, { reads: 'token' });
    const urls = routesOf(face.app).filter(({ url }) => url !== '/v1/events');
    const text = fc.string({ maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...urls), text, text, text, async ({ method, url }, path, query, header) => {
        const target = `${url.replace(':view', encodeURIComponent(path))}?${encodeURIComponent(query)}=${encodeURIComponent(path)}`;
        const latin1 = Buffer.from(header).toString('hex');
        const headers = {
          authorization: header.replace(/[^\x20-\x7e]/g, ''),
          cookie: latin1,
          'idempotency-key': latin1,
          origin: latin1,
        };
        const { status } = await face.send(method, target, { headers, ...(method === 'POST' ? { body: query } : {}) });
        assert.ok(status < 500);
      }),
      runs,
    );
  });

  test('huge and deep bodies', async (t) => {
    const face = startFace(t);
    const deep = 100_000;
    const bodies = [
      '['.repeat(deep),
      `${'['.repeat(deep)}${']'.repeat(deep)}`,
      `{"features":${'['.repeat(deep)}1234567890123456789${']'.repeat(deep)},"entities":{}}`,
      `{"features":["driver_stats:trips"],"entities":{"driver_id":${'['.repeat(deep)}${']'.repeat(deep)}}}`,
      `{"a":${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}}`,
      `{"features":["driver_stats:trips"],"entities":{"driver_id":[${'1,'.repeat(1_000_000)}1]}}`,
      `{"features":[${'"driver_stats:trips",'.repeat(100_000)}"x"],"entities":{}}`,
      `{"features":["driver_stats:trips"],"entities":{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":[]`).join(',')}}}`,
      `{"features":["${'x'.repeat(1_000_000)}:y"],"entities":{}}`,
    ];
    for (const text of bodies) {
      const { status, text: answer } = await face.post('/get-online-features', text);
      assert.ok(status >= 400 && status < 500, `${text.slice(0, 50)}: ${status} ${answer.slice(0, 100)}`);
      assert.ok(answer.length < 4096, 'an error does not send the body back');
    }
  });

  test('broken HTTP does not stop the face', async (t) => {
    const face = startFace(t);
    await face.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = face.app.server.address() as AddressInfo;
    const messages = [
      'GARBAGE\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
      'POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
      'POST /get-online-features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n',
    ];
    for (const message of messages) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(message);
      await once(socket, 'data');
      socket.destroy();
    }
    assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);
  });
});
