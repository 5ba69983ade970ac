import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import type { RegionStatus } from '#region/status';
import { CHANGE_BATCH_CONTENT_TYPE, encodeChangeBatch } from '#server/change-batch';
import { DASHBOARD_HEADERS, type DashboardAsset } from '#server/dashboard/assets';
import { EVENT_INTERVAL_MS, EventStream, MISSED_TICKS_MAX, WATCHERS_MAX } from '#server/operations/event-stream';
import { regionMetrics } from '#server/operations/region-metrics';
import { StatusSource } from '#server/operations/status-source';
import { FakeEngine } from '#server/testing/fake-engine';
import { DRIVERS, regionStatus, STREAM } from '#server/testing/fixtures';
import { ManualClock } from '#server/testing/manual-clock';
import { MemoryLogger, startFace, TestFace } from '#server/testing/test-face';

suite('status, views, audit, failover', () => {
  test('status is shared by those who ask at the same time', async (t) => {
    const face = startFace(t);
    const answer = await face.get('/v1/status');
    assert.equal((JSON.parse(answer.text) as RegionStatus).region, 'eu-west');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    face.engine.failure = new Error('away');
    assert.equal((await face.get('/v1/status')).status, 200);
    face.clock.advance(200);
    assert.equal((await face.get('/v1/status')).status, 500);
    face.engine.failure = undefined;
    assert.equal((await face.get('/v1/status')).status, 200);
  });

  test('views', async (t) => {
    const face = startFace(t);
    const { views } = JSON.parse((await face.get('/v1/views')).text) as { views: { name: string }[] };
    assert.deepEqual(
      views.map(({ name }) => name),
      ['driver_stats', 'route_stats', 'everything'],
    );
  });

  test('failover is done in the name of the token', async (t) => {
    const face = startFace(t);
    const answer = await face.post('/v1/failover', { namespace: 'flights' }, face.bearer('admin'));
    assert.deepEqual(JSON.parse(answer.text), { epoch: 4, lossy: false, durationMs: 812 });
    assert.deepEqual(face.engine.failovers, [{ namespace: 'flights', actor: 'admin', allowLoss: false }]);
    const refused = await face.post('/v1/failover', { namespace: 'nope' }, face.bearer('admin'));
    assert.equal(refused.status, 409);
    assert.equal(refused.headers['antipode-error'], 'FAILOVER_REFUSED');
    assert.equal((await face.post('/v1/failover', {}, face.bearer('admin'))).status, 422);
    assert.equal((await face.post('/v1/failover', { namespace: 'x'.repeat(5000) }, face.bearer('admin'))).status, 413);
  });

  test('a tail is decided about in the name of the token', async (t) => {
    const face = startFace(t);
    const answer = await face.post('/v1/tails/discard', { stream: STREAM }, face.bearer('admin'));
    assert.equal((JSON.parse(answer.text) as { tail: { state: string } }).tail.state, 'discarded');
    assert.deepEqual(face.engine.tailDecisions, [{ stream: STREAM, order: 'discard', actor: 'admin' }]);
    assert.equal((await face.post('/v1/tails/replay', { stream: 'x' }, face.bearer('admin'))).status, 404);
    assert.equal((await face.post('/v1/tails/replay', {}, face.bearer('admin'))).status, 422);
    assert.equal((await face.post('/v1/tails/replay', { stream: STREAM }, face.bearer('write'))).status, 403);
  });

  test('audit entries in pages, and the verdict', async (t) => {
    const face = startFace(t);
    const indexes = async (query: string) => {
      const answer = await face.get(`/v1/audit${query}`, face.bearer('admin'));
      return answer.status === 200
        ? (JSON.parse(answer.text) as { entries: { index: number }[] }).entries.map(({ index }) => index)
        : answer.status;
    };
    assert.deepEqual(await indexes(''), [0, 1, 2]);
    assert.deepEqual(await indexes('?after=0'), [1, 2]);
    assert.deepEqual(await indexes('?after=0&limit=1'), [1]);
    assert.deepEqual(await indexes('?limit=99999999'), [0, 1, 2]);
    for (const query of ['?after=x', '?after=-2', '?limit=0', '?limit=1.5', '?after=1&after=2', '?limit=']) {
      assert.equal(await indexes(query), 422, query);
    }
    const verdict = await face.get('/v1/audit/verify', face.bearer('admin'));
    assert.equal((JSON.parse(verdict.text) as { ok: boolean }).ok, true);
  });
});

