import { assert } from '#core/errors';
import type { Journal, JournalOperation } from '#ports/journal';
import { type KvOperation, type KvTable, type OrderedKv, prefixEnd } from './ordered-kv.ts';

/** Tables a `KvJournal` needs its engine to have. */
export const JOURNAL_TABLES = ['journal'] as const;

const KEY = /^[\x20-\x7e]{1,500}$/;

/** The journal on an ordered key-value engine; share the change log's, and both share one fsync. */
export class KvJournal implements Journal {
  readonly #kv: OrderedKv;
  readonly #table: KvTable;

  constructor(kv: OrderedKv) {
    this.#kv = kv;
    this.#table = kv.table('journal');
  }

  get(key: string): Uint8Array | undefined {
    const value = this.#table.get(encodeKey(key));
    return value === undefined ? undefined : Buffer.from(value);
  }

  list(
    prefix: string,
    options: { readonly after?: string; readonly limit?: number; readonly reverse?: boolean } = {},
  ): (readonly [string, Uint8Array])[] {
    const start = Buffer.from(prefix, 'latin1');
    const end = prefixEnd(start);
    const { reverse, limit } = options;
    const after = options.after === undefined ? undefined : Buffer.from(options.after, 'latin1');
    const entries = this.#table.entries(
      reverse === true
        ? { from: start, before: earlier(after, end), reverse, limit }
        : after !== undefined && after.compare(start) >= 0
          ? { after, before: end, limit }
          : { from: start, before: end, limit },
    );
    return Array.from(entries, ([key, value]) => [key.toString('latin1'), value] as const);
  }

  write(operations: readonly JournalOperation[]): Promise<void> {
    if (operations.length === 0) return Promise.resolve();
    return this.#kv.write(operations.map((operation) => this.#encode(operation)));
  }

  #encode(operation: JournalOperation): KvOperation {
    const table = this.#table;
    const key = encodeKey(operation.key);
    return operation.kind === 'put'
      ? { kind: 'put', table, key, value: operation.value }
      : { kind: 'remove', table, key };
  }
}

function encodeKey(key: string): Buffer {
  assert(KEY.test(key), `journal key ${JSON.stringify(key)} is not 1 to 500 printable ASCII characters`);
  return Buffer.from(key, 'latin1');
}

function earlier(a: Buffer | undefined, b: Buffer | undefined): Buffer | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.compare(b) < 0 ? a : b;
}
