import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError, type ErrorCode } from '#core/errors';
import { firstRecord, type LeaseRecord, promotedRecord } from '#core/failover/lease';
import { sha256, ZERO_HASH } from '#core/hash';
import type { StreamHead } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk, isSettled, settle } from '#region/testing/held-disk.fixture';

const A = 'flights/0/us-east/00000000000000a1';
const B = 'flights/0/eu-west/00000000000000b1';
const FOREIGN = 'payments/0/us-east/00000000000000a1';

const EPOCH_1: LeaseRecord = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [A] });
function epoch2(seal: number): LeaseRecord {
  return promotedRecord(EPOCH_1, {
    holder: 'eu-west',
    streams: [B],
    seal: { [A]: seal },
    promised: [],
    missing: [],
    lossy: false,
  });
}

type Mirrored = LoggedFrame & { readonly previousHash: Uint8Array; readonly epoch: number };

function frame(after: StreamHead, count: number, options: { epoch?: number; text?: string } = {}): Mirrored {
  const to = after.seq + count;
  const bytes = Buffer.from(`${options.text ?? 'frame'} ${after.seq} ${to}`);
  return {
    from: after.seq,
    to,
    bytes,
    hash: sha256(bytes),
    previousHash: after.hash,
    epoch: options.epoch ?? 1,
  };
}

/** Frames of `count` changes each, one after another from the start of a stream. */
function chain(...counts: readonly number[]): Mirrored[] {
  let head: StreamHead = { seq: 0, hash: ZERO_HASH };
  return counts.map((count) => {
    const next = frame(head, count);
    head = { seq: next.to, hash: next.hash };
    return next;
  });
}

class Node {
  readonly held = new HeldDisk();
  /** Where the journal is, when it is not beside the log. */
  readonly #journalDisk: HeldDisk;
  readonly clock = new HandClock();
  readonly fatal: unknown[] = [];
  log: NamespaceLog;

  constructor(options: { journalApart?: boolean } = {}) {
    this.#journalDisk = options.journalApart === true ? new HeldDisk() : this.held;
    this.log = this.#open();
  }

  /** The process dies; writes that were not synced are gone. */
  restart(): void {
    this.held.disk.crash();
    this.log = this.#open();
  }

  #open(): NamespaceLog {
    const { log, journal } = this.held.open();
    return new NamespaceLog({
      namespace: 'flights',
      log,
      journal: this.#journalDisk === this.held ? journal : this.#journalDisk.open().journal,
      clock: this.clock,
      host: {
        bootId: () => 'boot',
        freeBytes: () => 1e12,
        // A dead process answers nothing any more.
        fatal: (error) => {
          this.fatal.push(error);
          return new Promise(() => undefined) as never;
        },
      },
    });
  }
}

const LIVE = { forPromotion: false };
const hasCode = (code: ErrorCode) => (error: unknown) => error instanceof AntipodeError && error.code === code;

test('a promise waits for the appends begun before it, and its heads include them', async () => {
  const { log, held } = new Node({ journalApart: true });
  log.adopt({ record: EPOCH_1, revision: 1 });
  const [first, second] = chain(3, 2) as [Mirrored, Mirrored];
  held.hold();
  const appended = log.append(A, 1, [first]);
  const mirrored = log.mirror(A, second, LIVE);
  const promised = log.promise(1, 1);
  assert.equal(await isSettled(promised), false);
  await held.release();
  assert.deepEqual(await promised, { [A]: 5 });
  await Promise.all([appended, mirrored]);
});

test('from the moment of a promise no frame of its epoch is taken, not even before the promise is durable', async () => {
  const { log, held } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  const [first] = chain(3) as [Mirrored];
  held.hold();
  const promised = log.promise(1, 1);
  assert.equal(await log.mirror(A, first, LIVE), 'refused');
  assert.throws(() => log.append(A, 1, [first]), hasCode('NOT_HOLDER'));
  await held.release();
  assert.deepEqual(await promised, { [A]: 0 });
  assert.equal(await log.mirror(A, first, LIVE), 'refused');
  assert.equal(log.head(A).seq, 0);
});

test('a frame cannot talk itself past a promise by claiming a later epoch', async () => {
  const { log } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  await log.promise(1, 1);
  assert.equal(await log.mirror(A, frame({ seq: 0, hash: ZERO_HASH }, 3, { epoch: 2 }), LIVE), 'refused');
});

test('the candidate itself takes what the promises vouch for', async () => {
  const { log } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  await log.promise(1, 1);
  assert.equal(await log.mirror(A, chain(3)[0] as Mirrored, { forPromotion: true }), 'appended');
  assert.equal(log.head(A).seq, 3);
});

test('a promise that was given survives a crash; one that was not yet given does not', async () => {
  const node = new Node();
  node.log.adopt({ record: EPOCH_1, revision: 1 });
  await settle();
  node.held.hold();
  const never = node.log.promise(1, 1);
  assert.equal(await isSettled(never), false);
  node.restart();
  assert.equal(node.log.promised, undefined);

  await node.held.release();
  await node.log.promise(1, 1);
  node.restart();
  assert.deepEqual(node.log.promised, { epoch: 1, revision: 1 });
  assert.equal(await node.log.mirror(A, chain(3)[0] as Mirrored, LIVE), 'refused');
});

