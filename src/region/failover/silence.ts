import type { Clock } from '#ports/clock';
import type { LeaseWatch } from '#region/failover/lease-watch';
import type { StandingNotices } from '#region/failover/standing-notices';

/** Tells when the control store falls silent and when a hub stops accepting for it, and when each is over. */
export class Silence {
  readonly #config: { readonly namespace: string; readonly leaseMs: number; readonly marginMs: number };
  readonly #watch: LeaseWatch;
  readonly #clock: Clock;
  readonly #notices: StandingNotices;

  constructor(options: {
    config: { namespace: string; leaseMs: number; marginMs: number };
    watch: LeaseWatch;
    clock: Clock;
    notices: StandingNotices;
  }) {
    this.#config = options.config;
    this.#watch = options.watch;
    this.#clock = options.clock;
    this.#notices = options.notices;
  }

  /** Called often. `stalledMs`: since the last call; a process that stood still itself blames nobody. */
  look(stalledMs: number, accepting: { readonly epoch: number; readonly leaseUntilMs: number } | undefined): void {
    const { namespace, leaseMs, marginMs } = this.#config;
    const silentMs = this.#watch.unansweredMs();
    if (silentMs <= leaseMs / 2) {
      const message = `the control store answers again for the lease of ${namespace}`;
      this.#notices.end('control-lost', { event: 'control-restored', message });
    } else if (stalledMs < leaseMs / 4) {
      const message = `the control store has not answered for ${Math.round(silentMs)} ms about the lease of ${namespace}`;
      this.#notices.begin('control-lost', 'error', message);
    }
    if (accepting === undefined || this.#clock.monotonicMs() < accepting.leaseUntilMs - marginMs) return;
    const message = `this region accepts no writes of ${namespace}: it could not renew its lease in time`;
    this.#notices.begin('lease-lapsed', 'error', message, { epoch: accepting.epoch });
  }

  renewed(epoch: number): void {
    const message = `this region accepts writes of ${this.#config.namespace} again: its lease is renewed`;
    this.#notices.end('lease-lapsed', { event: 'lease-renewed', message, details: { epoch } });
  }

  /** Holder no more: what lapsed will not be renewed. */
  forget(): void {
    this.#notices.end('lease-lapsed');
  }
}
