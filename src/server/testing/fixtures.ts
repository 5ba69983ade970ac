import { encodeStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import { sha256Hex } from '#core/hash';
import type { Feature, FeatureView, JoinKey, ScalarType } from '#core/model/feature-view';
import type { ServingState } from '#region/apply/records';
import type { ConflictPage, ConflictSide } from '#region/engine-api';
import type { RegionStatus } from '#region/status';

export function makeView(
  name: string,
  keys: Readonly<Record<string, JoinKey['type']>>,
  features: Readonly<Record<string, string>>,
  more: Partial<FeatureView> = {},
): FeatureView {
  return {
    name,
    namespace: 'flights',
    joinKeys: Object.keys(keys)
      .sort()
      .map((key) => ({ name: key, type: keys[key] as JoinKey['type'] })),
    features: Object.keys(features)
      .sort()
      .map((feature) => makeFeature(feature, features[feature] as string)),
    ttlSeconds: null,
    resolver: { kind: 'last-writer-wins' },
    granularity: 'row',
    eventTimeAheadMsMax: 300_000,
    sources: [],
    sql: null,
    eventTimeColumn: 'event_timestamp',
    owner: 'team@example.com',
    description: '',
    tags: {},
    version: sha256Hex(`${name} ${JSON.stringify(features)}`).slice(0, 32),
    ...more,
  };
}

/** `float32`, `int64?` (nullable), `string[]`, `float64[]?`. */
function makeFeature(name: string, type: string): Feature {
  const match = /^([a-z0-9]+)(\[\])?(\?)?$/.exec(type);
  return {
    name,
    type: { scalar: match?.[1] as ScalarType, list: match?.[2] !== undefined },
    nullable: match?.[3] !== undefined,
  };
}

export const DRIVERS = makeView('driver_stats', { driver_id: 'int64' }, { conv_rate: 'float32?', trips: 'int64?' });

export const ROUTES = makeView(
  'route_stats',
  { origin: 'string', destination: 'string' },
  { delay: 'float64?', flights: 'int32?' },
  { ttlSeconds: 3600 },
);

export const EVERYTHING = makeView(
  'everything',
  { id: 'string' },
  {
    a_int32: 'int32?',
    b_int64: 'int64?',
    c_float32: 'float32?',
    d_float64: 'float64?',
    e_bool: 'bool?',
    f_string: 'string?',
    g_bytes: 'bytes?',
    h_timestamp: 'timestamp?',
    i_int32s: 'int32[]?',
    j_int64s: 'int64[]?',
    k_float32s: 'float32[]?',
    l_float64s: 'float64[]?',
    m_bools: 'bool[]?',
    n_strings: 'string[]?',
    o_bytess: 'bytes[]?',
    p_timestamps: 'timestamp[]?',
  },
  { namespace: 'types' },
);

export const STREAM = 'flights/0/us-east/9f3c2b1a00c4d2e8';

export function servingState(nowMs: number, state: ServingState['state'] = 'serving'): ServingState {
  return {
    state,
    region: 'eu-west',
    namespaces: {
      flights: {
        hub: 'us-east',
        epoch: 3,
        freshnessAnchorMs: nowMs - 120,
        certainAnchorMs: nowMs - 620,
        sealedBefore: 3,
        folded: [],
        positions: { [STREAM]: 1201 },
      },
      types: {
        hub: null,
        epoch: 1,
        freshnessAnchorMs: nowMs - 700,
        certainAnchorMs: nowMs - 1200,
        sealedBefore: 1,
        folded: [],
        positions: {},
      },
    },
  };
}

export function regionStatus(nowMs: number): RegionStatus {
  return {
    region: 'eu-west',
    place: 'Ireland',
    nowMs,
    startedAtMs: nowMs - 60_000,
    state: 'serving',
    backfills: { completed: 0, rows: 0, bytes: 0 },
    control: { reachable: true, lastAnswerAgeMs: 12 },
    namespaces: [
      {
        namespace: 'flights',
        hub: 'us-east',
        epoch: 3,
        revision: 40,
        role: 'follower',
        accepting: false,
        waitsFor: null,
        members: null,
        replication: 'active-passive',
        leaseRemainingMs: null,
        promisedEpoch: null,
        backfill: null,
        freshnessMs: 120,
      },
    ],
    streams: [
      {
        stream: STREAM,
        namespace: 'flights',
        partition: 0,
        origin: 'us-east',
        incarnation: '9f3c2b1a00c4d2e8',
        epoch: 3,
        open: true,
        head: 1205,
        applied: 1201,
        seal: null,
        watermarkMs: nowMs - 120,
        freshnessMs: 120,
        backlog: 4,
        lag: { count: 1201, p50Ms: 45, p99Ms: 80, maxMs: 95 },
        durableAt: {},
        haltedReason: null,
        parkedUntilMs: null,
      },
    ],
    links: [
      {
        peer: 'us-east',
        state: 'connected',
        reason: null,
        roundTripMs: 82,
        bytesReceived: 123_456,
        bytesSent: 789,
        framesReceived: 17,
        changesReceived: 1205,
        reconnects: 1,
        sinceMs: nowMs - 50_000,
      },
    ],
    tails: [],
    store: { rows: 1200, bytes: 65_536 },
    log: { bytes: 131_072, snapshot: null },
    ingest: {
      acceptedChanges: 0,
      refusedChanges: 2,
      quarantinedChanges: 1,
      duplicateRequests: 0,
      forwardedRequests: 5,
      changesPerSecond: 0,
    },
    reads: { requests: 10, rows: 20, errors: 0, requestsPerSecond: 1 },
    conflicts: [
      {
        view: 'driver_stats',
        superseded: 4,
        pairs: [{ origins: ['eu-west', 'us-east'], concurrent: 3, undecidable: 1 }],
      },
    ],
    clock: { fenced: null, offsets: [{ peer: 'us-east', offsetMs: 12, uncertaintyMs: 40 }] },
    events: [],
  };
}

/** One conflict of driver 2^53 + 1: a write of eu-west that lost against one of us-east. */
export function conflictPage(): ConflictPage {
  const codec = new ViewCodec(DRIVERS);
  const side = (origin: string, seq: number, trips: bigint): ConflictSide => {
    const source = { origin: Buffer.from(origin), incarnation: Buffer.alloc(8, 1) };
    const change = { eventTimeUs: 5_000_000, hlc: { wallMs: 7000 + seq, counter: 1 }, source, seq } as const;
    const row = codec.encodeRow([0.5, trips]);
    const stored = { ...change, operation: 'upsert', generation: 0, features: undefined, row } as const;
    const value = encodeStored(codec, stored);
    const stream = `flights/0/${origin}/${'01'.repeat(8)}`;
    return {
      ...{ stream, seq, origin, eventTimeUs: 5_000_000, wallMs: 7000 + seq, counter: 1, deleted: false },
      ...{ value: value.toString('base64'), valueBytes: value.length },
    };
  };
  return {
    conflicts: [
      {
        cursor: 'driver_stats/0',
        view: 'driver_stats',
        version: DRIVERS.version,
        key: codec.encodeKey([9007199254740993n]).toString('hex'),
        kind: 'concurrent',
        winner: 'incoming',
        rule: 'last-writer-wins',
        features: null,
        atMs: 7009,
        stored: side('eu-west', 4, 9007199254740995n),
        incoming: side('us-east', 9, 3n),
      },
    ],
    next: null,
    versions: [DRIVERS],
  };
}
