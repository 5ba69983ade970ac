import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { RegionEngine } from '#region/engine-api';

export const REFUSAL_REASONS = ['missing-token', 'invalid-token', 'insufficient-role', 'cross-origin'] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

export interface Refusal {
  readonly reason: RefusalReason;
  /** Route pattern, not the raw URL: what an attacker types does not get into the log. */
  readonly route: string;
  /** Address of the peer. */
  readonly peer: string;
  /** Name of the token, when one was recognised but too weak. */
  readonly principal: string | null;
}

/** At most one audit entry a reason in this time: whoever knocks without end must not fill the audit log. */
export const REFUSAL_WINDOW_MS = 30_000;

/**
 * Counts refused requests and writes them to the audit log: the first of a reason at once, the following ones as one
 * entry with their number at the end of the window. Holds one entry a reason, whatever arrives.
 */
export class RefusalLog {
  readonly #engine: RegionEngine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #counts = new Map<RefusalReason, number>(REFUSAL_REASONS.map((reason) => [reason, 0]));
  readonly #pending = new Map<RefusalReason, { count: number; last: Refusal }>();
  readonly #auditedAtMs = new Map<RefusalReason, number>();
  readonly #stop: () => void;

  constructor(options: { readonly engine: RegionEngine; readonly clock: Clock; readonly logger: Logger }) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#stop = options.clock.every(1000, () => this.#flush(false));
  }

  note(refusal: Refusal): void {
    this.#counts.set(refusal.reason, (this.#counts.get(refusal.reason) ?? 0) + 1);
    const pending = this.#pending.get(refusal.reason);
    this.#pending.set(refusal.reason, { count: (pending?.count ?? 0) + 1, last: refusal });
    this.#flush(false);
  }

  /** Refusals since the start, by reason. */
  counts(): ReadonlyMap<RefusalReason, number> {
    return this.#counts;
  }

  /** Writes what is pending and ends the timer. */
  stop(): void {
    this.#stop();
    this.#flush(true);
  }

  #flush(all: boolean): void {
    const now = this.#clock.monotonicMs();
    for (const [reason, { count, last }] of this.#pending) {
      const audited = this.#auditedAtMs.get(reason);
      if (!all && audited !== undefined && now - audited < REFUSAL_WINDOW_MS) continue;
      this.#pending.delete(reason);
      this.#auditedAtMs.set(reason, now);
      this.#write(reason, count, last);
    }
  }

  #write(reason: RefusalReason, count: number, last: Refusal): void {
    const details = { reason, count, route: last.route, peer: last.peer };
    this.#engine
      .audit({ actor: last.principal ?? 'unknown', action: 'access-refused', details })
      .catch((error: unknown) => {
        this.#logger.warn('refusal-not-audited', { ...details, error: String(error) });
      });
  }
}
