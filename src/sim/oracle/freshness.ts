import type { StreamKey } from '#core/model/stream';
import type { OnlineReader } from '#ports/online-store';
import { EPOCH_MS } from '#sim/machine/sim-clock';
import type { Violations } from '#sim/oracle/violations';

/** Between the reading of a clock and what is done with it, ms. */
const SLACK_MS = 50;

/** Beyond the widest difference of clocks after a heal, ms. */
const STALE_MS_MAX = 8000;

interface Written {
  readonly stream: StreamKey;
  readonly to: number;
  readonly atMs: number;
}

/** What is looked at of a region's machine. */
interface ObservedRegion {
  readonly name: string;
  readonly wall: { readonly offsetMs: number };
  readonly running: { readonly store: Pick<OnlineReader, 'record' | 'checkpoint'> } | undefined;
}

/** What a serving process reads of its store, as plain JSON. */
interface PlainServingState {
  readonly state: string;
  readonly namespaces: Readonly<Record<string, { readonly freshnessAnchorMs: number | null } | undefined>>;
}

/**
 * Freshness is a promise (P11.2): whatever any member of an active-active namespace had made durable by that instant is
 * applied here. Judged in true time: a clock reading is at most as far ahead of it as the machine's clock ever was.
 */
export class FreshnessOracle {
  readonly #namespaces: readonly string[];
  readonly #violations: Violations;
  readonly #regions: readonly ObservedRegion[];
  readonly #written = new Map<string, Written[]>();
  #aheadMsMax = 0;

  constructor(options: {
    /** The active-active ones. */
    namespaces: readonly string[];
    regions: readonly ObservedRegion[];
    violations: Violations;
  }) {
    this.#namespaces = options.namespaces;
    this.#regions = options.regions;
    this.#violations = options.violations;
  }

  /** A member made changes of its own durable. */
  written(origin: string, written: Written): void {
    if (this.#namespaces.length === 0) return;
    const held = this.#written.get(origin);
    if (held === undefined) this.#written.set(origin, [written]);
    else held.push(written);
  }

  /** What only its disks held is gone, and nobody can be asked for it. */
  disksReplaced(origin: string): void {
    this.#written.delete(origin);
  }

  look(): void {
    for (const { wall } of this.#regions) this.#aheadMsMax = Math.max(this.#aheadMsMax, wall.offsetMs);
    for (const { name, running } of this.#regions) {
      const record = running?.store.record('serving-state');
      if (running === undefined || record === undefined) continue;
      const { state, namespaces } = JSON.parse(record.toString('utf8')) as PlainServingState;
      if (state !== 'serving') continue;
      for (const namespace of this.#namespaces) {
        const anchorMs = namespaces[namespace]?.freshnessAnchorMs ?? null;
        if (anchorMs !== null) this.#judge(name, namespace, anchorMs, (stream) => running.store.checkpoint(stream));
      }
    }
  }

  /** Where freshness does not come back once every member is there, although it must (I14). */
  standingStill(nowMs: number): string[] {
    const found: string[] = [];
    for (const { name, running } of this.#regions) {
      const record = running?.store.record('serving-state');
      if (record === undefined) continue;
      const { namespaces } = JSON.parse(record.toString('utf8')) as PlainServingState;
      for (const namespace of this.#namespaces) {
        const anchorMs = namespaces[namespace]?.freshnessAnchorMs ?? null;
        if (anchorMs !== null && nowMs - (anchorMs - EPOCH_MS) < STALE_MS_MAX) continue;
        const since = anchorMs === null ? 'never' : `${(anchorMs - EPOCH_MS).toFixed(0)} ms`;
        found.push(`${name} is fresh in ${namespace} to ${since}`);
      }
    }
    return found;
  }

  #judge(region: string, namespace: string, anchorMs: number, applied: (stream: StreamKey) => number): void {
    const untilMs = anchorMs - EPOCH_MS - this.#aheadMsMax - SLACK_MS;
    for (const written of this.#written.values()) {
      const last = new Map<StreamKey, Written>();
      for (const each of written)
        if (each.atMs < untilMs && each.stream.startsWith(`${namespace}/`)) last.set(each.stream, each);
      for (const { stream, to, atMs } of last.values()) {
        if (applied(stream) >= to) continue;
        const text = `${region} says that it is fresh to ${(anchorMs - EPOCH_MS).toFixed(0)} ms, and has ${stream} up to ${applied(stream)}, which was at ${to} at ${atMs.toFixed(0)} ms`;
        this.#violations.add('fresh', text);
      }
    }
  }
}
