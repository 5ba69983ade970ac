import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AntipodeError } from '#core/errors';
import { EngineSocketServer } from '#server/engine-socket/engine-socket-server';
import { assertPortFree, type WorkerMessage } from '#server/serving-worker';
import { FakeEngine } from '#server/testing/fake-engine';
import { ManualClock } from '#server/testing/manual-clock';

const SCRIPT = fileURLToPath(new URL('testing/worker-process.ts', import.meta.url));

suite('serving processes', () => {
  let folder: string;
  let path: string;
  let engine: FakeEngine;
  let server: EngineSocketServer;
  let children: ChildProcess[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'antipode-'));
    path = join(folder, 'engine.sock');
    engine = new FakeEngine(new ManualClock());
    server = new EngineSocketServer(engine, path);
    await server.listen();
    children = [];
  });
  afterEach(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await server.close();
    rmSync(folder, { recursive: true });
  });

  async function start(port: number, worker: string): Promise<{ child: ChildProcess; message: WorkerMessage }> {
    const child = fork(SCRIPT, [String(port), path, worker], { execArgv: ['--conditions=antipode-source'] });
    children.push(child);
    const [message] = (await once(child, 'message')) as [WorkerMessage];
    return { child, message };
  }

  async function freePort(): Promise<number> {
    const probe = createServer();
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise<void>((resolve) => probe.close(() => resolve()));
    return port;
  }

  async function ask(port: number): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${port}/get-online-features`, {
      method: 'POST',
      headers: { connection: 'close' },
      body: JSON.stringify({ features: ['driver_stats:trips'], entities: { driver_id: [1] } }),
    });
    assert.equal(response.status, 200);
    const body = (await response.json()) as { results: { values: number[] }[] };
    return body.results[1]?.values[0] ?? 0;
  }

  test('several share a port; one is told to end, the others go on; reads are reported', {
    timeout: 60_000,
  }, async () => {
    const port = await freePort();
    const first = await start(port, '1');
    const second = await start(port, '2');
    assert.deepEqual(first.message, { type: 'serving', address: `http://127.0.0.1:${port}` });
    assert.equal(second.message.type, 'serving');
    const answers = new Set<number>();
    for (let i = 0; i < 200 && answers.size < 2; i++) answers.add(await ask(port));
    assert.deepEqual([...answers].sort(), [1, 2], 'both processes answer');
    first.child.kill('SIGTERM');
    assert.deepEqual(await once(first.child, 'exit'), [0, null]);
    for (let i = 0; i < 20; i++) assert.equal(await ask(port), 2);
    second.child.kill('SIGINT');
    assert.equal(await ask(port), 2, 'Ctrl-C is for the parent to act on');
    second.child.kill('SIGTERM');
    assert.deepEqual(await once(second.child, 'exit'), [0, null]);
    assert.ok(engine.reads.reduce((sum, { requests }) => sum + requests, 0) >= 22);
  });

  test('a process ends when its parent is gone', { timeout: 60_000 }, async () => {
    const port = await freePort();
    const { child } = await start(port, '1');
    const exited = once(child, 'exit');
    child.disconnect();
    assert.deepEqual(await exited, [0, null]);
  });

  test('a process ends whose parent is gone before it serves', { timeout: 60_000 }, async () => {
    const port = await freePort();
    const child = fork(SCRIPT, [String(port), path, '1', 'late'], { execArgv: ['--conditions=antipode-source'] });
    children.push(child);
    const exited = once(child, 'exit');
    child.disconnect();
    assert.deepEqual(await exited, [0, null]);
    await assertPortFree('127.0.0.1', port);
  });

  test('a request under way is answered before the end', { timeout: 60_000 }, async () => {
    const port = await freePort();
    const { child } = await start(port, '1');
    const gate = Promise.withResolvers<void>();
    await fetch(`http://127.0.0.1:${port}/health`);
    engine.delay = gate.promise;
    const status = fetch(`http://127.0.0.1:${port}/v1/status`, { headers: { connection: 'close' } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 100));
    gate.resolve();
    engine.delay = undefined;
    assert.equal((await status).status, 200);
    assert.deepEqual(await exited, [0, null]);
  });

  test("a port that is taken is said to be, by the process and by the parent's question", {
    timeout: 60_000,
  }, async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    const { child, message } = await start(port, '1');
    assert.equal(message.type === 'failed' ? message.code : message.type, 'PORT_IN_USE');
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(child.exitCode, 1);
    await assert.rejects(
      assertPortFree('127.0.0.1', port),
      (error: unknown) => error instanceof AntipodeError && error.code === 'PORT_IN_USE',
    );
    await new Promise<void>((resolve) => holder.close(() => resolve()));
    await assertPortFree('127.0.0.1', port);
  });

  test("strangers who share the port are noticed by the parent's question", { timeout: 60_000 }, async () => {
    const port = await freePort();
    await start(port, '1');
    await assert.rejects(
      assertPortFree('127.0.0.1', port),
      (error: unknown) => error instanceof AntipodeError && error.code === 'PORT_IN_USE',
    );
  });

  test('a client that sends half a request does not hold the process', { timeout: 60_000 }, async () => {
    const port = await freePort();
    const { child } = await start(port, '1');
    const slow = connect(port, '127.0.0.1');
    slow.on('error', () => {});
    slow.write('POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{');
    await once(slow, 'connect');
    const exited = once(child, 'exit');
    child.disconnect();
    assert.deepEqual(await exited, [0, null]);
    slow.destroy();
  });
});
