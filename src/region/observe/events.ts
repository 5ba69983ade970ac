import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { RegionEvent } from '#region/status';

/** Events kept for status and dashboard; older ones are in the log and, where they matter, in the audit log. */
export const EVENTS_MAX = 200;

/** What happened in this region, for people: a bounded list, also written to the log. */
export class EventList {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #events: RegionEvent[] = [];

  constructor(options: { clock: Clock; log: Logger }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  add(
    event: string,
    severity: RegionEvent['severity'],
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#events.push({ atMs: this.#clock.wallMs(), event, severity, message });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
    const level = severity === 'info' ? 'info' : severity === 'warning' ? 'warn' : 'error';
    this.#log[level](event, { ...fields, message });
  }

  list(): readonly RegionEvent[] {
    return this.#events;
  }
}
