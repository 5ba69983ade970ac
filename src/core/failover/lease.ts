import { z } from 'zod';
import { canonicalJson, type JsonValue } from '#core/canonical-json';
import { AntipodeError, assert } from '#core/errors';
import { LOCAL, type Requirement } from '#core/failover/acknowledge';
import type { StreamKey } from '#core/model/stream';

const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positions = z.record(z.string(), seq);

const LEASE_RECORD = z.strictObject({
  namespace: z.string(),
  /** Region that holds the lease. */
  holder: z.string(),
  /** Id of the log that the holder entered the epoch with: a holder with another one lost what only it had. */
  holderLog: z.string(),
  /** Number of the current epoch, from 1; raised by every change of holder. */
  epoch: z.number().int().min(1),
  /** Streams of one incarnation, as the namespace was created; a key's partition depends on it, so it never changes (P1.1). */
  partitions: z.number().int().min(1),
  /** Streams of the current epoch. A holder adds an incarnation before its first append to it. */
  streams: z.array(z.string()),
  /** For each closed epoch, the last valid seq of each of its streams. */
  seals: z.record(z.string(), positions),
  /** Last durable positions the holder reported with a renewal; what it compares its disk with after a start. */
  reported: positions,
  /**
   * Up to where logs let go of streams of the epoch, as the holder said with a renewal: what lies before stands in stores,
   * the holder's and at least one other region's. A seal below would take it from them.
   */
  begins: positions,
  /** What every acknowledgement of the current epoch waited for, at the least: the weakest of what was in force in it. */
  acknowledge: z.strictObject({ count: z.number().int().min(0), regions: z.array(z.string()) }),
  /**
   * Regions whose acknowledgements count in the current epoch, each with the id of the log it takes part with and how many
   * changes of the epoch's streams it is known to have held: a promise from another log, or from less, does not count.
   */
  participants: z.record(z.string(), z.strictObject({ log: z.string(), held: seq })),
  /**
   * Promotions that could not prove that nothing acknowledged was left behind: who promised, who did not and may hold more,
   * and the earlier seals that were lowered, which is what is certainly not valid any more.
   */
  lossy: z.array(
    z.strictObject({
      epoch: z.number().int(),
      promised: z.array(z.string()),
      missing: z.array(z.string()),
      lowered: z.record(z.string(), z.strictObject({ from: seq, to: seq })),
    }),
  ),
});

/**
 * The lease of a namespace as the control store holds it (P6.1). It changes only by compare-and-set on the revision of
 * the whole record, and every renewal raises that revision.
 */
export type LeaseRecord = z.infer<typeof LEASE_RECORD>;

/** A record with the revision under which the control store holds it. */
export interface Lease {
  readonly record: LeaseRecord;
  readonly revision: number;
}

export function leaseKey(namespace: string): string {
  return `lease/${namespace}`;
}

export function encodeLeaseRecord(record: LeaseRecord): Buffer {
  return Buffer.from(canonicalJson(record as JsonValue), 'utf8');
}

export function decodeLeaseRecord(bytes: Uint8Array): LeaseRecord {
  try {
    return LEASE_RECORD.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new AntipodeError('PROTOCOL_MISMATCH', 'the lease record in the control store is not readable', { cause });
  }
}

/** A record with its revision, as it travels in epoch markers and is kept in the journal. */
export function encodeLease(lease: Lease): Buffer {
  return Buffer.from(canonicalJson({ revision: lease.revision, record: lease.record as JsonValue }), 'utf8');
}

export function decodeLease(bytes: Uint8Array): Lease {
  try {
    return z
      .strictObject({ revision: seq, record: LEASE_RECORD })
      .parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new AntipodeError('FRAME_CORRUPT', 'the lease record of an epoch marker is not readable', { cause });
  }
}

/** How far a stream may be mirrored and applied under a record. */
export type StreamStanding =
  | { readonly kind: 'open'; readonly epoch: number }
  | { readonly kind: 'sealed'; readonly epoch: number; readonly seal: number }
  /** Not in the record: a later record will say, or the stream is none of this namespace's. */
  | { readonly kind: 'unknown' };

export function standingOf(record: LeaseRecord | undefined, stream: StreamKey): StreamStanding {
  if (record === undefined) return { kind: 'unknown' };
  if (record.streams.includes(stream)) return { kind: 'open', epoch: record.epoch };
  for (const [epoch, seals] of Object.entries(record.seals)) {
    const seal = seals[stream];
    if (seal !== undefined) return { kind: 'sealed', epoch: Number(epoch), seal };
  }
  return { kind: 'unknown' };
}

