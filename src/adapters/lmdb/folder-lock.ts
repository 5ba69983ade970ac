import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AntipodeError } from '#core/errors';

const SQLITE_BUSY = 5;

/**
 * Exclusive right to write a data folder. Two writers would give the same seqs to different changes.
 *
 * It is a lock of the kernel on an empty file, taken through SQLite because Node has no call for it: it is gone with
 * the process however that ends, and it holds between containers, where a file with a process id would not.
 */
export class FolderLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Throws DATA_IN_USE when another process, or another part of this one, holds it. Creates the folder. */
  static acquire(folder: string): FolderLock {
    mkdirSync(folder, { recursive: true });
    const database = new DatabaseSync(join(folder, 'writer.lock'));
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE');
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
      throw new AntipodeError('DATA_IN_USE', 'another process writes this data folder', { where: folder });
    }
    return new FolderLock(database);
  }

  release(): void {
    this.#database.close();
  }
}
