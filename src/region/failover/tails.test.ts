import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, encodeChanges } from '#core/codec/changes';
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  FULL_CLASS,
  type IdempotencyEntry,
  type ReplaySource,
} from '#core/codec/frame';
import { AntipodeError, type ErrorCode } from '#core/errors';
import { firstRecord, promotedRecord } from '#core/failover/lease';
import { ZERO_HASH } from '#core/hash';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import { ViewRegistry } from '#region/apply/view-registry';
import type { AuditLog } from '#region/audit/audit-log';
import type { Coverage } from '#region/failover/tail-coverage';
import { Tails } from '#region/failover/tails';
import type { NamespaceWriter, ReplayWrite } from '#region/ingest/namespace-writer';
import { EventList } from '#region/observe/events';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk, settle } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST, TEST_VIEW } from '#region/testing/in-process.fixture';

const OLD = 'flights/0/us-east/00000000000000a1';
const OLDER = 'flights/0/ap-south/00000000000000c1';
const NEW = 'flights/0/eu-west/00000000000000b1';
/** Changes of OLD up to here are valid; what lies beyond is a tail. */
/** What the old hub had applied when it wrote the tail. */
const SEEN = [{ stream: OLDER, seq: 3 }];
const SEAL = 10;

/** The hub's side of a tail, with what it appends written down instead of appended. */
function hub(
  options: {
    holder?: boolean;
    partly?: Readonly<Record<string, number>>;
    known?: readonly string[];
    replayed?: Record<string, Coverage>;
    /** Epoch in which the hub appends. */
    epoch?: () => number;
    policy?: 'replay' | 'keep';
    /** Frames of OLD that were mirrored while its epoch was open. */
    held?: readonly string[];
  } = {},
): { tails: Tails; appended: ReplayWrite[]; audited: unknown[]; journal: Journal; log: NamespaceLog } {
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const first = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [OLD] });
  log.adopt({ revision: 1, record: first });
  for (const names of options.held ?? []) {
    const head = log.queuedHead(OLD);
    const bytes = rows(head.seq, names, { previousHash: head.hash });
    const { hash } = decodeFrame(bytes);
    const frame = { from: head.seq, to: head.seq + names.length, hash, bytes, previousHash: head.hash, epoch: 1 };
    void log.mirror(OLD, frame, { forPromotion: false });
  }
  const record = promotedRecord(first, {
    holder: 'eu-west',
    streams: [NEW],
    seal: { [OLD]: SEAL },
    promised: [],
    missing: [],
    lossy: true,
  });
  log.adopt({ revision: 2, record });
  const appended: ReplayWrite[] = [];
  const audited: unknown[] = [];
  const writer: Pick<NamespaceWriter, 'onItsWay' | 'settled' | 'knownKey' | 'replay'> = {
    onItsWay: () => false,
    settled: async () => undefined,
    knownKey: (_partition, _view, key) => {
      const held = options.partly?.[key];
      if (options.known?.includes(key)) return { stream: NEW, to: 1, atMs: 0, digest: 'd', held: 1, complete: true };
      return held === undefined ? undefined : { stream: NEW, to: 1, atMs: 0, digest: 'd', held, complete: false };
    },
    replay: async (write) => {
      appended.push(write);
    },
  };
  const store: Pick<OnlineStore, 'record'> = {
    record: (key) => {
      const coverage = options.replayed?.[key.replace('replayed/', '')];
      return coverage === undefined ? undefined : Buffer.from(JSON.stringify(coverage));
    },
  };
  const tails = new Tails({
    namespace: 'flights',
    region: 'eu-west',
    policy: options.policy ?? 'replay',
    log,
    store: store as OnlineStore,
    views: new ViewRegistry([TEST_VIEW]),
    writer: writer as NamespaceWriter,
    gate: {
      appendable: () => (options.holder === false ? undefined : { epoch: options.epoch?.() ?? 2, streams: [NEW] }),
      acknowledgeable: () => true,
      epoch: () => options.epoch?.() ?? 2,
      hub: () => 'eu-west',
    },
    peers: { names: [], connected: () => false } as unknown as Peers,
    clock,
    events: new EventList({ clock, log: QUIET }),
    audit: {
      note: () => undefined,
      append: async (actor: string, action: string, details: unknown) => void audited.push({ actor, action, details }),
    } as unknown as AuditLog,
    journal,
  });
  return { tails, appended, audited, journal, log };
}

function change(name: string, offset: number): Change {
  return { operation: 'upsert', eventTimeUs: 1, key: Buffer.from(name), row: Buffer.alloc(1), offset };
}

function rows(
  from: number,
  names: string,
  options: {
    stream?: string;
    idempotency?: readonly IdempotencyEntry[];
    replay?: ReplaySource;
    previousHash?: Uint8Array;
  } = {},
): Buffer {
  const frame: Frame = {
    stream: options.stream ?? OLD,
    epoch: 1,
    from,
    to: from + names.length,
    kind: 'rows',
    viewVersion: TEST_VIEW.version,
    previousHash: options.previousHash ?? ZERO_HASH,
    hlc: { wallMs: 50, counter: 0 },
    watermarkMs: 50,
    applied: SEEN,
    egressClass: FULL_CLASS,
    omitted: [],
    idempotency: options.idempotency ?? [],
    replay: options.replay ?? null,
    payload: encodeChanges([...names].map(change)),
  };
  return encodeFrame(frame).bytes;
}

