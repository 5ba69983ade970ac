import { AntipodeError } from '#core/errors';
import type { Applier } from '#region/apply/applier';
import type { StampGate } from '#region/clocks/stamp-gate';
import { notEligible, partitionsDiffer } from '#region/failover/readiness';
import type { StandingNotices } from '#region/failover/standing-notices';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Whether this region may be hub of a namespace, and if not, why: told once for what nobody asked about, thrown at a person. */
export class Eligibility {
  readonly #region: string;
  readonly #config: {
    readonly namespace: string;
    readonly partitions: number;
    readonly automatic: boolean;
    readonly promotable: readonly string[];
    readonly lossy: 'allow' | 'refuse';
  };
  readonly #state: { readonly log: NamespaceLog; readonly applier: Applier };
  readonly #stamps: Pick<StampGate, 'skew'>;
  readonly #notices: StandingNotices;

  constructor(options: {
    region: string;
    config: {
      namespace: string;
      partitions: number;
      automatic: boolean;
      promotable: readonly string[];
      lossy: 'allow' | 'refuse';
    };
    log: NamespaceLog;
    applier: Applier;
    stamps: Pick<StampGate, 'skew'>;
    notices: StandingNotices;
  }) {
    this.#region = options.region;
    this.#config = options.config;
    this.#state = { log: options.log, applier: options.applier };
    this.#stamps = options.stamps;
    this.#notices = options.notices;
  }

  /** Whether the configuration has the number of partitions that the namespace was created with. */
  partitionsFit(): boolean {
    const differ = partitionsDiffer(this.#config, this.#state.log.lease);
    if (differ !== undefined) this.#notices.begin('partitions-differ', 'error', differ.message, { code: differ.code });
    return differ === undefined;
  }

  /** Whether some other region takes over by itself, whatever is lost, when this one lets its lease lapse. */
  othersMayTakeOver(): boolean {
    const { automatic, lossy, promotable } = this.#config;
    return automatic && lossy === 'allow' && promotable.some((name) => name !== this.#region);
  }

  /** Whether this region may take over by itself a lease that has lapsed. */
  forLapsedLease(): boolean {
    if (!this.#config.automatic || !this.#config.promotable.includes(this.#region)) return false;
    // A hub with a wrong clock would hold the lease and accept nothing.
    const reason = notEligible(this.#state, 'automatic') ?? this.#stamps.skew();
    if (reason === undefined) this.#notices.end('not-eligible');
    else {
      const message = `this region cannot take over ${this.#config.namespace} by itself: ${reason}`;
      this.#notices.begin('not-eligible', 'warning', message);
    }
    return reason === undefined;
  }

  /** CONFIG_INVALID or FAILOVER_REFUSED when not even a person may make this region hub, or it `isHub` already. */
  assertForOrder(isHub: boolean): void {
    if (isHub)
      throw new AntipodeError('FAILOVER_REFUSED', `${this.#region} is the hub of ${this.#config.namespace} already`);
    if (!this.#config.promotable.includes(this.#region))
      throw new AntipodeError('FAILOVER_REFUSED', `${this.#region} is not promotable`);
    const differ = partitionsDiffer(this.#config, this.#state.log.lease);
    if (differ !== undefined) throw differ;
    const reason = notEligible(this.#state, 'planned') ?? this.#stamps.skew();
    if (reason !== undefined) throw new AntipodeError('FAILOVER_REFUSED', `${this.#region} is not eligible: ${reason}`);
  }
}
