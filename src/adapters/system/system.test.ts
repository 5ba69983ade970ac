import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { tmpdir } from 'node:os';
import { describe, it, mock } from 'node:test';
import { JsonLogger } from '#adapters/system/json-logger';
import { SystemClock } from '#adapters/system/system-clock';
import { SystemHost } from '#adapters/system/system-host';
import { SystemRandom } from '#adapters/system/system-random';
import { AntipodeError } from '#core/errors';

describe('SystemClock', () => {
  const clock = new SystemClock();

  it('sleeps no shorter than asked', async () => {
    for (const ms of [0, 1, 5.5, 20]) {
      const start = clock.monotonicMs();
      await clock.sleep(ms);
      assert.ok(clock.monotonicMs() - start >= ms);
    }
  });

  it('leaves no listener on the signal, whether it slept or was aborted', async () => {
    const controller = new AbortController();
    await Promise.all(Array.from({ length: 50 }, () => clock.sleep(1, controller.signal)));
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
    const reason = new Error('stop');
    const sleeping = clock.sleep(2 ** 40, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleeping, reason);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
    await assert.rejects(clock.sleep(1, controller.signal), reason);
  });

  it('neither fires early nor floods the loop when a delay exceeds what a timer can do', async () => {
    let runs = 0;
    const timeouts = mock.method(globalThis, 'setTimeout');
    const stop = clock.every(2 ** 31 + 5, () => runs++);
    await clock.sleep(20);
    stop();
    timeouts.mock.restore();
    assert.equal(runs, 0);
    assert.ok(timeouts.mock.calls.every((call) => (call.arguments[1] ?? 0) <= 2 ** 31 - 1));
    assert.ok(timeouts.mock.callCount() < 10);
  });

  it('runs a task again and again, and never after it was stopped, even by itself', async () => {
    let runs = 0;
    const stop = clock.every(5, () => {
      if (++runs === 3) stop();
    });
    while (runs < 3) await clock.sleep(5);
    await clock.sleep(20);
    assert.equal(runs, 3);
  });

  it('leaves out runs it missed', async () => {
    let runs = 0;
    const stop = clock.every(10, () => runs++);
    const until = performance.now() + 100;
    while (performance.now() < until);
    await clock.sleep(15);
    stop();
    assert.ok(runs <= 4, `${runs} runs`);
  });

  it('lets other work run when it yields', async () => {
    let ran = false;
    setImmediate(() => {
      ran = true;
    });
    await clock.yield();
    assert.equal(ran, true);
  });
});

describe('SystemRandom', () => {
  it('gives hexadecimal of the asked length and numbers below one', () => {
    const random = new SystemRandom();
    assert.match(random.hex(8), /^[0-9a-f]{16}$/);
    assert.notEqual(random.hex(8), random.hex(8));
    const next = random.next();
    assert.ok(next >= 0 && next < 1);
  });
});

describe('JsonLogger', () => {
  it('writes one JSON object a line, with errors readable', () => {
    const lines: string[] = [];
    const logger = new JsonLogger({ base: { node: 'eu' }, stream: { write: (line) => void lines.push(line) } });
    const error = new AntipodeError('PEER_UNAVAILABLE', 'gone', { cause: new Error('ECONNREFUSED') });
    logger.warn('link-down', { peer: 'us', error, seq: 5n });
    const line = JSON.parse(lines[0] as string);
    assert.deepEqual(
      [
        line.level,
        line.event,
        line.node,
        line.peer,
        line.seq,
        line.error.code,
        line.error.message,
        line.error.cause.message,
      ],
      ['warn', 'link-down', 'eu', 'us', '5', 'PEER_UNAVAILABLE', 'gone', 'ECONNREFUSED'],
    );
    assert.match(line.time, /^\d{4}-\d\d-\d\dT/);
    assert.match(line.error.stack, /PEER_UNAVAILABLE|gone/);
  });

  it('drops lines below its level', () => {
    const lines: string[] = [];
    const logger = new JsonLogger({ level: 'error', stream: { write: (line) => void lines.push(line) } });
    logger.info('a');
    logger.warn('b');
    logger.error('c');
    assert.equal(lines.length, 1);
  });
});

describe('SystemHost', () => {
  const inChild = (code: string) =>
    spawnSync(process.execPath, ['--conditions=antipode-source', '--input-type=module', '--eval', code], {
      cwd: process.cwd(),
      encoding: 'utf8',
    });
  const imports = `
    import { JsonLogger } from '#adapters/system/json-logger';
    import { SystemHost } from '#adapters/system/system-host';
    import { AntipodeError } from '#core/errors';
    const logger = new JsonLogger();
    const host = new SystemHost({ dataDirectory: '.', logger });
  `;

  it('knows the boot and the free space', () => {
    const options = { dataDirectory: tmpdir(), logger: new JsonLogger({ level: 'silent' }) };
    const host = new SystemHost(options);
    assert.ok(host.bootId().length >= 32);
    assert.ok(host.freeBytes() > 0);
    if (process.platform === 'linux') assert.equal(new SystemHost(options).bootId(), host.bootId());
  });

  it('logs a fatal error after everything before it and exits with 70 at once', () => {
    const { status, stderr, stdout } = inChild(`${imports}
      for (let i = 0; i < 100; i++) logger.info('before', { i });
      try { host.fatal(new AntipodeError('DISK_FULL', 'no space')); } finally { console.log('went on'); }`);
    assert.equal(status, 70);
    assert.equal(stdout, '');
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.slice(0, 100).map((line) => line.i),
      Array.from({ length: 100 }, (_, i) => i),
    );
    assert.deepEqual([lines[100].event, lines[100].code, lines.length], ['fatal', 'DISK_FULL', 101]);
  });

  it('is not stopped by a reader of its log that does not read', async () => {
    const code = `${imports}
      for (let i = 0; i < 50_000; i++) logger.info('line', { filler: 'x'.repeat(200) });
      console.log('done');
      host.fatal(new Error('end'));`;
    const child = spawn(process.execPath, ['--conditions=antipode-source', '--input-type=module', '--eval', code]);
    child.stdout.resume();
    // Its standard error stays unread.
    const [status] = await once(child, 'exit');
    assert.equal(status, 70);
  });

  it('ends the process when a periodic task throws, with its log written', () => {
    const { status, stderr } = inChild(`${imports}
      import { SystemClock } from '#adapters/system/system-clock';
      new SystemClock().every(5, () => { logger.info('last line'); throw new Error('broken task'); });`);
    assert.notEqual(status, 0);
    assert.match(stderr, /"last line"/);
    assert.match(stderr, /broken task/);
  });
});