suite('conflicts', () => {
  test('values have the forms of a read, and lose nothing', async (t) => {
    const face = startFace(t);
    const { text, status } = await face.get('/v1/conflicts');
    assert.equal(status, 200, text);
    assert.ok(text.includes('"key":{"driver_id":9007199254740993}'), text);
    assert.ok(text.includes('"values":{"conv_rate":0.5,"trips":9007199254740995}'), text);
    const { conflicts, next } = JSON.parse(text) as {
      conflicts: { winner: string; incoming: { change: string }; stored: { eventTime: string } }[];
      next: unknown;
    };
    assert.equal(next, null);
    const [conflict] = conflicts;
    assert.ok(conflict !== undefined);
    assert.equal(conflict.winner, 'incoming');
    assert.equal(conflict.incoming.change, `flights/0/us-east/${'01'.repeat(8)}#9`);
    assert.equal(conflict.stored.eventTime, '1970-01-01T00:00:05Z');
  });

  test('filters reach the engine in its own terms', async (t) => {
    const face = startFace(t);
    const key = encodeURIComponent('{"driver_id":9007199254740993}');
    await face.get(`/v1/conflicts?view=driver_stats&key=${key}&pair=us-east,%20eu-west&after_ms=5&after=a/1&limit=7`);
    assert.deepEqual(face.engine.conflictQueries, [
      {
        view: 'driver_stats',
        key: new ViewCodec(DRIVERS).encodeKey([9007199254740993n]).toString('hex'),
        origins: ['us-east', 'eu-west'],
        afterMs: 5,
        after: 'a/1',
        limit: 7,
      },
    ]);
    for (const query of [
      'key={"driver_id":1}',
      'view=nope&key={}',
      'view=driver_stats&key=1',
      'pair=a',
      'limit=0',
      'view=a&view=b',
    ])
      assert.ok([404, 422].includes((await face.get(`/v1/conflicts?${encodeURI(query)}`)).status), query);
    assert.equal((await face.get('/v1/conflicts?view=driver_stats&key=%7B%22driver_id%22:%22x%22%7D')).status, 422);
  });

  test('counters', async (t) => {
    const face = startFace(t);
    const { views } = JSON.parse((await face.get('/v1/conflicts/counts')).text) as { views: { superseded: number }[] };
    assert.equal(views[0]?.superseded, 4);
    const { text } = await face.get('/metrics');
    const pair = 'view="driver_stats",origins="eu-west,us-east"';
    for (const line of [
      `antipode_conflicts_total{region="eu-west",${pair},kind="concurrent"} 3`,
      `antipode_conflicts_total{region="eu-west",${pair},kind="undecidable"} 1`,
      'antipode_superseded_writes_total{region="eu-west",view="driver_stats"} 4',
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  });
});

suite('ingest of batches', () => {
  const codec = new ViewCodec(DRIVERS);
  const batch = encodeChangeBatch({
    version: DRIVERS.version,
    changes: [{ operation: 'upsert', eventTimeUs: 1000, key: codec.encodeKey([1n]), row: codec.encodeRow([0.5, 3n]) }],
  });
  const type = { 'content-type': CHANGE_BATCH_CONTENT_TYPE };

  test('a batch is ingested as it is', async (t) => {
    const face = startFace(t);
    const answer = await face.write('/v1/ingest/driver_stats', batch, { ...type, 'idempotency-key': 'k1' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal((JSON.parse(answer.text) as { accepted: number }).accepted, 1);
    const [request] = face.engine.requests;
    assert.equal(request?.view, 'driver_stats');
    assert.equal(request?.idempotencyKey, 'k1');
    assert.deepEqual(codec.decodeRow(request?.changes[0]?.row as Buffer), [0.5, 3n]);
  });

  test('anything else is refused', async (t) => {
    const face = startFace(t);
    assert.equal((await face.write('/v1/ingest/driver_stats', batch)).status, 415);
    assert.equal(
      (await face.write('/v1/ingest/driver_stats', batch, { 'content-type': 'application/json' })).status,
      415,
    );
    assert.equal((await face.write('/v1/ingest/driver_stats', batch.subarray(1), type)).status, 422);
    assert.equal((await face.write('/v1/ingest/driver_stats', '', type)).status, 422);
    const unknown = encodeChangeBatch({ version: '0'.repeat(32), changes: [] });
    assert.equal((await face.write('/v1/ingest/driver_stats', unknown, type)).status, 404);
    assert.equal(
      (await face.write('/v1/ingest/driver_stats', batch, { ...type, 'idempotency-key': ' x y ' })).status,
      422,
    );
  });
});

suite('metrics', () => {
  test('of a namespace without a hub it tells how fresh the region is to each member', async () => {
    const status = regionStatus(1_000_000);
    const [namespace] = status.namespaces;
    assert.ok(namespace !== undefined);
    const text = await regionMetrics({
      ...status,
      namespaces: [
        {
          ...namespace,
          replication: 'active-active',
          hub: null,
          members: [
            { region: 'us-east', freshnessMs: 1500 },
            { region: 'ap-south', freshnessMs: null },
          ],
        },
      ],
    });
    const own = 'region="eu-west",namespace="flights"';
    assert.match(text, new RegExp(`antipode_member_freshness_seconds{${own},member="us-east"} 1.5`));
    assert.doesNotMatch(text, /ap-south|antipode_hub_info/);
  });

  test('what the region and the face measure', async (t) => {
    const face = startFace(t, { worker: '2' });
    await face.post('/get-online-features', { features: ['driver_stats:trips'], entities: { driver_id: [1] } });
    const { text, headers } = await face.get('/metrics');
    assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
    const route = 'source_region="us-east",target_region="eu-west"';
    for (const line of [
      'antipode_region_info{region="eu-west",place="Ireland",state="serving"} 1',
      `antipode_freshness_seconds{${route},namespace="flights"} 0.12`,
      `antipode_backlog_changes{${route},namespace="flights"} 4`,
      `antipode_replication_lag_seconds{${route},namespace="flights",quantile="0.99"} 0.08`,
      `antipode_link_up{${route}} 1`,
      `antipode_link_received_bytes_total{${route}} 123456`,
      'antipode_link_sent_bytes_total{source_region="eu-west",target_region="us-east"} 789',
      'antipode_read_requests_total{region="eu-west"} 10',
      'antipode_ingest_forwarded_requests_total{region="eu-west"} 5',
      'antipode_epoch{region="eu-west",namespace="flights"} 3',
      'antipode_accepting{region="eu-west",namespace="flights"} 0',
      'antipode_namespace_info{region="eu-west",namespace="flights",replication="active-passive"} 1',
      'antipode_hub_info{region="eu-west",namespace="flights",hub="us-east"} 1',
      'antipode_engine_up 1',
      'antipode_read_duration_seconds_count{region="eu-west",worker="2"} 1',
    ]) {
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
    }
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    assert.deepEqual(names, [...new Set(names)], 'no metric twice');
    assert.ok(names.every((name) => name?.startsWith('antipode_')));
    assert.match(text, /^[^\n]+(\n[^\n]*)*\n$/);
  });

  test('a face whose engine is away still answers', async (t) => {
    const face = startFace(t);
    face.engine.failure = new Error('away');
    const { text, status } = await face.get('/metrics');
    assert.equal(status, 200);
    assert.match(text, /^antipode_engine_up 0$/m);
    assert.match(text, /antipode_read_duration_seconds_count/);
    face.engine.failure = undefined;
  });
});

suite('dashboard', () => {
  const asset = (text: string, contentType: string): DashboardAsset => ({
    body: Buffer.from(text),
    contentType,
    etag: `"${text}"`,
  });
  const dashboard = new Map([
    ['/', asset('<html>', 'text/html; charset=utf-8')],
    ['/assets/main.js', asset('js', 'text/javascript; charset=utf-8')],
  ]);

  test('files are public, with a strict policy, and nothing else is a file', async (t) => {
    const face = startFace(t, { dashboard, reads: 'token' });
    const page = await face.get('/');
    assert.equal(page.status, 200);
    assert.equal(page.text, '<html>');
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
    for (const [name, value] of Object.entries(DASHBOARD_HEADERS)) assert.equal(page.headers[name], value, name);
    assert.match(String(page.headers['content-security-policy']), /default-src 'self'/);
    const again = await face.get('/assets/main.js', { 'if-none-match': '"js"' });
    assert.equal(again.status, 304);
    assert.equal(again.text, '');
    for (const path of [
      '/assets/',
      '/assets/../package.json',
      '/assets/%2e%2e/package.json',
      '/assets/..%2fx',
      '/assets/main.ts',
      '/index.html',
    ]) {
      assert.equal((await face.get(path)).status, 404, path);
    }
  });

  test('a face without one has no page', async (t) => {
    const face = startFace(t);
    assert.equal((await face.get('/')).status, 404);
  });
});

suite('events', () => {
  interface Watcher {
    readonly request: ClientRequest;
    readonly response: IncomingMessage;
    /** Text received so far. */
    text(): string;
    until(pattern: RegExp): Promise<void>;
  }

  async function listen(face: TestFace): Promise<number> {
    await face.app.listen({ host: '127.0.0.1', port: 0 });
    return (face.app.server.address() as AddressInfo).port;
  }

  async function watch(port: number, headers: Record<string, string> = {}): Promise<Watcher> {
    const outgoing = request({ host: '127.0.0.1', port, path: '/v1/events', headers });
    outgoing.on('error', () => {});
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    response.on('error', () => {});
    return {
      request: outgoing,
      response,
      text: () => text,
      until: async (pattern) => {
        const deadline = Date.now() + 5000;
        while (!pattern.test(text)) {
          assert.ok(Date.now() < deadline, `no ${pattern} in ${text}`);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    };
  }

  test('a status at once and at every tick; a comment while the engine is away', async (t) => {
    const face = startFace(t);
    const watcher = await watch(await listen(face));
    assert.equal(watcher.response.statusCode, 200);
    assert.equal(watcher.response.headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.equal(watcher.response.headers['cache-control'], 'no-store');
    assert.equal(watcher.response.headers['x-content-type-options'], 'nosniff');
    await watcher.until(/^: connected\n\nevent: status\ndata: \{.*\}\n\n$/);
    const first = JSON.parse(/data: (.*)/.exec(watcher.text())?.[1] ?? '') as RegionStatus;
    assert.equal(first.region, 'eu-west');
    face.clock.advance(EVENT_INTERVAL_MS);
    await watcher.until(/(data:.*\n\n.*){2}/s);
    face.engine.failure = new Error('away');
    face.clock.advance(EVENT_INTERVAL_MS);
    await watcher.until(/: the engine does not answer\n\n$/);
    face.engine.failure = undefined;
    watcher.request.destroy();
  });

  test('closing the face ends the streams', async () => {
    const face = new TestFace();
    const watcher = await watch(await listen(face));
    const ended = once(watcher.response, 'end');
    await face.app.close();
    await ended;
    assert.equal(face.clock.timers, 0, 'no timer is left');
  });

  test('needs a token where reads do', async (t) => {
    const face = startFace(t, { reads: 'token' });
    const port = await listen(face);
    assert.equal((await watch(port)).response.statusCode, 401);
    const watcher = await watch(port, face.bearer('read'));
    assert.equal(watcher.response.statusCode, 200);
    watcher.request.destroy();
  });

  test('watchers are bounded; one that leaves makes room', async (t) => {
    const face = startFace(t);
    const port = await listen(face);
    const watchers: Watcher[] = [];
    for (let i = 0; i < WATCHERS_MAX; i++) watchers.push(await watch(port));
    const refused = await watch(port);
    assert.equal(refused.response.statusCode, 429);
    assert.equal(refused.response.headers['antipode-error'], 'OVERLOADED');
    watchers[0]?.request.destroy();
    const deadline = Date.now() + 5000;
    for (;;) {
      const next = await watch(port);
      watchers.push(next);
      if (next.response.statusCode === 200) break;
      assert.ok(Date.now() < deadline);
    }
    for (const watcher of watchers) watcher.request.destroy();
  });

  test('a watcher that does not read is dropped, and holds one status at most meanwhile', async () => {
    const clock = new ManualClock();
    const source = new StatusSource({ engine: new FakeEngine(clock), clock });
    const stream = new EventStream({ source, clock, logger: new MemoryLogger() });
    // A response whose client takes the greeting and nothing else.
    let written = 0;
    const response = Object.assign(new EventEmitter(), {
      writableLength: 0,
      writeHead: () => {},
      write: (text: string) => {
        written += 1;
        if (text.startsWith('event')) response.writableLength += text.length;
      },
      end: () => {},
      destroy: () => response.emit('close'),
    });
    stream.add(response as unknown as ServerResponse, {});
    for (let tick = 0; tick < MISSED_TICKS_MAX; tick++) {
      clock.advance(EVENT_INTERVAL_MS);
      await new Promise(setImmediate);
      assert.equal(stream.watchers, 1);
      assert.equal(written, 2);
    }
    clock.advance(EVENT_INTERVAL_MS);
    await new Promise(setImmediate);
    clock.advance(EVENT_INTERVAL_MS);
    await new Promise(setImmediate);
    assert.equal(stream.watchers, 0);
    stream.close();
  });

  test('nobody is asked while nobody watches', async (t) => {
    const face = startFace(t);
    face.engine.failure = new Error('away');
    face.clock.advance(60_000);
    await new Promise(setImmediate);
    assert.ok(!face.logger.lines.some((line) => line.event === 'status-not-sent'));
    face.engine.failure = undefined;
  });
});
