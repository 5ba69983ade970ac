import { ingestView } from '#cli/ingest/ingest-view';
import type { Topology } from '#cli/topology';
import { ViewCodec } from '#core/codec/view-codec';
import type { AcknowledgedChange } from './verify.ts';

/** In the order they are computed; the large one is first and lives through the disaster. */
const VIEWS = ['route_daily', 'airport_daily', 'route_latest'] as const;
const ROWS_PER_BATCH = 500;
const SAMPLE_ENTITIES = 10;
const RATE_WINDOW_MS = 3000;

/** Computes the views with DuckDB and sends them in event-time order at a steady rate, remembering every acknowledged row. */
export class FlightsIngest {
  readonly acknowledged: AcknowledgedChange[] = [];
  readonly #topology: Topology;
  readonly #ratePerSecond: number;
  readonly #codecs: ReadonlyMap<string, ViewCodec>;
  #waiting: { readonly fraction: number; readonly resolve: () => void }[] = [];
  #recent: { readonly atMs: number; readonly rows: number }[] = [];
  #lost: { readonly hub: string; resolve: (atMs: number) => void } | undefined;
  #view = '';
  #viewRows = 0;
  #expected: number | null = null;

  constructor(options: { readonly topology: Topology; readonly ratePerSecond: number }) {
    this.#topology = options.topology;
    this.#ratePerSecond = options.ratePerSecond;
    this.#codecs = new Map(options.topology.project.views.map((view) => [view.name, new ViewCodec(view)]));
  }

  async run(signal: AbortSignal): Promise<void> {
    const clients = await Promise.all(this.#topology.regions.map((region) => this.#topology.client(region, 'write')));
    try {
      for (const view of VIEWS) {
        this.#view = view;
        this.#viewRows = 0;
        const codec = this.#codec(view);
        const { quarantined, bad } = await ingestView({
          project: this.#topology.project,
          view,
          clients,
          rowsPerBatch: ROWS_PER_BATCH,
          rowsPerSecondMax: this.#ratePerSecond,
          signal,
          onProgress: ({ rowsExpected }) => {
            this.#expected = rowsExpected;
          },
          onAcknowledged: ({ changes, result }) => this.#acknowledge(codec, changes, result.hub),
        });
        if (quarantined + bad > 0) throw new Error(`${view}: ${quarantined} rows in quarantine, ${bad} bad rows`);
        this.#settle(1);
      }
    } finally {
      this.#settle(Number.POSITIVE_INFINITY);
    }
  }

  /** Resolves when this share of the first view is acknowledged, or its ingest has ended. */
  reached(fraction: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ fraction, resolve }));
  }

  /** Resolves with the wall time of the first acknowledgement by another hub than this one. */
  acceptedElsewhere(hub: string): Promise<number> {
    return new Promise((resolve) => {
      this.#lost = { hub, resolve };
    });
  }

  progress(): {
    view: string;
    acknowledged: number;
    expected: number | null;
    ratePerSecond: number;
    remainingSeconds: number | null;
  } {
    const sinceMs = performance.now() - RATE_WINDOW_MS;
    this.#recent = this.#recent.filter((batch) => batch.atMs > sinceMs);
    const rows = this.#recent.reduce((sum, batch) => sum + batch.rows, 0);
    const rate = Math.round((rows * 1000) / RATE_WINDOW_MS);
    const left =
      this.#expected === null || rate === 0 ? null : Math.max(0, Math.round((this.#expected - this.#viewRows) / rate));
    return {
      view: this.#view,
      acknowledged: this.#viewRows,
      expected: this.#expected,
      ratePerSecond: rate,
      remainingSeconds: left,
    };
  }

  /** A read of some rows that were acknowledged; undefined while there are none. */
  someRequest(): { features: string[]; entities: Record<string, string[]> } | undefined {
    if (this.acknowledged.length === 0) return undefined;
    const codec = this.#codec(VIEWS[0]);
    const prefix = codec.rowKeyPrefix.toString('latin1');
    const { joinKeys, features } = codec.view;
    const entities: Record<string, string[]> = Object.fromEntries(joinKeys.map((key) => [key.name, []]));
    for (let i = 0; i < SAMPLE_ENTITIES; i++) {
      const { rowKey } = this.acknowledged[Math.floor(Math.random() * this.acknowledged.length)] as AcknowledgedChange;
      if (!rowKey.startsWith(prefix)) continue;
      const values = codec.decodeKey(Buffer.from(rowKey.slice(prefix.length), 'latin1'));
      for (const [index, key] of joinKeys.entries()) entities[key.name]?.push(String(values[index]));
    }
    return { features: features.slice(0, 6).map((feature) => `${codec.view.name}:${feature.name}`), entities };
  }

  #codec(view: string): ViewCodec {
    const codec = this.#codecs.get(view);
    if (codec === undefined) throw new Error(`the project has no view ${view}`);
    return codec;
  }

  #acknowledge(
    codec: ViewCodec,
    rows: readonly { readonly key: Buffer; readonly eventTimeUs: number; readonly row: Buffer }[],
    hub: string,
  ): void {
    for (const { key, eventTimeUs, row } of rows)
      this.acknowledged.push({ rowKey: codec.rowKey(key).toString('latin1'), eventTimeUs, row });
    this.#viewRows += rows.length;
    this.#recent.push({ atMs: performance.now(), rows: rows.length });
    if (this.#lost !== undefined && hub !== this.#lost.hub) {
      this.#lost.resolve(Date.now());
      this.#lost = undefined;
    }
    if (this.#view === VIEWS[0] && this.#expected !== null) this.#settle(this.#viewRows / this.#expected);
  }

  #settle(share: number): void {
    for (const { fraction, resolve } of this.#waiting) if (share >= fraction) resolve();
    this.#waiting = this.#waiting.filter(({ fraction }) => share < fraction);
  }
}
