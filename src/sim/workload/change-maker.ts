import type { Producer } from '#core/codec/counter-state';
import type { ViewCodec } from '#core/codec/view-codec';
import type { FeatureValue } from '#core/model/feature-view';
import type { IngestChange } from '#region/engine-api';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { WorkloadKnobs } from '#sim/knobs';
import { EPOCH_MS } from '#sim/machine/sim-clock';

/** Values that compare badly: what is no number, zeros of both signs, neighbours that a double cannot tell apart. */
const FLOATS: readonly FeatureValue[] = [null, Number.NaN, -0, 0, 1.5, -1.5, 2 ** 53, 2 ** 53 + 2];
const INTEGERS: readonly FeatureValue[] = [null, 0n, -1n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n];
/** Steps of running totals, whose sum depends on the order in which it is made. */
const STEPS: readonly number[] = [0.1, 1e16, -0.3];
const PRODUCERS = 3;

export interface MadeChanges {
  readonly changes: readonly IngestChange[];
  readonly producer: Producer | undefined;
}

interface Totals {
  count: bigint;
  total: number;
}

/** Makes the changes of requests: whole rows, halves of rows, or running totals, as the view takes them. */
export class ChangeMaker {
  readonly #random: SeededRandom;
  readonly #knobs: WorkloadKnobs;
  readonly #nowMs: () => number;
  readonly #sequences = new Map<string, number>();
  readonly #totals = new Map<string, Totals>();

  constructor(options: { random: SeededRandom; knobs: WorkloadKnobs; nowMs: () => number }) {
    this.#random = options.random;
    this.#knobs = options.knobs;
    this.#nowMs = options.nowMs;
  }

  /** `name` tells the request's upserts from all others. */
  make(codec: ViewCodec, name: string, count: number, upsertsOnly: boolean): MadeChanges {
    const counter = codec.view.resolver.kind === 'counter';
    const producer = counter ? this.#producer(codec.view.name) : undefined;
    const changes: IngestChange[] = [];
    const ids = new Set<number>();
    for (let index = 0; index < count; index++) {
      const { id, eventTimeUs, isDelete } = this.#place(upsertsOnly);
      // Two totals of one producer for one key in one request have no order.
      if (counter && ids.has(id)) continue;
      ids.add(id);
      const key = codec.encodeKey([`k${id}`]);
      if (isDelete) changes.push({ operation: 'delete', eventTimeUs, key, row: Buffer.alloc(0) });
      else if (producer !== undefined)
        changes.push({ operation: 'upsert', eventTimeUs, key, row: this.#total(codec, producer, id) });
      else changes.push({ operation: 'upsert', eventTimeUs, key, ...this.#row(codec, `${name}.${index}`) });
    }
    return { changes, producer: changes.some(({ operation }) => operation === 'upsert') ? producer : undefined };
  }

  #place(upsertsOnly: boolean): { id: number; eventTimeUs: number; isDelete: boolean } {
    const { keys, hotShare, deleteShare, eventTimeStepMs, eventTimeSpreadMs } = this.#knobs;
    const random = this.#random;
    const id = random.chance(hotShare) ? random.integer(2) : random.integer(keys);
    const ahead = random.chance(0.002) ? 400_000 : 0;
    const exactMs = EPOCH_MS + this.#nowMs() + random.between(-eventTimeSpreadMs, eventTimeSpreadMs / 2) + ahead;
    const eventTimeUs = Math.floor(exactMs / eventTimeStepMs) * eventTimeStepMs * 1000;
    return { id, eventTimeUs, isDelete: !upsertsOnly && random.chance(deleteShare) };
  }

  #row(codec: ViewCodec, name: string): Pick<IngestChange, 'row' | 'features'> {
    const random = this.#random;
    if (codec.view.granularity === 'feature') return this.#half(codec, name);
    const padding = random.chance(0.1) ? null : 'x'.repeat(random.integer(this.#knobs.rowBytesMax));
    const values = codec.view.features.length === 2 ? [padding, name] : [padding, random.pick(FLOATS), name];
    return { row: codec.encodeRow(values) };
  }

  /** Two pipelines write a half each, and now and then somebody both. */
  #half(codec: ViewCodec, name: string): Pick<IngestChange, 'row' | 'features'> {
    const random = this.#random;
    const values = [random.pick(FLOATS), random.pick(INTEGERS), name, name];
    if (random.chance(0.2)) return { row: codec.encodeRow(values) };
    const features = random.chance(0.5) ? [0, 2] : [1, 3];
    return {
      features,
      row: codec.encodeFeatures(
        features,
        features.map((place) => values[place] as FeatureValue),
      ),
    };
  }

  #producer(view: string): Producer {
    const name = `p${this.#random.integer(PRODUCERS)}`;
    const place = `${view} ${name}`;
    // Now and then a producer forgets where it was and sends other totals under a sequence it used.
    const step = this.#random.chance(0.02) ? 0 : 1;
    const sequence = (this.#sequences.get(place) ?? 0) + step;
    this.#sequences.set(place, sequence);
    return { name, sequence };
  }

  #total(codec: ViewCodec, producer: Producer, id: number): Buffer {
    const place = `${codec.view.name} ${producer.name} ${id}`;
    const totals = this.#totals.get(place) ?? { count: 0n, total: 0 };
    totals.count += 1n;
    totals.total += this.#random.pick(STEPS);
    this.#totals.set(place, totals);
    return codec.encodeRow([totals.count, this.#random.chance(0.05) ? null : totals.total]);
  }
}
