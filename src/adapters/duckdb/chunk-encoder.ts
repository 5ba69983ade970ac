import type { DuckDBDataChunk, DuckDBResult, DuckDBType } from '@duckdb/node-api';
import { type ColumnReader, castType, columnReader, isTimestamp, timestampUs } from '#adapters/duckdb/column-values';
import { ValueError } from '#core/codec/value-error';
import type { ViewCodec } from '#core/codec/view-codec';
import { didYouMean } from '#core/config/issue';
import { AntipodeError } from '#core/errors';
import type { FeatureType, FeatureValue, ScalarValue } from '#core/model/feature-view';
import type { BadRow, OfflineRow } from '#ports/offline-store';

interface BoundColumn {
  readonly name: string;
  /** Column of the result. */
  readonly index: number;
  readonly read: ColumnReader;
}

/** Turns columns of a result into encoded rows of a view; bound once to the columns of that result. */
export class ChunkEncoder {
  readonly #codec: ViewCodec;
  readonly #keys: readonly BoundColumn[];
  readonly #features: readonly BoundColumn[];
  readonly #eventTime: BoundColumn;
  /** Under feature granularity the features that the SQL yields, when it does not yield all. */
  readonly #partial: readonly number[] | undefined;

  /** Throws SOURCE_FAILED that names every column that is missing or of a type that does not fit. */
  constructor(codec: ViewCodec, result: DuckDBResult) {
    const { view } = codec;
    const names = result.columnNames();
    const types = result.columnTypes();
    const faults: string[] = [];
    const bind = (
      name: string,
      expected: string,
      find: (type: DuckDBType) => ColumnReader | undefined,
    ): BoundColumn => {
      const index = names.indexOf(name);
      const read = index < 0 ? undefined : find(types[index] as DuckDBType);
      if (index < 0) faults.push(`the column ${name} is missing${didYouMean(name, names)}`);
      else if (names.indexOf(name, index + 1) >= 0) faults.push(`the column ${name} appears twice`);
      else if (read === undefined) faults.push(`the column ${name} is ${types[index]}, which does not fit ${expected}`);
      return { name, index, read: read ?? (() => null) };
    };
    const bindTyped = (name: string, type: FeatureType) =>
      bind(name, `${type.list ? `list<${type.scalar}>` : type.scalar}: cast it to ${castType(type)}`, (source) =>
        columnReader(type, source),
      );
    this.#codec = codec;
    this.#keys = view.joinKeys.map((key) => bindTyped(key.name, { scalar: key.type, list: false }));
    const yielded = [...view.features.keys()].filter((place) => names.includes(view.features[place]?.name ?? ''));
    const partial = view.granularity === 'feature' && yielded.length > 0 && yielded.length < view.features.length;
    this.#partial = partial ? yielded : undefined;
    this.#features = view.features
      .filter((_, place) => !partial || yielded.includes(place))
      .map((feature) => bindTyped(feature.name, feature.type));
    this.#eventTime = bind(view.eventTimeColumn, 'an event time: cast it to TIMESTAMP', (source) =>
      isTimestamp(source) ? timestampUs : undefined,
    );
    if (faults.length === 0) return;
    throw new AntipodeError(
      'SOURCE_FAILED',
      `the SQL of view ${view.name} does not yield its columns: ${faults.join('; ')}`,
      {
        where: view.name,
        remedy: 'Name and cast the columns in the SQL as the view defines them.',
      },
    );
  }

  /** Encodes the rows [start, end) of a chunk; `firstIndex` is the index of the first of them among all rows. */
  encode(
    chunk: DuckDBDataChunk,
    start: number,
    end: number,
    firstIndex: number,
    onBadRow: (bad: BadRow) => void,
  ): OfflineRow[] {
    const count = end - start;
    const faults = new Map<number, string>();
    const keys = transpose<ScalarValue | null>(count, this.#keys.length);
    const features = transpose<FeatureValue>(count, this.#features.length);
    const times: (number | null)[] = [];
    this.#keys.forEach((column, position) => {
      this.#read(chunk, column, start, end, faults, (row, value) => {
        (keys[row] as (ScalarValue | null)[])[position] = value as ScalarValue | null;
      });
    });
    this.#features.forEach((column, position) => {
      this.#read(chunk, column, start, end, faults, (row, value) => {
        (features[row] as FeatureValue[])[position] = value;
      });
    });
    this.#read(chunk, this.#eventTime, start, end, faults, (row, value) => {
      times[row] = value as number | null;
    });
    const rows: OfflineRow[] = [];
    for (let row = 0; row < count; row++) {
      const reason = faults.get(row) ?? this.#encodeRow(keys[row], features[row], times[row], rows);
      if (reason !== undefined) onBadRow({ index: firstIndex + row, reason });
    }
    return rows;
  }

  /** Reads one column: values of one type in a row are what makes this fast. A fault marks its row. */
  #read(
    chunk: DuckDBDataChunk,
    column: BoundColumn,
    start: number,
    end: number,
    faults: Map<number, string>,
    set: (row: number, value: FeatureValue) => void,
  ): void {
    const vector = chunk.getColumnVector(column.index);
    for (let item = start; item < end; item++) {
      const value = vector.getItem(item);
      try {
        set(item - start, value === null ? null : column.read(value));
      } catch (caught) {
        if (!(caught instanceof ValueError)) throw caught;
        if (!faults.has(item - start))
          faults.set(item - start, `view ${this.#codec.view.name}, column ${column.name}: ${caught.message}`);
      }
    }
  }

  /** Appends the encoded row, or returns what is wrong with it. */
  #encodeRow(
    keys: readonly (ScalarValue | null)[] | undefined,
    features: readonly FeatureValue[] | undefined,
    eventTimeUs: number | null | undefined,
    rows: OfflineRow[],
  ): string | undefined {
    const { view } = this.#codec;
    if (eventTimeUs === null || eventTimeUs === undefined)
      return `view ${view.name}, column ${view.eventTimeColumn}: the event time is null`;
    const missing = keys?.indexOf(null) ?? 0;
    if (missing >= 0) return `view ${view.name}, column ${this.#keys[missing]?.name}: the join key is null`;
    try {
      const key = this.#codec.encodeKey(keys as readonly ScalarValue[]);
      const values = features as readonly FeatureValue[];
      const places = this.#partial;
      rows.push(
        places === undefined
          ? { operation: 'upsert', eventTimeUs, key, row: this.#codec.encodeRow(values) }
          : {
              operation: 'upsert',
              eventTimeUs,
              key,
              row: this.#codec.encodeFeatures(places, values),
              features: places,
            },
      );
      return undefined;
    } catch (caught) {
      if (caught instanceof AntipodeError && caught.code === 'ROW_INVALID') return caught.message;
      throw caught;
    }
  }
}

function transpose<T>(rows: number, columns: number): (T | null)[][] {
  return Array.from({ length: rows }, () => new Array<T | null>(columns).fill(null));
}
