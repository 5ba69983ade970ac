import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { sha256, ZERO_HASH } from '#core/hash';
import { streamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';

export interface ChangeLogHarness {
  /** Opens the same log each time; the previous one is closed. */
  open(): ChangeLog;
  dispose(): Promise<void> | void;
}

export function testStream(origin: string, partition = 0): string {
  return streamKey({ namespace: 'flights', partition, origin, incarnation: '9f3c2b1a00c4d2e8' });
}

/** Frame (from, to] with recognisable bytes. */
export function testFrame(from: number, to: number, size = 100): LoggedFrame {
  const bytes = Buffer.alloc(size, `(${from},${to}]`);
  return { from, to, hash: sha256(bytes), bytes };
}

/** `count` frames of `step` seqs each, after `from`. */
export function testFrames(from: number, count: number, step = 3, size = 100): LoggedFrame[] {
  return Array.from({ length: count }, (_, i) => testFrame(from + i * step, from + (i + 1) * step, size));
}

/** Compares without regard to which kind of byte array a frame is made of. */
export function plain(frames: readonly LoggedFrame[]): unknown[] {
  return frames.map(({ from, to, hash, bytes }) => ({
    from,
    to,
    hash: Buffer.from(hash).toString('hex'),
    bytes: Buffer.from(bytes).toString('latin1'),
  }));
}

const ALL = Number.POSITIVE_INFINITY;

export function changeLogContract(name: string, makeHarness: () => Promise<ChangeLogHarness> | ChangeLogHarness): void {
  suite(`change log: ${name}`, () => {
    const stream = testStream('us-east');
    let harness: ChangeLogHarness;
    let log: ChangeLog;
    beforeEach(async () => {
      harness = await makeHarness();
      log = harness.open();
    });
    afterEach(async () => {
      await log.close();
      await harness.dispose();
    });

    test('an empty log', async () => {
      assert.deepEqual(log.streams(), []);
      assert.deepEqual(log.head(stream), { seq: 0, hash: ZERO_HASH });
      assert.deepEqual(log.read(stream, 0, ALL), []);
      assert.equal(log.hashAt(stream, 0), ZERO_HASH);
      assert.equal(log.hashAt(stream, 1), undefined);
      await log.append(stream, []);
      assert.deepEqual(log.streams(), []);
    });

    test('frames come back in order and as they were', async () => {
      const frames = testFrames(0, 20);
      await log.append(stream, frames.slice(0, 5));
      for (const frame of frames.slice(5)) await log.append(stream, [frame]);
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(frames));
      assert.deepEqual(log.streams(), [stream]);
      assert.equal(log.head(stream).seq, 60);
      assert.ok(Buffer.from(log.head(stream).hash).equals(frames[19]!.hash));
    });

    test('nothing is readable before append resolves (P3.1)', async () => {
      await log.append(stream, testFrames(0, 1));
      const appended = log.append(stream, testFrames(3, 2));
      assert.equal(log.head(stream).seq, 3);
      assert.equal(log.read(stream, 0, ALL).length, 1);
      assert.equal(log.hashAt(stream, 6), undefined);
      const first = log.append(testStream('eu-west'), testFrames(0, 1));
      assert.deepEqual(log.streams(), [stream]);
      assert.equal(log.head(testStream('eu-west')).seq, 0);
      await Promise.all([appended, first]);
      assert.equal(log.head(stream).seq, 9);
      assert.equal(log.read(stream, 0, ALL).length, 3);
      assert.deepEqual(log.streams().sort(), [testStream('eu-west'), stream]);
    });

    test('concurrent appends take effect in call order and resolve in it', async () => {
      const frames = testFrames(0, 100);
      const resolved: number[] = [];
      await Promise.all(
        frames.map((frame) =>
          log.append(stream, [frame]).then(() => {
            resolved.push(frame.to);
            assert.ok(log.head(stream).seq >= frame.to);
          }),
        ),
      );
      assert.deepEqual(
        resolved,
        frames.map(({ to }) => to),
      );
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(frames));
    });

    test('a frame that does not continue the stream is refused and leaves no trace (I5)', async () => {
      await log.append(stream, testFrames(0, 2));
      const onItsWay = log.append(stream, [testFrame(6, 9)]);
      const bad: LoggedFrame[][] = [
        [testFrame(6, 9)],
        [testFrame(10, 12)],
        [testFrame(0, 3)],
        [testFrame(9, 9)],
        [testFrame(9, 12), testFrame(13, 14)],
        [{ ...testFrame(9, 12), hash: Buffer.alloc(31) }],
        [{ ...testFrame(9, 12), to: 10.5 }],
      ];
      for (const frames of bad) await assert.rejects(async () => log.append(stream, frames), { code: 'INTERNAL' });
      await assert.rejects(async () => log.append(testStream('eu-west'), [testFrame(1, 2)]), { code: 'INTERNAL' });
      await onItsWay;
      await log.append(stream, [testFrame(9, 12)]);
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(testFrames(0, 4)));
      assert.deepEqual(log.streams(), [stream]);
    });

    test('reading begins after a position and ends at the limit, but never gives nothing', async () => {
      const frames = testFrames(0, 10, 3, 1000);
      await log.append(stream, frames);
      const ends = (afterSeq: number, maxBytes: number) => log.read(stream, afterSeq, maxBytes).map(({ to }) => to);
      assert.deepEqual(ends(0, 3000), [3, 6, 9]);
      assert.deepEqual(ends(0, 3999), [3, 6, 9]);
      assert.deepEqual(ends(6, 2000), [9, 12]);
      assert.deepEqual(ends(6, 1), [9]);
      assert.deepEqual(ends(6, 0), [9]);
      assert.deepEqual(ends(7, 1000), [9], 'a position inside a frame gives that frame');
      assert.deepEqual(ends(27, ALL), [30]);
      assert.deepEqual(ends(30, ALL), []);
      assert.deepEqual(ends(99, ALL), []);
    });

    test('the hash of a frame by its end', async () => {
      const frames = testFrames(0, 3);
      await log.append(stream, frames);
      for (const { to, hash } of frames) assert.ok(Buffer.from(log.hashAt(stream, to)!).equals(hash));
      assert.equal(log.hashAt(stream, 4), undefined);
      assert.equal(log.hashAt(stream, 10), undefined);
      assert.equal(log.hashAt(stream, 0), ZERO_HASH);
    });

    test('streams are apart', async () => {
      const streams = Array.from({ length: 12 }, (_, i) => testStream('us-east', i));
      await Promise.all(streams.map((key, i) => log.append(key, testFrames(0, i + 1, i + 1))));
      for (const [i, key] of streams.entries()) {
        assert.deepEqual(plain(log.read(key, 0, ALL)), plain(testFrames(0, i + 1, i + 1)));
      }
      assert.equal(log.streams().length, 12);
    });

    test('large frames', async () => {
      const frames = [testFrame(0, 1, 8_000_000), testFrame(1, 2, 33_000), testFrame(2, 3, 0)];
      await log.append(stream, frames);
      const read = log.read(stream, 0, ALL);
      for (const [i, frame] of frames.entries()) assert.ok(Buffer.from(read[i]!.bytes).equals(frame.bytes));
      assert.ok(log.bytes() >= 8_000_000);
    });

    test('all of it is there after a reopening, and the log goes on', async () => {
      await log.append(stream, testFrames(0, 5));
      await log.append(testStream('eu-west'), testFrames(0, 2));
      const last = log.append(stream, testFrames(15, 1));
      await log.close();
      await last;
      log = harness.open();
      assert.equal(log.head(stream).seq, 18);
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(testFrames(0, 6)));
      assert.deepEqual(log.streams().sort(), [testStream('eu-west'), stream]);
      await log.append(testStream('ap-south'), testFrames(0, 1));
      await log.append(stream, testFrames(18, 1));
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(testFrames(0, 7)));
      assert.deepEqual(plain(log.read(testStream('eu-west'), 0, ALL)), plain(testFrames(0, 2)));
      assert.deepEqual(plain(log.read(testStream('ap-south'), 0, ALL)), plain(testFrames(0, 1)));
    });

    test('truncation removes whole frames from the beginning, and keeps where the rest begins', async () => {
      const frames = testFrames(0, 200, 3, 50);
      await log.append(stream, frames);
      assert.deepEqual(log.start(stream), { seq: 0, hash: ZERO_HASH });
      assert.equal(log.size(stream), 200 * 50);
      const truncated = log.truncate(stream, 301);
      assert.deepEqual(log.read(stream, 0, ALL), [], 'from the call on');
      await truncated;
      assert.equal(log.start(stream).seq, 300, 'the frame (300, 303] is whole');
      assert.ok(Buffer.from(log.start(stream).hash).equals(frames[99]!.hash));
      assert.ok(Buffer.from(log.hashAt(stream, 300)!).equals(frames[99]!.hash));
      assert.equal(log.hashAt(stream, 297), undefined);
      assert.equal(log.hashAt(stream, 0), undefined);
      assert.equal(log.size(stream), 100 * 50);
      assert.equal(log.head(stream).seq, 600);
      assert.deepEqual(log.read(stream, 299, ALL), [], 'nothing from below the start');
      assert.deepEqual(plain(log.read(stream, 300, ALL)), plain(frames.slice(100)));
      await log.truncate(stream, 200);
      await log.truncate(testStream('eu-west'), 200);
      assert.equal(log.start(stream).seq, 300);
      await log.close();
      log = harness.open();
      assert.equal(log.start(stream).seq, 300);
      assert.equal(log.size(stream), 100 * 50);
      assert.deepEqual(plain(log.read(stream, 300, ALL)), plain(frames.slice(100)));
    });

    test('a stream truncated to its end keeps its position and goes on', async () => {
      const frames = testFrames(0, 5);
      await log.append(stream, frames);
      await log.truncate(stream, 99);
      assert.deepEqual(log.streams(), [stream]);
      assert.equal(log.start(stream).seq, 15);
      assert.equal(log.head(stream).seq, 15);
      assert.equal(log.size(stream), 0);
      await log.close();
      log = harness.open();
      assert.deepEqual(log.streams(), [stream]);
      assert.equal(log.head(stream).seq, 15);
      assert.ok(Buffer.from(log.head(stream).hash).equals(frames[4]!.hash));
      await log.append(stream, testFrames(15, 2));
      assert.deepEqual(plain(log.read(stream, 15, ALL)), plain(testFrames(15, 2)));
    });

    test('appends go on while frames are removed', async () => {
      await log.append(stream, testFrames(0, 300));
      const truncated = log.truncate(stream, 600);
      for (const frame of testFrames(900, 20)) await log.append(stream, [frame]);
      await truncated;
      assert.equal(log.start(stream).seq, 600);
      assert.deepEqual(plain(log.read(stream, 600, ALL)), plain(testFrames(600, 120)));
    });

    test('a reset forgets what was held and begins at a position', async () => {
      await log.append(stream, testFrames(0, 200));
      await log.append(testStream('eu-west'), testFrames(0, 2));
      const head = { seq: 5000, hash: sha256(Buffer.from('elsewhere')) };
      await log.reset(stream, head);
      await log.reset(testStream('ap-south'), { seq: 70, hash: head.hash });
      for (let round = 0; round < 2; round++) {
        assert.equal(log.start(stream).seq, 5000);
        assert.equal(log.head(stream).seq, 5000);
        assert.ok(Buffer.from(log.hashAt(stream, 5000)!).equals(head.hash));
        assert.equal(log.hashAt(stream, 600), undefined);
        assert.equal(log.size(stream), 0);
        assert.deepEqual(log.read(stream, 0, ALL), []);
        assert.deepEqual(log.streams().sort(), [testStream('ap-south'), testStream('eu-west'), stream]);
        assert.deepEqual(plain(log.read(testStream('eu-west'), 0, ALL)), plain(testFrames(0, 2)));
        await log.close();
        log = harness.open();
      }
      await assert.rejects(async () => log.append(stream, testFrames(600, 1)), { code: 'INTERNAL' });
      await log.append(stream, testFrames(5000, 3));
      await log.append(testStream('ap-south'), testFrames(70, 1));
      assert.deepEqual(plain(log.read(stream, 5000, ALL)), plain(testFrames(5000, 3)));
      assert.deepEqual(plain(log.read(testStream('ap-south'), 70, ALL)), plain(testFrames(70, 1)));
      // Backwards too: a stream whose end was wrong.
      await log.reset(stream, { seq: 0, hash: ZERO_HASH });
      await log.append(stream, testFrames(0, 1));
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain(testFrames(0, 1)));
    });

    test('a repaired frame takes the place of the one that was there', async () => {
      await log.append(stream, testFrames(0, 4));
      const bytes = Buffer.from('another copy');
      const good: LoggedFrame = { from: 9, to: 12, hash: sha256(bytes), bytes };
      await log.repair(stream, good);
      await assert.rejects(async () => log.repair(stream, { ...good, from: 8 }), { code: 'INTERNAL' });
      await assert.rejects(async () => log.repair(stream, { ...good, from: 12, to: 15 }), { code: 'INTERNAL' });
      await log.close();
      log = harness.open();
      assert.deepEqual(plain(log.read(stream, 0, ALL)), plain([...testFrames(0, 3), good]));
      assert.ok(Buffer.from(log.head(stream).hash).equals(good.hash));
    });

    test('what was read stays as it was when more is read', async () => {
      await log.append(stream, testFrames(0, 4));
      const [first] = log.read(stream, 0, 1);
      const hash = log.hashAt(stream, 6)!;
      log.read(stream, 3, ALL);
      log.hashAt(stream, 9);
      assert.deepEqual(plain([first!]), plain(testFrames(0, 1)));
      assert.ok(Buffer.from(hash).equals(testFrame(3, 6).hash));
    });
  });
}
