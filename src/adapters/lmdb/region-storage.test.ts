import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testFrame, testFrames, testStream } from '#adapters/contracts/change-log.contract';
import { greatest, testBatch } from '#adapters/contracts/online-store.contract';
import { sha256 } from '#core/hash';
import { FolderLock } from './folder-lock.ts';
import { openOnlineReader, openRegionStorage, type RegionStorage } from './region-storage.ts';
import { Child } from './testing/child.ts';
import { flipBitIn } from './testing/flip-bit.ts';
import { MIB, temporaryFolder } from './testing/temporary-folder.ts';

const ALL = Number.POSITIVE_INFINITY;
const stream = testStream('us-east');

function openStorage(folder: string, bootId = 'boot-1'): RegionStorage {
  return openRegionStorage({
    folder,
    bootId,
    storeMapBytes: 1024 * MIB,
    storeReserveBytes: 8 * MIB,
    logReserveBytes: 4 * MIB,
  });
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  try {
    await work(folder.path);
  } finally {
    folder.remove();
  }
}

suite('region storage', () => {
  test('one writer a folder, and a killed one is no hindrance', () =>
    inFolder(async (folder) => {
      const child = new Child('hold-lock', folder);
      assert.equal(await child.next(), 'holding');
      assert.throws(() => openStorage(folder), { code: 'DATA_IN_USE' });
      await child.end('SIGKILL');
      const storage = openStorage(folder);
      assert.throws(() => openStorage(folder), { code: 'DATA_IN_USE' }, 'within one process too');
      const other = new Child('hold-lock', folder);
      assert.equal(await other.next(), 'DATA_IN_USE');
      await other.end();
      await storage.close();
      const lock = FolderLock.acquire(folder);
      lock.release();
    }));

  test('log, journal and store are there after close and open', () =>
    inFolder(async (folder) => {
      let storage = openStorage(folder);
      assert.equal(storage.storeDiscarded, undefined);
      await storage.changeLog.append(stream, testFrames(0, 3));
      await storage.journal.write([{ kind: 'put', key: 'k', value: Buffer.from('v') }]);
      await storage.onlineStore.apply(testBatch({ rows: [['r', '1']], checkpoints: { [stream]: 9 } }), greatest);
      await storage.close();
      storage = openStorage(folder, 'boot-2');
      assert.equal(storage.storeDiscarded, undefined, 'closed cleanly: another boot does not matter');
      assert.equal(storage.changeLog.head(stream).seq, 9);
      assert.equal(storage.onlineStore.checkpoint(stream), 9);
      assert.equal(Buffer.from(storage.journal.get('k')!).toString(), 'v');
      await storage.close();
    }));

  test('a store that was open when the machine died is removed before LMDB sees it (P12.2)', () =>
    inFolder(async (folder) => {
      const child = new Child('write-until-killed', folder);
      while ((await child.next()) === 'ready');
      await child.end();
      let storage = openStorage(folder, 'boot-2');
      assert.equal(storage.storeDiscarded, 'machine-death');
      assert.equal(storage.onlineStore.rowCount(), 0);
      assert.equal(storage.onlineStore.checkpoints().size, 0);
      assert.ok(storage.changeLog.streams().length > 0, 'the log is durable');
      await storage.onlineStore.apply(testBatch({ rows: [['r', '1']] }), greatest);
      await storage.close();
      storage = openStorage(folder, 'boot-3');
      assert.equal(storage.onlineStore.rowCount(), 1);
      await storage.close();
    }));

  test('a damaged store is replaced, a damaged log is not', () =>
    inFolder(async (folder) => {
      let storage = openStorage(folder);
      await storage.changeLog.append(stream, testFrames(0, 3));
      await storage.onlineStore.apply(testBatch({ rows: [['r', '1']] }), greatest);
      await storage.close();
      truncateSync(join(folder, 'store', 'data.mdb'), 9000);
      storage = openStorage(folder);
      assert.equal(storage.storeDiscarded, 'damaged');
      assert.equal(storage.onlineStore.rowCount(), 0);
      await storage.close();
      truncateSync(join(folder, 'log', 'data.mdb'), 9000);
      for (let attempt = 0; attempt < 2; attempt++) {
        assert.throws(() => openStorage(folder), { code: 'FRAME_CORRUPT' });
      }
    }));

  test('a bit that flipped in a value is found, nobody gets the value, and the next start throws the store away', () =>
    inFolder(async (folder) => {
      const note = 'a note that is long enough to be found in a file';
      const damages: string[] = [];
      const open = (): RegionStorage =>
        openRegionStorage({ folder, bootId: 'boot-1', onStoreDamaged: ({ code }) => damages.push(code) });
      let storage = open();
      await storage.onlineStore.apply(
        testBatch({
          rows: [
            ['r', note],
            ['s', '1'],
          ],
        }),
        greatest,
      );
      await storage.close();
      assert.ok(flipBitIn(join(folder, 'store', 'data.mdb'), Buffer.from(note)) > 0);
      storage = open();
      const [key, other] = testBatch({
        rows: [
          ['r', note],
          ['s', '1'],
        ],
      }).rows.map((row) => row.key) as [Buffer, Buffer];
      assert.ok(storage.onlineStore.row(other) !== undefined, 'the others are as they were');
      assert.deepEqual(damages, []);
      assert.throws(() => storage.onlineStore.row(key), { code: 'STORE_CORRUPT' });
      assert.deepEqual(damages, ['STORE_CORRUPT']);
      assert.throws(() => storage.onlineStore.scan(Buffer.alloc(0), undefined, 10), { code: 'STORE_CORRUPT' });
      await assert.rejects(storage.onlineStore.apply(testBatch({ rows: [['r', 'z']] }), greatest), {
        code: 'STORE_CORRUPT',
      });
      const told: string[] = [];
      const reader = openOnlineReader(folder, ({ table, key: found }) => told.push(`${table} ${found.toString()}`));
      assert.throws(() => reader.row(key), { code: 'STORE_CORRUPT' });
      assert.deepEqual(told, [`rows ${key.toString()}`]);
      await reader.close();
      await storage.close();
      storage = open();
      assert.equal(storage.storeDiscarded, 'damaged');
      assert.equal(storage.onlineStore.rowCount(), 0);
      await storage.close();
    }));

  test('a writer killed at any moment loses no acknowledged append and leaves a store that agrees with itself (I1, P5.2)', () =>
    inFolder(async (folder) => {
      const acknowledged = new Map<string, number>();
      const journalled = new Map<number, number>();
      for (let round = 0; round < 5; round++) {
        const child = new Child('write-until-killed', folder);
        assert.equal(await child.next(), 'ready');
        const told = [];
        while (told.length < 20) told.push(await child.next());
        await sleep(round * 17);
        await child.end('SIGKILL');
        for (const message of [...told, ...child.drain()] as { stream: string; end: number; laneIndex: number }[]) {
          acknowledged.set(message.stream, message.end);
          journalled.set(message.laneIndex, message.end);
        }
        const storage = openStorage(folder);
        assert.equal(storage.storeDiscarded, undefined, 'the same boot: the page cache has it all');
        for (const [key, end] of acknowledged) {
          const head = storage.changeLog.head(key);
          assert.ok(head.seq >= end, `round ${round}: ${key} ends at ${head.seq}, acknowledged ${end}`);
          let next = 0;
          for (const frame of storage.changeLog.read(key, 0, ALL)) {
            assert.equal(frame.from, next);
            next = frame.to;
            assert.deepEqual(sha256(frame.bytes), Buffer.from(frame.hash));
            assert.ok(Buffer.from(frame.bytes).equals(testFrame(frame.from, frame.to, frame.bytes.length).bytes));
          }
          assert.equal(next, head.seq);
          assertConsistent(storage, key);
        }
        for (const [lane, end] of journalled) {
          const entry = storage.journal.get(`end/${lane}`);
          assert.ok(entry !== undefined && Number(Buffer.from(entry).toString()) >= end);
        }
        await storage.close();
      }
      assert.equal(acknowledged.size, 2);
    }));
});