const namesOf = (write: ReplayWrite | undefined): string =>
  (write?.changes ?? []).map(({ key }) => key.toString()).join('');
const code = (expected: ErrorCode) => (error: unknown) => error instanceof AntipodeError && error.code === expected;

test('a tail is taken over once, in order, with its change ids, stamps and what they were caused by', async () => {
  const { tails, appended } = hub();
  assert.equal(await tails.take(OLD, [rows(10, 'ab'), rows(12, 'c')]), 13);
  assert.deepEqual(appended.map(namesOf), ['ab', 'c']);
  assert.deepEqual(JSON.parse(JSON.stringify(appended[0]?.source)), {
    tail: { stream: OLD, from: 10, to: 12 },
    original: { stream: OLD, from: 10, hlc: { wallMs: 50, counter: 0 }, applied: SEEN },
  });
  assert.equal(await tails.take(OLD, [rows(10, 'ab'), rows(12, 'c'), rows(13, 'd')]), 14);
  assert.deepEqual(appended.map(namesOf), ['ab', 'c', 'd']);
});

test('pieces that two regions offer at the same time are taken one after the other', async () => {
  const { tails, appended } = hub();
  const both = await Promise.all([tails.take(OLD, [rows(10, 'ab')]), tails.take(OLD, [rows(10, 'ab'), rows(12, 'c')])]);
  assert.deepEqual(both, [12, 13]);
  assert.deepEqual(appended.map(namesOf), ['ab', 'c']);
});

test('what lies below the seal is not taken, and a gap ends the piece', async () => {
  const { tails, appended } = hub();
  assert.equal(await tails.take(OLD, [rows(8, 'xy'), rows(10, 'a'), rows(12, 'c')]), 11);
  assert.deepEqual(appended.map(namesOf), ['a']);
});

test('a hub that was restarted goes on where its store says it is', async () => {
  const { tails, appended } = hub({ replayed: { [OLD]: [[10, 12]] } });
  assert.equal(await tails.take(OLD, []), 12);
  assert.equal(await tails.take(OLD, [rows(10, 'ab'), rows(12, 'c')]), 13);
  assert.deepEqual(appended.map(namesOf), ['c']);
});

test('under a lowered seal the hub takes what lies before the part it took over under the earlier seal', async () => {
  const { tails, appended } = hub({ replayed: { [OLD]: [[12, 14]] } });
  assert.equal(await tails.take(OLD, []), 10);
  assert.equal(await tails.take(OLD, [rows(10, 'ab'), rows(12, 'cd'), rows(14, 'e')]), 15);
  assert.deepEqual(appended.map(namesOf), ['ab', 'e']);
});

test('a hub that lost the lease and came back takes again what lay beyond the seal of its first time', async () => {
  let epoch = 2;
  const { tails, appended } = hub({ epoch: () => epoch });
  assert.equal(await tails.take(OLD, [rows(10, 'ab')]), 12);
  // Its own appends of epoch 2 came to lie beyond that epoch's seal, so its store knows of none of them.
  epoch = 4;
  assert.equal(await tails.take(OLD, [rows(10, 'ab')]), 12);
  assert.deepEqual(appended.map(namesOf), ['ab', 'ab']);
});

test('changes whose client tried again and was answered are left out; the others keep their places and keys', async () => {
  const { tails, appended } = hub({ known: ['again'] });
  const idempotency = [
    { key: 'first', digest: 'd', from: 10, to: 11, first: 0, complete: true },
    { key: 'again', digest: 'd', from: 11, to: 13, first: 0, complete: true },
    { key: 'last', digest: 'd', from: 13, to: 15, first: 0, complete: false },
  ];
  await tails.take(OLD, [rows(10, 'abcde', { idempotency })]);
  assert.equal(namesOf(appended[0]), 'ade');
  assert.deepEqual(
    appended[0]?.changes.map(({ offset }) => offset),
    [0, 3, 4],
  );
  assert.deepEqual(appended[0]?.entries, [
    { key: 'first', digest: 'd', first: 0, at: 0, count: 1, complete: true },
    { key: 'last', digest: 'd', first: 0, at: 1, count: 2, complete: false },
  ]);
});

test('of a request whose beginning is valid elsewhere only the rest is taken', async () => {
  const { tails, appended } = hub({ partly: { cut: 3 } });
  // The request's changes 2 to 5 are in this frame; the first three of it, 0 to 2, are held already.
  const idempotency = [{ key: 'cut', digest: 'd', from: 10, to: 14, first: 2, complete: true }];
  await tails.take(OLD, [rows(10, 'cdef', { idempotency })]);
  assert.equal(namesOf(appended[0]), 'def');
  assert.deepEqual(appended[0]?.entries, [{ key: 'cut', digest: 'd', first: 3, at: 0, count: 3, complete: true }]);
});

