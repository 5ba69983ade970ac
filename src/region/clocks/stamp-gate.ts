import { AntipodeError } from '#core/errors';
import type { Hlc } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { AuditLog } from '#region/audit/audit-log';
import { PeerClocks } from '#region/clocks/peer-clocks';
import { CONTROL_NODE } from '#region/control/control-client';
import { HLC_AHEAD_MS_MAX, type HlcService } from '#region/ingest/hlc-service';
import type { EventList } from '#region/observe/events';

/**
 * Whether this region may give stamps (P8). What it gives lies within the bound of its own wall clock, and its wall clock
 * within the bound of most of its peers': so no peer has to park what it sends, for long.
 */
export class StampGate {
  readonly clocks: PeerClocks;
  readonly #hlc: HlcService;

  constructor(options: { clocks: PeerClocks; hlc: HlcService }) {
    this.clocks = options.clocks;
    this.#hlc = options.hlc;
  }

  /** Why it may not, at this moment; undefined when it may. Ask in the synchronous step of the append. */
  reason(): string | undefined {
    const { aheadMs } = this.#hlc;
    if (aheadMs <= HLC_AHEAD_MS_MAX) return this.clocks.fence();
    return `the wall clock of this region lies ${Math.ceil(aheadMs)} ms behind stamps that it has given or seen`;
  }

  /** Why the wall clock of this region is not to be trusted; undefined when nothing speaks against it. */
  skew(): string | undefined {
    return this.clocks.fence();
  }

  /** Throws CLOCK_SKEWED while this region may not give stamps. */
  assertOpen(): void {
    const reason = this.reason();
    if (reason !== undefined) throw new AntipodeError('CLOCK_SKEWED', `no writes: ${reason}`);
  }

  /** Takes over the clock reading of a client's session, so that its next write outranks what it has seen. */
  observe(seen: Hlc): void {
    if (this.#hlc.observe(seen)) return;
    throw new AntipodeError(
      'CLOCK_SKEWED',
      `the session carries a clock reading more than ${HLC_AHEAD_MS_MAX} ms ahead of the clock of the region that accepts writes`,
    );
  }

  /** A reading at or above all that were given so far. */
  get last(): Hlc {
    return this.#hlc.last;
  }
}

/** The gate of a region, with the clocks of its peers and of the control store as witnesses. */
export function stampGate(options: {
  readonly region: string;
  readonly peers: readonly string[];
  readonly clock: Clock;
  readonly control: ControlStore;
  readonly events: EventList;
  readonly audit: Pick<AuditLog, 'note'>;
  readonly hlc: HlcService;
}): StampGate {
  const clocks = new PeerClocks({ ...options, peers: [...options.peers, CONTROL_NODE] });
  options.control.watchClock?.((wallMs, roundTripMs) => clocks.observe(CONTROL_NODE, wallMs, roundTripMs));
  return new StampGate({ clocks, hlc: options.hlc });
}
