import type { AntipodeError } from '#core/errors';
import type { Lease } from '#core/failover/lease';
import type { Clock } from '#ports/clock';
import type { AuditLog } from '#region/audit/audit-log';
import type { PromotionOrder } from '#region/failover/promoter';
import type { StandingNotices } from '#region/failover/standing-notices';
import type { EventList } from '#region/observe/events';

/** Pause after a promotion that the policy refused for what it might lose, in leases. */
const REFUSED_PAUSE_LEASES = 2;

/** Tells of promotions that came to nothing. One that the policy refuses is tried again and again, and told once. */
export class PromotionFailures {
  readonly #region: string;
  readonly #namespace: string;
  readonly #leaseMs: number;
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #notices: StandingNotices;
  #refusedUntilMs = 0;

  constructor(options: {
    region: string;
    config: { readonly namespace: string; readonly leaseMs: number };
    clock: Clock;
    events: EventList;
    audit: AuditLog;
    notices: StandingNotices;
  }) {
    this.#region = options.region;
    this.#namespace = options.config.namespace;
    this.#leaseMs = options.config.leaseMs;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#notices = options.notices;
  }

  /** Whether it is time for this region to try again by itself. */
  mayTry(): boolean {
    return this.#clock.monotonicMs() >= this.#refusedUntilMs;
  }

  /** The record moved: what was refused is another question now. */
  forget(): void {
    this.#notices.end('promotion-refused');
  }

  failed(order: PromotionOrder, lease: Lease, error: AntipodeError): void {
    if (order.kind === 'automatic' && error.code === 'LOSS_REFUSED') {
      this.#refusedUntilMs = this.#clock.monotonicMs() + REFUSED_PAUSE_LEASES * this.#leaseMs;
      this.#notices.begin('promotion-refused', 'error', `${error.message}. ${error.remedy}`, { code: error.code });
      return;
    }
    const message = `promotion to hub of ${this.#namespace}: ${error.message}`;
    this.#events.add('promotion-failed', 'warning', message);
    this.#audit.note(this.#region, 'promotion-failed', {
      namespace: this.#namespace,
      epoch: lease.record.epoch,
      reason: error.message,
    });
  }
}
