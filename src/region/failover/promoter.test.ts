import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, FULL_CLASS } from '#core/codec/frame';
import { AntipodeError } from '#core/errors';
import { firstRecord, type Lease, type LeaseRecord, promotedRecord } from '#core/failover/lease';
import { ZERO_HASH } from '#core/hash';
import type { AuditLog } from '#region/audit/audit-log';
import type { LeaseOutcome, LeaseWatch } from '#region/failover/lease-watch';
import { Promoter, type WonLease } from '#region/failover/promoter';
import { EventList } from '#region/observe/events';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { packFrames } from '#region/replicate/wire';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST } from '#region/testing/in-process.fixture';

const STREAM = 'flights/0/us-east/00000000000000a1';
const MINTED = 'flights/0/eu-west/00000000000000b1';
const LEASE = {
  revision: 7,
  record: firstRecord({ namespace: 'flights', holder: 'us-east', streams: [STREAM] }),
};

/** Five changes of the holder that only the holder has. */
const FRAME = encodeFrame({
  stream: STREAM,
  epoch: 1,
  from: 0,
  to: 5,
  kind: 'rows',
  viewVersion: '00112233445566778899aabbccddeeff',
  previousHash: ZERO_HASH,
  hlc: { wallMs: 1, counter: 0 },
  watermarkMs: 1,
  applied: [],
  egressClass: FULL_CLASS,
  omitted: [],
  idempotency: [],
  replay: null,
  payload: Buffer.alloc(0),
});

/** What each peer answers to each request; a peer without an answer cannot be reached. */
type Answers = Readonly<Record<string, { answer: unknown; blob?: Buffer } | AntipodeError>>;

function candidate(
  answers: Answers,
  lease: Lease = LEASE,
  policy: { readonly acknowledge: number; readonly lossy: 'allow' | 'refuse' } = { acknowledge: 0, lossy: 'allow' },
): {
  promoter: Promoter;
  clock: HandClock;
  written: LeaseRecord[];
  audited: string[];
  /** What the control store answers; by default it takes everything. */
  answer: { outcome?: LeaseOutcome };
} {
  const audited: string[] = [];
  const answer: { outcome?: LeaseOutcome } = {};
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  log.adopt(lease);
  const written: LeaseRecord[] = [];
  const watch: Pick<LeaseWatch, 'read' | 'compareAndSet'> = {
    read: async () => lease,
    compareAndSet: async (expected, record) => {
      written.push(record);
      return answer.outcome ?? { kind: 'ok', revision: expected + 1, sentMs: 0 };
    },
  };
  const peers = {
    names: ['us-east', 'ap-south'],
    connected: () => true,
    request: async (peer: string, name: string) => {
      const found = answers[`${peer} ${name}`];
      if (found === undefined) throw new AntipodeError('PEER_UNAVAILABLE', `${peer} is gone`);
      if (found instanceof AntipodeError) throw found;
      return { blob: Buffer.alloc(0), ...found };
    },
  } as unknown as Peers;
  const promoter = new Promoter({
    region: 'eu-west',
    config: {
      namespace: 'flights',
      promotable: ['us-east', 'eu-west', 'ap-south'],
      ...policy,
      leaseMs: 3000,
      marginMs: 500,
    },
    watch: watch as LeaseWatch,
    clock,
    random: { next: () => 0.5, hex: () => '00' },
    log,
    logId: 'log b',
    peers,
    events: new EventList({ clock, log: QUIET }),
    audit: { note: (_: string, action: string) => audited.push(action) } as unknown as AuditLog,
    mintStreams: () => [MINTED],
  });
  return { promoter, clock, written, audited, answer };
}

function win(promoter: Promoter, kind: 'planned' | 'automatic', lease: Lease = LEASE): Promise<WonLease> {
  return promoter.win(kind === 'planned' ? { kind, allowLoss: false } : { kind }, lease, new AbortController().signal);
}

/** An order while the holder does not answer: its lease is waited for. */
async function winWithoutHolder(
  { promoter, clock }: { promoter: Promoter; clock: HandClock },
  allowLoss: boolean,
  lease: Lease,
): Promise<WonLease> {
  const won = promoter.win({ kind: 'planned', allowLoss }, lease, new AbortController().signal);
  won.catch(() => undefined);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  clock.advance(10_000);
  return won;
}

const DRAINED = { answer: { revision: 7, heads: { [STREAM]: 5 } } };
const PROMISED = { answer: { heads: { [STREAM]: 0 }, log: 'log c' } };
const FETCHED = { answer: { frames: 1 }, blob: packFrames([FRAME]) };

