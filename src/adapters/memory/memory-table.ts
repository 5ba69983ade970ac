import type { KvEntry, KvRange, KvTable } from '#adapters/kv/ordered-kv';
import { SortedKeys } from './sorted-keys.ts';

/** As in LMDB, every `get` of the process hands out this buffer, so that a caller that keeps one fails here too. */
let shared = Buffer.alloc(4096);

/** A table in memory. */
export class MemoryTable implements KvTable {
  readonly name: string;
  readonly #values = new Map<string, Buffer>();
  readonly #keys = new SortedKeys();
  #bytes = 0;

  constructor(name: string) {
    this.name = name;
  }

  get(key: Buffer): Buffer | undefined {
    const value = this.#values.get(key.toString('latin1'));
    if (value === undefined) return undefined;
    if (value.length > shared.length) shared = Buffer.alloc(value.length * 2);
    value.copy(shared);
    return shared.subarray(0, value.length);
  }

  *entries({ from, after, before, reverse, limit = Number.POSITIVE_INFINITY }: KvRange): Generator<KvEntry> {
    // No key lies between a key and the same with a zero byte added.
    const lower = after === undefined ? (from?.toString('latin1') ?? '') : `${after.toString('latin1')}\0`;
    const upper = before?.toString('latin1');
    let count = 0;
    for (const key of reverse === true ? this.#keys.descending(upper) : this.#keys.ascending(lower)) {
      if (count++ >= limit) return;
      if (reverse === true ? key < lower : upper !== undefined && key >= upper) return;
      yield [Buffer.from(key, 'latin1'), Buffer.from(this.#values.get(key) as Buffer)];
    }
  }

  count(): number {
    return this.#values.size;
  }

  /** Bytes of keys and values. */
  bytes(): number {
    return this.#bytes;
  }

  /** Sets or, with undefined, removes a value. Returns what was there; gives it to `set` again to undo. */
  set(key: string, value: Buffer | undefined): Buffer | undefined {
    const previous = this.#values.get(key);
    if (value === undefined) {
      if (previous === undefined) return undefined;
      this.#values.delete(key);
      this.#keys.remove(key);
      this.#bytes -= key.length + previous.length;
      return previous;
    }
    this.#values.set(key, value);
    this.#bytes += value.length - (previous?.length ?? 0);
    if (previous === undefined) {
      this.#keys.insert(key);
      this.#bytes += key.length;
    }
    return previous;
  }

  clear(): void {
    this.#values.clear();
    this.#keys.clear();
    this.#bytes = 0;
  }

  /** Takes over what the other table holds. */
  restore(from: MemoryTable): void {
    this.clear();
    for (const [key, value] of from.#values) this.set(key, value);
  }
}
