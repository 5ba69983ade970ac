import type { ViewCodec } from '#core/codec/view-codec';
import { afterCut, decodeCut } from '#core/merge/expiry';
import type { OnlineStore, SweptRow } from '#ports/online-store';
import { decodeJsonRecord, encodeJsonRecord } from '#region/apply/records';

const PREFIX = 'expiry/';
/** Rows looked at in one step: bounds the time that nothing else is applied. */
const SWEEP_ROWS = 500;

interface CutRecord {
  readonly cutUs: number;
  /** The cut of which the store is certainly rid of everything older. */
  readonly sweptUs: number;
}

/** Name of a view version's record. */
export function expiryKey(version: string): string {
  return PREFIX + version;
}

/** The later of two cuts, for a store that rows of another one came to: nothing is known to be swept. */
export function mergeExpiry(stored: Buffer | undefined, incoming: Buffer): Buffer {
  const ours = stored === undefined ? undefined : decodeJsonRecord<CutRecord>(stored);
  const cutUs = Math.max(ours?.cutUs ?? Number.MIN_SAFE_INTEGER, decodeJsonRecord<CutRecord>(incoming).cutUs);
  return encodeJsonRecord({ cutUs, sweptUs: Number.MIN_SAFE_INTEGER });
}

/**
 * The expiry cuts of the view versions of one store. A cut binds from the moment its frame is applied: what is older is not
 * written any more. What was written before is removed in pieces, between the steps of the applier, whose part this is.
 */
export class ExpiryCuts {
  readonly #store: OnlineStore;
  #cuts = new Map<string, CutRecord>();
  /** Cuts of the batch that is being made; undefined between batches. */
  #raised = new Map<string, CutRecord>();
  /** Row key after which the sweep of a view version goes on. */
  readonly #sweptTo = new Map<string, Buffer>();
  #rowsExpired = 0;

  constructor(store: OnlineStore) {
    this.#store = store;
    this.reload();
  }

  /** Rows removed, and changes left out, because they were older than a cut; since the start of the process. */
  get rowsExpired(): number {
    return this.#rowsExpired;
  }

  /** Event time below which nothing of the view version counts, microseconds. */
  cutUs(version: string): number {
    return (this.#raised.get(version) ?? this.#cuts.get(version))?.cutUs ?? Number.NEGATIVE_INFINITY;
  }

  begin(): void {
    this.#raised = new Map();
  }

  /** Takes a cut into the batch that is being made. */
  raise(version: string, payload: Uint8Array, records: Map<string, Buffer | null>): void {
    const cutUs = decodeCut(payload);
    if (cutUs <= this.cutUs(version)) return;
    const sweptUs = this.#cuts.get(version)?.sweptUs ?? Number.MIN_SAFE_INTEGER;
    const record: CutRecord = { cutUs, sweptUs };
    this.#raised.set(version, record);
    records.set(PREFIX + version, encodeJsonRecord(record));
  }

  /** A change was left out of the batch. */
  leftOut(): void {
    this.#rowsExpired += 1;
  }

  /** The batch is in the store. */
  commit(): void {
    for (const [version, record] of this.#raised) {
      this.#cuts.set(version, record);
      this.#sweptTo.delete(version);
    }
    this.#raised = new Map();
  }

  /** Records that came by a copy are in the store: the cuts among them bind from now on, and everything is swept again. */
  copied(records: ReadonlyMap<string, Buffer | null>): void {
    for (const [key, bytes] of records) {
      if (!key.startsWith(PREFIX) || bytes === null) continue;
      const version = key.slice(PREFIX.length);
      this.#cuts.set(version, decodeJsonRecord<CutRecord>(bytes));
      this.#sweptTo.delete(version);
    }
  }

  /** The store holds other records than before: it was emptied, or filled from elsewhere. */
  reload(): void {
    this.#raised = new Map();
    this.#sweptTo.clear();
    this.#cuts = new Map(
      this.#store.records(PREFIX).map(([key, bytes]) => [key.slice(PREFIX.length), decodeJsonRecord<CutRecord>(bytes)]),
    );
  }

  /** Removes a piece of what is too old; false when there is nothing left to look at. */
  async sweep(codecOf: (version: string) => ViewCodec | undefined): Promise<boolean> {
    for (const [version, record] of this.#cuts) {
      const codec = codecOf(version);
      if (record.sweptUs >= record.cutUs || codec === undefined) continue;
      await this.#sweepPiece(version, record, codec);
      return true;
    }
    return false;
  }

  async #sweepPiece(version: string, record: CutRecord, codec: ViewCodec): Promise<void> {
    const { cutUs } = record;
    const page = this.#store.scan(codec.rowKeyPrefix, this.#sweptTo.get(version), SWEEP_ROWS);
    const last = page.at(-1)?.[0];
    const swept: SweptRow[] = [];
    for (const [key, stored] of page) {
      const left = afterCut(codec.view, stored, cutUs);
      if (left !== 'keep') swept.push({ key, value: left === 'remove' ? null : left });
    }
    const done = page.length < SWEEP_ROWS;
    const after: CutRecord = done ? { cutUs, sweptUs: cutUs } : record;
    const records = new Map(done ? [[PREFIX + version, encodeJsonRecord(after)]] : []);
    if (swept.length > 0 || done) {
      await this.#store.apply({ rows: [], checkpoints: new Map(), records, swept }, () => 'keep');
      this.#rowsExpired += swept.length;
    }
    if (done) {
      this.#cuts.set(version, after);
      this.#sweptTo.delete(version);
    } else if (last !== undefined) this.#sweptTo.set(version, last);
  }
}
