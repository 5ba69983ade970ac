import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AntipodeError } from '#core/errors';
import {
  decodeLease,
  decodeLeaseRecord,
  encodeLease,
  encodeLeaseRecord,
  firstRecord,
  type LeaseRecord,
  promisesForCleanPromotion,
  promotedRecord,
  sealOfPromises,
  standingOf,
} from '#core/failover/lease';

const A1 = 'flights/0/us-east/00000000000000a1';
const A2 = 'flights/0/us-east/00000000000000a2';
const B1 = 'flights/0/eu-west/00000000000000b1';
const C1 = 'flights/0/ap-south/00000000000000c1';

const FIRST = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [A1] });

function promote(previous: LeaseRecord, seal: Record<string, number>, lossy = false): LeaseRecord {
  return promotedRecord(previous, {
    holder: 'eu-west',
    streams: [B1],
    seal,
    promised: ['eu-west', 'ap-south'],
    missing: ['us-east'],
    lossy,
  });
}

test('the first record opens epoch 1 with the streams of its holder and nothing sealed', () => {
  assert.deepEqual(FIRST, {
    namespace: 'flights',
    holder: 'us-east',
    holderLog: '',
    epoch: 1,
    partitions: 1,
    streams: [A1],
    seals: {},
    reported: {},
    begins: {},
    acknowledge: { count: 0, regions: [] },
    participants: {},
    lossy: [],
  });
});

test('a promotion raises the epoch by one, closes the old streams at the seal and forgets what the old holder reported', () => {
  const reported = { ...FIRST, reported: { [A1]: 9 } };
  const record = promote(reported, { [A1]: 7 });
  assert.deepEqual(record, {
    namespace: 'flights',
    holder: 'eu-west',
    holderLog: '',
    epoch: 2,
    partitions: 1,
    streams: [B1],
    seals: { '1': { [A1]: 7 } },
    reported: {},
    begins: {},
    acknowledge: { count: 0, regions: [] },
    participants: {},
    lossy: [],
  });
  assert.deepEqual(reported.seals, {}, 'the previous record is not changed');
});

test('a promotion keeps the number of partitions the namespace was created with', () => {
  const first = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [A1, A2] });
  assert.equal(first.partitions, 2);
  assert.throws(() => promote(first, { [A1]: 7, [A2]: 7 }), /number of partitions/);
});

test('earlier seals are kept by every later promotion', () => {
  let record = promote(FIRST, { [A1]: 7 });
  record = promotedRecord(record, {
    holder: 'ap-south',
    streams: [C1],
    seal: { [B1]: 3 },
    promised: ['ap-south'],
    missing: ['eu-west'],
    lossy: false,
  });
  assert.deepEqual(record.seals, { '1': { [A1]: 7 }, '2': { [B1]: 3 } });
  assert.equal(record.epoch, 3);
});

test('a promotion without a seal for one of the streams is a bug', () => {
  const twoStreams = { ...FIRST, streams: [A1, A2] };
  assert.throws(() => promote(twoStreams, { [A1]: 7 }), /has a seal/);
});

test('a lossy promotion lists who promised and who is not known to be complete, in a fixed order', () => {
  const once = promote(FIRST, { [A1]: 7 }, true);
  assert.deepEqual(once.lossy, [{ epoch: 1, promised: ['ap-south', 'eu-west'], missing: ['us-east'], lowered: {} }]);
  assert.equal(promote(once, { [B1]: 1 }, true).lossy.length, 2);
  assert.equal(promote(once, { [B1]: 1 }, false).lossy.length, 1);
});

test('a stream is open in the current epoch, sealed in a closed one, and unknown otherwise', () => {
  const record = promote({ ...FIRST, streams: [A1, A2] }, { [A1]: 7, [A2]: 0 });
  assert.deepEqual(standingOf(record, B1), { kind: 'open', epoch: 2 });
  assert.deepEqual(standingOf(record, A1), { kind: 'sealed', epoch: 1, seal: 7 });
  assert.deepEqual(standingOf(record, A2), { kind: 'sealed', epoch: 1, seal: 0 });
  assert.deepEqual(standingOf(record, C1), { kind: 'unknown' });
  assert.deepEqual(standingOf(undefined, A1), { kind: 'unknown' });
});

