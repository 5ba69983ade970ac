import { checkKey, type KvOperation } from '#adapters/kv/ordered-kv';
import { AntipodeError, assert } from '#core/errors';
import { MemoryTable } from './memory-table.ts';

export interface MemoryDiskOptions {
  /**
   * Called when a sync begins; calling `commit` ends it: what was written before it began is durable then. Later calls
   * of `commit` do nothing. Default: in the next microtask.
   */
  readonly scheduleDurable?: ((commit: () => void) => void) | undefined;
}

/** What a disk held at some time. */
export interface DiskImage {
  readonly tables: ReadonlyMap<string, MemoryTable>;
}

/** The values are copies: the buffers of a write are the caller's again when it resolves. */
interface CopiedOperation {
  readonly table: string;
  readonly key: string;
  /** Undefined removes. */
  readonly value: Buffer | undefined;
}

interface PendingWrite {
  readonly operations: readonly CopiedOperation[];
  resolve(): void;
  reject(error: AntipodeError): void;
}

/**
 * What outlives a process in memory: the tables of one environment, and the writes that no sync has made durable yet. A
 * `MemoryKv` is one process's use of it; after `crash` the old one is dead and a new one is opened on the same disk.
 *
 * Faults are set by whoever holds the disk and happen exactly when they are asked for, so a simulation repeats.
 */
export class MemoryDisk {
  /** While true, writes and transactions are refused with DISK_FULL. */
  full = false;
  readonly #scheduleDurable: (commit: () => void) => void;
  readonly #tables = new Map<string, MemoryTable>();
  readonly #synced = new Map<string, MemoryTable>();
  /** In order; the first `#syncingWrites` of them belong to the sync that is under way. */
  #pending: PendingWrite[] = [];
  #syncingWrites = 0;
  /** Number of the current process; raised by a crash. */
  #process = 0;
  #failing: { readonly keepWrites: number } | undefined;
  #failure: AntipodeError | undefined;

  constructor(options: MemoryDiskOptions = {}) {
    this.#scheduleDurable = options.scheduleDurable ?? queueMicrotask;
  }

  get process(): number {
    return this.#process;
  }

  table(name: string): MemoryTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new MemoryTable(name);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** Writes that no sync has made durable yet. */
  get pendingWrites(): number {
    return this.#pending.length;
  }

  bytes(): number {
    let bytes = 0;
    for (const table of this.#tables.values()) bytes += table.bytes();
    return bytes;
  }

  /** Queues a write for the next sync. */
  write(operations: readonly KvOperation[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const copies = operations.map((operation) => {
      checkKey(operation.key);
      const value = operation.kind === 'put' ? Buffer.from(operation.value) : undefined;
      return { table: operation.table.name, key: operation.key.toString('latin1'), value };
    });
    return new Promise((resolve, reject) => {
      this.#pending.push({ operations: copies, resolve, reject });
      if (this.#pending.length === 1) this.#beginSync();
    });
  }

  /** Makes what is readable now survive `dropUnsynced`. */
  sync(): void {
    this.#synced.clear();
    for (const [name, table] of this.#tables) {
      const copy = new MemoryTable(name);
      copy.restore(table);
      this.#synced.set(name, copy);
    }
  }

  /**
   * The process dies. Of the writes no caller was told about, the first `keepWrites` are on disk all the same; their
   * promises never settle. What transactions wrote is kept: it lies in the page cache.
   */
  crash(options: { readonly keepWrites?: number } = {}): void {
    for (const { operations } of this.#pending.slice(0, options.keepWrites ?? 0)) this.#put(operations);
    this.#pending = [];
    this.#syncingWrites = 0;
    this.#process++;
    this.#failing = undefined;
    this.#failure = undefined;
  }

  /** The machine dies: a crash, after which transactions since the last `sync` are gone. Use it on projections. */
  dropUnsynced(): void {
    this.crash();
    for (const [name, table] of this.#tables) {
      const synced = this.#synced.get(name);
      if (synced === undefined) table.clear();
      else table.restore(synced);
    }
  }

  /** Whether anything readable now would not survive `dropUnsynced`. */
  get unsynced(): boolean {
    for (const _ of this.#unsyncedKeys()) return true;
    return false;
  }

  /** The machine dies: of what was written since the last `sync`, key by key what `keeps` answers true for had been written back. */
  dropUnsyncedUnless(keeps: () => boolean): void {
    this.crash();
    for (const { table, key, synced } of [...this.#unsyncedKeys()]) if (!keeps()) table.set(key, synced);
  }

  /** What is readable now, as a copy that outlives every fault of this disk. */
  image(): DiskImage {
    const tables = new Map<string, MemoryTable>();
    for (const [name, table] of this.#tables) {
      const copy = new MemoryTable(name);
      copy.restore(table);
      tables.set(name, copy);
    }
    return { tables };
  }

  /** After a crash another disk stands in the machine: one that holds an image, or nothing. */
  replace(image: DiskImage | undefined): void {
    this.crash();
    for (const [name, table] of this.#tables) {
      const held = image?.tables.get(name);
      if (held === undefined) table.clear();
      else table.restore(held);
    }
    this.#synced.clear();
  }

  /** The sync under way, or else the next one, fails: all waiting writes reject, and of them the first `keepWrites` are on disk. */
  failNextSync(options: { readonly keepWrites?: number } = {}): void {
    this.#failing = { keepWrites: options.keepWrites ?? 0 };
  }

  *#unsyncedKeys(): Generator<{ table: MemoryTable; key: string; synced: Buffer | undefined }> {
    for (const [name, table] of this.#tables) {
      const before = this.#synced.get(name) ?? new MemoryTable(name);
      for (const [key, value] of table.entries({})) {
        const synced = before.get(key);
        if (synced?.equals(value) !== true)
          yield { table, key: key.toString('latin1'), synced: synced && Buffer.from(synced) };
      }
      for (const [key, value] of before.entries({}))
        if (table.get(key) === undefined) yield { table, key: key.toString('latin1'), synced: value };
    }
  }

  #beginSync(): void {
    const process = this.#process;
    // Writes of the same synchronous run go into one sync, as in a real group commit.
    queueMicrotask(() => {
      if (process !== this.#process || this.#pending.length === 0) return;
      this.#syncingWrites = this.#pending.length;
      let ended = false;
      this.#scheduleDurable(() => {
        if (ended || process !== this.#process) return;
        ended = true;
        this.#endSync();
      });
    });
  }

  #endSync(): void {
    if (this.#failing !== undefined) {
      this.#fail(this.#failing.keepWrites);
      return;
    }
    assert(this.#syncingWrites > 0, 'a sync that ends has begun');
    const durable = this.#pending.splice(0, this.#syncingWrites);
    this.#syncingWrites = 0;
    for (const { operations } of durable) this.#put(operations);
    for (const { resolve } of durable) resolve();
    if (this.#pending.length > 0) this.#beginSync();
  }

  #fail(keepWrites: number): void {
    const failure = new AntipodeError('INTERNAL', 'writing the log: the sync failed');
    this.#failure = failure;
    this.#failing = undefined;
    const waiting = this.#pending;
    this.#pending = [];
    this.#syncingWrites = 0;
    for (const { operations } of waiting.slice(0, keepWrites)) this.#put(operations);
    for (const { reject } of waiting) reject(failure);
  }

  #put(operations: readonly CopiedOperation[]): void {
    for (const { table, key, value } of operations) this.table(table).set(key, value);
  }
}
