import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENTS_MAX, EventList } from '#region/observe/events';
import { HandClock } from '#region/testing/hand-clock.fixture';

test('events are kept newest last, the oldest given up at the limit, and each goes to the log at its level', () => {
  const logged: string[] = [];
  const line = (level: string) => (event: string, fields?: Readonly<Record<string, unknown>>) =>
    logged.push(`${level} ${event} ${JSON.stringify(fields)}`);
  const clock = new HandClock(5);
  const events = new EventList({ clock, log: { info: line('info'), warn: line('warn'), error: line('error') } });
  events.add('link-lost', 'warning', 'the link from eu-west was lost', { peer: 'eu-west' });
  events.add('stream-halted', 'error', 'it cannot be applied');
  events.add('region-started', 'info', 'it serves');
  assert.deepEqual(logged, [
    'warn link-lost {"peer":"eu-west","message":"the link from eu-west was lost"}',
    'error stream-halted {"message":"it cannot be applied"}',
    'info region-started {"message":"it serves"}',
  ]);
  assert.deepEqual(events.list()[0], {
    atMs: 5,
    event: 'link-lost',
    severity: 'warning',
    message: 'the link from eu-west was lost',
  });
  for (let i = 0; i < EVENTS_MAX; i++) events.add('tick', 'info', String(i));
  assert.equal(events.list().length, EVENTS_MAX);
  assert.equal(events.list()[0]?.message, '0');
  assert.equal(events.list().at(-1)?.message, String(EVENTS_MAX - 1));
});
