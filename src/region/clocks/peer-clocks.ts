import type { Clock } from '#ports/clock';
import type { AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';

/** How far two wall clocks of regions may stand apart (P8), ms. */
export const CLOCK_BOUND_MS = 500;
/** An origin that is off most of its peers by so much stops accepting, ms: 80 % of the bound. */
export const CLOCK_FENCE_MS = 400;
/** An offset that is told to people, ms; it is over when it is below the second figure again. */
export const CLOCK_WARN_MS = 250;
const CLOCK_CALM_MS = 200;
/** How long a measurement counts, ms on the monotonic clock: two of them drift apart by a few ms in that time. */
const SAMPLE_MS_MAX = 60_000;
/** A measurement of a shorter round trip is kept for so long before a longer one replaces it, ms. */
const SAMPLE_PREFERRED_MS = 20_000;

interface Sample {
  /** The peer's wall clock less this region's monotonic one, ms. */
  readonly aheadMs: number;
  /** Half the round trip: the peer's reading was taken somewhere within it. */
  readonly uncertaintyMs: number;
  readonly takenMs: number;
}

/** How far a peer's wall clock stands from this region's. */
export interface ClockOffset {
  readonly peer: string;
  /** Peer's less this one's, ms. */
  readonly offsetMs: number;
  readonly uncertaintyMs: number;
}

/**
 * The wall clocks of the peers and of the control store, measured with each ping of a link and each answer. They are kept against the monotonic clock, so that a
 * step of this region's own wall clock shows at once, without another ping. What is proven counts: an offset less its
 * uncertainty, so that a slow link makes nobody suspect.
 */
export class PeerClocks {
  readonly #region: string;
  readonly #peers: readonly string[];
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: Pick<AuditLog, 'note'>;
  readonly #samples = new Map<string, Sample>();
  readonly #warned = new Set<string>();
  #fenced = false;

  constructor(options: {
    region: string;
    peers: readonly string[];
    clock: Clock;
    events: EventList;
    audit: Pick<AuditLog, 'note'>;
  }) {
    this.#region = options.region;
    this.#peers = options.peers;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
  }

  /** A peer answered a ping with its wall clock, `roundTripMs` after it was asked. */
  observe(peer: string, wallMs: number, roundTripMs: number): void {
    const takenMs = this.#clock.monotonicMs();
    const uncertaintyMs = roundTripMs / 2;
    const sample: Sample = { aheadMs: wallMs + uncertaintyMs - takenMs, uncertaintyMs, takenMs };
    const held = this.#samples.get(peer);
    // The shorter trip says more, unless the two contradict each other: then the peer's clock was set in between.
    const contradicts =
      held !== undefined && Math.abs(held.aheadMs - sample.aheadMs) > held.uncertaintyMs + uncertaintyMs + 5;
    const better = held === undefined || uncertaintyMs <= held.uncertaintyMs;
    if (better || contradicts || takenMs - held.takenMs > SAMPLE_PREFERRED_MS) this.#samples.set(peer, sample);
    this.#warn(peer);
    this.fence();
  }

  /** What is known of every peer measured lately. */
  offsets(): ClockOffset[] {
    return this.#peers.map((peer) => this.#offsetOf(peer)).filter((offset) => offset !== undefined);
  }

  /** Whether the peer's clock is certainly beyond the bound: then its watermarks say nothing about time here. */
  beyondBound(peer: string): boolean {
    return provenMs(this.#offsetOf(peer)) > CLOCK_BOUND_MS;
  }

  /**
   * Why this region must not give stamps at this moment: its clock is off most of those that were measured lately. Undefined
   * while it is not, or not known to be. Ask in the step that gives the stamps.
   */
  fence(): string | undefined {
    const measured = this.offsets();
    const off = measured.filter((offset) => provenMs(offset) >= CLOCK_FENCE_MS);
    const reason =
      off.length * 2 <= measured.length
        ? undefined
        : `the clock of ${this.#region} is off: ${off.map(describe).join(', ')}`;
    if ((reason !== undefined) !== this.#fenced) this.#tell(reason);
    return reason;
  }

  #offsetOf(peer: string): ClockOffset | undefined {
    const sample = this.#samples.get(peer);
    const now = this.#clock.monotonicMs();
    if (sample === undefined || now - sample.takenMs > SAMPLE_MS_MAX) return undefined;
    return { peer, offsetMs: sample.aheadMs + now - this.#clock.wallMs(), uncertaintyMs: sample.uncertaintyMs };
  }

  #warn(peer: string): void {
    const offset = this.#offsetOf(peer);
    if (offset === undefined) return;
    const proven = provenMs(offset);
    if (proven >= CLOCK_WARN_MS && !this.#warned.has(peer)) {
      this.#warned.add(peer);
      this.#events.add('clock-offset', 'warning', `wall clocks stand apart: ${describe(offset)}`, { peer });
    } else if (proven < CLOCK_CALM_MS) this.#warned.delete(peer);
  }

  #tell(reason: string | undefined): void {
    this.#fenced = reason !== undefined;
    const [event, severity, message] =
      reason === undefined
        ? (['clock-fence-ended', 'info', `the clock of ${this.#region} is back: writes are accepted again`] as const)
        : (['clock-fenced', 'error', `no writes are accepted: ${reason}`] as const);
    this.#events.add(event, severity, message);
    this.#audit.note(this.#region, event, { message });
  }
}

/** By how much the clocks are apart at the least, ms. */
function provenMs(offset: ClockOffset | undefined): number {
  return offset === undefined ? 0 : Math.abs(offset.offsetMs) - offset.uncertaintyMs;
}

function describe({ peer, offsetMs, uncertaintyMs }: ClockOffset): string {
  const side = offsetMs > 0 ? 'ahead' : 'behind';
  return `that of ${peer} is ${Math.round(Math.abs(offsetMs))} ms ${side} (± ${Math.ceil(uncertaintyMs)} ms)`;
}
