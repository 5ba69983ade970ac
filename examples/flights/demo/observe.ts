import type { Topology } from '#cli/topology';
import type { RegionStatus } from '#region/status';
import { oneWayMs } from './project.ts';

/** What the demo saw of the regions while it ran: statuses are polled, events are collected once each. */
export class Observer {
  latest: ReadonlyMap<string, RegionStatus> = new Map();
  /** Milliseconds beyond the one-way delay, weighted by changes, of every stream a region followed. */
  readonly #lags = new Map<string, { count: number; p50Ms: number; p99Ms: number }>();
  readonly #tails = new Map<string, { changes: number; replayed: number }>();
  readonly #frozen = new Set<string>();
  readonly #topology: Topology;
  #polling = true;
  readonly #running: Promise<void>;

  constructor(topology: Topology) {
    this.#topology = topology;
    this.#running = this.#poll();
  }

  async stop(): Promise<void> {
    this.#polling = false;
    await this.#running;
  }

  async refresh(): Promise<ReadonlyMap<string, RegionStatus>> {
    this.latest = await this.#topology.statuses();
    for (const [region, status] of this.latest) this.#learn(region, status);
    return this.latest;
  }

  /** First event of one of the names in a region other than `not`, at or after `sinceMs` of wall time. */
  firstEvent(names: readonly string[], sinceMs: number, not: string): number | null {
    let first: number | null = null;
    for (const [region, status] of this.latest) {
      if (region === not) continue;
      for (const event of status.events) {
        if (names.includes(event.event) && event.atMs >= sinceMs && (first === null || event.atMs < first))
          first = event.atMs;
      }
    }
    return first;
  }

  /** Worst median and 99th percentile over the streams that regions followed, above the one-way delay, ms. */
  lagAboveOneWayMs(): {
    p50: number;
    p99: number;
    byLink: Record<string, { count: number; p50: number; p99: number }>;
  } {
    const byLink: Record<string, { count: number; p50: number; p99: number }> = {};
    let p50 = 0;
    let p99 = 0;
    for (const [link, lag] of this.#lags) {
      byLink[link] = { count: lag.count, p50: round(lag.p50Ms), p99: round(lag.p99Ms) };
      p50 = Math.max(p50, lag.p50Ms);
      p99 = Math.max(p99, lag.p99Ms);
    }
    return { p50: round(p50), p99: round(p99), byLink };
  }

  tails(): { changes: number; replayed: number } {
    const all = [...this.#tails.values()];
    return {
      changes: all.reduce((sum, tail) => sum + tail.changes, 0),
      replayed: all.reduce((sum, tail) => sum + tail.replayed, 0),
    };
  }

  /** From now on a region's lag is what it missed while it was away: its catching up is reported apart. */
  freezeLags(region: string): void {
    this.#frozen.add(region);
  }

  /** The region serves and is at most a second behind on every open stream. */
  caughtUp(region: string): boolean {
    const status = this.latest.get(region);
    return (
      status?.state === 'serving' &&
      status.namespaces.every((each) => each.freshnessMs !== null && each.freshnessMs < 1000)
    );
  }

  /** Everything any region holds is applied everywhere, and every tail is taken over, as statuses of `sinceMs` or later say. */
  converged(regions: readonly string[], sinceMs: number): boolean {
    const told = regions.map((region) => this.latest.get(region));
    if (told.some((status) => status === undefined || status.state !== 'serving' || status.nowMs < sinceMs))
      return false;
    const heads = new Map<string, number>();
    for (const status of this.latest.values()) {
      for (const stream of status.streams)
        heads.set(stream.stream, Math.max(stream.seal ?? stream.head, heads.get(stream.stream) ?? 0));
    }
    for (const status of this.latest.values()) {
      if (status.tails.some((tail) => tail.state !== 'replayed')) return false;
      const applied = new Map(status.streams.map((stream) => [stream.stream, stream.applied]));
      for (const [stream, head] of heads) if (applied.get(stream) !== head) return false;
    }
    return true;
  }

  #learn(region: string, status: RegionStatus): void {
    for (const stream of status.streams) {
      if (
        this.#frozen.has(region) ||
        stream.origin === region ||
        stream.lag.p50Ms === null ||
        stream.lag.p99Ms === null
      )
        continue;
      const delay = oneWayMs(stream.origin, region);
      const known = this.#lags.get(`${stream.origin} to ${region}`);
      if (known !== undefined && known.count > stream.lag.count) continue;
      this.#lags.set(`${stream.origin} to ${region}`, {
        count: stream.lag.count,
        p50Ms: stream.lag.p50Ms - delay,
        p99Ms: stream.lag.p99Ms - delay,
      });
    }
    for (const tail of status.tails)
      this.#tails.set(tail.stream, { changes: tail.to - tail.from, replayed: tail.replayed });
  }

  async #poll(): Promise<void> {
    while (this.#polling) {
      await this.refresh().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
