// What clients of real regions saw, and what the disks held in the end: one NDJSON line a thing, all times by one clock.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * `refused`: certainly not done by this attempt. `unknown`: no answer came, or one that says that nobody knows. A timed-out
 * write is unknown, never refused.
 */
export type Outcome = 'ok' | 'refused' | 'unknown';

interface Attempt {
  /** Client, which is also one session until it is told that the session is lost; then a number is added. */
  readonly session: string;
  readonly region: string;
  /** Milliseconds of the recorder's monotonic clock, before the request was sent and after its answer was read. */
  readonly invokedMs: number;
  readonly completedMs: number;
  readonly outcome: Outcome;
  /** Error code, or what happened to the connection. Null when ok. */
  readonly code: string | null;
  /** Whether the answer carried a session token, which the session then goes on with. */
  readonly token: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * One attempt of one write. The number of an upsert is its value, and the event time of a write grows with its number: of
 * two writes of a key the one with the greater number wins wherever they meet. A delete takes the later of its own event
 * time and the stored one, so keys that are deleted are written by one client at a time, and never again once it is not
 * known what became of a delete.
 */
export interface WriteAttempt extends Attempt {
  readonly kind: 'write';
  readonly key: number;
  readonly write: number;
  readonly operation: 'upsert' | 'delete';
  /** Event time, ms; no two writes have the same. */
  readonly eventMs: number;
  /** Stream and seq the answer gave; null when it gave none. */
  readonly positions: Readonly<Record<string, number>> | null;
  /** The answer says that the key of this write was known already. */
  readonly duplicate: boolean;
}

export type Level = 'eventual' | 'session' | 'bounded' | 'strong';

export interface ReadAttempt extends Attempt {
  readonly kind: 'read';
  readonly key: number;
  /** As asked for. */
  readonly level: Level;
  /** As the answer says it was met; null when it does not say. */
  readonly met: Level | null;
  readonly maxStalenessMs: number | null;
  /** The answer says that its bound is not met. */
  readonly stale: boolean;
  readonly freshnessMs: number | null;
  /** Number of the write that was read, null when there was no row. */
  readonly write: number | null;
  /** Status of the answer, such as PRESENT, NOT_FOUND, INVALID; null when there was none. */
  readonly status: string | null;
  /** False when the row was not byte by byte what its write had sent. */
  readonly intact: boolean;
}

/** What the nemesis did. */
export interface Disturbance {
  readonly kind: 'fault';
  readonly atMs: number;
  readonly what: string;
}

/** From here on no client writes, all lines are whole, and all regions say that they have the same. */
export interface Settled {
  readonly kind: 'settled';
  readonly atMs: number;
}

/** Facts about the run, which the checkers judge by. */
export interface RunFacts {
  readonly kind: 'run';
  readonly scenario: string;
  readonly seed: number;
  /** Engine with a bug put in on purpose; null for the real one. */
  readonly weakened: string | null;
  readonly regions: readonly string[];
  /** What becomes of tails. */
  readonly tail: 'replay' | 'keep';
  /** Largest difference of two wall clocks that the scenario made, ms. */
  readonly clockSkewMs: number;
}

/** The lease record as it was left: which streams are valid, and how far. */
export interface FinalLease {
  readonly kind: 'lease';
  readonly epoch: number;
  readonly streams: readonly string[];
  /** By epoch, then by stream. */
  readonly seals: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Closed epochs whose end is not known to be complete. */
  readonly lossy: readonly number[];
}

/** What the stopped region's disk held. */
export interface FinalRegion {
  readonly kind: 'region';
  readonly region: string;
  /** Stored rows by key, both hexadecimal. */
  readonly rows: Readonly<Record<string, string>>;
  /** By key of the workload: the number of the write that the stored row, or what is left of a deleted one, is. */
  readonly served: Readonly<Record<string, number>>;
  /** By number of the write: how often its change stands in valid parts of streams, and in tails. */
  readonly valid: Readonly<Record<string, number>>;
  readonly tails: Readonly<Record<string, number>>;
}

export type HistoryLine = RunFacts | WriteAttempt | ReadAttempt | Disturbance | Settled | FinalLease | FinalRegion;

export class History {
  readonly lines: HistoryLine[] = [];
  readonly #file: string | undefined;

  /** With a file, every line is in it as soon as it was added. */
  constructor(file?: string) {
    this.#file = file;
    if (file !== undefined) writeFileSync(file, '');
  }

  static read(file: string): History {
    const history = new History();
    for (const [index, text] of readFileSync(file, 'utf8').split('\n').entries()) {
      if (text.trim() === '') continue;
      try {
        history.lines.push(JSON.parse(text) as HistoryLine);
      } catch (cause) {
        throw new Error(`${file}:${index + 1} is not a line of JSON`, { cause });
      }
    }
    return history;
  }

  add(line: HistoryLine): void {
    this.lines.push(line);
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  of<K extends HistoryLine['kind']>(kind: K): Extract<HistoryLine, { kind: K }>[] {
    return this.lines.filter((line): line is Extract<HistoryLine, { kind: K }> => line.kind === kind);
  }
}
