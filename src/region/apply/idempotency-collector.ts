import type { Clock } from '#ports/clock';
import type { OnlineStore } from '#ports/online-store';
import {
  decodeJsonRecord,
  IDEMPOTENCY_KEPT_MS,
  IDEMPOTENCY_PREFIX,
  type IdempotencyRecord,
} from '#region/apply/records';

/** Records looked at in one step, and how often, ms: a million keys take about a quarter of an hour. */
const PAGE = 1000;
const INTERVAL_MS = 1000;
/** After the last page there is a rest. */
const REST_MS = 60_000;

/** Forgets idempotency keys after their 24 hours (P10), a bounded page at a time. */
export class IdempotencyCollector {
  readonly #store: OnlineStore;
  readonly #clock: Clock;
  #after: string | undefined;
  #restUntilMs = 0;

  constructor(options: { store: OnlineStore; clock: Clock }) {
    this.#store = options.store;
    this.#clock = options.clock;
  }

  start(onError: (error: unknown) => void): () => void {
    return this.#clock.every(INTERVAL_MS, () => {
      if (this.#clock.monotonicMs() >= this.#restUntilMs) void this.step().catch(onError);
    });
  }

  /** Looks at one page and removes what is too old; answers how many keys were forgotten. */
  async step(): Promise<number> {
    const page = this.#store.records(IDEMPOTENCY_PREFIX, { after: this.#after, limit: PAGE });
    this.#after = page.length < PAGE ? undefined : page[page.length - 1]?.[0];
    if (this.#after === undefined) this.#restUntilMs = this.#clock.monotonicMs() + REST_MS;
    const oldestMs = this.#clock.wallMs() - IDEMPOTENCY_KEPT_MS;
    const expired = page.filter(([, value]) => decodeJsonRecord<IdempotencyRecord>(value).atMs < oldestMs);
    if (expired.length > 0) {
      const records = new Map(expired.map(([key]) => [key, null]));
      await this.#store.apply({ rows: [], checkpoints: new Map(), records }, () => 'keep');
    }
    return expired.length;
  }
}
