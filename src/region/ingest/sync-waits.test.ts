import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstRecord, type LeaseRecord, promotedRecord } from '#core/failover/lease';
import { SyncWaits } from '#region/ingest/sync-waits';
import { DurablePositions } from '#region/replicate/durable-positions';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { TEST_HOST } from '#region/testing/in-process.fixture';

const S0 = 'flights/0/us/00000000000000a1';
const S1 = 'flights/1/us/00000000000000a1';
const TWO = { count: 2, regions: [] };
const ONE = { count: 1, regions: [] };

function waiting() {
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const record: LeaseRecord = {
    ...firstRecord({ namespace: 'flights', holder: 'us', streams: [S0, S1] }),
    participants: { ap: { log: 'ap1', held: 0 }, eu: { log: 'eu1', held: 0 } },
  };
  log.adopt({ revision: 1, record });
  const positions = new DurablePositions();
  positions.met('ap', 'ap1');
  positions.met('eu', 'eu1');
  positions.met('sa', 'sa1');
  const waits = new SyncWaits({
    log,
    positions,
    clock,
    withinMs: 5000,
    participants: () => log.lease?.record.participants ?? {},
  });
  const hold = (name: string, stream: string, seq: number, id = `${name}1`): void =>
    positions.acknowledge(stream, { name, log: id }, seq);
  return { clock, log, record, positions, waits, hold };
}

/** The state of a promise: its value, its error's code, or that it waits. */
async function state(promise: Promise<unknown>): Promise<unknown> {
  const open = Symbol('waits');
  const settled = promise.then(
    (value) => value,
    (error: { code: string }) => error.code,
  );
  for (let i = 0; i < 5; i++) await Promise.resolve();
  const result = await Promise.race([settled, Promise.resolve(open)]);
  return result === open ? 'waits' : result;
}

test('a write waits until as many participants as asked for hold every part of it', async () => {
  const { waits, hold } = waiting();
  const both = waits.until(TWO, { [S0]: 5, [S1]: 9 });
  hold('ap', S0, 5);
  hold('eu', S0, 7);
  hold('ap', S1, 9);
  assert.equal(await state(both), 'waits');
  hold('eu', S1, 8);
  assert.equal(await state(both), 'waits');
  hold('eu', S1, 9);
  assert.deepEqual(await both, ['ap', 'eu']);
  assert.equal(waits.size, 0);
});

test('regions that take no part do not count, nor does another log than the one that takes part', async () => {
  const { waits, hold, positions } = waiting();
  const one = waits.until(ONE, { [S0]: 5 });
  hold('sa', S0, 99);
  positions.met('ap', 'ap2');
  hold('ap', S0, 99, 'ap2');
  hold('ap', S0, 99, 'ap1');
  assert.equal(await state(one), 'waits');
  hold('eu', S0, 5);
  assert.deepEqual(await one, ['eu']);
});

test('a log counts from the record on that names it, not before', async () => {
  const { waits, hold, positions, log, record } = waiting();
  positions.met('ap', 'ap2');
  hold('ap', S0, 9, 'ap2');
  const one = waits.until(ONE, { [S0]: 5 });
  assert.equal(await state(one), 'waits');
  log.adopt({ revision: 2, record: { ...record, participants: { ap: { log: 'ap2', held: 9 } } } });
  waits.look();
  assert.deepEqual(await one, ['ap']);
});

test('waits end in the order of their positions, whatever order they came in', async () => {
  const { waits, hold } = waiting();
  const late = waits.until(ONE, { [S0]: 8 });
  const early = waits.until(ONE, { [S0]: 3 });
  hold('ap', S0, 3);
  assert.deepEqual(await early, ['ap']);
  assert.equal(await state(late), 'waits');
  hold('ap', S0, 20);
  assert.deepEqual(await late, ['ap']);
});

test('what is not confirmed in time has an unknown outcome, and holds up nobody behind it', async () => {
  const { waits, clock, hold } = waiting();
  const slow = waits.until(TWO, { [S0]: 5 });
  clock.advance(3000);
  const later = waits.until(ONE, { [S0]: 6 });
  clock.advance(2000);
  assert.equal(await state(slow), 'OUTCOME_UNKNOWN');
  hold('ap', S0, 6);
  assert.deepEqual(await later, ['ap']);
  assert.equal(waits.size, 0);
});

test('a seal below the position ends the wait at once', async () => {
  const { waits, log, record } = waiting();
  const beyond = waits.until(ONE, { [S0]: 5 });
  const within = waits.until(ONE, { [S0]: 4 });
  const next = promotedRecord(record, {
    holder: 'eu',
    streams: ['flights/0/eu/00000000000000b1', 'flights/1/eu/00000000000000b1'],
    seal: { [S0]: 4, [S1]: 0 },
    promised: ['eu', 'ap'],
    missing: ['us'],
    lossy: false,
  });
  log.adopt({ revision: 2, record: next });
  waits.look();
  assert.equal(await state(beyond), 'OUTCOME_UNKNOWN');
  assert.equal(await state(within), 'waits');
  waits.giveUp('this region is holder no more');
  assert.equal(await state(within), 'OUTCOME_UNKNOWN');
});

test('a peer that asks for a stream from further back holds no more of it', async () => {
  const { waits, hold, positions } = waiting();
  hold('ap', S0, 9);
  positions.asksAfter(S0, { name: 'ap', log: 'ap1' }, 2);
  assert.equal(await state(waits.until(ONE, { [S0]: 5 })), 'waits');
  assert.equal(positions.logs(['ap']).get('ap')?.peak[S0], 9, 'what it once said is remembered');
});