test('no stream is open and sealed at once, whatever the history of promotions', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 100 }), { minLength: 1, maxLength: 10 }), (seals) => {
      const streamOf = (i: number): string => `flights/0/us-east/${String(i).padStart(16, '0')}`;
      let record = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [streamOf(0)] });
      seals.forEach((seal, i) => {
        record = promotedRecord(record, {
          holder: 'us-east',
          streams: [streamOf(i + 1)],
          seal: { [streamOf(i)]: seal },
          promised: [],
          missing: [],
          lossy: false,
        });
      });
      assert.equal(record.epoch, seals.length + 1);
      seals.forEach((seal, i) => {
        assert.deepEqual(standingOf(record, streamOf(i)), { kind: 'sealed', epoch: i + 1, seal });
      });
      assert.equal(standingOf(record, streamOf(seals.length)).kind, 'open');
      assert.deepEqual(decodeLeaseRecord(encodeLeaseRecord(record)), record);
    }),
  );
});

test('the seal of promises is, stream by stream, the greatest position promised', () => {
  assert.deepEqual(
    sealOfPromises([A1, A2], [{ heads: { [A1]: 3, [A2]: 9 } }, { heads: { [A1]: 5, [C1]: 99 } }, { heads: {} }]),
    { [A1]: 5, [A2]: 9 },
  );
  assert.deepEqual(sealOfPromises([A1], []), { [A1]: 0 });
});

test('any set of promises of the clean size meets every set of K that may have acknowledged', () => {
  const replicas = ['b', 'c', 'd', 'e'];
  const subsets = (size: number): string[][] =>
    Array.from({ length: 2 ** replicas.length }, (_, bits) => replicas.filter((_, i) => (bits >> i) & 1)).filter(
      (subset) => subset.length === size,
    );
  for (let syncReplicas = 1; syncReplicas <= replicas.length; syncReplicas++) {
    const needed = promisesForCleanPromotion({ syncReplicas, promotableOthers: replicas.length });
    for (const promised of subsets(needed))
      for (const acknowledged of subsets(syncReplicas)) assert.ok(promised.some((name) => acknowledged.includes(name)));
    assert.ok(
      subsets(needed - 1).some((promised) =>
        subsets(syncReplicas).some((acknowledged) => !promised.some((name) => acknowledged.includes(name))),
      ),
      'one promise less is not enough',
    );
  }
});

test('without sync writes no number of promises makes a promotion clean', () => {
  for (const promotableOthers of [1, 2, 5])
    assert.ok(promisesForCleanPromotion({ syncReplicas: 0, promotableOthers }) > promotableOthers);
});

test('a record has one byte form', () => {
  const record = promote(FIRST, { [A1]: 7 });
  const shuffled = Object.fromEntries(Object.entries(record).reverse()) as LeaseRecord;
  assert.ok(encodeLeaseRecord(shuffled).equals(encodeLeaseRecord(record)));
  assert.deepEqual(decodeLease(encodeLease({ revision: 12, record })), { revision: 12, record });
});

test('anything else in the control store or in an epoch marker is refused with its code', () => {
  const text = encodeLeaseRecord(FIRST).toString();
  const bad = [
    '',
    'null',
    '{}',
    text.slice(0, -1),
    text.replace('"epoch":1', '"epoch":0'),
    text.replace('"epoch":1', '"epoch":1.5'),
    text.replace('"partitions":1', '"partitions":0'),
    text.replace('"partitions":1,', ''),
    text.replace('"holder"', '"owner"'),
    text.replace('}', ',"more":1}'),
    JSON.stringify({ ...FIRST, reported: { [A1]: -1 } }),
    JSON.stringify({ ...FIRST, seals: { '1': { [A1]: '7' } } }),
  ];
  const code = (expected: string) => (error: unknown) => error instanceof AntipodeError && error.code === expected;
  for (const json of bad) {
    assert.throws(() => decodeLeaseRecord(Buffer.from(json)), code('PROTOCOL_MISMATCH'), json);
    assert.throws(() => decodeLease(Buffer.from(`{"revision":1,"record":${json}}`)), code('FRAME_CORRUPT'), json);
  }
  assert.throws(() => decodeLease(Buffer.from(`{"revision":-1,"record":${text}}`)), code('FRAME_CORRUPT'));
});
