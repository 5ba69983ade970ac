import { Counter, Histogram, Registry } from 'prom-client';
import { REFUSAL_REASONS, type RefusalLog } from '#server/access/refusals';

/** Seconds. A read takes well under a millisecond in the store; the upper buckets show a blocked process. */
const READ_BUCKETS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/**
 * What one face measures of itself. Serving processes share a port and a scrape reaches any of them, so each has its own
 * `worker` label: the series of one process stay monotonic, and a sum over the label is the region.
 */
export class FaceMetrics {
  readonly registry = new Registry();
  readonly #readDuration: Histogram;
  readonly #corruptRows: Counter;

  constructor(options: { readonly region: string; readonly worker: string; readonly refusals: RefusalLog }) {
    this.registry.setDefaultLabels({ region: options.region, worker: options.worker });
    this.#readDuration = new Histogram({
      name: 'antipode_read_duration_seconds',
      help: 'Time from a parsed request head to the answer of a feature read.',
      buckets: READ_BUCKETS,
      registers: [this.registry],
    });
    this.#corruptRows = new Counter({
      name: 'antipode_read_corrupt_rows_total',
      help: 'Rows answered as INVALID because their stored bytes do not decode.',
      registers: [this.registry],
    });
    new Counter({
      name: 'antipode_refused_requests_total',
      help: 'Requests refused for want of a token or a role.',
      labelNames: ['reason'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const reason of REFUSAL_REASONS) this.inc({ reason }, options.refusals.counts().get(reason) ?? 0);
      },
    });
  }

  readDuration(ms: number): void {
    this.#readDuration.observe(ms / 1000);
  }

  corruptRows(count: number): void {
    if (count > 0) this.#corruptRows.inc(count);
  }
}
