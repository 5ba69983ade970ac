import { acceptFeatureValue, acceptScalar } from '#core/codec/value-accept';
import { ValueError } from '#core/codec/value-error';
import { KeyWriter, readKey } from '#core/codec/value-key';
import { ValueReader } from '#core/codec/value-reader';
import { ValueWriter } from '#core/codec/value-writer';
import { AntipodeError } from '#core/errors';
import type { Feature, FeatureValue, FeatureView, JoinKey, ScalarType, ScalarValue } from '#core/model/feature-view';

/** Bytes of the view-version prefix that stands before every entity key in a store. */
export const ROW_KEY_PREFIX_BYTES = 8;

const AVRO_TYPES: Record<ScalarType, AvroType> = {
  int32: 'int',
  int64: 'long',
  float32: 'float',
  float64: 'double',
  bool: 'boolean',
  string: 'string',
  bytes: 'bytes',
  timestamp: { type: 'long', logicalType: 'timestamp-micros' },
};

type AvroType =
  | string
  | { readonly type: string; readonly logicalType: string }
  | { readonly type: 'array'; readonly items: AvroType };

export interface AvroSchema {
  readonly type: 'record';
  readonly name: string;
  readonly namespace: string;
  readonly fields: readonly { readonly name: string; readonly type: AvroType | readonly ['null', AvroType] }[];
}

/** The Avro schema of a view's rows: what `encodeRow` writes can be read by any Avro library with it. */
export function avroSchema(view: FeatureView): AvroSchema {
  return {
    type: 'record',
    name: view.name,
    namespace: view.namespace,
    fields: view.features.map((feature) => {
      const scalar = AVRO_TYPES[feature.type.scalar];
      const type: AvroType = feature.type.list ? { type: 'array', items: scalar } : scalar;
      return { name: feature.name, type: feature.nullable ? (['null', type] as const) : type };
    }),
  };
}

const NO_PREFIX = Buffer.alloc(0);

// One scratch buffer each for the whole process: encoding is synchronous, so two codecs never interleave.
const rowWriter = new ValueWriter();
const rowReader = new ValueReader();
const keyWriter = new KeyWriter();

function readFeature(feature: Feature, compact: boolean): FeatureValue {
  if (feature.nullable) {
    const branch = rowReader.byte();
    if (branch === 0) return null;
    if (branch !== 2) throw new ValueError(`a nullable value of branch ${branch}`);
  }
  const { list, scalar } = feature.type;
  return list ? rowReader.list(scalar, compact) : rowReader.scalar(scalar, compact);
}

/**
 * Turns entity keys and rows of one view version into bytes and back. The same values give the same bytes on every
 * machine, and only bytes that `encode` could have produced are decoded: regions are compared byte by byte (I3), and
 * rows arrive from peers (I13, I15). All failures are ROW_INVALID and name view and column.
 */
export class ViewCodec {
  readonly view: FeatureView;
  /** First bytes of the version: rows of two versions of a view never meet under one key. */
  readonly rowKeyPrefix: Buffer;
  readonly #keyTypes: readonly JoinKey['type'][];

  constructor(view: FeatureView) {
    this.view = view;
    this.rowKeyPrefix = Buffer.from(view.version.slice(0, ROW_KEY_PREFIX_BYTES * 2), 'hex');
    this.#keyTypes = view.joinKeys.map((key) => key.type);
  }

  /** Entity key bytes of the values in the order of `view.joinKeys`; at most 512 bytes, ordered by memcmp as the values are. */
  encodeKey(values: readonly ScalarValue[]): Buffer {
    return this.#key(values, NO_PREFIX);
  }

  /** Storage key of the row of these join key values: `rowKey` of `encodeKey`. */
  encodeRowKey(values: readonly ScalarValue[]): Buffer {
    return this.#key(values, this.rowKeyPrefix);
  }