test('a holder that hands over everything leaves nothing behind, and the seal covers it', async () => {
  const { promoter, written } = candidate({
    'us-east drain': DRAINED,
    'us-east fetch': FETCHED,
    'ap-south promise': PROMISED,
  });
  const won = await win(promoter, 'planned');
  assert.equal(won.lossy, false);
  assert.deepEqual(written[0]?.seals, { '1': { [STREAM]: 5 } });
  assert.deepEqual(written[0]?.lossy, []);
});

test('a holder that answers the drain and dies before its frames are fetched leaves a lossy promotion, and says so', async () => {
  const { promoter, written } = candidate({ 'us-east drain': DRAINED, 'ap-south promise': PROMISED });
  const won = await win(promoter, 'planned');
  assert.equal(won.lossy, true);
  assert.deepEqual(written[0]?.seals, { '1': { [STREAM]: 0 } });
  assert.deepEqual(written[0]?.lossy, [
    { epoch: 1, promised: ['ap-south', 'eu-west'], missing: ['us-east'], lowered: {} },
  ]);
});

test('an automatic promotion of asynchronous writes is lossy however many promise', async () => {
  const { promoter, written } = candidate({
    'ap-south promise': { answer: { heads: { [STREAM]: 5 }, log: 'log c' } },
    'ap-south fetch': FETCHED,
  });
  const won = await win(promoter, 'automatic');
  assert.equal(won.lossy, true);
  assert.deepEqual(written[0]?.seals, { '1': { [STREAM]: 5 } });
});

test('what was fetched stays within the seal when the one who promised it cannot give the rest', async () => {
  const { promoter, written } = candidate({
    'ap-south promise': { answer: { heads: { [STREAM]: 10 }, log: 'log c' } },
    'ap-south fetch': FETCHED,
  });
  await win(promoter, 'automatic');
  assert.deepEqual(written[0]?.seals, { '1': { [STREAM]: 5 } });
  assert.deepEqual(written[0]?.lossy, [
    { epoch: 1, promised: ['eu-west'], missing: ['ap-south', 'us-east'], lowered: {} },
  ]);
});

/** The holder of epoch 2 has written nothing; epoch 1 was closed at the five changes that this candidate lacks. */
const LATER: Lease = {
  revision: 9,
  record: promotedRecord(LEASE.record, {
    holder: 'ap-south',
    streams: ['flights/0/ap-south/00000000000000c1'],
    seal: { [STREAM]: 5 },
    promised: [],
    missing: [],
    lossy: true,
  }),
};

test('a candidate that lacks a closed epoch fetches it before it promises anything', async () => {
  const answers = { 'us-east fetch': FETCHED, 'us-east promise': { answer: { heads: {}, log: 'log a' } } };
  const { promoter, written } = candidate(answers, LATER);
  const won = await win(promoter, 'automatic', LATER);
  assert.equal(won.lease.record.epoch, 3);
  assert.deepEqual(written[0]?.seals['1'], { [STREAM]: 5 });
});

test('a candidate that cannot get a closed epoch does not become hub', async () => {
  const { promoter, written } = candidate({ 'us-east promise': { answer: { heads: {}, log: 'log a' } } }, LATER);
  await assert.rejects(win(promoter, 'automatic', LATER), {
    code: 'LOSS_REFUSED',
    message: /up to 0, its seal is 5/,
  });
  assert.deepEqual(written, []);
});

test('a candidate whose end lies below the begin of a log that has the rest does not become hub, whatever a person allows', async () => {
  const truncated = new AntipodeError('STREAM_TRUNCATED', `${STREAM} begins at 3 here, above 0`);
  const running = candidate({ 'ap-south promise': HELD, 'ap-south fetch': truncated });
  await assert.rejects(win(running.promoter, 'automatic'), { code: 'FAILOVER_REFUSED', message: /begins at 3/ });
  assert.deepEqual(running.written, []);
  const closed = candidate({ 'ap-south fetch': truncated }, LATER);
  await assert.rejects(winWithoutHolder(closed, true, LATER), { code: 'FAILOVER_REFUSED', message: /begins at 3/ });
  assert.deepEqual(closed.written, []);
});

test('a candidate that ends below where the log of the holder began is refused until a person allows the loss', async () => {
  const cut: Lease = { ...LEASE, record: { ...LEASE.record, begins: { [STREAM]: 3 } } };
  const { promoter, written } = candidate({}, cut);
  await assert.rejects(win(promoter, 'automatic', cut), { code: 'LOSS_REFUSED', message: /up to 0.*began at 3/ });
  assert.deepEqual(written, []);
  assert.equal((await winWithoutHolder(candidate({}, cut), true, cut)).lossy, true);
});