test('a promise lapses with a later revision of its epoch, or with a later epoch, and with nothing else', async () => {
  const { log } = new Node();
  const [first] = chain(3) as [Mirrored];
  log.adopt({ record: EPOCH_1, revision: 4 });
  await log.promise(1, 5);
  assert.equal(log.adopt({ record: EPOCH_1, revision: 5 }), true);
  assert.equal(await log.mirror(A, first, LIVE), 'refused');
  assert.equal(log.adopt({ record: EPOCH_1, revision: 6 }), true);
  assert.equal(log.promised, undefined);
  assert.equal(await log.mirror(A, first, LIVE), 'appended');

  await log.promise(1, 6);
  log.adopt({ record: epoch2(3), revision: 7 });
  assert.equal(log.promised, undefined);
});

test('a lapsed promise is gone after a crash too', async () => {
  const node = new Node();
  node.log.adopt({ record: EPOCH_1, revision: 1 });
  await node.log.promise(1, 1);
  node.log.adopt({ record: EPOCH_1, revision: 2 });
  await settle();
  node.restart();
  assert.equal(node.log.promised, undefined);
});

test('promises for closed epochs, old revisions, and below one that was given are refused', async () => {
  const { log } = new Node();
  log.adopt({ record: epoch2(0), revision: 9 });
  await assert.rejects(log.promise(1, 9), hasCode('EPOCH_STALE'));
  await assert.rejects(log.promise(2, 8), hasCode('EPOCH_STALE'));
  await log.promise(2, 11);
  await assert.rejects(log.promise(2, 10), hasCode('EPOCH_STALE'));
  assert.deepEqual(await log.promise(2, 11), { [B]: 0 }, 'asking again at the same revision gets the same answer');
});

test('a promise names every stream of the epoch, and none that is sealed or of another namespace', async () => {
  const { log } = new Node();
  const [first] = chain(3) as [Mirrored];
  await log.mirror(A, first, LIVE);
  await log.mirror(FOREIGN, first, LIVE);
  assert.deepEqual(await log.promise(1, 1), { [A]: 3 }, 'without any record: whatever is held');
  log.adopt({ record: epoch2(3), revision: 2 });
  assert.deepEqual(await log.promise(2, 2), { [B]: 0 });
});

test('mirroring: the next frame is appended, a held one is a duplicate, one above is a gap', async () => {
  const { log } = new Node();
  const [first, second, third] = chain(3, 2, 4) as [Mirrored, Mirrored, Mirrored];
  assert.equal(await log.mirror(A, first, LIVE), 'appended');
  assert.equal(await log.mirror(A, first, LIVE), 'duplicate');
  await assert.rejects(log.mirror(A, third, LIVE), hasCode('STREAM_GAP'));
  assert.equal(await log.mirror(A, second, LIVE), 'appended');
  assert.equal(await log.mirror(A, third, LIVE), 'appended');
  assert.equal(await log.mirror(A, first, LIVE), 'duplicate');
  assert.equal(log.head(A).seq, 9);
});

test('a frame that begins inside what is held and ends beyond it is a gap, never half of it taken', async () => {
  const { log } = new Node();
  await log.mirror(A, chain(3)[0] as Mirrored, LIVE);
  await assert.rejects(
    log.mirror(A, { ...(chain(5)[0] as Mirrored), previousHash: ZERO_HASH }, LIVE),
    hasCode('STREAM_GAP'),
  );
  assert.equal(log.head(A).seq, 3);
});

test('another history is divergence: before the frame, and in its place', async () => {
  const { log } = new Node();
  const [first, second] = chain(3, 2) as [Mirrored, Mirrored];
  await log.mirror(A, first, LIVE);
  await assert.rejects(
    log.mirror(A, { ...second, previousHash: sha256(Buffer.from('other')) }, LIVE),
    hasCode('STREAM_DIVERGED'),
  );
  await assert.rejects(
    log.mirror(A, frame({ seq: 0, hash: ZERO_HASH }, 3, { text: 'other' }), LIVE),
    hasCode('STREAM_DIVERGED'),
  );
  assert.equal(log.head(A).seq, 3);
});

test('a duplicate of a frame that is on its way to disk is answered when it is durable', async () => {
  const { log, held } = new Node();
  const [first] = chain(3) as [Mirrored];
  held.hold();
  const one = log.mirror(A, first, LIVE);
  const two = log.mirror(A, first, LIVE);
  assert.equal(await isSettled(two), false);
  assert.equal(log.queuedHead(A).seq, 3);
  assert.equal(log.head(A).seq, 0);
  await held.release();
  assert.deepEqual(await Promise.all([one, two]), ['appended', 'duplicate']);
});

