import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';
import { AntipodeError } from '#core/errors';
import { isErrno } from './data-file.ts';
import { diskFull } from './file-reserve.ts';

export type LmdbDatabase = Database<Buffer, Buffer>;
export type LmdbRoot = RootDatabase<Buffer, Buffer>;

/** Options of every table: keys and values are bytes and stay as they are. */
export const BINARY = { keyEncoding: 'binary', encoding: 'binary' } as const;

export const LMDB_TABLES_MAX = 16;

/** What the package has but does not declare. */
export interface LmdbInternals {
  readonly env: {
    info(): { readonly lastPageNumber: number };
    /** Frees the slots of readers that died, whose snapshots would keep pages from being used again. */
    readerCheck(): number;
  };
  readonly db: { stat(): { readonly entryCount: number } };
  resetReadTxn(): void;
  ensureReadTxn(): void;
  sync(callback: (error?: Error) => void): void;
}

export function internals(database: LmdbDatabase): LmdbInternals {
  return database as unknown as LmdbInternals;
}

export function dataFileOf(folder: string): string {
  return join(folder, 'data.mdb');
}

/** Room for about 250 reading processes and threads. */
const LOCK_FILE_BYTES = 16 * 1024;

/** LMDB maps its lock file and would create it without blocks: on a full disk the first touch kills the process. */
export function prepareLockFile(folder: string): void {
  const path = join(folder, 'lock.mdb');
  if (existsSync(path)) return;
  try {
    writeFileSync(path, Buffer.alloc(LOCK_FILE_BYTES), { flag: 'wx', flush: true });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    rmSync(path, { force: true });
    throw isErrno(error, 'ENOSPC', 'EDQUOT') ? diskFull(path, error) : error;
  }
}

/** Everything LMDB throws, as one class; the caller adds what it was doing. */
export function lmdbFailure(doing: string, cause: unknown): AntipodeError {
  if (cause instanceof AntipodeError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new AntipodeError('INTERNAL', `${doing}: ${message}`, { cause });
}
