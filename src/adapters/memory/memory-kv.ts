import {
  checkKey,
  type KvOperation,
  type KvSize,
  type KvTable,
  type KvWriter,
  type OrderedKv,
} from '#adapters/kv/ordered-kv';
import { AntipodeError, assert } from '#core/errors';
import type { MemoryDisk } from './memory-disk.ts';
import { MemoryTable } from './memory-table.ts';

/** The ordered key-value engine in memory: one process's use of a `MemoryDisk`. */
export class MemoryKv implements OrderedKv {
  readonly #disk: MemoryDisk;
  readonly #process: number;
  readonly #writes = new Set<Promise<void>>();
  #closed = false;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
    this.#process = disk.process;
  }

  table(name: string): KvTable {
    return this.#disk.table(name);
  }

  write(operations: readonly KvOperation[]): Promise<void> {
    const dead = this.#whyDead();
    if (dead !== undefined) return Promise.reject(dead);
    if (this.#disk.full) throw diskFull();
    const written = this.#disk.write(operations);
    const settled = written
      .catch(() => {})
      .finally(() => {
        this.#writes.delete(settled);
      });
    this.#writes.add(settled);
    return written;
  }

  transact<T>(_size: KvSize, work: (writer: KvWriter) => T): T {
    this.#assertAlive();
    if (this.#disk.full) throw diskFull();
    const undo: { readonly table: MemoryTable; readonly key: string; readonly previous: Buffer | undefined }[] = [];
    const set = (table: KvTable, key: Buffer, value: Buffer | undefined): void => {
      checkKey(key);
      assert(table instanceof MemoryTable, `table ${table.name} belongs to another engine`);
      const text = key.toString('latin1');
      undo.push({ table, key: text, previous: table.set(text, value) });
    };
    try {
      return work({
        put: (table, key, value) => set(table, key, Buffer.from(value)),
        remove: (table, key) => set(table, key, undefined),
      });
    } catch (error) {
      for (const { table, key, previous } of undo.reverse()) table.set(key, previous);
      throw error;
    }
  }

  clear(tables: readonly KvTable[]): void {
    this.#assertAlive();
    for (const table of tables) this.#disk.table(table.name).clear();
  }

  async sync(): Promise<void> {
    this.#assertAlive();
    this.#disk.sync();
  }

  bytes(): number {
    return this.#disk.bytes();
  }

  /** Waits for writes on their way, unless the process died. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#process === this.#disk.process) await Promise.all(this.#writes);
  }

  #assertAlive(): void {
    const dead = this.#whyDead();
    if (dead !== undefined) throw dead;
  }

  #whyDead(): AntipodeError | undefined {
    if (this.#process !== this.#disk.process) return new AntipodeError('INTERNAL', 'the process has crashed');
    return this.#closed ? new AntipodeError('INTERNAL', 'the engine is closed') : undefined;
  }
}

function diskFull(): AntipodeError {
  return new AntipodeError('DISK_FULL', 'the disk is too full to keep its reserve');
}
