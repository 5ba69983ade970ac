// What every suite writes and reads: real rows of the flights example, spread over synthetic keys.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDbOfflineStore } from '#adapters/duckdb/duckdb-offline-store';
import { loadProject } from '#adapters/project-files/load-project';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureValue, FeatureView } from '#core/model/feature-view';
import { encodeChangeBatch } from '#server/change-batch';

const FLIGHTS = fileURLToPath(new URL('../../examples/flights', import.meta.url));
const CACHE = fileURLToPath(new URL('../../.antipode/bench', import.meta.url));
/** The same rows in every run, whatever the day. */
const TODAY = '2026-11-01';
const SOURCE_VIEW = 'route_daily';
/** Real rows taken, of some hundred thousand; keys beyond them use them again. */
const POOL_ROWS = 20_000;
const FEATURES = [
  ['flights_1d', 'int32'],
  ['delay_mean_1d', 'float64'],
  ['delay_p90_1d', 'int32'],
  ['delayed_share_1d', 'float32'],
  ['flights_7d', 'int32'],
  ['delay_mean_7d', 'float64'],
  ['delay_p90_7d', 'int32'],
  ['delayed_share_7d', 'float32'],
  ['flights_28d', 'int32'],
  ['delay_mean_28d', 'float64'],
] as const;
export const FEATURES_A_VIEW = FEATURES.length;

/** Views of ten features each, and one of fifty, over the same entity. */
export const NARROW_VIEWS = ['route_a', 'route_b', 'route_c', 'route_d', 'route_e'] as const;
export const WIDE_VIEW = 'route_wide';
export const JOIN_KEY = 'route';

/** Definitions of the views, as a project holds them. */
export function featuresYaml(): string {
  const narrow = NARROW_VIEWS.map((name) => viewYaml(name, featureNames(name)));
  return `entities:
  - name: route
    joinKeys: [{ name: ${JOIN_KEY}, type: string }]
featureViews:
${[...narrow, viewYaml(WIDE_VIEW, featureNames(WIDE_VIEW))].join('')}`;
}

/** Features of a view by name: the letter of the view tells those of two views apart. */
export function featureNames(view: string): readonly string[] {
  const letters = view === WIDE_VIEW ? ['v', 'w', 'x', 'y', 'z'] : [view.slice(-1)];
  return letters.flatMap((letter) => FEATURES.map(([name]) => `${name}_${letter}`));
}

function viewYaml(view: string, names: readonly string[]): string {
  const features = names.map(
    (name, at) => `      - { name: ${name}, type: ${FEATURES[at % FEATURES.length]?.[1]}, nullable: false }\n`,
  );
  return `  - name: ${view}\n    namespace: default\n    entities: [route]\n    features:\n${features.join('')}`;
}

/** Synthetic key number `number` of an entity: as long as a pair of airports with a day. */
export function keyOf(number: number): string {
  return `R${String(number).padStart(9, '0')}`;
}

/** One value a feature, in the order of `featureNames`. */
export type Row = readonly FeatureValue[];

/** Values of real rows, ten features each. The SQL takes seconds, so they are kept in a file for the next run. */
export async function realRows(): Promise<readonly Row[]> {
  const { views } = await loadProject(FLIGHTS);
  const view = viewNamed(views, SOURCE_VIEW);
  const file = join(CACHE, `rows-${view.version}.json`);
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Row[];
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const rows = await computeRows(view);
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(file, JSON.stringify(rows));
  return rows;
}

async function computeRows(view: FeatureView): Promise<readonly Row[]> {
  const codec = new ViewCodec(view);
  const places = FEATURES.map(([name]) => view.features.findIndex((feature) => feature.name === name));
  const store = await DuckDbOfflineStore.open({ projectFolder: FLIGHTS });
  try {
    const rows: Row[] = [];
    const { batches } = await store.compute({ codec, today: TODAY });
    for await (const batch of batches) {
      for (const { row } of batch.rows) {
        const values = codec.decodeRow(row);
        rows.push(places.map((place) => values[place] as FeatureValue));
      }
    }
    // Evenly from all days: on the first ones the windows of 7 and 28 days hold the same as the day itself.
    const step = rows.length / POOL_ROWS;
    return Array.from({ length: POOL_ROWS }, (_, at) => rows[Math.floor(at * step)] as Row);
  } finally {
    await store.close();
  }
}

/** Makes rows and batches of one view: a pure function of key number and generation, so that answers can be verified. */
export class RowMaker {
  readonly codec: ViewCodec;
  readonly #pool: readonly Row[];
  readonly #parts: number;
  /** Where each feature of the view stands in a row: a view orders its features by name. */
  readonly #places: readonly number[];
  readonly #encoded = new Map<number, Buffer>();

  constructor(view: FeatureView, pool: readonly Row[]) {
    this.codec = new ViewCodec(view);
    this.#pool = pool;
    this.#parts = view.features.length / FEATURES_A_VIEW;
    const names = featureNames(view.name);
    this.#places = view.features.map((feature) => names.indexOf(feature.name));
  }

  /** The values of a key as written in one generation: another generation gives it another real row. */
  values(key: number, generation: number): Row {
    const at = this.#poolAt(key, generation);
    if (this.#parts === 1) return this.#pool[at] as Row;
    return Array.from({ length: this.#parts }, (_, part) => this.#pool[(at + part) % this.#pool.length] as Row).flat();
  }

  key(key: number): Buffer {
    return this.codec.encodeKey([keyOf(key)]);
  }

  row(key: number, generation: number): Buffer {
    const at = this.#poolAt(key, generation);
    const known = this.#encoded.get(at);
    if (known !== undefined) return known;
    const made = this.encode(this.values(key, generation));
    this.#encoded.set(at, made);
    return made;
  }

  /** The bytes of a row of other values. */
  encode(row: Row): Buffer {
    return this.codec.encodeRow(this.#places.map((place) => row[place] as FeatureValue));
  }

  /** The body of one request. */
  batch(keys: readonly number[], options: { readonly generation: number; readonly eventTimeUs: number }): Buffer {
    return encodeChangeBatch({
      version: this.codec.view.version,
      changes: keys.map((key) => ({
        operation: 'upsert',
        eventTimeUs: options.eventTimeUs,
        key: this.key(key),
        row: this.row(key, options.generation),
      })),
    });
  }

  #poolAt(key: number, generation: number): number {
    return ((Math.imul(key, 7919) >>> 0) + generation * 104_729) % this.#pool.length;
  }
}

/** The view of a project by name. */
export function viewNamed(views: readonly FeatureView[], name: string): FeatureView {
  const view = views.find((each) => each.name === name);
  if (view === undefined) throw new Error(`the project has no view ${name}`);
  return view;
}
