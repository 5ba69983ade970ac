import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Hlc } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import { greatestReading } from '#region/failover/sealed-stamps';
import type { HlcService } from '#region/ingest/hlc-service';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Readings further ahead of this region's clock than this are waited for before the first append, ms (P8). */
const CLOCK_AHEAD_MS_MAX = 500;
/** How long a member waits for what peers hold of its earlier streams; they may be gone again, ms. */
const FETCH_WAIT_MS_MAX = 30_000;

/**
 * What a member owes between its choice of an incarnation and its first append: all that peers said they hold of its own
 * earlier streams fetched back, everything held applied (so that its keys and rows are known), and a clock above it all.
 */
export class FirstAppend {
  readonly #streams: readonly StreamKey[];
  readonly #recalled: readonly Readonly<Record<StreamKey, number>>[];
  readonly #clockAbove: Hlc | undefined;
  readonly #log: NamespaceLog;
  readonly #applier: Applier;
  readonly #hlc: HlcService;
  readonly #clock: Clock;
  readonly #startedMs: number;
  /** Ends that must be applied, taken when everything was fetched: the streams of others go on growing. */
  #ends: ReadonlyMap<StreamKey, number> | undefined;
  #startsAbove = false;

  constructor(options: {
    streams: readonly StreamKey[];
    recalled: readonly Readonly<Record<StreamKey, number>>[];
    /** A reading that the region had given at most, by the control store. */
    clockAbove: Hlc | undefined;
    log: NamespaceLog;
    applier: Applier;
    hlc: HlcService;
    clock: Clock;
  }) {
    this.#streams = options.streams;
    this.#recalled = options.recalled;
    this.#clockAbove = options.clockAbove;
    this.#log = options.log;
    this.#applier = options.applier;
    this.#hlc = options.hlc;
    this.#clock = options.clock;
    this.#startedMs = options.clock.monotonicMs();
  }

  waitedMs(): number {
    return this.#clock.monotonicMs() - this.#startedMs;
  }

  /** What is missing still; undefined when the first append may come. */
  missing(): string | undefined {
    return this.#unfetched() ?? this.#unapplied() ?? this.#clockWait();
  }

  #unfetched(): string | undefined {
    if (this.#ends !== undefined || this.waitedMs() > FETCH_WAIT_MS_MAX) return undefined;
    for (const heads of this.#recalled) {
      for (const [stream, seq] of Object.entries(heads)) {
        if (parseStreamKey(stream) === undefined || this.#streams.includes(stream)) continue;
        const head = this.#log.head(stream).seq;
        if (head < seq) return `its earlier stream ${stream} is here up to ${head} of ${seq}`;
      }
    }
    return undefined;
  }

  #unapplied(): string | undefined {
    this.#applier.kick();
    if (this.#applier.rebuilding) return 'its online store is being built again';
    const incomplete = this.#applier.incomplete(this.#log.namespace);
    if (incomplete !== undefined) return incomplete;
    this.#ends ??= new Map(this.#log.streams().map((stream) => [stream, this.#log.head(stream).seq]));
    for (const [stream, end] of this.#ends) {
      if (this.#log.standing(stream).kind === 'unknown') continue;
      const halted = this.#applier.haltedReason(stream);
      // What another region's stream is halted by does not concern what is written here.
      if (halted !== undefined && !this.#streams.includes(stream)) continue;
      if (halted !== undefined) return `its own stream ${stream} cannot be applied: ${halted}`;
      const applied = this.#applier.checkpoint(stream);
      if (applied < end) return `${stream} is applied up to ${applied} of ${end}`;
    }
    return undefined;
  }

  #clockWait(): string | undefined {
    if (!this.#startsAbove) {
      this.#hlc.startAbove(greatestReading(this.#log));
      // The logs may have let go of the changes with the greatest readings.
      this.#hlc.startAbove(this.#applier.projection.reading(this.#log.namespace));
      if (this.#clockAbove !== undefined) this.#hlc.startAbove(this.#clockAbove);
    }
    this.#startsAbove = true;
    const waitMs = this.#hlc.last.wallMs - this.#clock.wallMs() - CLOCK_AHEAD_MS_MAX;
    return waitMs <= 0
      ? undefined
      : `it holds stamps ahead of its clock, which reaches them in ${Math.ceil(waitMs / 1000)} s`;
  }
}