  #key(values: readonly ScalarValue[], prefix: Buffer): Buffer {
    const keys = this.view.joinKeys;
    if (values.length !== keys.length)
      throw this.#error(undefined, `${values.length} join key values for ${keys.length} join keys`);
    let column: string | undefined;
    try {
      keyWriter.reset();
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i] as JoinKey;
        column = key.name;
        keyWriter.part(key.type, values[i]);
      }
      return keyWriter.take(prefix);
    } catch (caught) {
      throw this.#error(column, caught);
    }
  }

  decodeKey(bytes: Buffer): ScalarValue[] {
    try {
      return readKey(this.#keyTypes, bytes);
    } catch (caught) {
      throw this.#error(undefined, caught);
    }
  }

  /** Avro bytes of the values in the order of `view.features`. Checks every value: what it returns can be served. */
  encodeRow(values: readonly FeatureValue[]): Buffer {
    const features = this.view.features;
    if (values.length !== features.length)
      throw this.#error(undefined, `${values.length} values for ${features.length} features`);
    return this.#encode(features, values);
  }

  /** Avro bytes of some features' values alone, in the order of `places`: what a partial upsert carries. */
  encodeFeatures(places: readonly number[], values: readonly FeatureValue[]): Buffer {
    if (values.length !== places.length)
      throw this.#error(undefined, `${values.length} values for ${places.length} features`);
    return this.#encode(this.#featuresAt(places), values);
  }

  /**
   * Values of the row that fills [start, end) of `bytes` exactly. Pass the end of the row, not of the buffer: LMDB's fast
   * buffers are shared and larger than the value. Nothing returned refers to `bytes`. With `compact`, an int64 of at most
   * 49 bits is a number: for values that are only written out, which then costs half.
   */
  decodeRow(bytes: Buffer, start = 0, end: number = bytes.length, compact = false): FeatureValue[] {
    return this.#decode(this.view.features, bytes, start, end, { compact });
  }

  /** Values that `encodeFeatures` wrote for these places. */
  decodeFeatures(places: readonly number[], bytes: Buffer): FeatureValue[] {
    return this.#decode(this.#featuresAt(places), bytes, 0, bytes.length);
  }

  /** The one value that fills [start, end); `compact` as in `decodeRow`. */
  decodeFeature(place: number, bytes: Buffer, start: number, end: number, compact = false): FeatureValue {
    return this.#decode([this.view.features[place] as Feature], bytes, start, end, { compact })[0] as FeatureValue;
  }

  /** Cuts the bytes of a row, or of the features at `places`, into those of each value; the parts are views into `bytes`. */
  splitRow(bytes: Buffer, places: readonly number[]): Buffer[] {
    const ends: number[] = [];
    this.#decode(this.#featuresAt(places), bytes, 0, bytes.length, { ends });
    return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end));
  }

  /** The value of one feature of the row that fills [start, end). */
  decodeRowFeature(place: number, bytes: Buffer, start: number, end: number): FeatureValue {
    return this.#decode(this.view.features, bytes, start, end)[place] as FeatureValue;
  }

  #featuresAt(places: readonly number[]): readonly Feature[] {
    return places.map((place) => {
      const feature = this.view.features[place];
      if (feature === undefined) throw this.#error(undefined, `there is no feature ${place}`);
      return feature;
    });
  }

  #encode(features: readonly Feature[], values: readonly FeatureValue[]): Buffer {
    let column: string | undefined;
    try {
      rowWriter.reset();
      for (let i = 0; i < features.length; i++) {
        const feature = features[i] as Feature;
        const value = values[i] as FeatureValue;
        column = feature.name;
        if (feature.nullable) {
          rowWriter.byte(value === null ? 0 : 2);
          if (value === null) continue;
        }
        if (feature.type.list) rowWriter.list(feature.type.scalar, value);
        else rowWriter.scalar(feature.type.scalar, value);
      }
      return rowWriter.take();
    } catch (caught) {
      throw this.#error(column, caught);
    }
  }

  #decode(
    features: readonly Feature[],
    bytes: Buffer,
    start: number,
    end: number,
    { compact = false, ends }: { readonly compact?: boolean; readonly ends?: number[] } = {},
  ): FeatureValue[] {
    const values: FeatureValue[] = [];
    let column: string | undefined;
    try {
      rowReader.open(bytes, start, end);
      for (let i = 0; i < features.length; i++) {
        const feature = features[i] as Feature;
        column = feature.name;
        values.push(readFeature(feature, compact));
        ends?.push(rowReader.at);
      }
      column = undefined;
      rowReader.close();
      return values;
    } catch (caught) {
      throw this.#error(column, caught);
    }
  }

  /** Storage key of a row: version prefix, then the entity key. */
  rowKey(entityKey: Uint8Array): Buffer {
    const key = Buffer.allocUnsafe(ROW_KEY_PREFIX_BYTES + entityKey.length);
    key.set(this.rowKeyPrefix, 0);
    key.set(entityKey, ROW_KEY_PREFIX_BYTES);
    return key;
  }

  /** A join key value from decoded JSON; `where` names the row, such as `row 3`. Entity keys are never null. */
  acceptKeyValue(joinKey: JoinKey, raw: unknown, where: string): ScalarValue {
    try {
      return acceptScalar(joinKey.type, raw);
    } catch (caught) {
      throw this.#error(joinKey.name, caught, where);
    }
  }

  /** A feature value from decoded JSON; `where` names the row, such as `row 3`. */
  acceptValue(feature: Feature, raw: unknown, where: string): FeatureValue {
    try {
      return acceptFeatureValue(feature.type, feature.nullable, raw);
    } catch (caught) {
      throw this.#error(feature.name, caught, where);
    }
  }

  #error(column: string | undefined, reason: unknown, where?: string): AntipodeError {
    // Anything but a ValueError is a fault of this code and must not pass for the user's.
    if (typeof reason !== 'string' && !(reason instanceof ValueError)) throw reason;
    const text = typeof reason === 'string' ? reason : reason.message;
    const remedy = typeof reason === 'string' ? undefined : reason.remedy;
    const place = column === undefined ? `view ${this.view.name}` : `view ${this.view.name}, column ${column}`;
    return new AntipodeError('ROW_INVALID', `${place}: ${text}`, {
      where: where === undefined ? place : `${where}, ${place}`,
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
}
