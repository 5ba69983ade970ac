import { shownBy } from '#core/model/seen';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { NamespaceServingState, ServingState } from '#region/apply/records';
import { CLOCK_BOUND_MS } from '#region/clocks/peer-clocks';
import type { StampGate } from '#region/clocks/stamp-gate';
import type { NamespaceAuthority } from '#region/failover/namespace-authority';
import type { DurablePositions } from '#region/replicate/durable-positions';
import { ACTIVE_EPOCH } from '#region/replicate/live-streams';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Freshness } from '#region/serve/row-reads';
import type { BackfillStatus, MemberFreshness, NamespaceStatus, StreamStatus } from '#region/status';

export interface ObservedNamespace {
  readonly log: NamespaceLog;
  readonly authority: NamespaceAuthority;
}

/**
 * Computes what is shown of streams and namespaces from the live state. Keeps only how fresh each namespace was when that
 * could last be said: while a part is missing, that instant stands still.
 */
export class StatusCollector {
  readonly #region: string;
  readonly #clock: Clock;
  readonly #applier: Applier;
  readonly #positions: DurablePositions;
  readonly #namespaces: ReadonlyMap<string, ObservedNamespace>;
  readonly #vouchesFor: (stream: StreamKey) => boolean;
  readonly #announcedHead: (stream: StreamKey) => number;
  readonly #backfill: (namespace: string) => BackfillStatus | null;
  readonly #stamps: StampGate;
  readonly #anchorsMs = new Map<string, number>();
  readonly #certainMs = new Map<string, number>();

  constructor(options: {
    region: string;
    clock: Clock;
    applier: Applier;
    positions: DurablePositions;
    namespaces: ReadonlyMap<string, ObservedNamespace>;
    /** Whether this region can say of an own open stream that what it holds is all there is. */
    vouchesFor: (stream: StreamKey) => boolean;
    /** Farthest end of a stream that a connected peer announced. */
    announcedHead: (stream: StreamKey) => number;
    /** What is under way where a namespace lacks something; null where it does not. */
    backfill: (namespace: string) => BackfillStatus | null;
    stamps: StampGate;
  }) {
    this.#region = options.region;
    this.#clock = options.clock;
    this.#applier = options.applier;
    this.#positions = options.positions;
    this.#namespaces = options.namespaces;
    this.#vouchesFor = options.vouchesFor;
    this.#announcedHead = options.announcedHead;
    this.#backfill = options.backfill;
    this.#stamps = options.stamps;
  }

  servingState(): ServingState {
    const namespaces: Record<string, NamespaceServingState> = {};
    for (const [name, { log }] of this.#namespaces) {
      namespaces[name] = {
        hub: log.lease?.record.holder ?? null,
        epoch: log.live === undefined ? (log.lease?.record.epoch ?? 0) : ACTIVE_EPOCH,
        freshnessAnchorMs: this.#freshnessAnchorMs(log),
        certainAnchorMs: this.#certainAnchorMs(log),
        ...this.#shown(log),
        positions: Object.fromEntries(this.#applier.appliedVector(name).map(({ stream, seq }) => [stream, seq])),
      };
    }
    return { state: this.#applier.rebuilding ? 'rebuilding' : 'serving', region: this.#region, namespaces };
  }

  namespaces(): NamespaceStatus[] {
    const now = this.#clock.wallMs();
    const fenced = this.#stamps.reason() !== undefined;
    return [...this.#namespaces.values()].map(({ log, authority }) => {
      const anchor = this.#freshnessAnchorMs(log);
      const status = authority.status();
      return {
        ...status,
        accepting: status.accepting && !fenced,
        freshnessMs: anchor === null ? null : Math.max(0, now - anchor),
        members: this.#members(log),
        backfill: this.#backfill(log.namespace),
      };
    });
  }

  #members(log: NamespaceLog): MemberFreshness[] | null {
    if (log.live === undefined) return null;
    const now = this.#clock.wallMs();
    return log.live.members.map((region) => {
      const watermarkMs = this.#memberWatermarkMs(log, region);
      return { region, freshnessMs: watermarkMs === null ? null : Math.max(0, now - watermarkMs) };
    });
  }

