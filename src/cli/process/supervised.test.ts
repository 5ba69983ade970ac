import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { test } from 'node:test';
import { Supervised, type SupervisedEvent } from './supervised.ts';

const SERVES = `process.send({ type: 'serving', address: 'here' }); process.on('disconnect', () => process.exit()); setInterval(() => {}, 1000);`;
const FAILS = `process.send({ type: 'failed', code: 'PORT_IN_USE', message: 'taken', remedy: 'Take another.' }, () => process.exit(1));`;

function child(code: string): ChildProcess {
  return spawn(process.execPath, ['--eval', code], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
}

function supervised(launch: () => ChildProcess, options: { autoRestart?: boolean; readyMsMax?: number } = {}) {
  const events: SupervisedEvent[] = [];
  const process = new Supervised({
    name: 'node',
    launch,
    autoRestart: options.autoRestart ?? true,
    readyMsMax: options.readyMsMax ?? 10_000,
    onEvent: (event) => events.push(event),
  });
  return { process, events };
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!holds()) {
    assert.ok(performance.now() < deadlineMs, 'not in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('starts, starts again what died, and stops', async (t) => {
  const { process, events } = supervised(() => child(SERVES));
  t.after(() => process.stop(0));
  await process.start();
  const first = process.pid;
  process.signal('SIGKILL');
  await until(() => process.state === 'serving' && process.pid !== first);
  const ended = events.find((event) => event.type === 'ended');
  assert.ok(ended?.type === 'ended' && !ended.expected && ended.reason === 'SIGKILL' && ended.restartInMs !== null);
  await process.stop(5_000);
  assert.deepEqual([process.state, process.pid], ['stopped', undefined]);
  const last = events.at(-1);
  assert.ok(last?.type === 'ended' && last.expected && last.restartInMs === null);
});

test('a first start that fails says why and is not repeated', async () => {
  let launches = 0;
  const { process } = supervised(() => {
    launches += 1;
    return child(FAILS);
  });
  await assert.rejects(process.start(), { code: 'PORT_IN_USE', message: 'taken', remedy: 'Take another.' });
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.deepEqual([launches, process.state], [1, 'stopped']);
});

test('a process that never becomes ready is ended', async () => {
  const { process } = supervised(() => child('setInterval(() => {}, 1000)'), { readyMsMax: 300 });
  await assert.rejects(process.start(), { code: 'PEER_TIMEOUT' });
  assert.equal(process.pid, undefined);
});

test('a restart that fails is tried again', async (t) => {
  let launches = 0;
  const { process } = supervised(() => {
    launches += 1;
    return child(launches === 2 ? FAILS : SERVES);
  });
  t.after(() => process.stop(0));
  await process.start();
  process.signal('SIGKILL');
  await until(() => launches === 3 && process.state === 'serving');
});

test('one that does not listen to SIGTERM, or is halted, is killed after its time', async (t) => {
  const stubborn = supervised(() => child(`process.on('SIGTERM', () => {}); ${SERVES}`));
  t.after(() => stubborn.process.stop(0));
  await stubborn.process.start();
  await stubborn.process.stop(200);
  assert.equal(stubborn.process.pid, undefined);
  const halted = supervised(() => child(SERVES));
  t.after(() => halted.process.stop(0));
  await halted.process.start();
  halted.process.signal('SIGSTOP');
  await halted.process.stop(5_000);
  assert.equal(halted.process.pid, undefined);
});

test('without restarts a dead process stays dead until it is started', async (t) => {
  const { process } = supervised(() => child(SERVES), { autoRestart: false });
  t.after(() => process.stop(0));
  await process.start();
  process.signal('SIGKILL');
  await process.ended();
  assert.equal(process.state, 'stopped');
  await process.start();
  assert.equal(process.state, 'serving');
});