export function firstRecord(options: {
  namespace: string;
  holder: string;
  streams: readonly StreamKey[];
  /** Id of the holder's log. */
  log?: string;
  /** What the holder's acknowledgements wait for; by default for nobody. */
  acknowledge?: Requirement;
}): LeaseRecord {
  return {
    namespace: options.namespace,
    holder: options.holder,
    holderLog: options.log ?? '',
    epoch: 1,
    partitions: options.streams.length,
    streams: [...options.streams],
    seals: {},
    reported: {},
    begins: {},
    acknowledge: plain(options.acknowledge ?? LOCAL),
    participants: {},
    lossy: [],
  };
}

function plain({ count, regions }: Requirement): LeaseRecord['acknowledge'] {
  return { count, regions: [...regions] };
}

/** The record of a promotion: the epoch raised, the old one closed at `seal`, earlier seals lowered where they must be. */
export function promotedRecord(
  previous: LeaseRecord,
  promotion: {
    readonly holder: string;
    readonly streams: readonly StreamKey[];
    readonly seal: Readonly<Record<StreamKey, number>>;
    readonly promised: readonly string[];
    readonly missing: readonly string[];
    readonly lossy: boolean;
    /** What the new holder's acknowledgements wait for; by default for nobody. */
    readonly acknowledge?: Requirement;
    /** Logs of the regions that promised, the new holder's too: they take part in the new epoch from its beginning. */
    readonly logs?: Readonly<Record<string, string>>;
    /** New and lower seals of streams of earlier epochs. */
    readonly lowered?: Readonly<Record<StreamKey, number>>;
  },
): LeaseRecord {
  for (const stream of previous.streams) assert(promotion.seal[stream] !== undefined, `stream ${stream} has a seal`);
  assert(promotion.streams.length === previous.partitions, 'a promotion keeps the number of partitions');
  const lowered = promotion.lowered ?? {};
  assert(promotion.lossy || Object.keys(lowered).length === 0, 'a promotion that lowers a seal is lossy');
  return {
    namespace: previous.namespace,
    holder: promotion.holder,
    holderLog: promotion.logs?.[promotion.holder] ?? '',
    epoch: previous.epoch + 1,
    partitions: previous.partitions,
    streams: [...promotion.streams],
    seals: {
      ...withLowered(previous.seals, lowered),
      [String(previous.epoch)]: { ...promotion.seal },
    },
    reported: {},
    begins: {},
    acknowledge: plain(promotion.acknowledge ?? LOCAL),
    participants: Object.fromEntries(
      Object.entries(promotion.logs ?? {})
        .filter(([region]) => region !== promotion.holder)
        .map(([region, log]) => [region, { log, held: 0 }]),
    ),
    lossy: promotion.lossy
      ? [
          ...previous.lossy,
          {
            epoch: previous.epoch,
            promised: [...promotion.promised].sort(),
            missing: [...promotion.missing].sort(),
            lowered: Object.fromEntries(
              Object.entries(lowered).map(([stream, seal]) => [
                stream,
                { from: seal, to: sealIn(previous.seals, stream) },
              ]),
            ),
          },
        ]
      : previous.lossy,
  };
}

type Seals = LeaseRecord['seals'];

function sealIn(seals: Seals, stream: StreamKey): number {
  const found = Object.values(seals).find((each) => each[stream] !== undefined)?.[stream];
  assert(found !== undefined, `stream ${stream} is sealed`);
  return found;
}

function withLowered(seals: Seals, lowered: Readonly<Record<StreamKey, number>>): Seals {
  for (const [stream, seal] of Object.entries(lowered))
    assert(seal < sealIn(seals, stream), `the seal of ${stream} is lowered, never raised`);
  return Object.fromEntries(
    Object.entries(seals).map(([epoch, each]) => [
      epoch,
      Object.fromEntries(Object.entries(each).map(([stream, seal]) => [stream, lowered[stream] ?? seal])),
    ]),
  );
}

/**
 * Promises a clean promotion needs when each acknowledgement waited for K of the R promotable regions other than the
 * holder (P6.5): R - K + 1, so that every acknowledged write is known to at least one that promised. With K = 0 no number
 * is enough: such promotions are always lossy.
 */
export function promisesForCleanPromotion(options: {
  readonly syncReplicas: number;
  readonly promotableOthers: number;
}): number {
  return options.promotableOthers - options.syncReplicas + 1;
}

/** The seal: for each stream of the epoch the greatest position that a promise vouched for (P6.3). */
export function sealOfPromises(
  streams: readonly StreamKey[],
  promises: readonly { readonly heads: Readonly<Record<StreamKey, number>> }[],
): Record<StreamKey, number> {
  const seal: Record<StreamKey, number> = {};
  for (const stream of streams) seal[stream] = Math.max(0, ...promises.map((promise) => promise.heads[stream] ?? 0));
  return seal;
}
