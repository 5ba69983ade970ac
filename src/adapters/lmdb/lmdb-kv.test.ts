import assert from 'node:assert/strict';
import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { changeLogContract, plain, testFrames, testStream } from '#adapters/contracts/change-log.contract';
import { journalContract } from '#adapters/contracts/journal.contract';
import { onlineStoreContract } from '#adapters/contracts/online-store.contract';
import { orderedKvContract } from '#adapters/contracts/ordered-kv.contract';
import { snapshotsContract } from '#adapters/contracts/snapshots.contract';
import { CHANGE_LOG_TABLES, KvChangeLog } from '#adapters/kv/kv-change-log';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import { ONLINE_STORE_TABLES } from '#adapters/kv/kv-online-reader';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { KvSnapshots, SNAPSHOT_TABLES } from '#adapters/kv/kv-snapshots';
import { LmdbKv } from './lmdb-kv.ts';
import { SMALL, temporaryFolder } from './testing/temporary-folder.ts';

const openLog = (folder: string): LmdbKv =>
  LmdbKv.open({
    folder,
    tables: [...CHANGE_LOG_TABLES, ...JOURNAL_TABLES, ...SNAPSHOT_TABLES],
    durability: 'fsync',
    ...SMALL,
  });
const openStore = (folder: string): LmdbKv =>
  LmdbKv.open({ folder, tables: ONLINE_STORE_TABLES, durability: 'mapped', ...SMALL });

orderedKvContract('LMDB', () => {
  const folder = temporaryFolder();
  return {
    open: (use) =>
      LmdbKv.open({
        folder: folder.path,
        tables: ['a', 'b'],
        durability: use === 'log' ? 'fsync' : 'mapped',
        ...SMALL,
      }),
    dispose: folder.remove,
  };
});
changeLogContract('LMDB', () => {
  const folder = temporaryFolder();
  return { open: () => new KvChangeLog(openLog(folder.path)), dispose: folder.remove };
});
journalContract('LMDB', () => {
  const folder = temporaryFolder();
  return {
    open: () => {
      const kv = openLog(folder.path);
      return { journal: new KvJournal(kv), close: () => kv.close() };
    },
    dispose: folder.remove,
  };
});
snapshotsContract('LMDB', () => {
  const folder = temporaryFolder();
  return {
    open: () => {
      const kv = openLog(folder.path);
      return { snapshots: new KvSnapshots(kv), close: () => kv.close() };
    },
    dispose: folder.remove,
  };
});
onlineStoreContract('LMDB', () => {
  const folder = temporaryFolder();
  return { open: () => new KvOnlineStore(openStore(folder.path)), dispose: folder.remove };
});

suite('LMDB data file', () => {
  const stream = testStream('us-east');

  /** A closed log with some frames; `damage` gets the path of its data file. */
  async function damaged(damage: (dataFile: string) => void): Promise<unknown> {
    const folder = temporaryFolder();
    try {
      const log = new KvChangeLog(openLog(folder.path));
      await log.append(stream, testFrames(0, 50, 3, 20_000));
      await log.close();
      damage(join(folder.path, 'data.mdb'));
      const kv = openLog(folder.path);
      const frames = new KvChangeLog(kv).read(stream, 0, Number.POSITIVE_INFINITY);
      await kv.close();
      return plain(frames);
    } finally {
      folder.remove();
    }
  }

  const overwrite = (file: string, position: number, bytes: Buffer): void => {
    const descriptor = openSync(file, 'r+');
    writeSync(descriptor, bytes, 0, bytes.length, position);
    closeSync(descriptor);
  };

  test('one that was cut within the used pages is refused, whatever the length', async () => {
    for (const length of [1, 100, 4096, 5000, 8192, 100_000, 900_000]) {
      await assert.rejects(
        damaged((file) => truncateSync(file, length)),
        { code: 'FRAME_CORRUPT' },
        `${length} bytes`,
      );
    }
  });

  test('one that was cut within its reserve is whole', async () => {
    assert.deepEqual(await damaged((file) => truncateSync(file, 2_000_000)), plain(testFrames(0, 50, 3, 20_000)));
  });

  test('one with other bytes where its meta pages were is refused', async () => {
    const zeros = Buffer.alloc(4096);
    for (const damage of [
      (file: string) => overwrite(file, 0, zeros),
      (file: string) => overwrite(file, 4096, zeros),
      (file: string) => overwrite(file, 24 + 24, Buffer.from([1, 2, 3, 4])),
      (file: string) => writeFileSync(file, 'not a database '.repeat(1000)),
    ]) {
      await assert.rejects(damaged(damage), { code: 'FRAME_CORRUPT' });
    }
  });

  test('one that was emptied begins anew, which the incarnation check has to notice', async () => {
    assert.deepEqual(await damaged((file) => truncateSync(file, 0)), []);
  });
});
