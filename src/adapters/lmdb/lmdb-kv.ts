import { mkdirSync } from 'node:fs';
import { open } from 'lmdb';
import {
  checkKey,
  type KvOperation,
  type KvSize,
  type KvTable,
  type KvWriter,
  type OrderedKv,
  sizeOf,
} from '#adapters/kv/ordered-kv';
import { AntipodeError, assert } from '#core/errors';
import { type DataFileFacts, inspectDataFile } from './data-file.ts';
import { diskFull, FileReserve } from './file-reserve.ts';
import {
  BINARY,
  dataFileOf,
  internals,
  LMDB_TABLES_MAX,
  type LmdbRoot,
  lmdbFailure,
  prepareLockFile,
} from './lmdb-engine.ts';
import { LmdbTable } from './lmdb-table.ts';
import { pagesOfTransaction, pagesOfWipe } from './page-bound.ts';

export interface LmdbKvOptions {
  /** Created when missing. The caller holds the lock of the data folder it lies in. */
  readonly folder: string;
  readonly tables: readonly string[];
  /**
   * `fsync`: for `write`; a commit is on disk before it is visible. `mapped`: for `transact` and `clear`; commits go to
   * the page cache through a writable map, five to ten times as fast.
   */
  readonly durability: 'fsync' | 'mapped';
  /** Largest size of the file. Address space only; `mapped` also makes a sparse file of this length. */
  readonly mapBytes: number;
  /** Space kept on disk beyond the last used page. */
  readonly reserveBytes: number;
}

interface QueuedWrite {
  readonly operations: readonly KvOperation[];
  resolve(): void;
  reject(error: AntipodeError): void;
}

/**
 * The ordered key-value engine on LMDB.
 *
 * Writes queue up while a commit runs on the package's own thread and go into the next one together, so that callers
 * share an fsync. One commit is in flight at a time: after a failed one nothing more is tried, because LMDB then holds
 * its write lock and later promises of the package would never settle.
 */
export class LmdbKv implements OrderedKv {
  readonly #options: LmdbKvOptions;
  readonly #root: LmdbRoot;
  readonly #pageBytes: number;
  readonly #reserve: FileReserve;
  readonly #tables = new Map<string, LmdbTable>();
  #usedPages: number;
  #queue: QueuedWrite[] = [];
  #queuedSize: KvSize = EMPTY;
  /** Pages that the running commit may touch above the used ones. */
  #runningPages = 0;
  #running: Promise<void> | undefined;
  #failure: AntipodeError | undefined;
  #closed = false;