test('nothing is mirrored beyond a seal, also no frame that straddles it; up to it everything is', async () => {
  const { log } = new Node();
  const [first, second] = chain(3, 2) as [Mirrored, Mirrored];
  log.adopt({ record: epoch2(4), revision: 2 });
  assert.equal(await log.mirror(A, first, LIVE), 'appended');
  assert.equal(await log.mirror(A, second, LIVE), 'refused');
  assert.equal(await log.mirror(A, second, { forPromotion: true }), 'refused');
  const [, exact] = chain(3, 1) as [Mirrored, Mirrored];
  assert.equal(await log.mirror(A, exact, LIVE), 'appended');
  assert.equal(log.head(A).seq, 4);
});

test('what a promise held back flows again when the seal of its epoch is known', async () => {
  const { log } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  await log.promise(1, 1);
  const [first] = chain(3) as [Mirrored];
  assert.equal(await log.mirror(A, first, LIVE), 'refused');
  log.adopt({ record: epoch2(3), revision: 2 });
  assert.equal(await log.mirror(A, first, LIVE), 'appended');
});

test('appending outside the open epoch of a stream is a bug', () => {
  const { log } = new Node();
  const [first] = chain(3) as [Mirrored];
  assert.throws(() => log.append(A, 1, [first]), /in its epoch/);
  log.adopt({ record: epoch2(0), revision: 2 });
  assert.throws(() => log.append(A, 1, [first]), /in its epoch/);
  assert.throws(() => log.append(B, 1, [first]), /in its epoch/);
});

test('a record never goes back, and a new epoch is remembered over a restart', async () => {
  const node = new Node();
  assert.equal(node.log.adopt({ record: EPOCH_1, revision: 3 }), true);
  assert.equal(node.log.adopt({ record: EPOCH_1, revision: 3 }), false);
  assert.equal(node.log.adopt({ record: epoch2(0), revision: 2 }), false);
  assert.equal(node.log.adopt({ record: epoch2(5), revision: 8 }), true);
  await settle();
  node.restart();
  assert.deepEqual(node.log.lease, { record: epoch2(5), revision: 8 });
  assert.deepEqual(node.log.standing(A), { kind: 'sealed', epoch: 1, seal: 5 });
  assert.deepEqual(node.log.streams(), [B, A].sort());
});

test('a watermark never promises what is still on its way to disk', async () => {
  const { log, held, clock } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  await settle();
  clock.nowWallMs = 5000;
  assert.equal(log.watermarkMs(), 5000);
  const [first, second] = chain(1, 1) as [Mirrored, Mirrored];
  held.hold();
  const one = log.append(A, 1, [first]);
  clock.nowWallMs = 6000;
  const two = log.append(A, 1, [second]);
  clock.nowWallMs = 7000;
  assert.equal(log.watermarkMs(), 4999);
  await held.release();
  await Promise.all([one, two]);
  assert.equal(log.watermarkMs(), 7000);
});

test('watchers hear of frames when they are durable, not before, until they stop listening', async () => {
  const { log, held } = new Node();
  const heard: string[] = [];
  const stop = log.onDurable((stream) => heard.push(`${stream} ${log.head(stream).seq}`));
  const [first, second] = chain(3, 2) as [Mirrored, Mirrored];
  held.hold();
  const one = log.mirror(A, first, LIVE);
  await settle();
  assert.deepEqual(heard, []);
  await held.release();
  await one;
  assert.deepEqual(heard, [`${A} 3`]);
  stop();
  await log.mirror(A, second, LIVE);
  assert.deepEqual(heard, [`${A} 3`]);
});

test('a sync that fails ends the process: nothing more is known of the disk', async () => {
  const node = new Node();
  node.held.disk.failNextSync();
  const mirrored = node.log.mirror(A, chain(3)[0] as Mirrored, LIVE);
  assert.equal(await isSettled(mirrored), false);
  assert.equal(node.fatal.length, 1);
});

test('a full disk refuses the frame and leaves the end of the stream where it was', async () => {
  const node = new Node();
  const [first] = chain(3) as [Mirrored];
  node.held.disk.full = true;
  await assert.rejects(node.log.mirror(A, first, LIVE), hasCode('DISK_FULL'));
  assert.deepEqual(node.fatal, []);
  assert.equal(node.log.queuedHead(A).seq, 0);
  node.held.disk.full = false;
  assert.equal(await node.log.mirror(A, first, LIVE), 'appended');
});

test('a log that reaches a position by an append on its way does not begin anew there', async () => {
  const { log, held } = new Node();
  log.adopt({ record: EPOCH_1, revision: 1 });
  const [first, second] = chain(3, 2) as [Mirrored, Mirrored];
  await log.mirror(A, first, LIVE);
  held.hold();
  const mirrored = log.mirror(A, second, LIVE);
  const within = log.reset(A, { seq: 4, hash: sha256(Buffer.from('other')) });
  const promised = log.promise(1, 1);
  await held.release();
  assert.equal(await mirrored, 'appended');
  assert.equal(await within, false);
  assert.deepEqual(await promised, { [A]: 5 });
  assert.deepEqual([log.start(A).seq, log.head(A).seq], [0, 5], 'what a promise named is still there');
  assert.equal(await log.reset(A, { seq: 9, hash: sha256(Buffer.from('later')) }), true);
  assert.deepEqual([log.start(A).seq, log.head(A).seq], [9, 9]);
});