/** Checkpoint, record and rows of a stream came in the same transactions. */
function assertConsistent(storage: RegionStorage, key: string): void {
  const { onlineStore, changeLog } = storage;
  const checkpoint = onlineStore.checkpoint(key);
  assert.ok(checkpoint <= changeLog.head(key).seq, 'the store is never ahead of the log');
  if (checkpoint === 0) return;
  assert.equal(onlineStore.record(`last/${key}`)?.toString(), String(checkpoint));
  const values = onlineStore
    .scan(Buffer.from(`${key}/`), undefined, 10_000)
    .map(([, value]) => Number(value.toString()));
  assert.equal(Math.max(...values), checkpoint);
  assert.ok(values.filter((value) => value === checkpoint).length === 40, 'the last batch is there in full');
}

suite('a commit that fails', { skip: process.platform === 'linux' ? false : 'needs /proc' }, () => {
  test('rejects all that waits and all that comes, and shows nothing of it (P3.2)', () =>
    inFolder(async (folder) => {
      const child = new Child('fail-commit', folder);
      assert.deepEqual(await child.next(), {
        together: ['INTERNAL', 'INTERNAL', 'INTERNAL'],
        later: 'INTERNAL',
        head: 30,
        readable: 10,
      });
      await child.end();
      const storage = openStorage(folder);
      assert.equal(storage.changeLog.head(stream).seq, 30);
      await storage.close();
    }));
});

