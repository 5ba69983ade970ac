import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Requirement } from '#core/failover/acknowledge';
import { firstRecord, type LeaseRecord } from '#core/failover/lease';
import {
  cleanliness,
  heldOf,
  intactPromises,
  type ReturnedLog,
  speakForEpoch,
  withParticipants,
} from '#core/failover/participants';

const A1 = 'flights/0/us/00000000000000a1';
const A2 = 'flights/0/us/00000000000000a2';

function record(acknowledge: Requirement, participants: LeaseRecord['participants'] = {}): LeaseRecord {
  return { ...firstRecord({ namespace: 'flights', holder: 'us', streams: [A1], acknowledge }), participants };
}

function log(id: string, seq: number, owed = seq): ReturnedLog {
  return { log: id, durable: { [A1]: seq }, peak: { [A1]: seq }, owed: { [A1]: owed } };
}

test('every set of promises that counts as clean meets every set of regions that an acknowledgement counted', () => {
  const names = ['ap', 'eu', 'sa', 'me'];
  const rule = fc.oneof(
    fc.integer({ min: 1, max: 4 }).map((count) => ({ count, regions: [] as string[] })),
    fc.subarray(names, { minLength: 1 }).map((regions) => ({ count: regions.length, regions })),
    fc.record({ count: fc.integer({ min: 2, max: 4 }), regions: fc.subarray(names, { minLength: 1, maxLength: 2 }) }),
  );
  fc.assert(
    fc.property(
      fc.subarray(names, { minLength: 1 }),
      rule,
      fc.subarray(names),
      fc.subarray(names),
      (all, acknowledge, held, promised) => {
        const participants = Object.fromEntries(all.map((region) => [region, { log: region, held: 0 }]));
        const copies = held.filter((region) => all.includes(region));
        const acknowledged =
          copies.length >= acknowledge.count && acknowledge.regions.every((region) => copies.includes(region));
        const intact = promised.filter((region) => all.includes(region));
        if (!acknowledged || cleanliness(record(acknowledge, participants), intact).kind !== 'clean') return;
        assert.ok(
          copies.some((region) => intact.includes(region)),
          JSON.stringify({ all, acknowledge, copies, intact }),
        );
      },
    ),
    { numRuns: 2000 },
  );
});

test('R - K + 1 promises are enough and one fewer is not; of the named one is', () => {
  const three = { ap: { log: '1', held: 0 }, eu: { log: '1', held: 0 }, sa: { log: '1', held: 0 } };
  const byNumber = record({ count: 2, regions: [] }, three);
  assert.equal(cleanliness(byNumber, ['ap', 'eu']).kind, 'clean');
  assert.deepEqual(cleanliness(byNumber, ['ap']), { kind: 'promises', needed: 2, given: 1, named: [] });
  const byName = record({ count: 2, regions: ['ap', 'eu'] }, three);
  assert.equal(cleanliness(byName, ['eu']).kind, 'clean');
  assert.equal(cleanliness(byName, ['sa']).kind, 'promises');
});

test('writes that the hub acknowledged alone leave no promotion clean, whoever promises', () => {
  const all = { ap: { log: '1', held: 0 }, eu: { log: '1', held: 0 } };
  assert.equal(cleanliness(record({ count: 0, regions: [] }, all), ['ap', 'eu']).kind, 'local');
});

test('what the participants could never meet let nothing be acknowledged', () => {
  assert.equal(cleanliness(record({ count: 2, regions: [] }, { ap: { log: '1', held: 0 } }), []).kind, 'clean');
  assert.equal(cleanliness(record({ count: 1, regions: ['eu'] }, { ap: { log: '1', held: 0 } }), []).kind, 'clean');
});

test('promises count from the log that takes part, with no less in it than was acknowledged, and from participants alone', () => {
  const all = record({ count: 1, regions: [] }, { ap: { log: 'ap1', held: 10 }, eu: { log: 'eu1', held: 10 } });
  const promise = (region: string, id: string, seq: number) => ({ region, log: id, heads: { [A1]: seq } });
  const intact = (...promises: ReturnType<typeof promise>[]) => intactPromises(all, promises);
  assert.deepEqual(intact(promise('ap', 'ap1', 10), promise('eu', 'eu1', 12)), ['ap', 'eu']);
  assert.deepEqual(intact(promise('ap', 'ap2', 10)), [], 'another log');
  assert.deepEqual(intact(promise('ap', 'ap1', 9)), [], 'less than it acknowledged');
  assert.deepEqual(intact(promise('sa', 'sa1', 99)), [], 'no participant');
  assert.deepEqual(intact(promise('us', '', 99)), [], 'the holder itself');
});

test('regions that all lost their mirrors in an epoch do not say where it ends, until they hold what its holder had', () => {
  const promise = (id: string, seq: number) => ({ region: 'ap', log: id, heads: { [A1]: seq } });
  const known = { ...record({ count: 0, regions: [] }, { ap: { log: 'ap1', held: 10 } }), reported: { [A1]: 12 } };
  assert.equal(
    speakForEpoch(known, [promise('ap1', 10)]),
    true,
    'the log that takes part, behind the holder as it may be',
  );
  assert.equal(speakForEpoch(known, [promise('ap2', 0)]), false, 'an empty log');
  assert.equal(speakForEpoch(known, [promise('ap1', 9)]), false, 'an older copy of its disk');
  assert.equal(speakForEpoch(known, [promise('ap2', 11), { region: 'eu', log: 'eu9', heads: { [A1]: 12 } }]), true);
  assert.equal(speakForEpoch({ ...known, participants: {} }, [promise('ap2', 0)]), true, 'nobody held anything yet');
});

test('a region takes part from its first log on, and what it is known to have held only grows', () => {
  let now = record({ count: 1, regions: [] });
  now = withParticipants(now, new Map([['ap', log('ap1', 3)]]));
  assert.deepEqual(now.participants, { ap: { log: 'ap1', held: 3 } });
  now = withParticipants(now, new Map([['ap', log('ap1', 7)]]));
  now = withParticipants(now, new Map([['ap', { ...log('ap1', 2), peak: { [A1]: 2 } }]]));
  assert.deepEqual(now.participants, { ap: { log: 'ap1', held: 7 } });
  now = withParticipants(now, new Map());
  assert.deepEqual(now.participants, { ap: { log: 'ap1', held: 7 } }, 'who is away still counts');
});

test('a region with another log takes part again only when it holds all that it may have acknowledged', () => {
  const before = record({ count: 1, regions: [] }, { ap: { log: 'ap1', held: 7 } });
  assert.deepEqual(withParticipants(before, new Map([['ap', log('ap2', 8, 9)]])), before);
  const after = withParticipants(before, new Map([['ap', log('ap2', 9, 9)]]));
  assert.deepEqual(after.participants, { ap: { log: 'ap2', held: 9 } });
  assert.deepEqual(after.acknowledge, { count: 1, regions: [] });
});

test('where the holder itself began anew, a region that lost its log costs the epoch its proof', () => {
  const before = { ...record({ count: 1, regions: [] }, { ap: { log: 'ap1', held: 7 } }), streams: [A1, A2] };
  const after = withParticipants(before, new Map([['ap', log('ap2', 9, 9)]]));
  assert.deepEqual(after.participants, { ap: { log: 'ap2', held: 9 } });
  assert.equal(cleanliness(after, ['ap', 'eu']).kind, 'local');
});

test('what a log holds is counted over the streams of the epoch alone', () => {
  assert.equal(heldOf([A1, A2], { [A1]: 3, [A2]: 4, 'flights/0/eu/00000000000000b1': 99 }), 7);
});