  streams(): StreamStatus[] {
    const streams: StreamStatus[] = [];
    for (const { log } of this.#namespaces.values())
      for (const stream of log.streams()) streams.push(this.#stream(log, stream));
    return streams;
  }

  freshness(namespace: string): Freshness {
    const log = this.#namespaces.get(namespace)?.log;
    if (log === undefined) return { anchorMs: null, certainAnchorMs: null };
    return { anchorMs: this.#freshnessAnchorMs(log), certainAnchorMs: this.#certainAnchorMs(log) };
  }

  #shown(log: NamespaceLog): { readonly sealedBefore: number; readonly folded: readonly StreamKey[] } {
    const { epoch, folded } = shownBy({
      epoch: log.lease?.record.epoch ?? 0,
      streams: log.streams(),
      standing: (stream) => log.standing(stream),
      applied: (stream) => this.#applier.checkpoint(stream),
    });
    return { sealedBefore: epoch, folded: [...folded] };
  }

  /** The same if the clocks of other origins are as far behind this one as they may be (P11.2). */
  #certainAnchorMs(log: NamespaceLog): number | null {
    if (this.#applier.rebuilding) this.#certainMs.delete(log.namespace);
    // A clock that is known to be wrong cannot tell how old anything is.
    if (this.#stamps.skew() !== undefined) return null;
    const anchorMs = this.#complete(log) ? this.#oldestWatermarkMs(log, CLOCK_BOUND_MS) : null;
    if (anchorMs !== null) this.#certainMs.set(log.namespace, anchorMs);
    return anchorMs ?? this.#certainMs.get(log.namespace) ?? null;
  }

  /**
   * Up to when this region has everything: the oldest watermark among the open streams, provided that all that is sealed is
   * applied and nothing is halted. Otherwise the last such instant; null when there was none in this process.
   */
  #freshnessAnchorMs(log: NamespaceLog): number | null {
    const anchorMs = this.#complete(log) ? this.#oldestWatermarkMs(log, 0) : null;
    if (anchorMs !== null) this.#anchorsMs.set(log.namespace, anchorMs);
    return anchorMs ?? this.#anchorsMs.get(log.namespace) ?? null;
  }

  #complete(log: NamespaceLog): boolean {
    if (this.#applier.incomplete(log.namespace) !== undefined) return false;
    return log.streams().every((stream) => {
      const standing = log.standing(stream);
      if (standing.kind === 'sealed') return this.#applier.checkpoint(stream) >= standing.seal;
      // Nobody speaks for a stream of an earlier incarnation: all that anybody announces of it must be here.
      if (standing.kind === 'open' && !log.grows(stream)) {
        const known = Math.max(log.head(stream).seq, this.#announcedHead(stream));
        return this.#applier.checkpoint(stream) >= known;
      }
      return standing.kind === 'unknown' || this.#applier.haltedReason(stream) === undefined;
    });
  }

  /** `boundMs`: how far the clock of another origin may be ahead of this one. */
  #oldestWatermarkMs(log: NamespaceLog, boundMs: number): number | null {
    const certain = (stream: StreamKey): number | null => {
      const watermarkMs = this.#watermarkMs(log, stream);
      return watermarkMs === null || parseStreamKey(stream)?.origin === this.#region
        ? watermarkMs
        : watermarkMs - boundMs;
    };
    if (log.live === undefined) return oldestOf(log.lease?.record.streams ?? [], certain);
    return oldestOf(log.live.members, (member) => oldestOf(log.live?.of(member) ?? [], certain));
  }

  /** Of the streams that a member extends, in which all that it accepts is; null until it was heard. */
  #memberWatermarkMs(log: NamespaceLog, member: string): number | null {
    return oldestOf(log.live?.of(member) ?? [], (stream) => this.#watermarkMs(log, stream));
  }

  /** The region is to itself what an origin is to its peers: it says how far its streams go, but only while it may append. */
  #watermarkMs(log: NamespaceLog, stream: StreamKey): number | null {
    if (this.#vouchesFor(stream)) this.#applier.announce(stream, log.head(stream).seq, log.watermarkMs());
    return this.#applier.watermarkMs(stream);
  }

  #stream(log: NamespaceLog, stream: StreamKey): StreamStatus {
    const id = parseStreamKey(stream);
    const standing = log.standing(stream);
    const applied = this.#applier.checkpoint(stream);
    const seal = standing.kind === 'sealed' ? standing.seal : null;
    const open = standing.kind === 'open' && log.grows(stream);
    const watermarkMs = open ? this.#watermarkMs(log, stream) : null;
    const lag = this.#applier.lag(stream);
    const announced = Math.max(this.#applier.announcedHead(stream), log.head(stream).seq);
    return {
      stream,
      namespace: id?.namespace ?? '',
      partition: id?.partition ?? 0,
      origin: id?.origin ?? '',
      incarnation: id?.incarnation ?? '',
      epoch: standing.kind === 'unknown' ? 0 : standing.epoch,
      open,
      head: log.head(stream).seq,
      applied,
      seal,
      watermarkMs,
      freshnessMs: watermarkMs === null ? null : Math.max(0, this.#clock.wallMs() - watermarkMs),
      backlog: Math.max(0, (seal ?? announced) - applied),
      lag: {
        count: lag?.count ?? 0,
        p50Ms: lag?.quantile(0.5) ?? null,
        p99Ms: lag?.quantile(0.99) ?? null,
        maxMs: lag?.max ?? null,
      },
      durableAt: this.#positions.of(stream),
      haltedReason: this.#applier.haltedReason(stream) ?? null,
      parkedUntilMs: this.#applier.parkedUntilMs(stream) ?? null,
    };
  }
}

/** The least of what all say; null when there is none, or one does not say. */
function oldestOf<T>(items: readonly T[], watermarkMs: (item: T) => number | null): number | null {
  let oldest: number | null = null;
  for (const item of items) {
    const watermark = watermarkMs(item);
    if (watermark === null) return null;
    oldest = Math.min(oldest ?? watermark, watermark);
  }
  return oldest;
}
