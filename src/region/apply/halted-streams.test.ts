import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import { HaltedStreams } from '#region/apply/halted-streams';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';

const STREAM = 'flights/0/us-east/00000000000000aa';
const DAMAGED = new AntipodeError('FRAME_CORRUPT', 'a frame is damaged');

/** A log whose reads from 32 on fail. */
function setting(): { halted: HaltedStreams; log: NamespaceLog } {
  const halted = new HaltedStreams({ add: () => undefined } as unknown as EventList);
  const log = {
    standing: () => ({ kind: 'sealed', epoch: 1, seal: 40 }),
    start: () => ({ seq: 0 }),
    read: (stream: string, after: number) => {
      if (after < 32) return [];
      halted.noteDamage(stream, after, DAMAGED);
      throw DAMAGED;
    },
  } as unknown as NamespaceLog;
  return { halted, log };
}

test('an emptied store reads a halted stream again, up to the damaged frame', () => {
  const { halted, log } = setting();
  halted.read(log, STREAM, 32, 1);
  assert.ok(halted.has(STREAM));
  halted.refilled();
  assert.equal(halted.has(STREAM), false);
  halted.read(log, STREAM, 0, 1);
  assert.equal(halted.has(STREAM), false);
  assert.equal(halted.lacks(log, STREAM, 0), false);
  halted.read(log, STREAM, 32, 1);
  assert.ok(halted.has(STREAM));
  assert.ok(halted.lacks(log, STREAM, 32));
});

test('of several damaged frames the first is mended first, whichever was found first', () => {
  const { halted } = setting();
  halted.noteDamage(STREAM, 32, DAMAGED);
  halted.noCopy(STREAM);
  halted.noteDamage(STREAM, 5, DAMAGED);
  assert.equal(halted.damaged().get(STREAM), 5);
  assert.equal(halted.hasNoCopy(STREAM), false, 'nobody was asked for that one yet');
  halted.noteDamage(STREAM, 32, DAMAGED);
  assert.equal(halted.damaged().get(STREAM), 5);
});