suite('serving processes', () => {
  test('a reader before there is a store is told to wait', () =>
    inFolder(async (folder) => {
      assert.throws(() => openOnlineReader(folder), { code: 'REBUILDING' });
      mkdirSync(join(folder, 'store'));
      assert.throws(() => openOnlineReader(folder), { code: 'REBUILDING' });
    }));

  test('a request that comes after a commit sees it, and a wipe', () =>
    inFolder(async (folder) => {
      const storage = openStorage(folder);
      const child = new Child('serve-rows', folder);
      assert.equal(await child.next(), 'ready');
      assert.equal(await child.ask('k'), 'none');
      for (let i = 0; i < 200; i++) {
        await storage.onlineStore.apply(testBatch({ rows: [['k', String(i).padStart(4, '0')]] }), greatest);
        assert.equal(await child.ask('k'), String(i).padStart(4, '0'));
      }
      await storage.onlineStore.wipe();
      assert.equal(await child.ask('k'), 'none');
      await storage.onlineStore.apply(testBatch({ rows: [['k', 'after']] }), greatest);
      assert.equal(await child.ask('k'), 'after');
      await storage.close();
      assert.equal(await child.ask('k'), 'after', 'a reader outlives the writer');
      const again = openStorage(folder);
      await again.onlineStore.apply(testBatch({ rows: [['k', 'next']] }), greatest);
      assert.equal(await child.ask('k'), 'next');
      await child.end();
      await again.close();
    }));

  test('a synchronous run of reads sees whole batches only', () =>
    inFolder(async (folder) => {
      const storage = openStorage(folder);
      await storage.onlineStore.apply(
        testBatch({
          rows: [
            ['pair/first', ''],
            ['pair/second', ''],
          ],
        }),
        greatest,
      );
      const child = new Child('watch-pair', folder);
      assert.equal(await child.next(), 'ready');
      for (let i = 1; i <= 1500; i++) {
        const value = String(i).padStart(6, '0');
        const filler = Array.from({ length: 50 }, (_, n) => [`filler/${(i * 31 + n) % 5000}`, value] as const);
        await storage.onlineStore.apply(
          testBatch({ rows: [['pair/first', value], ...filler, ['pair/second', value]] }),
          greatest,
        );
        if (i % 50 === 0) await sleep(1);
      }
      const counts = (await child.ask('stop')) as { reads: number; changes: number; torn: number };
      assert.equal(counts.torn, 0);
      assert.ok(counts.changes > 20, `saw ${counts.changes} changes in ${counts.reads} reads`);
      await child.end();
      await storage.close();
    }));

  test('readers that are killed do not make the store grow', () =>
    inFolder(async (folder) => {
      const storage = openStorage(folder);
      const apply = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          const rows = Array.from({ length: 300 }, (_, n) => [`k${n * 7}`, `${i}`.padStart(500, '0')] as const);
          await storage.onlineStore.apply(testBatch({ rows }), () => 'replace');
        }
      };
      await apply(20);
      const readers = Array.from({ length: 3 }, () => new Child('watch-pair', folder));
      for (const reader of readers) assert.equal(await reader.next(), 'ready');
      await apply(20);
      for (const reader of readers) await reader.end('SIGKILL');
      await apply(400);
      assert.ok(storage.onlineStore.bytes() < 40 * MIB, `${storage.onlineStore.bytes()} bytes for 150 KB of rows`);
      await storage.close();
    }));
});

