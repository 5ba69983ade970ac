import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { changeLogContract, testFrames, testStream } from '#adapters/contracts/change-log.contract';
import { journalContract } from '#adapters/contracts/journal.contract';
import { greatest, onlineStoreContract, testBatch } from '#adapters/contracts/online-store.contract';
import { orderedKvContract } from '#adapters/contracts/ordered-kv.contract';
import { snapshotsContract } from '#adapters/contracts/snapshots.contract';
import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { KvJournal } from '#adapters/kv/kv-journal';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { KvSnapshots } from '#adapters/kv/kv-snapshots';
import { MemoryDisk } from './memory-disk.ts';
import { MemoryKv } from './memory-kv.ts';
import { SortedKeys } from './sorted-keys.ts';

const dispose = (): void => {};

orderedKvContract('memory', () => {
  const disk = new MemoryDisk();
  return { open: () => new MemoryKv(disk), dispose };
});
changeLogContract('memory', () => {
  const disk = new MemoryDisk();
  return { open: () => new KvChangeLog(new MemoryKv(disk)), dispose };
});
journalContract('memory', () => {
  const disk = new MemoryDisk();
  return {
    open: () => {
      const kv = new MemoryKv(disk);
      return { journal: new KvJournal(kv), close: () => kv.close() };
    },
    dispose,
  };
});
snapshotsContract('memory', () => {
  const disk = new MemoryDisk();
  return {
    open: () => {
      const kv = new MemoryKv(disk);
      return { snapshots: new KvSnapshots(kv), close: () => kv.close() };
    },
    dispose,
  };
});
onlineStoreContract('memory', () => {
  const disk = new MemoryDisk();
  return { open: () => new KvOnlineStore(new MemoryKv(disk)), dispose };
});

const ALL = Number.POSITIVE_INFINITY;
const stream = testStream('us-east');

suite('change log on a disk that fails', () => {
  /** Flips a bit of the frame at `index`, in key order over all streams. */
  function flip(disk: MemoryDisk, index: number): void {
    const table = disk.table('frames');
    const [key, value] = [...table.entries({})][index]!;
    value[value.length - 1]! ^= 4;
    table.set(key.toString('latin1'), value);
  }

  test('a damaged frame is never given, and a good copy takes its place', async () => {
    const disk = new MemoryDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    const frames = testFrames(0, 6);
    await log.append(stream, frames);
    flip(disk, 3);
    assert.equal(log.read(stream, 0, ALL).length, 3);
    assert.throws(() => log.read(stream, 9, ALL), { code: 'FRAME_CORRUPT' });
    assert.equal(log.endAfter(stream, 9), 12);
    assert.equal(log.endAfter(stream, 18), undefined);
    assert.equal(log.read(stream, 12, ALL).length, 2);
    await log.repair(stream, frames[3]!);
    assert.equal(log.read(stream, 0, ALL).length, 6);
  });

  test('a log is truncated to the end of a whole frame', async () => {
    const disk = new MemoryDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    const frames = testFrames(0, 6);
    await log.append(stream, frames);
    flip(disk, 3);
    await log.truncate(stream, 12);
    assert.equal(log.start(stream).seq, 9);
    await log.truncate(stream, 15);
    assert.equal(log.start(stream).seq, 15);
    assert.ok(Buffer.from(log.start(stream).hash).equals(frames[4]!.hash));
  });

  test('a stream that ends in damaged frames ends before them', async () => {
    const disk = new MemoryDisk();
    await new KvChangeLog(new MemoryKv(disk)).append(stream, testFrames(0, 6));
    flip(disk, 4);
    flip(disk, 5);
    const log = new KvChangeLog(new MemoryKv(disk));
    assert.equal(log.head(stream).seq, 12);
    await log.append(stream, testFrames(12, 1, 2));
    assert.deepEqual(
      log.read(stream, 0, ALL).map(({ to }) => to),
      [3, 6, 9, 12, 14],
    );
  });

  test('what a reset left behind is removed by the next start', async () => {
    const disk = new MemoryDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    await log.append(stream, testFrames(0, 200));
    void log.reset(stream, { seq: 900, hash: Buffer.alloc(32, 1) });
    disk.crash({ keepWrites: 1 });
    assert.equal(disk.table('frames').count(), 200);
    const next = new KvChangeLog(new MemoryKv(disk));
    await next.append(stream, testFrames(900, 2));
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    assert.equal(disk.table('frames').count(), 2);
    assert.equal(next.read(stream, 900, ALL).length, 2);
  });
});
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A disk whose syncs end when the test says so. */
function manualDisk(): { readonly disk: MemoryDisk; readonly commits: (() => void)[] } {
  const commits: (() => void)[] = [];
  return { disk: new MemoryDisk({ scheduleDurable: (commit) => commits.push(commit) }), commits };
}