test('a frame of which everything is known already is passed over', async () => {
  const { tails, appended } = hub({ known: ['again'] });
  const idempotency = [{ key: 'again', digest: 'd', from: 10, to: 12, first: 0, complete: true }];
  assert.equal(await tails.take(OLD, [rows(10, 'ab', { idempotency })]), 12);
  assert.deepEqual(appended, []);
});

test('a tail that held a replayed tail keeps the first ids, and is passed over when that one is here', async () => {
  const replay: ReplaySource = {
    tail: { stream: OLDER, from: 3, to: 5 },
    original: { stream: OLDER, from: 3, hlc: { wallMs: 9, counter: 2 }, applied: [] },
  };
  const fresh = hub();
  await fresh.tails.take(OLD, [rows(10, 'ab', { replay })]);
  assert.deepEqual(fresh.appended[0]?.source, replay);
  const done = hub({ replayed: { [OLDER]: [[3, 5]] } });
  assert.equal(await done.tails.take(OLD, [rows(10, 'ab', { replay })]), 12);
  assert.deepEqual(done.appended, []);
});

test('refused: streams without a seal, frames of another stream, and by a region that is not the hub', async () => {
  await assert.rejects(hub().tails.take(NEW, [rows(0, 'a', { stream: NEW })]), code('STREAM_NOT_FOUND'));
  await assert.rejects(hub().tails.take(OLD, [rows(10, 'a', { stream: OLDER })]), code('FRAME_FOREIGN_ORIGIN'));
  await assert.rejects(hub({ holder: false }).tails.take(OLD, [rows(10, 'a')]), code('NOT_HOLDER'));
  await assert.rejects(hub().tails.take(OLD, [Buffer.from('junk')]), code('FRAME_CORRUPT'));
});

test('a tail is found and listed; by policy it is offered to the hub, which may be this region itself, or kept', async () => {
  for (const policy of ['replay', 'keep'] as const) {
    const { tails, appended } = hub({ policy, held: ['abcdefghij', 'klm'] });
    await settle();
    await tails.tend();
    await tails.tend();
    const replayed = policy === 'replay';
    assert.deepEqual(tails.list(), [
      {
        namespace: 'flights',
        stream: OLD,
        from: SEAL,
        to: 13,
        state: replayed ? 'replayed' : 'kept',
        replayed: replayed ? 3 : 0,
      },
    ]);
    assert.deepEqual(appended.map(namesOf), replayed ? ['klm'] : []);
  }
});

test('of a tail whose beginning left the log before its seal was known, the rest is replayed', async () => {
  const { tails, appended, log } = hub({ held: ['abcdefghij', 'kl', 'mn', 'o'] });
  await settle();
  await log.truncate(OLD, 12);
  await tails.tend();
  assert.deepEqual(appended.map(namesOf), ['mn', 'o']);
  const [tail] = tails.list();
  assert.deepEqual([tail?.from, tail?.to, tail?.state], [12, 15, 'replayed']);
});

test('a stream held up to its seal has no tail', async () => {
  const { tails } = hub({ held: ['abcdefghij'] });
  await settle();
  await tails.tend();
  assert.deepEqual(tails.list(), []);
});

test('a kept tail is replayed when a person says so', async () => {
  const { tails, appended, audited } = hub({ policy: 'keep', held: ['abcdefghij', 'klm'] });
  await settle();
  await tails.tend();
  assert.deepEqual(appended, []);
  const decided = await tails.decide(OLD, 'replay', 'ops');
  assert.equal(decided.state, 'replayed');
  assert.deepEqual(appended.map(namesOf), ['klm']);
  assert.deepEqual(audited, [
    { actor: 'ops', action: 'tail-replay-ordered', details: { stream: OLD, from: SEAL, to: 13, changes: 3 } },
  ]);
  await assert.rejects(tails.decide(OLD, 'discard', 'ops'), code('TAIL_REPLAYED'));
});

test('a discarded tail is copied to the journal, audited, and replayed under no policy', async () => {
  const { tails, appended, audited, journal } = hub({ policy: 'keep', held: ['abcdefghij', 'klm'] });
  await settle();
  await tails.tend();
  const deciding = tails.decide(OLD, 'discard', 'ops');
  await settle();
  assert.equal((await deciding).state, 'discarded');
  await tails.tend();
  assert.deepEqual(appended, []);
  assert.deepEqual(audited, [
    { actor: 'ops', action: 'tail-discarded', details: { stream: OLD, from: SEAL, to: 13, changes: 3 } },
  ]);
  const copies = journal.list(`tail-quarantine/${OLD}/`).map(([, bytes]) => decodeFrame(bytes).frame);
  assert.deepEqual(
    copies.map(({ from, to }) => [from, to]),
    [[SEAL, 13]],
  );
  assert.equal(journal.list('tail-decision/').length, 1);
  await assert.rejects(tails.decide(NEW, 'discard', 'ops'), code('TAIL_NOT_FOUND'));
});
