import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstRecord } from '#core/failover/lease';
import { judgeOwnLog, VOUCH_WAIT_MS } from '#region/failover/incarnation';
import { EventList } from '#region/observe/events';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST } from '#region/testing/in-process.fixture';

const STREAM = 'flights/0/us-east/00000000000000a1';

test('a holder with another log than it entered the epoch with begins anew, although nobody has seen more than it holds', async () => {
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const events = new EventList({ clock, log: QUIET });
  const names: string[] = [];
  const peers = { names, connected: () => false } as unknown as Peers;
  const record = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [STREAM], log: 'log a' });
  const lease = { revision: 1, record };
  const judge = (logId: string) => judgeOwnLog({ lease, streams: [STREAM], log, logId, peers, clock, events });
  assert.equal(await judge('log a'), 'whole');
  assert.equal(await judge('log b'), 'unvouched');
  // Whoever cannot be asked may hold what the lost log had.
  names.push('eu-west');
  const verdicts = Promise.all([judge('log a'), judge('log b')]);
  for (let waitedMs = 0; waitedMs <= VOUCH_WAIT_MS + 100; waitedMs += 100) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
  }
  assert.deepEqual(await verdicts, ['unvouched', 'behind']);
});
