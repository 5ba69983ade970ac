import type { ViewCodec } from '#core/codec/view-codec';

/** One row of a view's SQL, encoded for its view version; has the shape of an upsert that `ingest` takes. */
export interface OfflineRow {
  readonly operation: 'upsert';
  /** Microseconds since the epoch. */
  readonly eventTimeUs: number;
  /** Entity key bytes. */
  readonly key: Buffer;
  /** Avro bytes of the row, or of `features`. */
  readonly row: Buffer;
  /** Places of the features the SQL yields, when those are not all of the view's. */
  readonly features?: readonly number[] | undefined;
}

export interface OfflineBatch {
  /** In the order the SQL yields them; may be empty when every row of the batch was bad. */
  readonly rows: readonly OfflineRow[];
  /** Rows the SQL has yielded up to and with this batch, bad ones included. */
  readonly rowsRead: number;
}

/** A row that does not fit its view: left out of the batches, reported, and no reason to stop. */
export interface BadRow {
  /** Index among the rows the SQL yields, from 0. */
  readonly index: number;
  /** Names view and column. */
  readonly reason: string;
}

export interface OfflineRun {
  /** Codec of the view to compute; the view has SQL. */
  readonly codec: ViewCodec;
  /** Value of `$today` in the SQL, as YYYY-MM-DD; default: the current day in UTC. */
  readonly today?: string | undefined;
  /** Other paths for sources, by the name of the source; relative to the project folder. */
  readonly sourcePaths?: Readonly<Record<string, string>> | undefined;
  /** Rows in a batch; default 500. */
  readonly batchRows?: number | undefined;
  /** Called for each bad row before the batch it would have been in. */
  readonly onBadRow?: ((bad: BadRow) => void) | undefined;
  /** Ends the computation; the iterator then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface OfflineComputation {
  /** Rows that will come, for progress: exact for sorted SQL, an estimate for a plain scan, null when nobody knows yet. */
  readonly rowsExpected: number | null;
  /** The rows, streamed: at most some batches are in memory. To be iterated once; leaving it early ends the computation. */
  readonly batches: AsyncIterable<OfflineBatch>;
}

/** Computes the rows of feature views from files: the transformation side of a region, not on the way of reads. */
export interface OfflineStore {
  /**
   * Runs the view's SQL over its sources. The engine may have computed everything before the first batch arrives, as SQL
   * with ORDER BY demands. Throws SOURCE_FAILED when a source or the SQL cannot be read, or when a column is missing or
   * of a type that does not fit; the same error may come while iterating.
   */
  compute(run: OfflineRun): Promise<OfflineComputation>;
  close(): Promise<void>;
}
