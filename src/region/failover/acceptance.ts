import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { StampGate } from '#region/clocks/stamp-gate';
import type { EarlierLife } from '#region/failover/earlier-life';
import { shortfallOf } from '#region/failover/readiness';
import { greatestReading } from '#region/failover/sealed-stamps';
import type { StandingNotices } from '#region/failover/standing-notices';
import type { HlcService } from '#region/ingest/hlc-service';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Sealed stamps further ahead of this region's clock than this are waited for before the first append, ms (P6.6, P8). */
const CLOCK_AHEAD_MS_MAX = 500;
/** A longer wait for the clock is told to people, ms; a mere restart of a hub costs less. */
const CLOCK_WAIT_QUIET_MS = 1000;

/**
 * What one holder still owes before its first append of an epoch: everything valid applied here, and a clock above every
 * sealed stamp. What keeps it waiting for long is told once, so that a hub that accepts nothing says why.
 */
export class Acceptance {
  readonly #namespace: string;
  readonly #state: { readonly log: NamespaceLog; readonly applier: Applier };
  readonly #hlc: HlcService;
  readonly #stamps: Pick<StampGate, 'skew'>;
  readonly #clock: Clock;
  readonly #notices: StandingNotices;
  readonly #earlier: Pick<EarlierLife, 'shortfall'>;
  #startsAbove = false;
  #waitsFor: string | undefined;

  constructor(options: {
    namespace: string;
    log: NamespaceLog;
    applier: Applier;
    hlc: HlcService;
    stamps: Pick<StampGate, 'skew'>;
    clock: Clock;
    notices: StandingNotices;
    earlier: Pick<EarlierLife, 'shortfall'>;
  }) {
    this.#namespace = options.namespace;
    this.#state = { log: options.log, applier: options.applier };
    this.#hlc = options.hlc;
    this.#stamps = options.stamps;
    this.#clock = options.clock;
    this.#notices = options.notices;
    this.#earlier = options.earlier;
  }

  /** What the last look found missing; undefined when nothing was. */
  get waitsFor(): string | undefined {
    return this.#waitsFor;
  }

  /** Whether everything that a first append needs is there now. */
  due(): boolean {
    this.#waitsFor = this.#missing() ?? this.#clockWait();
    return this.#waitsFor === undefined;
  }

  /** Ends what was told to last. */
  forget(): void {
    this.#notices.end('hub-not-accepting');
    this.#notices.end('hub-waits-for-clock');
  }

  #missing(): string | undefined {
    const shortfall = shortfallOf(this.#state) ?? this.#earlier.shortfall();
    if (shortfall === undefined) return undefined;
    this.#state.applier.kick();
    if (shortfall.kind === 'hole' || shortfall.kind === 'halted' || shortfall.kind === 'parked') {
      const message = `no writes of ${this.#namespace} yet: ${shortfall.reason}`;
      this.#notices.begin('hub-not-accepting', 'error', message);
    }
    return shortfall.reason;
  }

  #clockWait(): string | undefined {
    const skew = this.#stamps.skew();
    if (skew !== undefined) {
      this.#notices.begin('hub-waits-for-clock', 'error', `no writes yet: ${skew}`);
      return skew;
    }
    if (!this.#startsAbove) {
      this.#hlc.startAbove(greatestReading(this.#state.log));
      // The logs may have let go of the changes with the greatest readings.
      this.#hlc.startAbove(this.#state.applier.projection.reading(this.#namespace));
    }
    this.#startsAbove = true;
    const waitMs = this.#hlc.last.wallMs - this.#clock.wallMs() - CLOCK_AHEAD_MS_MAX;
    if (waitMs <= 0) return undefined;
    const seconds = Math.ceil(waitMs / 1000);
    const reason = `${this.#namespace} has stamps ahead of this region's clock, which reaches them in ${seconds} s`;
    if (waitMs > CLOCK_WAIT_QUIET_MS)
      this.#notices.begin('hub-waits-for-clock', 'error', `no writes yet: ${reason}`, { seconds });
    return reason;
  }
}
