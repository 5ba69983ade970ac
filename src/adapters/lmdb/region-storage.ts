import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OnDamage } from '#adapters/kv/checked-table';
import { CHANGE_LOG_TABLES, KvChangeLog } from '#adapters/kv/kv-change-log';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import { KvOnlineReader, ONLINE_STORE_TABLES } from '#adapters/kv/kv-online-reader';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { KvSnapshots, SNAPSHOT_TABLES } from '#adapters/kv/kv-snapshots';
import { AntipodeError } from '#core/errors';
import type { ChangeLog } from '#ports/change-log';
import type { Journal } from '#ports/journal';
import type { OnlineReader, OnlineStore } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import { isErrno } from './data-file.ts';
import { FolderLock } from './folder-lock.ts';
import { LmdbKv } from './lmdb-kv.ts';
import { LmdbKvReader } from './lmdb-kv-reader.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

export interface RegionStorageOptions {
  /** Data folder of the region; created when missing. */
  readonly folder: string;
  /** Identity of this boot of the machine (`Host.bootId`). */
  readonly bootId: string;
  /** Largest size of the online store, bytes. Default 64 GiB; sparse. */
  readonly storeMapBytes?: number | undefined;
  /** Largest size of the log, bytes. Default 1 TiB of address space. */
  readonly logMapBytes?: number | undefined;
  /** Space kept on disk beyond the last used page of the store. Default 64 MiB. */
  readonly storeReserveBytes?: number | undefined;
  /** The same for the log. Default 32 MiB. */
  readonly logReserveBytes?: number | undefined;
  /** Told when a value of the store is not what was written, after the next start was told to throw the store away. */
  readonly onStoreDamaged?: ((error: AntipodeError) => void) | undefined;
}

/** Why the store of an earlier run was thrown away: it is rebuilt from the logs. */
export type StoreDiscarded = 'machine-death' | 'damaged';

/** All that one region keeps on one machine. */
export interface RegionStorage {
  readonly changeLog: ChangeLog;
  readonly journal: Journal;
  readonly onlineStore: OnlineStore;
  readonly snapshots: Snapshots;
  readonly storeDiscarded: StoreDiscarded | undefined;
  /** Syncs the store and marks it clean, closes everything, gives the folder free. */
  close(): Promise<void>;
}

/**
 * Opens the two environments of a region as the only writer of its folder: `log/`, where a commit is an fsync, and
 * `store/`, a mapped projection. Throws DATA_IN_USE, FRAME_CORRUPT (the log is damaged), DISK_FULL.
 *
 * A store that was open when the machine died may have any mixture of old and new pages. LMDB would follow its pointers
 * into nowhere, even to empty it, so it is removed before LMDB sees it. `store.mark` holds what is needed to know.
 */
export function openRegionStorage(options: RegionStorageOptions): RegionStorage {
  const lock = FolderLock.acquire(options.folder);
  const opened: { close(): Promise<void> }[] = [];
  try {
    const log = LmdbKv.open({
      folder: join(options.folder, 'log'),
      tables: [...CHANGE_LOG_TABLES, ...JOURNAL_TABLES, ...SNAPSHOT_TABLES],
      durability: 'fsync',
      mapBytes: options.logMapBytes ?? 1024 * GIB,
      reserveBytes: options.logReserveBytes ?? 32 * MIB,
    });
    opened.push(log);
    syncFolder(join(options.folder, 'log'));
    const { store, storeDiscarded } = openStore(options);
    opened.push(store);
    let damaged = false;
    const onlineStore = new KvOnlineStore(store, ({ error }) => {
      damaged = true;
      writeMark(options.folder, { bootId: options.bootId, state: 'damaged' });
      options.onStoreDamaged?.(error);
    });
    const changeLog = new KvChangeLog(log);
    return {
      changeLog,
      journal: new KvJournal(log),
      onlineStore,
      snapshots: new KvSnapshots(log),
      storeDiscarded,
      close: async () => {
        try {
          await onlineStore.sync();
          await onlineStore.close();
          if (!damaged) writeMark(options.folder, { bootId: options.bootId, state: 'clean' });
        } finally {
          await changeLog.close();
          lock.release();
        }
      },
    };
  } catch (error) {
    for (const kv of opened) void kv.close();
    lock.release();
    throw error;
  }
}

/**
 * Read side of a region's online store for a serving process. Throws REBUILDING until the region has created it. A value
 * that is not what was written throws STORE_CORRUPT, after `onDamage` was told.
 */
export function openOnlineReader(folder: string, onDamage?: OnDamage): OnlineReader {
  const kv = LmdbKvReader.open({ folder: join(folder, 'store'), tables: ONLINE_STORE_TABLES });
  return new KvOnlineReader(kv, onDamage);
}

function openStore(options: RegionStorageOptions): {
  readonly store: LmdbKv;
  readonly storeDiscarded: StoreDiscarded | undefined;
} {
  const folder = join(options.folder, 'store');
  const open = (): LmdbKv =>
    LmdbKv.open({
      folder,
      tables: ONLINE_STORE_TABLES,
      durability: 'mapped',
      mapBytes: options.storeMapBytes ?? 64 * GIB,
      reserveBytes: options.storeReserveBytes ?? 64 * MIB,
    });
  const mark = readMark(options.folder);
  const damaged = mark?.state === 'damaged';
  const trusted = !existsSync(folder) || (!damaged && (mark?.state === 'clean' || mark?.bootId === options.bootId));
  if (!trusted) rmSync(folder, { recursive: true, force: true });
  // Before the first write, or a death of the machine during it would go unnoticed.
  writeMark(options.folder, { bootId: options.bootId, state: 'open' });
  try {
    return { store: open(), storeDiscarded: trusted ? undefined : damaged ? 'damaged' : 'machine-death' };
  } catch (error) {
    if (!(error instanceof AntipodeError && error.code === 'FRAME_CORRUPT')) throw error;
    rmSync(folder, { recursive: true, force: true });
    return { store: open(), storeDiscarded: 'damaged' };
  }
}

interface StoreMark {
  readonly bootId: string;
  /**
   * `clean`: the store was synced and closed, and survives whatever comes. `open`: it survives the process, not the machine.
   * `damaged`: a value in it is not what was written.
   */
  readonly state: 'clean' | 'open' | 'damaged';
}

/** Text form `open 4f1c…`, `clean 4f1c…` or `damaged 4f1c…`; undefined when there is none, as on a full disk: then no boot is known. */
function readMark(folder: string): StoreMark | undefined {
  const path = markPath(folder);
  if (!existsSync(path)) return undefined;
  const [state, bootId] = readFileSync(path, 'utf8').trim().split(' ');
  return { bootId: bootId ?? '', state: state === 'clean' || state === 'damaged' ? state : 'open' };
}

/** On a full disk the old mark is removed instead, which needs no space and errs on the safe side. */
function writeMark(folder: string, mark: StoreMark): void {
  const path = markPath(folder);
  const next = `${path}.new`;
  try {
    writeFileSync(next, `${mark.state} ${mark.bootId}\n`, { flush: true });
    renameSync(next, path);
  } catch (error) {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
    rmSync(next, { force: true });
    rmSync(path, { force: true });
  }
  syncFolder(folder);
}

function markPath(folder: string): string {
  return join(folder, 'store.mark');
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
