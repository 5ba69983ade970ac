import type { LinkRefusal } from '#adapters/tls-link/tls-link-transport';
import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { RegionEngine } from '#region/engine-api';

/** At most one log line and one audit entry in this time: whoever knocks without end must not fill them. */
const WINDOW_MS = 30_000;

/** Counts connections to the link port that proved no right to it, and says so, the first at once and then in numbers. */
export class RefusedLinks {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stop: () => void;
  #audit: RegionEngine['audit'] | undefined;
  #pending: { count: number; last: LinkRefusal } | undefined;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly logger: Logger; readonly clock: Clock }) {
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#stop = options.clock.every(1000, () => this.#flush(false));
  }

  /** Where entries of the audit log go, once there is one. */
  report(audit: RegionEngine['audit']): void {
    this.#audit = audit;
  }

  note(refusal: LinkRefusal): void {
    this.#pending = { count: (this.#pending?.count ?? 0) + 1, last: refusal };
    this.#flush(false);
  }

  stop(): void {
    this.#stop();
    this.#flush(true);
  }

  #flush(all: boolean): void {
    const now = this.#clock.monotonicMs();
    if (this.#pending === undefined || this.#audit === undefined) return;
    if (!all && now - this.#saidAtMs < WINDOW_MS) return;
    const { count, last } = this.#pending;
    this.#pending = undefined;
    this.#saidAtMs = now;
    const details = { count, peer: last.address, reason: last.reason };
    this.#logger.warn('link-refused', {
      ...details,
      message: `${count} connection(s) to the link port were refused, the last from ${last.address}: ${last.reason}`,
    });
    this.#audit({ actor: 'unknown', action: 'link-refused', details }).catch((error: unknown) => {
      this.#logger.warn('refusal-not-audited', { ...details, error });
    });
  }
}
