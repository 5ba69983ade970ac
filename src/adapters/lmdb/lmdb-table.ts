import type { KvEntry, KvRange, KvTable } from '#adapters/kv/ordered-kv';
import { internals, type LmdbDatabase } from './lmdb-engine.ts';

/** A table of LMDB. `beforeRead` runs before every read: a reading process pins and drops its snapshot with it. */
export class LmdbTable implements KvTable {
  readonly name: string;
  readonly database: LmdbDatabase;
  readonly #beforeRead: (() => void) | undefined;

  constructor(name: string, database: LmdbDatabase, beforeRead?: () => void) {
    this.name = name;
    this.database = database;
    this.#beforeRead = beforeRead;
  }

  get(key: Buffer): Buffer | undefined {
    this.#beforeRead?.();
    const shared = this.database.getBinaryFast(key);
    // The package hands out one large buffer with a patched `length`, which native calls such as `equals` do not see.
    return shared === undefined ? undefined : shared.subarray(0, shared.length);
  }

  *entries(range: KvRange): Generator<KvEntry> {
    const { limit } = range;
    if (limit !== undefined && limit <= 0) return;
    this.#beforeRead?.();
    const options = { ...bounds(range), ...(limit === undefined ? {} : { limit }) };
    for (const { key, value } of this.database.getRange(options)) {
      yield [key, value.subarray(0, value.length)];
    }
  }

  count(): number {
    this.#beforeRead?.();
    const { db, ensureReadTxn } = internals(this.database);
    ensureReadTxn.call(this.database);
    return db.stat().entryCount;
  }
}

interface Bounds {
  readonly start?: Buffer;
  readonly end?: Buffer;
  readonly exclusiveStart?: boolean;
  readonly inclusiveEnd?: boolean;
  readonly reverse?: boolean;
}

const FIRST = Buffer.from([0]);

/** LMDB begins at `start` and goes on to `end`, so the two change places when it goes backwards. */
function bounds({ from, after, before, reverse }: KvRange): Bounds {
  const lower = after ?? from ?? FIRST;
  if (reverse === true) {
    const end = { reverse, end: lower.length === 0 ? FIRST : lower, inclusiveEnd: after === undefined };
    return before === undefined ? end : { ...end, start: before, exclusiveStart: true };
  }
  const start = { start: lower.length === 0 ? FIRST : lower, exclusiveStart: after !== undefined };
  return before === undefined ? start : { ...start, end: before };
}
