import type { StreamId, StreamKey } from '#core/model/stream';

/** Small records of the projection, and their keys. Everything here can be computed again from the logs. */
export const SERVING_STATE_KEY = 'serving-state';

/** How long an idempotency key is remembered, ms (P10). */
export const IDEMPOTENCY_KEPT_MS = 24 * 3600 * 1000;

export const IDEMPOTENCY_PREFIX = 'idempotency/';

/**
 * Keys are remembered per view, so that two pipelines may use the same ones, and per partition: each partition's part of a
 * write is deduplicated where its changes are.
 */
export function idempotencyKey(
  partition: Pick<StreamId, 'namespace' | 'partition'>,
  view: string,
  key: string,
): string {
  return `${IDEMPOTENCY_PREFIX}${partition.namespace}/${partition.partition}/${view}/${key}`;
}

export interface IdempotencyRecord {
  readonly stream: StreamKey;
  readonly to: number;
  readonly atMs: number;
  readonly digest: string;
  /** How many of the request's changes are held, from its first on; a seal may have cut the request in two. */
  readonly held: number;
  readonly complete: boolean;
}

export function encodeJsonRecord(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

export function decodeJsonRecord<T>(bytes: Buffer): T {
  return JSON.parse(bytes.toString('utf8')) as T;
}

/** What of a tail the hub has taken over (`Coverage`), by the tail's stream. */
export function replayedKey(stream: StreamKey): string {
  return `replayed/${stream}`;
}

export const UNDECODABLE_PREFIX = 'undecodable/';

/** Frames of a view version that this release cannot decode: positions to come back to after an upgrade (P2.4). */
export function undecodableKey(version: string, stream: StreamKey, from: number): string {
  return `${UNDECODABLE_PREFIX}${version}/${stream}/${String(from).padStart(16, '0')}`;
}

export function parseUndecodableKey(key: string): {
  readonly version: string;
  readonly stream: StreamKey;
  readonly from: number;
} {
  const [version = '', ...rest] = key.slice(UNDECODABLE_PREFIX.length).split('/');
  return { version, stream: rest.slice(0, -1).join('/'), from: Number(rest[rest.length - 1]) };
}

/** What serving processes need to know beside the rows; written a few times a second. */
export interface ServingState {
  readonly state: 'serving' | 'rebuilding';
  readonly region: string;
  readonly namespaces: Readonly<Record<string, NamespaceServingState>>;
}

export interface NamespaceServingState {
  readonly hub: string | null;
  readonly epoch: number;
  /** Wall clock up to which this region has everything of the namespace, ms; null until known. Freshness is now minus this. */
  readonly freshnessAnchorMs: number | null;
  readonly positions: Readonly<Record<StreamKey, number>>;
  /** Like `freshnessAnchorMs`, if clocks stand as far apart as they may: what bounded reads go by. */
  readonly certainAnchorMs: number | null;
  /** All valid changes of the epochs before this one are applied; `folded` are the streams of those epochs. */
  readonly sealedBefore: number;
  readonly folded: readonly StreamKey[];
}
