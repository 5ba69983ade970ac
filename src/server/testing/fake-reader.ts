import { encodeCell } from '#core/codec/cell';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureValue, FeatureView, ScalarValue } from '#core/model/feature-view';
import type { OnlineReader } from '#ports/online-store';
import { encodeJsonRecord, SERVING_STATE_KEY, type ServingState } from '#region/apply/records';

/** Rows in a map. Like the real one it answers from a shared buffer: a row kept over the next call turns into garbage. */
export class FakeReader implements OnlineReader {
  readonly rows = new Map<string, Buffer>();
  readonly values = new Map<string, Buffer>();
  readonly positions = new Map<string, number>();
  readonly #shared = Buffer.alloc(1024 * 1024);
  /** Lookups so far. */
  lookups = 0;

  row(key: Buffer): Buffer | undefined {
    this.lookups += 1;
    this.#shared.fill(0xff);
    const stored = this.rows.get(key.toString('hex'));
    if (stored === undefined) return undefined;
    stored.copy(this.#shared, 16);
    return this.#shared.subarray(16, 16 + stored.length);
  }

  record(key: string): Buffer | undefined {
    return this.values.get(key);
  }

  records(prefix: string): (readonly [string, Buffer])[] {
    return [...this.values].filter(([key]) => key.startsWith(prefix));
  }

  scan(): (readonly [Buffer, Buffer])[] {
    return [];
  }

  checkpoint(stream: string): number {
    return this.positions.get(stream) ?? 0;
  }

  checkpoints(): Map<string, number> {
    return new Map(this.positions);
  }

  async close(): Promise<void> {}

  setState(state: ServingState): void {
    this.values.set(SERVING_STATE_KEY, encodeJsonRecord(state));
  }

  /** Stores a row; `values` null deletes it. */
  put(
    view: FeatureView,
    key: readonly ScalarValue[],
    eventTimeUs: number,
    values: readonly FeatureValue[] | null,
  ): void {
    const codec = new ViewCodec(view);
    const row = values === null ? Buffer.alloc(0) : codec.encodeRow(values);
    this.putEncoded(view, codec.encodeKey(key), eventTimeUs, row, values === null ? 'delete' : 'upsert');
  }

  /** Stores bytes that some merge gave. */
  putStored(view: FeatureView, key: readonly ScalarValue[], stored: Buffer): void {
    const codec = new ViewCodec(view);
    this.rows.set(codec.rowKey(codec.encodeKey(key)).toString('hex'), stored);
  }

  putEncoded(view: FeatureView, key: Buffer, eventTimeUs: number, row: Buffer, operation: 'upsert' | 'delete'): void {
    const stored = encodeCell({
      eventTimeUs,
      hlc: { wallMs: 1, counter: 0 },
      source: { origin: Buffer.from('us-east'), incarnation: Buffer.alloc(8, 1) },
      seq: 1,
      operation,
      generation: null,
      payload: row,
    });
    this.rows.set(new ViewCodec(view).rowKey(key).toString('hex'), stored);
  }
}
