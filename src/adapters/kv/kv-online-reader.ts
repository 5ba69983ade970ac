import type { StreamKey } from '#core/model/stream';
import type { OnlineReader } from '#ports/online-store';
import { CheckedTable, type KnownValue, type OnDamage } from './checked-table.ts';
import { type OrderedKvReader, prefixEnd } from './ordered-kv.ts';
import { decodeSeq } from './seq-codec.ts';

/** Tables an online store needs its engine to have. */
export const ONLINE_STORE_TABLES = ['rows', 'checkpoints', 'records'] as const;

/** The reading side of the online store on an ordered key-value engine. A value that is damaged throws STORE_CORRUPT. */
export class KvOnlineReader implements OnlineReader {
  readonly #kv: OrderedKvReader;
  readonly #rows: CheckedTable;
  readonly #checkpoints: CheckedTable;
  readonly #records: CheckedTable;
  /** The record that was read last: a serving process reads the same one before every answer. */
  #last: { readonly name: string; readonly key: Buffer; known: KnownValue | undefined } | undefined;

  constructor(kv: OrderedKvReader, onDamage?: OnDamage) {
    this.#kv = kv;
    this.#rows = new CheckedTable(kv.table('rows'), onDamage);
    this.#checkpoints = new CheckedTable(kv.table('checkpoints'), onDamage);
    this.#records = new CheckedTable(kv.table('records'), onDamage);
  }

  row(key: Buffer): Buffer | undefined {
    return this.#rows.get(key);
  }

  record(key: string): Buffer | undefined {
    if (this.#last?.name !== key) this.#last = { name: key, key: Buffer.from(key), known: undefined };
    this.#last.known = this.#records.copy(this.#last.key, this.#last.known);
    return this.#last.known?.value;
  }

  records(
    prefix: string,
    page: { readonly after?: string | undefined; readonly limit?: number } = {},
  ): (readonly [string, Buffer])[] {
    const from = Buffer.from(prefix);
    const before = prefixEnd(from);
    const limit = page.limit ?? Number.MAX_SAFE_INTEGER;
    const entries = this.#records.entries(
      page.after === undefined ? { from, before, limit } : { after: Buffer.from(page.after), before, limit },
    );
    return Array.from(entries, ([key, value]) => [key.toString(), value] as const);
  }

  scan(prefix: Buffer, after: Buffer | undefined, limit: number): (readonly [Buffer, Buffer])[] {
    const before = prefixEnd(prefix);
    const range =
      after === undefined || after.compare(prefix) < 0 ? { from: prefix, before, limit } : { after, before, limit };
    return Array.from(this.#rows.entries(range));
  }

  checkpoint(stream: StreamKey): number {
    const value = this.#checkpoints.get(Buffer.from(stream));
    return value === undefined ? 0 : decodeSeq(value);
  }

  checkpoints(): Map<StreamKey, number> {
    const checkpoints = new Map<StreamKey, number>();
    for (const [key, value] of this.#checkpoints.entries({})) checkpoints.set(key.toString(), decodeSeq(value));
    return checkpoints;
  }

  close(): Promise<void> {
    return this.#kv.close();
  }
}
