import type { ApplyBatch, ApplyOutcome, DecideRow, OnlineStore, RowWrite } from '#ports/online-store';
import { CHECKSUM_BYTES, CheckedTable, type OnDamage } from './checked-table.ts';
import { KvOnlineReader, ONLINE_STORE_TABLES } from './kv-online-reader.ts';
import type { KvSize, KvWriter, OrderedKv } from './ordered-kv.ts';
import { encodeSeq, SEQ_BYTES } from './seq-codec.ts';

/**
 * The online store on an ordered key-value engine. Rows lie under their storage key, checkpoints under the text of
 * their stream, records under their name, each value followed by its checksum.
 */
export class KvOnlineStore extends KvOnlineReader implements OnlineStore {
  readonly #kv: OrderedKv;
  readonly #rows: CheckedTable;
  readonly #checkpoints: CheckedTable;
  readonly #records: CheckedTable;
  /** While it runs, applying waits: a page written half way through would be on disk without the pages it points to. */
  #syncing: Promise<void> | undefined;

  constructor(kv: OrderedKv, onDamage?: OnDamage) {
    super(kv, onDamage);
    this.#kv = kv;
    this.#rows = new CheckedTable(kv.table('rows'), onDamage);
    this.#checkpoints = new CheckedTable(kv.table('checkpoints'), onDamage);
    this.#records = new CheckedTable(kv.table('records'), onDamage);
  }

  async apply(
    batch: ApplyBatch,
    merge: DecideRow,
    after?: () => ReadonlyMap<string, Buffer | null>,
  ): Promise<ApplyOutcome> {
    while (this.#syncing !== undefined) await this.#syncing;
    return this.#kv.transact(sizeOfBatch(batch), (writer) => {
      const outcome = this.#applyRows(writer, batch, merge);
      for (const { key, value } of batch.swept ?? []) {
        if (value === null) this.#rows.remove(writer, key);
        else this.#rows.put(writer, key, value);
      }
      for (const [stream, seq] of batch.checkpoints) {
        this.#checkpoints.put(writer, Buffer.from(stream), encodeSeq(seq));
      }
      this.#putRecords(writer, batch.records);
      if (after !== undefined) this.#putRecords(writer, after());
      return outcome;
    });
  }

  async wipe(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    this.#kv.clear(ONLINE_STORE_TABLES.map((name) => this.#kv.table(name)));
  }

  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    const done = this.#kv.sync();
    // Those who wait only wait; the failure is this caller's.
    this.#syncing = done
      .catch(() => {})
      .then(() => {
        this.#syncing = undefined;
      });
    await done;
  }

  rowCount(): number {
    return this.#rows.count();
  }

  bytes(): number {
    return this.#kv.bytes();
  }

  #putRecords(writer: KvWriter, records: ReadonlyMap<string, Buffer | null>): void {
    for (const [key, value] of records) {
      if (value === null) this.#records.remove(writer, Buffer.from(key));
      else this.#records.put(writer, Buffer.from(key), value);
    }
  }

  #applyRows(writer: KvWriter, batch: ApplyBatch, merge: DecideRow): ApplyOutcome {
    const rows = this.#rows;
    let written = 0;
    let superseded = 0;
    let repeated = 0;
    for (let index = 0; index < batch.rows.length; index++) {
      const row = batch.rows[index] as RowWrite;
      const stored = rows.get(row.key);
      if (stored === undefined) {
        rows.put(writer, row.key, row.value);
        written++;
        continue;
      }
      if (stored.equals(row.value)) {
        repeated++;
        continue;
      }
      const decision = merge(row.key, stored, row.value, index);
      if (decision === 'keep') superseded++;
      else {
        rows.put(writer, row.key, decision === 'replace' ? row.value : decision);
        written++;
      }
    }
    return { written, superseded, repeated };
  }
}

function sizeOfBatch(batch: ApplyBatch): KvSize {
  let bytes = 0;
  for (const row of batch.rows) bytes += row.key.length + row.value.length;
  for (const row of batch.swept ?? []) bytes += row.key.length + (row.value?.length ?? 0);
  for (const stream of batch.checkpoints.keys()) bytes += stream.length + SEQ_BYTES;
  for (const [key, value] of batch.records) bytes += key.length * 3 + (value === null ? 0 : value.length);
  const extra = batch.extra ?? { operations: 0, bytes: 0 };
  const rows = batch.rows.length + (batch.swept?.length ?? 0);
  const operations = rows + batch.checkpoints.size + batch.records.size + extra.operations;
  return { operations, bytes: bytes + extra.bytes + operations * CHECKSUM_BYTES };
}
