import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, ERROR_CODES, type ErrorCode } from '#core/errors';
import type { IngestRequest } from '#region/engine-api';
import { EngineSocketClient } from '#server/engine-socket/engine-socket-client';
import { EngineSocketServer } from '#server/engine-socket/engine-socket-server';
import { FakeEngine } from '#server/testing/fake-engine';
import { DRIVERS } from '#server/testing/fixtures';
import { ManualClock } from '#server/testing/manual-clock';

const codec = new ViewCodec(DRIVERS);

function ingestRequest(more: Partial<IngestRequest> = {}): IngestRequest {
  return {
    view: 'driver_stats',
    version: DRIVERS.version,
    changes: [
      { operation: 'upsert', eventTimeUs: -5, key: codec.encodeKey([1n]), row: codec.encodeRow([0.5, -1n]) },
      { operation: 'delete', eventTimeUs: 7, key: codec.encodeKey([2n]), row: Buffer.alloc(0) },
    ],
    ...more,
  };
}

async function refused(promise: Promise<unknown>): Promise<AntipodeError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof AntipodeError, String(error));
    return error;
  }
  throw new Error('the call was not refused');
}

suite('engine socket', () => {
  let folder: string;
  let path: string;
  let engine: FakeEngine;
  let server: EngineSocketServer;
  let client: EngineSocketClient;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'antipode-'));
    path = join(folder, 'engine.sock');
    engine = new FakeEngine(new ManualClock());
    server = new EngineSocketServer(engine, path);
    await server.listen();
    client = new EngineSocketClient({ region: 'eu-west', path, timeouts: { callMs: 2000, ingestMs: 2000 } });
  });
  afterEach(async () => {
    await client.close();
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test('every call arrives as it was made, and its answer as it was given', async () => {
    assert.equal(client.region, 'eu-west');
    assert.deepEqual(await client.status(), await engine.status());
    assert.deepEqual(await client.views(), await engine.views());
    assert.deepEqual(
      await client.auditEntries({ after: 0, limit: 1 }),
      await engine.auditEntries({ after: 0, limit: 1 }),
    );
    const query = { view: 'driver_stats', origins: ['eu-west', 'us-east'], limit: 3 } as const;
    assert.deepEqual(await client.conflicts(query), await engine.conflicts(query));
    assert.deepEqual(engine.conflictQueries, [query, query]);
    assert.deepEqual(await client.conflictCounts(), await engine.conflictCounts());
    assert.deepEqual(await client.auditVerify(), await engine.auditVerify());
    assert.deepEqual(await client.failover({ namespace: 'flights', actor: 'ops' }), {
      epoch: 4,
      lossy: false,
      durationMs: 812,
    });
    assert.deepEqual(engine.failovers, [{ namespace: 'flights', actor: 'ops' }]);
    const entry = { actor: 'a', action: 'b', details: { c: 1, d: null, e: true } };
    assert.equal(await client.audit(entry), undefined);
    assert.deepEqual(engine.audited, [entry]);
  });

  test('changes arrive byte for byte', async () => {
    const request = ingestRequest({ view: 'ünïcode', idempotencyKey: 'k:1', retried: true });
    const result = await client.ingest(request);
    assert.equal(result.accepted, 2);
    assert.deepEqual(engine.requests[0], request);
    const producer = { name: 'web', sequence: 2 ** 53 - 1 };
    const upserts = request.changes.filter(({ operation }) => operation === 'upsert');
    await client.ingest({ ...request, producer, changes: upserts.map((change) => ({ ...change, features: [1, 9] })) });
    assert.deepEqual(engine.requests[1]?.producer, producer);
    assert.deepEqual(engine.requests[1]?.changes[0]?.features, [1, 9]);
  });

  test('errors keep code, place and remedy', async () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      engine.failure = new AntipodeError(code, `about ${code}`, { where: 'row 3', remedy: 'do this' });
      const error = await refused(client.ingest(ingestRequest()));
      assert.deepEqual(
        [error.code, error.message, error.where, error.remedy],
        [code, `about ${code}`, 'row 3', 'do this'],
      );
    }
    engine.failure = new Error('odd');
    assert.equal((await refused(client.status())).code, 'INTERNAL');
    engine.failure = undefined;
  });

  test('only the owner may connect, and a file left by a dead process is replaced', async () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ['engine.sock']);
    await server.close();
    assert.ok(!existsSync(path));
    writeFileSync(path, '');
    chmodSync(path, 0o666);
    server = new EngineSocketServer(engine, path);
    await server.listen();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await client.status();
  });

  test("a server that closes late leaves its successor's socket alone", async () => {
    const successor = new EngineSocketServer(engine, path);
    await successor.listen();
    await server.close();
    assert.ok(existsSync(path));
    await client.status();
    server = successor;
  });

  test('a path that is too long is refused', async () => {
    const long = new EngineSocketServer(engine, join(folder, 'x'.repeat(120)));
    assert.equal((await refused(long.listen())).code, 'CONFIG_INVALID');
    assert.deepEqual(readdirSync(folder), ['engine.sock']);
  });

  test('the client finds a region that restarts', async () => {
    await client.status();
    await server.close();
    assert.equal((await refused(client.status())).code, 'PEER_UNAVAILABLE');
    assert.equal((await refused(client.ingest(ingestRequest()))).code, 'PEER_UNAVAILABLE');
    server = new EngineSocketServer(engine, path);
    await server.listen();
    await client.status();
    assert.equal((await client.ingest(ingestRequest())).accepted, 2);
  });

  test('a write without an answer has an unknown outcome, a read has none', async () => {
    const impatient = new EngineSocketClient({
      region: 'eu-west',
      path,
      timeouts: { callMs: 50, ingestMs: 50, failoverMs: 50 },
    });
    const gate = Promise.withResolvers<void>();
    engine.delay = gate.promise;
    assert.equal((await refused(impatient.ingest(ingestRequest()))).code, 'OUTCOME_UNKNOWN');
    assert.equal((await refused(impatient.status())).code, 'PEER_TIMEOUT');
    assert.equal((await refused(impatient.failover({ namespace: 'flights', actor: 'x' }))).code, 'PEER_TIMEOUT');
    gate.resolve();
    engine.delay = undefined;
    await impatient.close();
  });

  test('a connection that breaks: unknown for a write; one repetition when the connection was an old one', async () => {
    const broken = join(folder, 'broken.sock');
    const sockets: Socket[] = [];
    let requests = 0;
    // Answers the first request of a connection and breaks it at the second.
    const stranger = createServer((socket) => {
      sockets.push(socket);
      let seen = 0;
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.toString('latin1').startsWith('POST ')) return;
        requests += 1;
        seen += 1;
        if (seen > 1) socket.destroy();
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull');
      });
    });
    await new Promise<void>((resolve) => stranger.listen(broken, resolve));
    const other = new EngineSocketClient({ region: 'eu-west', path: broken });
    const entry = { actor: 'a', action: 'b', details: {} };
    await other.audit(entry);
    await other.audit(entry);
    assert.equal(requests, 3, 'the second call met the broken connection and was repeated on a new one');
    await other.ingest(ingestRequest({ idempotencyKey: 'k' }));
    assert.equal(requests, 5, 'a write with a key is repeated');
    assert.equal((await refused(other.ingest(ingestRequest()))).code, 'OUTCOME_UNKNOWN');
    assert.equal(requests, 6, 'a write without one is not');
    await other.close();
    stranger.removeAllListeners('connection');
    stranger.on('connection', (socket) => socket.destroy());
    const third = new EngineSocketClient({ region: 'eu-west', path: broken });
    assert.equal((await refused(third.ingest(ingestRequest()))).code, 'OUTCOME_UNKNOWN');
    assert.equal((await refused(third.status())).code, 'PEER_UNAVAILABLE');
    assert.equal((await refused(third.failover({ namespace: 'flights', actor: 'x' }))).code, 'PEER_TIMEOUT');
    await third.close();
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => stranger.close(() => resolve()));
  });

  test('a write that was lost on an old connection has an unknown outcome, though nobody is there any more', async () => {
    const leaving = join(folder, 'leaving.sock');
    let requests = 0;
    const stranger = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.toString('latin1').startsWith('POST ')) return;
        requests += 1;
        if (requests === 1) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull');
        else stranger.close(() => undefined) && socket.destroy();
      });
    });
    await new Promise<void>((resolve) => stranger.listen(leaving, resolve));
    const other = new EngineSocketClient({ region: 'eu-west', path: leaving });
    await other.audit({ actor: 'a', action: 'b', details: {} });
    assert.equal((await refused(other.ingest(ingestRequest({ idempotencyKey: 'k' })))).code, 'OUTCOME_UNKNOWN');
    assert.equal(requests, 2, 'the engine had the write');
    assert.equal((await refused(other.ingest(ingestRequest({ idempotencyKey: 'k' })))).code, 'PEER_UNAVAILABLE');
    await other.close();
  });

  test('read counters that find nobody are reported later', async () => {
    client.reportReads({ requests: 1, rows: 2, errors: 0 });
    await client.status();
    assert.deepEqual(engine.reads, [{ requests: 1, rows: 2, errors: 0 }]);
    await server.close();
    client.reportReads({ requests: 10, rows: 20, errors: 1 });
    await refused(client.status());
    server = new EngineSocketServer(engine, path);
    await server.listen();
    client.reportReads({ requests: 1, rows: 1, errors: 1 });
    await client.close();
    assert.deepEqual(engine.reads[1], { requests: 11, rows: 21, errors: 2 });
  });

  test('closing waits for the call under way', async () => {
    const gate = Promise.withResolvers<void>();
    engine.delay = gate.promise;
    const call = client.status();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = server.close();
    gate.resolve();
    engine.delay = undefined;
    assert.equal((await call).region, 'eu-west');
    await closed;
    server = new EngineSocketServer(engine, path);
    await server.listen();
  });

  test('too many waiting calls are refused at once', async () => {
    const gate = Promise.withResolvers<void>();
    engine.delay = gate.promise;
    const calls = Array.from({ length: 600 }, () =>
      client.status().then(
        () => 'ok',
        (error: AntipodeError) => error.code,
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    gate.resolve();
    engine.delay = undefined;
    const outcomes = await Promise.all(calls);
    assert.equal(outcomes.filter((outcome) => outcome === 'OVERLOADED').length, 600 - 512);
    assert.equal(outcomes.filter((outcome) => outcome === 'ok').length, 512);
  });
});
