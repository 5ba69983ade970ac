import type { RowMaker } from '../lib/rows.ts';

/** Rows of one request or message, all of one generation, and the number that the probe shall have after it. */
export interface Batch {
  readonly keys: readonly number[];
  readonly generation: number;
  readonly probe: number;
}

/**
 * A system that takes rows at one place and shows them at another. Batches are encoded before the clock runs. The probe is
 * one more row, written last in its batch: whoever reads its number at the replica sees that batch and those before it.
 */
export interface Contender {
  /** Encodes a batch; what `write` takes. */
  encode(batch: Batch): Buffer;
  /** Resolves when the batch is acknowledged. */
  write(encoded: Buffer): Promise<void>;
  /** The number of the probe as the replica number `replica` shows it; -1 while it has none. */
  seen(replica: number): Promise<number>;
  /** Reads rows at a replica and compares them with what was written. Throws WrongAnswer. */
  verify(replica: number, keys: readonly number[], generation: number): Promise<void>;
  readonly replicas: number;
  close(): void;
}

export interface ContenderOptions {
  readonly maker: RowMaker;
  readonly inFlight: number;
}
