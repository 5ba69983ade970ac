import type { ReadPolicy } from '#core/model/read-policy';

/** Scalar types of features and join keys. `timestamp` is microseconds since the epoch, UTC. */
export type ScalarType = 'int32' | 'int64' | 'float32' | 'float64' | 'bool' | 'string' | 'bytes' | 'timestamp';

export interface FeatureType {
  readonly scalar: ScalarType;
  /** A list of the scalar; elements are never null. */
  readonly list: boolean;
}

/**
 * A value in memory: int32, float32, float64 and timestamp are numbers (timestamp: a safe integer of microseconds; float32
 * already rounded), int64 is a bigint, bool a boolean, string a well-formed string, bytes a Uint8Array; lists are arrays.
 */
export type ScalarValue = number | bigint | boolean | string | Uint8Array;
export type FeatureValue = ScalarValue | readonly ScalarValue[] | null;

export interface Feature {
  readonly name: string;
  readonly type: FeatureType;
  readonly nullable: boolean;
  readonly description?: string;
}

/** One column of the entity key. Floats and lists cannot be join keys. */
export interface JoinKey {
  readonly name: string;
  readonly type: Exclude<ScalarType, 'float32' | 'float64'>;
}

/** Where the transformation reads from: files that DuckDB scans. Paths are relative to the project folder. */
export interface FileSource {
  readonly name: string;
  readonly format: 'parquet' | 'csv' | 'json';
  readonly path: string;
}

/**
 * How two values of one key become one, the same in every region (P9). `by` is the feature whose greatest or least value
 * decides over whole rows; null when every feature is merged by itself.
 */
export type Resolver =
  | { readonly kind: 'last-writer-wins' }
  /** Regions from the first choice down; those not listed come last. */
  | { readonly kind: 'region-priority'; readonly regions: readonly string[] }
  | { readonly kind: 'max' | 'min'; readonly by: string | null }
  | { readonly kind: 'counter' };

export type ResolverKind = Resolver['kind'];

/** What one write replaces: the row as a whole, or each of the features it carries. */
export type Granularity = 'row' | 'feature';

/** A feature view in one version. Immutable; `version` is the hash of the canonical form of everything that gives a row its meaning. */
export interface FeatureView {
  readonly name: string;
  readonly namespace: string;
  /** In bytewise order of their names: the order of the entity key's parts. */
  readonly joinKeys: readonly JoinKey[];
  /** In bytewise order of their names: the order of the row's fields. */
  readonly features: readonly Feature[];
  /** Rows older than this are served as OUTSIDE_MAX_AGE; null: never. */
  readonly ttlSeconds: number | null;
  readonly resolver: Resolver;
  readonly granularity: Granularity;
  /** Rows whose event time is further ahead of now are quarantined at ingest (P3.3). */
  readonly eventTimeAheadMsMax: number;
  readonly sources: readonly FileSource[];
  /** DuckDB SQL that yields one column per join key and feature, and the event-time column; null: pushed only. */
  readonly sql: string | null;
  readonly eventTimeColumn: string;
  readonly owner: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  /** What reads ask for unless they say otherwise; absent: eventual. No part of the version. */
  readonly reads?: ReadPolicy;
  /** 32 hexadecimal digits. */
  readonly version: string;
}
