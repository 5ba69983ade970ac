import { parseStreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { NamespaceServingState, ServingState } from '#region/apply/records';
import type { Authority } from '#region/failover/authority';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { NamespaceStatus, StreamStatus } from '#region/status';

export interface ObservedNamespace {
  readonly log: NamespaceLog;
  readonly authority: Authority;
}

/** Computes what is shown of streams and namespaces from the live state; keeps nothing itself. */
export class StatusCollector {
  readonly #region: string;
  readonly #clock: Clock;
  readonly #applier: Applier;
  readonly #positions: DurablePositions;
  readonly #namespaces: ReadonlyMap<string, ObservedNamespace>;

  constructor(options: {
    region: string;
    clock: Clock;
    applier: Applier;
    positions: DurablePositions;
    namespaces: ReadonlyMap<string, ObservedNamespace>;
  }) {
    this.#region = options.region;
    this.#clock = options.clock;
    this.#applier = options.applier;
    this.#positions = options.positions;
    this.#namespaces = options.namespaces;
  }

  servingState(): ServingState {
    const namespaces: Record<string, NamespaceServingState> = {};
    for (const [name, { log }] of this.#namespaces) {
      namespaces[name] = {
        hub: log.lease?.record.holder ?? null,
        epoch: log.lease?.record.epoch ?? 0,
        freshnessAnchorMs: this.#freshnessAnchorMs(log),
        positions: Object.fromEntries(this.#applier.appliedVector(name).map(({ stream, seq }) => [stream, seq])),
      };
    }
    return { state: this.#applier.rebuilding ? 'rebuilding' : 'serving', region: this.#region, namespaces };
  }

  namespaces(): NamespaceStatus[] {
    const now = this.#clock.wallMs();
    return [...this.#namespaces.values()].map(({ log, authority }) => {
      const anchor = this.#freshnessAnchorMs(log);
      return { ...authority.status(), freshnessMs: anchor === null ? null : Math.max(0, now - anchor) };
    });
  }

  streams(): StreamStatus[] {
    const streams: StreamStatus[] = [];
    for (const { log } of this.#namespaces.values())
      for (const stream of log.streams()) streams.push(this.#stream(log, stream));
    return streams;
  }

  /** The oldest watermark among the open streams: up to then this region has everything. Own streams are always up to date. */
  #freshnessAnchorMs(log: NamespaceLog): number | null {
    let anchor: number | null = null;
    for (const stream of log.lease?.record.streams ?? []) {
      const watermark = this.#watermarkMs(log, stream);
      if (watermark === null) return null;
      anchor = Math.min(anchor ?? watermark, watermark);
    }
    return anchor;
  }

  #watermarkMs(log: NamespaceLog, stream: string): number | null {
    return parseStreamKey(stream)?.origin === this.#region ? log.watermarkMs() : this.#applier.watermarkMs(stream);
  }

  #stream(log: NamespaceLog, stream: string): StreamStatus {
    const id = parseStreamKey(stream);
    const standing = log.standing(stream);
    const applied = this.#applier.checkpoint(stream);
    const seal = standing.kind === 'sealed' ? standing.seal : null;
    const watermarkMs = standing.kind === 'open' ? this.#watermarkMs(log, stream) : null;
    const lag = this.#applier.lag(stream);
    const announced = Math.max(this.#applier.announcedHead(stream), log.head(stream).seq);
    return {
      stream,
      namespace: id?.namespace ?? '',
      partition: id?.partition ?? 0,
      origin: id?.origin ?? '',
      incarnation: id?.incarnation ?? '',
      epoch: standing.kind === 'unknown' ? 0 : standing.epoch,
      open: standing.kind === 'open',
      head: log.head(stream).seq,
      applied,
      seal,
      watermarkMs,
      freshnessMs: watermarkMs === null ? null : Math.max(0, this.#clock.wallMs() - watermarkMs),
      backlog: Math.max(0, Math.min(announced, seal ?? announced) - applied),
      lag: {
        count: lag?.count ?? 0,
        p50Ms: lag?.quantile(0.5) ?? null,
        p99Ms: lag?.quantile(0.99) ?? null,
        maxMs: lag?.max ?? null,
      },
      durableAt: this.#positions.of(stream),
      haltedReason: this.#applier.haltedReason(stream) ?? null,
    };
  }
}
