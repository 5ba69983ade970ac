import type { AntipodeError, ErrorCode } from '#core/errors';
import type { StreamKey } from '#core/model/stream';

/** Failures of a stream at one peer, one after another without progress, after which it is halted there. */
export const STREAM_FAILURES_MAX = 3;
/** Pause before the first retry, ms; it doubles with each failure. */
const RETRY_MS_MIN = 500;
/** How long a halted stream rests before it is tried once more, ms. */
export const HALT_MS = 60_000;

/** What trying again cannot mend: another history, or a peer that sends what it was not asked for. */
const HALTING: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['STREAM_DIVERGED', 'FRAME_FOREIGN_ORIGIN']);

interface Failure {
  readonly code: ErrorCode;
  readonly reason: string;
  /** Where the mirror ended; what fails at one position may go on from a later one. */
  readonly head: number;
  readonly count: number;
  readonly halted: boolean;
  retryAtMs: number;
}

/**
 * Which streams went wrong at one peer, and when each may be tried again: one bad frame costs its stream, at that peer,
 * and not the link. A halt lasts, through retries and reconnections, until the stream makes progress here.
 */
export class StreamFailures {
  readonly #failures = new Map<StreamKey, Failure>();
  readonly #pausedUntilMs = new Map<StreamKey, number>();

  /** Counts a failure. Says whether the stream is tried again soon, is halted by this one, or was halted already. */
  count(
    stream: StreamKey,
    error: AntipodeError,
    at: { readonly head: number; readonly nowMs: number },
  ): 'retry' | 'halted' | 'halted-before' {
    const before = this.#failures.get(stream);
    const count = (before?.count ?? 0) + 1;
    const halted = before?.halted === true || count >= STREAM_FAILURES_MAX || HALTING.has(error.code);
    const pauseMs = halted ? HALT_MS : RETRY_MS_MIN * 2 ** (count - 1);
    const reason = `${error.code}: ${error.message}`;
    this.#failures.set(stream, {
      code: error.code,
      reason,
      head: at.head,
      count,
      halted,
      retryAtMs: at.nowMs + pauseMs,
    });
    if (before?.halted === true) return 'halted-before';
    return halted ? 'halted' : 'retry';
  }

  /** Nobody's fault: only waits before the next try. */
  pause(stream: StreamKey, untilMs: number): void {
    this.#pausedUntilMs.set(stream, untilMs);
  }

  mayTry(stream: StreamKey, nowMs: number): boolean {
    return nowMs >= Math.max(this.#failures.get(stream)?.retryAtMs ?? 0, this.#pausedUntilMs.get(stream) ?? 0);
  }

  /** The peer accepted a subscription that starts at `head`: its history is ours, and what failed below is behind us. */
  subscribed(stream: StreamKey, head: number): void {
    this.#pausedUntilMs.delete(stream);
    this.progressed(stream, head);
  }

  /** The stream was taken from this peer up to `head`; frames written before the failure may become durable only after it. */
  progressed(stream: StreamKey, head: number): void {
    const failure = this.#failures.get(stream);
    if (failure !== undefined && head > failure.head) this.#failures.delete(stream);
  }

  /** A new connection: everything may be tried once at once. */
  reconnected(): void {
    this.#pausedUntilMs.clear();
    for (const failure of this.#failures.values()) failure.retryAtMs = 0;
  }

  diverged(stream: StreamKey): boolean {
    return this.#failures.get(stream)?.code === 'STREAM_DIVERGED';
  }

  /** The reason of the first halted stream; undefined when none is. */
  haltedReason(): string | undefined {
    for (const failure of this.#failures.values()) if (failure.halted) return failure.reason;
    return undefined;
  }
}
