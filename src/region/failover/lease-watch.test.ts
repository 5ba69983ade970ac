import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import { encodeLeaseRecord, firstRecord } from '#core/failover/lease';
import type { CompareAndSetOutcome, ControlRecord, ControlStore } from '#ports/control-store';
import type { AuditLog } from '#region/audit/audit-log';
import { LeaseWatch } from '#region/failover/lease-watch';
import { Silence } from '#region/failover/silence';
import { StandingNotices } from '#region/failover/standing-notices';
import { EventList } from '#region/observe/events';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST } from '#region/testing/in-process.fixture';

const CONFIG = { namespace: 'flights', leaseMs: 1000, marginMs: 200 };
const RECORD = firstRecord({
  namespace: 'flights',
  holder: 'us-east',
  streams: ['flights/0/us-east/00000000000000a1'],
});

const UNKNOWN: CompareAndSetOutcome = { kind: 'unknown', cause: 'no answer' };
const gone = (): never => {
  throw new AntipodeError('CONTROL_UNAVAILABLE', 'no answer');
};

function watched() {
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const answers: { get: () => ControlRecord; compareAndSet: () => CompareAndSetOutcome } = {
    get: gone,
    compareAndSet: () => UNKNOWN,
  };
  const control: ControlStore = {
    get: async () => answers.get(),
    compareAndSet: async () => answers.compareAndSet(),
    close: async () => undefined,
  };
  const watch = new LeaseWatch({
    namespace: 'flights',
    stillMs: 1200,
    control,
    clock,
    log,
    onAdopted: () => undefined,
  });
  const events = new EventList({ clock, log: QUIET });
  const audited: string[] = [];
  const audit = { note: (_: string, action: string) => audited.push(action) } as unknown as AuditLog;
  const notices = new StandingNotices({ region: 'us-east', namespace: 'flights', events, audit });
  const silence = new Silence({ config: CONFIG, watch, clock, notices });
  return { clock, watch, answers, silence, audited, told: () => events.list().map(({ event }) => event) };
}

test('a renewal found by reading counts from its first try: an earlier one may be the one that arrived', async () => {
  const { clock, watch, answers } = watched();
  await assert.rejects(watch.compareAndSet(7, RECORD), { code: 'CONTROL_UNAVAILABLE' });
  clock.advance(900);
  answers.get = () => ({ revision: 8, value: encodeLeaseRecord(RECORD) });
  assert.deepEqual(await watch.compareAndSet(7, RECORD), { kind: 'ok', revision: 8, sentMs: 0 });
});

test('a renewal that is answered counts from when it was sent', async () => {
  const { clock, watch, answers } = watched();
  await assert.rejects(watch.compareAndSet(7, RECORD), { code: 'CONTROL_UNAVAILABLE' });
  clock.advance(900);
  answers.compareAndSet = () => ({ kind: 'ok', revision: 8 });
  assert.deepEqual(await watch.compareAndSet(7, RECORD), { kind: 'ok', revision: 8, sentMs: 900 });
});

test('a control store that owes an answer for half a lease is told once, and once when it answers', async () => {
  const { clock, watch, answers, silence, told, audited } = watched();
  clock.advance(5000);
  silence.look(50, undefined);
  assert.deepEqual(told(), [], 'nothing was asked, so nothing is owed');
  await assert.rejects(watch.read());
  for (let i = 0; i < 20; i++) {
    clock.advance(50);
    await assert.rejects(watch.read());
    silence.look(50, undefined);
  }
  assert.deepEqual(told(), ['control-lost']);
  answers.get = () => ({ revision: 1, value: encodeLeaseRecord(RECORD) });
  for (let i = 0; i < 3; i++) {
    await watch.read();
    silence.look(50, undefined);
  }
  assert.deepEqual(told(), ['control-lost', 'control-restored']);
  assert.deepEqual(audited, told());
});

test('a process that stood still itself does not blame the control store', async () => {
  const { clock, watch, silence, told } = watched();
  await assert.rejects(watch.read());
  clock.advance(3000);
  silence.look(3000, undefined);
  assert.deepEqual(told(), []);
});

test('a hub whose lease lapses says so once, and once that it is renewed', () => {
  const { clock, silence, told, audited } = watched();
  const role = { epoch: 1, leaseUntilMs: 1000 };
  clock.advance(790);
  silence.look(50, role);
  assert.deepEqual(told(), []);
  for (let i = 0; i < 5; i++) {
    clock.advance(20);
    silence.look(20, role);
  }
  assert.deepEqual(told(), ['lease-lapsed']);
  silence.renewed(1);
  silence.renewed(1);
  assert.deepEqual(told(), ['lease-lapsed', 'lease-renewed']);
  assert.deepEqual(audited, told());
});