suite('memory disk', () => {
  test('a write is durable when the sync that began after it ends', async () => {
    const { disk, commits } = manualDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    const first = log.append(stream, testFrames(0, 1));
    await settle();
    const second = log.append(stream, testFrames(3, 1));
    await settle();
    assert.equal(commits.length, 1);
    assert.equal(log.head(stream).seq, 0);
    commits[0]!();
    await first;
    assert.equal(log.head(stream).seq, 3, 'the second came after that sync had begun');
    await settle();
    assert.equal(commits.length, 2);
    commits[0]!();
    await settle();
    assert.equal(log.head(stream).seq, 3, 'an ended sync does not end again');
    commits[1]!();
    await second;
    assert.equal(log.head(stream).seq, 6);
    assert.equal(disk.pendingWrites, 0);
  });

  for (const keepWrites of [0, 1, 2]) {
    test(`a crash keeps ${keepWrites} of the unacknowledged writes`, async () => {
      const { disk, commits } = manualDisk();
      const before = new KvChangeLog(new MemoryKv(disk));
      let settled = false;
      for (const from of [0, 3]) {
        void before.append(stream, testFrames(from, 1)).finally(() => {
          settled = true;
        });
      }
      await settle();
      disk.crash({ keepWrites });
      commits[0]!();
      await settle();
      assert.equal(settled, false, 'nobody is left to be told');
      await assert.rejects(async () => before.append(stream, testFrames(6, 1)), { message: /crashed/ });

      const after = new KvChangeLog(new MemoryKv(disk));
      assert.equal(after.head(stream).seq, keepWrites * 3);
      assert.equal(after.read(stream, 0, ALL).length, keepWrites);
      const appended = after.append(stream, testFrames(keepWrites * 3, 1));
      await settle();
      commits.at(-1)!();
      await appended;
      assert.equal(after.head(stream).seq, keepWrites * 3 + 3);
    });
  }

  test('a failed sync rejects all that waits and all that comes, until the process is gone', async () => {
    const { disk, commits } = manualDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    const first = log.append(stream, testFrames(0, 1));
    await settle();
    const second = log.append(stream, testFrames(3, 1));
    disk.failNextSync({ keepWrites: 1 });
    commits[0]!();
    await assert.rejects(first, { code: 'INTERNAL' });
    await assert.rejects(second, { code: 'INTERNAL' });
    await assert.rejects(async () => log.append(stream, testFrames(6, 1)), { code: 'INTERNAL' });
    assert.equal(log.head(stream).seq, 0);
    disk.crash();
    assert.equal(new KvChangeLog(new MemoryKv(disk)).head(stream).seq, 3);
  });

  test('a full disk refuses before anything is taken, and works again when there is space', async () => {
    const disk = new MemoryDisk();
    const kv = new MemoryKv(disk);
    const log = new KvChangeLog(kv);
    const store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
    await log.append(stream, testFrames(0, 1));
    disk.full = true;
    await assert.rejects(async () => log.append(stream, testFrames(3, 1)), { code: 'DISK_FULL' });
    await assert.rejects(async () => new KvJournal(kv).write([{ kind: 'delete', key: 'k' }]), { code: 'DISK_FULL' });
    disk.full = false;
    await log.append(stream, testFrames(3, 1));
    assert.equal(log.head(stream).seq, 6);
    await store.close();
  });

  test('the store keeps what was applied when the process dies, and what was synced when the machine dies', async () => {
    const disk = new MemoryDisk();
    const before = new KvOnlineStore(new MemoryKv(disk));
    await before.apply(testBatch({ rows: [['a', '1']], checkpoints: { s: 1 } }), greatest);
    await before.sync();
    await before.apply(
      testBatch({
        rows: [
          ['a', '2'],
          ['b', '1'],
        ],
        checkpoints: { s: 2 },
      }),
      greatest,
    );
    disk.crash();
    await assert.rejects(before.apply(testBatch({}), greatest), { message: /crashed/ });
    const after = new KvOnlineStore(new MemoryKv(disk));
    assert.equal(after.checkpoint('s'), 2);
    assert.equal(after.rowCount(), 2);
    disk.dropUnsynced();
    const rebuilt = new KvOnlineStore(new MemoryKv(disk));
    assert.equal(rebuilt.checkpoint('s'), 1);
    assert.equal(rebuilt.rowCount(), 1);
    assert.equal(rebuilt.row(Buffer.from('a'))?.toString(), '1');
  });

  test('of what was not synced any part survives the machine; what was synced all does', async () => {
    const disk = new MemoryDisk();
    const kv = new MemoryKv(disk);
    const table = kv.table('rows');
    const put = (...keys: string[]): void => {
      for (const key of keys)
        kv.transact({ operations: 1, bytes: 10 }, (writer) => writer.put(table, Buffer.from(key), Buffer.from('x')));
    };
    put('a', 'b');
    await kv.sync();
    assert.equal(disk.unsynced, false);
    put('c', 'd');
    assert.equal(disk.unsynced, true);
    let asked = 0;
    disk.dropUnsyncedUnless(() => asked++ > 0);
    const held = [...disk.table('rows').entries({})].map(([key]) => key.toString());
    assert.deepEqual(held, ['a', 'b', 'd']);
    assert.equal(asked, 2);
  });

  test('an older copy of a disk comes back as it was, and no disk holds nothing', async () => {
    const disk = new MemoryDisk();
    const log = new KvChangeLog(new MemoryKv(disk));
    await log.append(stream, testFrames(0, 1));
    const image = disk.image();
    await log.append(stream, testFrames(3, 1));
    disk.replace(image);
    assert.equal(new KvChangeLog(new MemoryKv(disk)).head(stream).seq, 3);
    disk.replace(undefined);
    assert.deepEqual(new KvChangeLog(new MemoryKv(disk)).streams(), []);
  });

  test('a buffer kept over the next read shows other bytes, as in LMDB', async () => {
    const store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
    await store.apply(
      testBatch({
        rows: [
          ['a', '1'],
          ['b', '2'],
        ],
      }),
      greatest,
    );
    const kept = store.row(Buffer.from('a'))!;
    store.row(Buffer.from('b'));
    assert.equal(kept.toString(), '2');
  });
});

suite('sorted keys', () => {
  test('in order after many insertions and removals at either end', () => {
    const keys = new SortedKeys();
    const all = Array.from({ length: 5000 }, (_, i) => String((i * 7919) % 5000).padStart(4, '0'));
    for (const key of all) keys.insert(key);
    const sorted = [...all].sort();
    assert.deepEqual([...keys.ascending('')], sorted);
    assert.deepEqual([...keys.descending(undefined)], [...sorted].reverse());
    for (const key of all) if (Number(key) % 10 !== 0) keys.remove(key);
    const left = sorted.filter((key) => Number(key) % 10 === 0);
    assert.deepEqual([...keys.ascending('0011')], left.slice(2));
    assert.deepEqual([...keys.descending('0020')], ['0010', '0000']);
    for (const key of left) keys.remove(key);
    assert.deepEqual([...keys.ascending('')], []);
    assert.deepEqual([...keys.descending(undefined)], []);
    keys.insert('x');
    assert.deepEqual([...keys.descending('y')], ['x']);
  });
});
