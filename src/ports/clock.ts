/**
 * Time, as the region sees it. Nothing in `core` or `region` reads a clock or sets a timer except through this port, so
 * that the simulator can run the same code under virtual time.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump either way; use it for stamps and displays only. */
  wallMs(): number;
  /** Monotonic, milliseconds from an arbitrary start of this process. Leases, timeouts and rates use this one. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs `task` every `ms` milliseconds until the returned function is called. A run that throws ends the process. */
  every(ms: number, task: () => void): () => void;
  /** Lets other work of this process run; call it between bounded pieces of long work. */
  yield(): Promise<void>;
}
