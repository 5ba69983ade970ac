import { open } from 'lmdb';
import type { KvTable, OrderedKvReader } from '#adapters/kv/ordered-kv';
import { AntipodeError, assert } from '#core/errors';
import { inspectDataFile } from './data-file.ts';
import { BINARY, dataFileOf, internals, LMDB_TABLES_MAX, type LmdbRoot, lmdbFailure } from './lmdb-engine.ts';
import { LmdbTable } from './lmdb-table.ts';

/**
 * Reads an LMDB folder that another process writes. All reads of one synchronous run see one snapshot; the next run sees
 * every commit that returned before it began. (The package alone keeps a snapshot for a whole turn of the event loop,
 * so that a request could miss a write acknowledged before it arrived.)
 */
export class LmdbKvReader implements OrderedKvReader {
  readonly #root: LmdbRoot;
  readonly #tables = new Map<string, LmdbTable>();
  #pinned = false;

  private constructor(root: LmdbRoot, tables: readonly string[]) {
    this.#root = root;
    const pin = (): void => this.#pin();
    for (const name of tables) {
      const database = root.openDB({ name, ...BINARY });
      if (database === undefined) throw notYet(name);
      this.#tables.set(name, new LmdbTable(name, database, pin));
    }
  }

  /** Throws REBUILDING while the writing process has not created the tables yet. */
  static open(options: { readonly folder: string; readonly tables: readonly string[] }): LmdbKvReader {
    const facts = inspectDataFile(dataFileOf(options.folder));
    if (facts === undefined) throw notYet(options.folder);
    let root: LmdbRoot;
    try {
      root = open<Buffer, Buffer>({
        path: options.folder,
        readOnly: true,
        noSubdir: false,
        mapSize: facts.mapBytes,
        maxDbs: LMDB_TABLES_MAX,
        ...BINARY,
      });
    } catch (error) {
      throw lmdbFailure(`opening ${options.folder} for reading`, error);
    }
    try {
      return new LmdbKvReader(root, options.tables);
    } catch (error) {
      void root.close();
      throw error;
    }
  }

  table(name: string): KvTable {
    const table = this.#tables.get(name);
    assert(table !== undefined, `table ${name} was not opened`);
    return table;
  }

  close(): Promise<void> {
    return this.#root.close();
  }

  #pin(): void {
    if (this.#pinned) return;
    this.#pinned = true;
    queueMicrotask(() => {
      this.#pinned = false;
      internals(this.#root).resetReadTxn();
    });
  }
}

function notYet(what: string): AntipodeError {
  return new AntipodeError('REBUILDING', `the region has not created its online store yet (${what})`);
}
