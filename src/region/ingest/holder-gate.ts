import type { StreamKey } from '#core/model/stream';

/** Leave to append, valid only in the synchronous step in which it was given. */
export interface AppendGrant {
  readonly epoch: number;
  /** Stream of each partition, by partition number. */
  readonly streams: readonly StreamKey[];
}

/** What ingest asks the authority of a namespace (P3.1). Both questions must be asked in the step that acts on the answer. */
export interface HolderGate {
  /** Undefined when this region does not hold the lease, or not long enough any more. */
  appendable(): AppendGrant | undefined;
  /** Whether a write of this epoch may be acknowledged now. */
  acknowledgeable(epoch: number): boolean;
  /** The epoch, as far as known; 0 before the first. */
  epoch(): number;
  /** Region that holds the lease, as far as known. */
  hub(): string | undefined;
}
