import type { MergeDecision } from '#core/merge/decision';
import type { StreamKey } from '#core/model/stream';

/**
 * A row as stored: one cell (`core/codec/cell`) or one for each feature (`core/codec/stored-value`). Stored bytes are equal
 * in all regions of one egress class (I3).
 */
export interface RowWrite {
  /** Storage key: view-version prefix followed by the entity key (`core/codec/row-key`). */
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A row of which expiry leaves less, or nothing: null. */
export interface SweptRow {
  readonly key: Buffer;
  readonly value: Buffer | null;
}

/** Everything one step of the applier changes; all of it or nothing becomes visible. */
export interface ApplyBatch {
  readonly rows: readonly RowWrite[];
  /** Positions the streams have after this batch. */
  readonly checkpoints: ReadonlyMap<StreamKey, number>;
  /** Small records of the projection: definitions, idempotency keys, replay positions, watermarks. A null value deletes. */
  readonly records: ReadonlyMap<string, Buffer | null>;
  /** Rows whose stored bytes are replaced without a merge, because part of them has expired. */
  readonly swept?: readonly SweptRow[];
  /**
   * Upper bound of what `merge` and `after` write beyond the rows and records given here: space must be there before the
   * transaction begins. Left out: nothing.
   */
  readonly extra?: { readonly operations: number; readonly bytes: number };
}

/**
 * Decides one row against what is stored. Must be pure in `stored` and `incoming`, and must not keep `key` and `stored`,
 * which are only valid during the call. `index` is the row's place in the batch. Merged bytes must differ from both.
 */
export type DecideRow = (key: Buffer, stored: Buffer, incoming: Buffer, index: number) => MergeDecision;

export interface ApplyOutcome {
  /** Rows that were written, as they came or merged. */
  readonly written: number;
  /** Rows whose stored value outranked the incoming one. */
  readonly superseded: number;
  /** Rows identical to the stored one (redelivery). */
  readonly repeated: number;
}

/** Read side, available in serving processes too, while another process applies. */
export interface OnlineReader {
  /** Stored bytes of a row. The buffer is only valid until the next call on this reader: decode or copy at once. */
  row(key: Buffer): Buffer | undefined;
  /** A small record; the buffer is a copy, perhaps the one that the last call gave: nobody may write to it. */
  record(key: string): Buffer | undefined;
  /** Small records whose key starts with `prefix`, in key order, after `after` (exclusive), at most `limit`; copies. */
  records(
    prefix: string,
    page?: { readonly after?: string | undefined; readonly limit?: number },
  ): (readonly [string, Buffer])[];
  /** Rows whose key starts with `prefix`, after `after` (exclusive), in key order, at most `limit`; copies. */
  scan(prefix: Buffer, after: Buffer | undefined, limit: number): (readonly [Buffer, Buffer])[];
  /** Last seq of the stream that is in the rows; 0 for none. Read in one synchronous run with rows, it is of the same moment. */
  checkpoint(stream: StreamKey): number;
  /** The same for all streams. */
  checkpoints(): Map<StreamKey, number>;
  close(): Promise<void>;
}

/**
 * The rows a region serves: a projection of its logs and its journal (P12). Survives the death of the process with all
 * that `apply` has returned for; does not survive the death of the machine, after which the region rebuilds it.
 */
export interface OnlineStore extends OnlineReader {
  /**
   * Applies one batch atomically. `merge` decides every row for which other bytes are stored at that moment, rows before it
   * in the batch included. `after` is called once all rows are decided, in the same transaction, and gives more records;
   * it wins over the batch's record of the same key. When either throws, nothing changes.
   */
  apply(batch: ApplyBatch, merge: DecideRow, after?: () => ReadonlyMap<string, Buffer | null>): Promise<ApplyOutcome>;
  /** Removes everything: rows, checkpoints and records. Readers see an empty store. */
  wipe(): Promise<void>;
  /** Writes everything to disk; afterwards the store survives the death of the machine as it is now. */
  sync(): Promise<void>;
  rowCount(): number;
  bytes(): number;
}
