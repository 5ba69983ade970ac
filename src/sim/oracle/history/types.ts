/**
 * A recorded history of clients, as the checkers of this folder take it: what each client asked, when, and what it was
 * told. Nothing of the engine stands in it, so a simulation and a test of real processes record the same form, and it
 * survives JSON. All times are of one clock, that of the recorder, in ms.
 */
export type History = readonly Operation[];

export type Operation = WriteOperation | ReadOperation;

/**
 * The place of a value in the order in which values of one register outrank each other: the event time, then the rest of
 * the stamp in a form that orders as text. `order` is null where the recorder cannot see it (a face shows event times
 * alone): values of equal event times then count as not comparable, and no verdict is based on them.
 */
export interface Rank {
  /** Microseconds since the epoch. */
  readonly eventTimeUs: number;
  /** Clock reading and origin, hexadecimal, in the byte form of a stamp. */
  readonly order: string | null;
}

interface OperationBase {
  /** Names the operation in findings. */
  readonly id: string;
  /**
   * Operations of one session hand its token on: each carries what the completed ones before it were given. Null: no
   * token. A client that was told SESSION_LOST goes on under a new name.
   */
  readonly session: string | null;
  /** Region that was asked. */
  readonly region: string;
  readonly namespace: string;
  readonly invokedMs: number;
  /** When the answer came; null when none did. */
  readonly completedMs: number | null;
  /** `refused`: certainly nothing was done. `unknown`: everything else that is not `ok`. */
  readonly outcome: 'ok' | 'refused' | 'unknown';
  /** Code of the error, if one was answered. */
  readonly code: string | null;
  /** Epoch of the namespace under which it was answered; null when the answer does not say. */
  readonly epoch: number | null;
}

/** What a write would have a register hold. Values of one register are all different, so that a read names its write. */
export interface WrittenValue {
  /** What is read and written as a whole: a row, or one feature of a row where the view merges by feature. */
  readonly register: string;
  /** Null: a delete. It may be stamped with a later event time than its own (that of the row it deletes). */
  readonly value: string | null;
  readonly rank: Rank;
}

export interface WriteOperation extends OperationBase {
  readonly kind: 'write';
  readonly changes: readonly WrittenValue[];
}

export interface ObservedValue {
  readonly register: string;
  /** Null: there is no row, or it is deleted. */
  readonly value: string | null;
  /** Null when not known, as for a row that is not there. */
  readonly rank: Rank | null;
}

export type ReadLevel = 'eventual' | 'session' | 'bounded' | 'strong';

export interface ReadOperation extends OperationBase {
  readonly kind: 'read';
  /** Level that was asked for. With a session the token counts at every level but `eventual`. */
  readonly level: ReadLevel;
  /** Of a bounded read, ms. */
  readonly maxStalenessMs: number | null;
  /** The answer said that it does not meet the level. */
  readonly stale: boolean;
  readonly rows: readonly ObservedValue[];
}

/** A promise that the history breaks. */
export interface HistoryFinding {
  readonly promise: 'no-phantom' | 'session' | 'causal' | 'bounded' | 'strong' | 'acknowledged';
  readonly text: string;
}

/** What is known beside the history. */
export interface HistoryContext {
  /**
   * Closed epochs by namespace whose end may have lost acknowledged writes (promotions that the lease record calls lossy):
   * what was acknowledged in such an epoch or before need not be shown by bounded and strong reads of a later one.
   */
  readonly lossyEpochs: Readonly<Record<string, readonly number[]>>;
  /** How much further two wall clocks stood apart than the bound of the engine allows at worst, ms; 0 when they did not. */
  readonly clockExcessMs: number;
}
