import { type AntipodeError, toAntipodeError } from '#core/errors';
import { encodeCut, mayExpire } from '#core/merge/expiry';
import type { FeatureView } from '#core/model/feature-view';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { StampGate } from '#region/clocks/stamp-gate';
import { FrameBuilder } from '#region/ingest/frame-builder';
import type { HlcService } from '#region/ingest/hlc-service';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** How often views are looked at, ms. */
const INTERVAL_MS = 1000;
/**
 * How long after its time a row is removed, as a part of the time to live, and its bounds, ms: removal must not come before
 * any region's clock has begun to answer the row as too old, and a cut a second would be a log of cuts.
 */
const GRACE_PART = 10;
const GRACE_MS_MIN = 2000;
const GRACE_MS_MAX = 3_600_000;

/** Event time below which rows of the view are to be removed at this time, microseconds; in steps of the grace. */
export function cutDueUs(view: Pick<FeatureView, 'ttlSeconds'>, nowMs: number): number {
  const ttlMs = (view.ttlSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  const graceMs = Math.floor(Math.min(GRACE_MS_MAX, Math.max(GRACE_MS_MIN, ttlMs / GRACE_PART)));
  return Math.floor((nowMs - ttlMs - graceMs) / graceMs) * graceMs * 1000;
}

/**
 * Writes expiry cuts into the streams of one namespace while this region may append to them (P14.2): the same removal, at
 * the same place of the same stream, for every region.
 */
export class Expirer {
  readonly #log: NamespaceLog;
  readonly #clock: Clock;
  readonly #views: ViewRegistry;
  readonly #hlc: HlcService;
  readonly #applier: Applier;
  readonly #gate: HolderGate;
  readonly #stamps: StampGate;
  readonly #events: EventList;
  #running: Promise<void> | undefined;

  constructor(options: {
    log: NamespaceLog;
    clock: Clock;
    views: ViewRegistry;
    hlc: HlcService;
    applier: Applier;
    gate: HolderGate;
    stamps: StampGate;
    events: EventList;
  }) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#views = options.views;
    this.#hlc = options.hlc;
    this.#applier = options.applier;
    this.#gate = options.gate;
    this.#stamps = options.stamps;
    this.#events = options.events;
  }

  start(): () => void {
    return this.#clock.every(INTERVAL_MS, () => {
      this.#running ??= this.step()
        .catch((caught: unknown) => this.#failed(toAntipodeError(caught)))
        .finally(() => {
          this.#running = undefined;
        });
    });
  }

  /** A full disk, or a lease that went: the next interval tries again. */
  #failed(error: AntipodeError): void {
    if (error.code === 'INTERNAL') this.#events.add('expiry-failed', 'error', error.message);
  }

  /** Appends the cuts that are due. */
  async step(): Promise<void> {
    if (this.#gate.appendable() === undefined || this.#stamps.reason() !== undefined) return;
    await this.#hlc.ready();
    for (const view of this.#views.views()) {
      if (view.namespace !== this.#log.namespace || !mayExpire(view)) continue;
      const cutUs = cutDueUs(view, this.#clock.wallMs());
      if (cutUs > this.#applier.expiry.cutUs(view.version)) await this.#append(view.version, cutUs);
    }
  }

  /** One synchronous step up to the log, as every append is (P3.1). */
  async #append(version: string, cutUs: number): Promise<void> {
    const grant = this.#gate.appendable();
    const [stream] = grant?.streams ?? [];
    if (grant === undefined || stream === undefined || this.#stamps.reason() !== undefined) return;
    const hlc = this.#hlc.tryReserve(1);
    if (hlc === undefined) return;
    const builder = new FrameBuilder(this.#log.queuedHead(stream));
    const applied = this.#applier.appliedVector(this.#log.namespace);
    const watermarkMs = Math.floor(this.#clock.wallMs());
    builder.expiry({ stream, epoch: grant.epoch, viewVersion: version, watermarkMs, applied }, hlc, encodeCut(cutUs));
    await this.#log.append(stream, grant.epoch, builder.frames);
    await this.#applier.applied(stream, builder.head.seq);
  }
}