const canMount = process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/bin/mount');

suite('full disk (P3.2, P12.2)', { skip: canMount ? false : 'mounting a small disk needs root on Linux' }, () => {
  async function onSmallDisk(bytes: number, work: (folder: string) => Promise<void>): Promise<void> {
    await inFolder(async (folder) => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
      try {
        await work(folder);
      } finally {
        execFileSync('umount', ['-l', folder]);
      }
    });
  }

  for (const first of ['store', 'log']) {
    test(`the ${first} meets it: refused with DISK_FULL, the process lives, all that was there is readable`, (context) =>
      onSmallDisk(48 * MIB, async (folder) => {
        const child = new Child('fill-disk', folder, first);
        const ended = (await child.next()) as Record<string, unknown> | undefined;
        if (ended === undefined) {
          const { exitCode, signalCode } = child.process;
          if (signalCode === null && exitCode !== 0) context.diagnostic(`the child exited with ${exitCode}`);
          assert.fail(`the process died: ${signalCode ?? exitCode}`);
        }
        const store = ended['store'] as { done: number; code: string };
        assert.equal(store.code, 'DISK_FULL');
        assert.equal(ended['again'], 'DISK_FULL');
        assert.equal(ended['checkpoint'], store.done);
        assert.equal(ended['rows'], store.done * 300);
        assert.equal(ended['scanned'], store.done * 300);
        assert.equal(ended['framesHeld'], true);
        assert.equal(ended['wiped'], 0);
        if (first === 'store') assert.ok(store.done > 10);
        else assert.equal((ended['log'] as { code: string }).code, 'DISK_FULL');
        await child.end();

        const storage = openStorage(folder);
        assert.ok(storage.changeLog.head(stream).seq >= 10, 'a region on a full disk comes up');
        await storage.close();
      }));
  }

  test('a new folder on a full disk', () =>
    onSmallDisk(6 * MIB, async (folder) => {
      assert.throws(() => openStorage(folder), { code: 'DISK_FULL' });
      assert.throws(() => openStorage(folder), { code: 'DISK_FULL' });
    }));

  test('writing goes on when there is space again', () =>
    onSmallDisk(40 * MIB, async (folder) => {
      const storage = openStorage(folder);
      const ballast = join(folder, 'ballast');
      execFileSync('sh', ['-c', `head -c 100M /dev/zero > ${ballast} 2>/dev/null || true`]);
      let done = 0;
      const apply = (): Promise<unknown> =>
        storage.onlineStore.apply(
          testBatch({ rows: Array.from({ length: 300 }, (_, i) => [`k${done * 300 + i}`, 'x'.repeat(500)] as const) }),
          greatest,
        );
      await assert.rejects(
        (async () => {
          for (; ; done++) await apply();
        })(),
        { code: 'DISK_FULL' },
      );
      await assert.rejects(
        (async () => {
          for (;;) {
            const { seq } = storage.changeLog.head(stream);
            await storage.changeLog.append(stream, [testFrame(seq, seq + 1, 30_000)]);
          }
        })(),
        { code: 'DISK_FULL' },
      );
      execFileSync('rm', [ballast]);
      await apply();
      const { seq } = storage.changeLog.head(stream);
      await storage.changeLog.append(stream, [testFrame(seq, seq + 1)]);
      assert.equal(storage.onlineStore.rowCount(), (done + 1) * 300);
      await storage.close();
    }));
});