test('a promotion whose compare-and-set had an unknown outcome is audited when its record is found, once', async () => {
  const { promoter, written, audited, answer } = candidate({ 'ap-south promise': PROMISED });
  answer.outcome = { kind: 'unknown', cause: 'no answer' };
  await assert.rejects(win(promoter, 'automatic'), /did not say/);
  assert.deepEqual(audited, []);
  const record = written[0] as LeaseRecord;
  promoter.auditCompleted(record);
  promoter.auditCompleted(record);
  assert.deepEqual(audited, ['promotion-completed']);
});

test('a refused promotion is not audited as completed, whatever record is found', async () => {
  const { promoter, audited, answer } = candidate({ 'ap-south promise': PROMISED });
  answer.outcome = { kind: 'refused', current: { revision: 9, value: Buffer.alloc(0) } };
  await assert.rejects(win(promoter, 'automatic'), /changed during/);
  promoter.auditCompleted(LEASE.record);
  assert.deepEqual(audited, []);
});

/** Writes of epoch 1 waited for one of the two regions beside the holder. */
const SYNC: Lease = {
  revision: 7,
  record: {
    ...LEASE.record,
    acknowledge: { count: 1, regions: [] },
    participants: { 'eu-west': { log: 'log b', held: 0 }, 'ap-south': { log: 'log c', held: 5 } },
  },
};
const REFUSING = { acknowledge: 1, lossy: 'refuse' } as const;
const HELD = { answer: { heads: { [STREAM]: 5 }, log: 'log c' } };

test('with every participant that acknowledged among the promises a promotion is clean, and its epoch begins with them', async () => {
  const answers = { 'ap-south promise': HELD, 'ap-south fetch': FETCHED };
  const { promoter, written } = candidate(answers, SYNC, REFUSING);
  const won = await win(promoter, 'automatic', SYNC);
  assert.equal(won.lossy, false);
  assert.deepEqual(written[0]?.lossy, []);
  assert.deepEqual(written[0]?.participants, { 'ap-south': { log: 'log c', held: 0 } });
  assert.deepEqual(written[0]?.acknowledge, { count: 1, regions: [] });
});

test('a promise from a log that is not the one that acknowledged does not count, and loss is refused', async () => {
  const other = { answer: { heads: { [STREAM]: 5 }, log: 'another log' } };
  const { promoter, written } = candidate({ 'ap-south promise': other, 'ap-south fetch': FETCHED }, SYNC, REFUSING);
  await assert.rejects(win(promoter, 'automatic', SYNC), { code: 'LOSS_REFUSED', message: /1 of 2 promises/ });
  assert.deepEqual(written, []);
});

test('loss happens where the policy or a person allows it, and the record says so', async () => {
  const allowed = candidate({}, SYNC, { acknowledge: 1, lossy: 'allow' });
  assert.equal((await win(allowed.promoter, 'automatic', SYNC)).lossy, true);
  const refused = candidate({}, SYNC, REFUSING);
  await assert.rejects(winWithoutHolder(refused, false, SYNC), { code: 'LOSS_REFUSED' });
  const ordered = candidate({}, SYNC, REFUSING);
  assert.equal((await winWithoutHolder(ordered, true, SYNC)).lossy, true);
  const missing = ['ap-south', 'us-east'];
  assert.deepEqual(ordered.written[0]?.lossy, [{ epoch: 1, promised: ['eu-west'], missing, lowered: {} }]);
});

test('a holder that hands over, but began anew in its epoch, may have lost what it had before', async () => {
  const anew: Lease = { ...LEASE, record: { ...LEASE.record, streams: [STREAM, `${STREAM.slice(0, -1)}2`] } };
  const { promoter } = candidate({ 'us-east drain': DRAINED, 'us-east fetch': FETCHED }, anew);
  assert.equal((await win(promoter, 'planned', anew)).lossy, true);
});

test('a person may give up sealed history that nobody has: the seal is lowered to what is here, and listed', async () => {
  const refused = candidate({}, LATER);
  await assert.rejects(winWithoutHolder(refused, false, LATER), { code: 'LOSS_REFUSED' });
  const ordered = candidate({}, LATER);
  assert.equal((await winWithoutHolder(ordered, true, LATER)).lossy, true);
  const [record] = ordered.written;
  assert.deepEqual(record?.seals['1'], { [STREAM]: 0 });
  assert.deepEqual(record?.lossy.at(-1)?.lowered, { [STREAM]: { from: 0, to: 5 } });
});