  private constructor(options: LmdbKvOptions, root: LmdbRoot, facts: DataFileFacts) {
    this.#options = options;
    this.#root = root;
    this.#pageBytes = facts.pageBytes;
    this.#usedPages = facts.usedPages;
    this.#reserve = new FileReserve({
      path: dataFileOf(options.folder),
      reserveBytes: options.reserveBytes,
      usedBytes: facts.usedPages * facts.pageBytes,
    });
  }

  /** Throws FRAME_CORRUPT when the data file is not whole, DISK_FULL when there is no space to create it. */
  static open(options: LmdbKvOptions): LmdbKv {
    const path = dataFileOf(options.folder);
    mkdirSync(options.folder, { recursive: true });
    inspectDataFile(path);
    prepareLockFile(options.folder);
    let root: LmdbRoot;
    try {
      root = open<Buffer, Buffer>({
        path: options.folder,
        noSubdir: false,
        mapSize: options.mapBytes,
        maxDbs: LMDB_TABLES_MAX,
        overlappingSync: false,
        eventTurnBatching: false,
        noSync: options.durability === 'mapped',
        useWritemap: options.durability === 'mapped',
        ...BINARY,
      });
    } catch (error) {
      throw lmdbFailure(`opening ${options.folder}`, error);
    }
    const facts = inspectDataFile(path);
    assert(facts !== undefined, 'LMDB writes its meta pages when it opens');
    const kv = new LmdbKv(options, root, facts);
    try {
      kv.#openTables();
      return kv;
    } catch (error) {
      kv.#reserve.close();
      void root.close();
      throw error;
    }
  }

  table(name: string): KvTable {
    const table = this.#tables.get(name);
    assert(table !== undefined, `table ${name} was not opened`);
    return table;
  }

  write(operations: readonly KvOperation[]): Promise<void> {
    assert(this.#options.durability === 'fsync', 'only an fsynced engine takes writes');
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(new AntipodeError('INTERNAL', 'the log is closed'));
    for (const operation of operations) checkKey(operation.key);
    const size = sum(this.#queuedSize, sizeOf(operations));
    const pages = this.#runningPages + pagesOfTransaction(size, this.#space());
    // What frees space may use the reserve: otherwise a full disk would stay full.
    if (!frees(operations) || !this.#reserve.holds(this.bytes(), pages * this.#pageBytes)) this.#ensure(pages);
    this.#queuedSize = size;
    return new Promise((resolve, reject) => {
      this.#queue.push({ operations, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  transact<T>(size: KvSize, work: (writer: KvWriter) => T): T {
    this.#assertProjection();
    this.#ensure(pagesOfTransaction(size, this.#space()));
    const done: { result?: T; failed?: { readonly error: unknown } } = {};
    try {
      this.#root.transactionSync(() => {
        try {
          done.result = work(WRITER);
        } catch (error) {
          done.failed = { error };
          throw error;
        }
      });
    } catch (error) {
      if (done.failed !== undefined) throw done.failed.error;
      throw this.#fail('committing to', error);
    }
    this.#refresh();
    return done.result as T;
  }

  clear(tables: readonly KvTable[]): void {
    this.#assertProjection();
    const need = pagesOfWipe(this.#usedPages) * this.#pageBytes;
    const usedBytes = this.#usedPages * this.#pageBytes;
    if (!this.#reserve.holds(usedBytes, need)) this.#reserve.ensure(usedBytes, need);
    try {
      this.#root.transactionSync(() => {
        for (const table of tables) databaseOf(table).clearSync();
      });
    } catch (error) {
      throw this.#fail('emptying', error);
    }
    this.#refresh();
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      internals(this.#root).sync((error) => {
        if (error === undefined || error === null) resolve();
        else reject(lmdbFailure(`syncing ${this.#options.folder}`, error));
      });
    });
  }

  bytes(): number {
    return this.#usedPages * this.#pageBytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#running;
    await this.#root.close();
    this.#reserve.close();
  }

  #openTables(): void {
    const { tables } = this.#options;
    try {
      this.#ensure(pagesOfTransaction({ operations: tables.length, bytes: 0 }, this.#space()));
    } catch (error) {
      // Opening existing tables writes nothing. A region on a full disk must come up to be read.
      // Their names end in a zero byte.
      const there = new Set(Array.from(this.#root.getKeys({}), (key) => key.toString().replace(/\0+$/, '')));
      if (!tables.every((name) => there.has(name))) throw error;
    }
    for (const name of tables) {
      this.#tables.set(name, new LmdbTable(name, this.#root.openDB({ name, ...BINARY })));
    }
    this.#refresh();
  }

  async #run(): Promise<void> {
    // Calls of the same synchronous run join the first commit.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#queue;
      this.#queue = [];
      this.#runningPages = pagesOfTransaction(this.#queuedSize, this.#space());
      this.#queuedSize = EMPTY;
      try {
        await this.#commit(group);
      } catch (error) {
        const failure = this.#fail('writing', await commitCause(error));
        for (const { reject } of [...group, ...this.#queue]) reject(failure);
        this.#queue = [];
        break;
      }
      this.#refresh();
      this.#runningPages = 0;
      for (const { resolve } of group) resolve();
    }
    this.#running = undefined;
  }

  async #commit(group: readonly QueuedWrite[]): Promise<void> {
    await this.#root.batch(() => {
      for (const { operations } of group) {
        for (const operation of operations) {
          const database = databaseOf(operation.table);
          if (operation.kind === 'put') void database.put(operation.key, operation.value as Buffer);
          else void database.remove(operation.key);
        }
      }
    });
  }

  #assertProjection(): void {
    assert(this.#options.durability === 'mapped', 'only a mapped engine takes transactions');
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) throw new AntipodeError('INTERNAL', 'the store is closed');
  }

  /** After a commit that failed, LMDB refuses to begin another, which the package does not notice until it crashes. */
  #fail(doing: string, cause: unknown): AntipodeError {
    this.#failure = lmdbFailure(`${doing} ${this.#options.folder}`, cause);
    return this.#failure;
  }

  #ensure(pages: number): void {
    const usedBytes = this.#usedPages * this.#pageBytes;
    const needBytes = pages * this.#pageBytes;
    if (usedBytes + needBytes > this.#options.mapBytes) {
      throw diskFull(this.#options.folder, `the file may not grow beyond ${this.#options.mapBytes} bytes`);
    }
    if (!this.#reserve.grows(usedBytes, needBytes)) return;
    // The file grows: perhaps only because a reader that was killed holds on to old pages.
    internals(this.#root).env.readerCheck();
    this.#reserve.ensure(usedBytes, needBytes);
  }

  #refresh(): void {
    this.#usedPages = internals(this.#root).env.info().lastPageNumber + 1;
  }

  #space(): { readonly usedPages: number; readonly pageBytes: number } {
    return { usedPages: this.#usedPages, pageBytes: this.#pageBytes };
  }
}

/** At most one small put among the removals: the position up to which something is gone. */
function frees(operations: readonly KvOperation[]): boolean {
  const puts = operations.filter((operation) => operation.kind === 'put');
  return puts.length <= 1 && puts.length < operations.length && sizeOf(puts).bytes <= FREEING_PUT_BYTES_MAX;
}

const FREEING_PUT_BYTES_MAX = 1024;

const EMPTY: KvSize = { operations: 0, bytes: 0 };

function sum(a: KvSize, b: KvSize): KvSize {
  return { operations: a.operations + b.operations, bytes: a.bytes + b.bytes };
}

const WRITER: KvWriter = {
  put(table, key, value) {
    checkKey(key);
    const database = databaseOf(table);
    try {
      void database.put(key, value as Buffer);
    } catch (error) {
      throw lmdbFailure(`writing to table ${table.name}`, error);
    }
  },
  remove(table, key) {
    checkKey(key);
    const database = databaseOf(table);
    try {
      void database.remove(key);
    } catch (error) {
      throw lmdbFailure(`removing from table ${table.name}`, error);
    }
  },
};

function databaseOf(table: KvTable): LmdbTable['database'] {
  assert(table instanceof LmdbTable, `table ${table.name} belongs to another engine`);
  return table.database;
}

/** The package rejects with a general error and gives the reason through a second promise. */
async function commitCause(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}
