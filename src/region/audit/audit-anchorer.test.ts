import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import type { ControlRecord, ControlStore } from '#ports/control-store';
import { AuditAnchorer } from '#region/audit/audit-anchorer';
import { AuditLog, verifyAudit } from '#region/audit/audit-log';
import { EventList } from '#region/observe/events';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk, settle } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST } from '#region/testing/in-process.fixture';

/** A control store with one record, which can be cut off. */
class Control implements ControlStore {
  record: ControlRecord = { revision: 0, value: Buffer.alloc(0) };
  cut = false;

  async get(): Promise<ControlRecord> {
    if (this.cut) throw new AntipodeError('CONTROL_UNAVAILABLE', 'no answer');
    return this.record;
  }

  async compareAndSet(_: string, expected: number, value: Uint8Array) {
    if (this.cut) return { kind: 'unknown' as const, cause: 'no answer' };
    if (expected !== this.record.revision) return { kind: 'refused' as const, current: this.record };
    this.record = { revision: expected + 1, value };
    return { kind: 'ok' as const, revision: this.record.revision };
  }

  async close(): Promise<void> {}
}

function region(control: Control, held = new HeldDisk()) {
  const clock = new HandClock();
  const { journal } = held.open();
  const audit = new AuditLog({ journal, clock, host: TEST_HOST });
  const events = new EventList({ clock, log: QUIET });
  const anchorer = new AuditAnchorer({ region: 'us-east', audit, control, events });
  const actions = (): string[] => audit.entries({ after: -1, limit: 100 }).map(({ action }) => action);
  const verify = async () => verifyAudit(journal, await anchorer.read());
  return { clock, held, journal, audit, events, anchorer, actions, verify };
}

/** A control store that has seen three entries of a log on another disk. */
async function seen(): Promise<Control> {
  const control = new Control();
  const { anchorer, audit, clock } = region(control);
  await anchorer.start(clock);
  for (let i = 0; i < 3; i++) await audit.append('admin', 'act', { i });
  await anchorer.stop();
  return control;
}

test('only durable entries are anchored', async () => {
  const control = new Control();
  const { held, audit, anchorer, clock } = region(control);
  await anchorer.start(clock);
  await audit.append('admin', 'act', {});
  const { anchor } = audit;
  held.hold();
  const written = audit.append('admin', 'act', {});
  await settle();
  assert.deepEqual(audit.anchor, anchor);
  await anchorer.stop();
  assert.equal((await anchorer.read())?.index, 1);
  await held.release();
  await written;
  assert.equal(audit.anchor.index, 2);
});

test('a replaced disk is the first entry of the new log, verifies, and stays visible for ever', async () => {
  const control = await seen();
  const old = JSON.parse(Buffer.from(control.record.value).toString()) as { index: number; hash: string };
  const { anchorer, audit, clock, actions, verify, events, held } = region(control);
  assert.equal((await verify()).ok, false);
  await anchorer.start(clock);
  await audit.append('us-east', 'region-started', {});
  assert.deepEqual(actions(), ['audit-log-replaced', 'region-started']);
  assert.deepEqual(audit.entries({ after: -1, limit: 1 })[0]?.details, { index: old.index, hash: old.hash });
  assert.deepEqual(
    events.list().map(({ event, severity }) => [event, severity]),
    [['audit-log-replaced', 'error']],
  );
  await anchorer.stop();
  assert.deepEqual(await verify(), {
    ok: true,
    entries: 2,
    head: audit.anchor.hash,
    anchoredAt: 2,
    replaced: 1,
  });
  assert.deepEqual((await anchorer.read())?.replaced, [{ index: old.index, hash: old.hash }]);

  const again = region(control, held);
  await again.anchorer.start(again.clock);
  await again.audit.append('us-east', 'region-started', {});
  await again.anchorer.stop();
  assert.deepEqual(again.actions(), ['audit-log-replaced', 'region-started', 'region-started']);
  assert.equal((await again.verify()).replaced, 1);
});

test('a control store that does not answer at the start learns of the replacement later', async () => {
  const control = await seen();
  control.cut = true;
  const { anchorer, audit, clock, actions, verify } = region(control);
  await anchorer.start(clock);
  await audit.append('us-east', 'region-started', {});
  for (let i = 0; i < 9; i++) await audit.append('admin', 'act', { i });
  control.cut = false;
  await anchorer.stop();
  assert.equal(actions().filter((action) => action === 'audit-log-replaced').length, 1);
  assert.deepEqual((await verify()).replaced, 1);
});

test('a log that is cut short under a running region does not get a fitting anchor', async () => {
  const control = new Control();
  const { anchorer, audit, clock, journal, verify } = region(control);
  await anchorer.start(clock);
  for (let i = 0; i < 3; i++) await audit.append('admin', 'act', { i });
  await anchorer.stop();
  const last = journal.list('audit/').at(-1)?.[0] ?? '';
  await journal.write([{ kind: 'delete', key: last }]);
  assert.equal((await verify()).ok, false);
  await audit.append('admin', 'act', { i: 3 });
  await anchorer.stop();
  assert.equal((await verify()).ok, false);
});

test('a long log is verified with turns for others between its pages', async () => {
  const { journal, audit } = region(new Control());
  await Promise.all(Array.from({ length: 2500 }, (_, i) => audit.append('admin', 'act', { i })));
  let turns = 0;
  const verdict = await verifyAudit(journal, audit.anchor, async () => {
    turns += 1;
  });
  assert.equal(verdict.ok, true);
  assert.equal(turns, 2);
});
