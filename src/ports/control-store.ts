export interface ControlRecord {
  /** Raised by every change of the record; 0 for a record that does not exist. */
  readonly revision: number;
  /** UTF-8 canonical JSON; empty for a record that does not exist. */
  readonly value: Uint8Array;
}

/** Three outcomes, always: a call that timed out is `unknown`, never `refused`. Settle it by reading. */
export type CompareAndSetOutcome =
  | { readonly kind: 'ok'; readonly revision: number }
  | { readonly kind: 'refused'; readonly current: ControlRecord }
  | { readonly kind: 'unknown'; readonly cause: unknown };

/**
 * Linearizable records for the few things regions must agree on: leases, seals, audit anchors (P7). Never holds features.
 */
export interface ControlStore {
  /** The record as of some moment between call and answer. Rejects with CONTROL_UNAVAILABLE when no answer came in time. */
  get(key: string): Promise<ControlRecord>;
  /** Replaces the record if its revision is still `expectedRevision` (0: if it does not exist). Durable when ok. Never rejects. */
  compareAndSet(key: string, expectedRevision: number, value: Uint8Array): Promise<CompareAndSetOutcome>;
  /** Tells the wall clock that each answer was given at, ms, and the round trip, ms: one more witness of what time it is (P8). */
  watchClock?(observer: (wallMs: number, roundTripMs: number) => void): void;
  close(): Promise<void>;
}
