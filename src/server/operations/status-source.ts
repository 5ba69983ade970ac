import type { Clock } from '#ports/clock';
import type { RegionEngine } from '#region/engine-api';
import type { RegionStatus } from '#region/status';

/** How old a status may be that several askers share. */
const SHARED_MS = 200;

/**
 * The region's status for everybody who asks: dashboards, scrapes and commands share one question to the engine, so that
 * the number of watchers is no load on the region.
 */
export class StatusSource {
  readonly #engine: RegionEngine;
  readonly #clock: Clock;
  #asked: Promise<RegionStatus> | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly engine: RegionEngine; readonly clock: Clock }) {
    this.#engine = options.engine;
    this.#clock = options.clock;
  }

  status(): Promise<RegionStatus> {
    const now = this.#clock.monotonicMs();
    if (this.#asked === undefined || now - this.#askedAtMs >= SHARED_MS) {
      this.#askedAtMs = now;
      const asked = this.#engine.status();
      // A failure is for those who waited for it; the next asker tries again.
      asked.catch(() => {
        if (this.#asked === asked) this.#asked = undefined;
      });
      this.#asked = asked;
    }
    return this.#asked;
  }
}
