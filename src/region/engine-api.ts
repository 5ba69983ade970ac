import type { Producer } from '#core/codec/counter-state';
import type { FeatureView } from '#core/model/feature-view';
import type { ReadFallback, ReadLevel } from '#core/model/read-policy';
import type { SeenPositions } from '#core/model/session-token';
import type { Hlc } from '#core/time/hlc';
import type { TailOrder } from '#region/failover/tail-decisions';
import type { ConflictCount, RegionStatus, TailStatus } from '#region/status';

export type ChangeOperation = 'upsert' | 'delete';

/** One change as a client hands it in: already encoded, not yet stamped. */
export interface IngestChange {
  readonly operation: ChangeOperation;
  /** Microseconds since the epoch. */
  readonly eventTimeUs: number;
  /** Entity key bytes (`ViewCodec.encodeKey`). */
  readonly key: Buffer;
  /** Avro bytes of the row (`ViewCodec.encodeRow`), or of the features named below (`encodeFeatures`); empty for a delete. */
  readonly row: Buffer;
  /**
   * Places (in the view's order, rising) of the features that a partial upsert carries; the others keep what they have.
   * Left out: all features. Only for views with feature granularity.
   */
  readonly features?: readonly number[] | undefined;
}

export interface IngestRequest {
  readonly view: string;
  /** Version the changes were encoded with. */
  readonly version: string;
  readonly changes: readonly IngestChange[];
  /** Client's key, 1 to 128 printable ASCII characters. A repeated key changes nothing and gets the first answer. */
  readonly idempotencyKey?: string | undefined;
  /**
   * An earlier try under this key was not answered. Where every region writes, deletes are then refused with
   * OUTCOME_UNKNOWN until no other member can have accepted that try unheard.
   */
  readonly retried?: boolean | undefined;
  /** Clock reading of the client's session: the write is stamped above it. CLOCK_SKEWED when it lies too far ahead. */
  readonly observed?: Hlc | undefined;
  /**
   * Who sends the running totals in these rows; required for upserts of counter views, refused for others. A row of a
   * greater sequence replaces the producer's earlier one, whichever region took it; a lesser or equal one changes nothing.
   */
  readonly producer?: Producer | undefined;
  /**
   * Promotable regions beside the hub in which the write must be durable before it is acknowledged: more than the namespace
   * demands, never fewer. ACKNOWLEDGE_IMPOSSIBLE when there are not that many.
   */
  readonly acknowledge?: number | undefined;
}

export interface QuarantinedChange {
  /** Index in `changes`. */
  readonly index: number;
  readonly code: string;
  readonly message: string;
}

/** The positive outcome; refusals and unknown outcomes are AntipodeErrors (NO_HUB, OVERLOADED, DISK_FULL, ROW_INVALID, OUTCOME_UNKNOWN, …). */
export interface IngestResult {
  readonly accepted: number;
  readonly quarantined: readonly QuarantinedChange[];
  /** True when the idempotency key was known: nothing was changed now. */
  readonly duplicate: boolean;
  /** Region that accepted the write. */
  readonly hub: string;
  /** Position in each stream after the write, keyed by stream. */
  readonly positions: Readonly<Record<string, number>>;
  /** Epoch under which the positions count. */
  readonly epoch: number;
  /** At or above the clock readings that the write was stamped with. */
  readonly hlc: Hlc;
  /** Regions in which all of the write was known to be durable when it was acknowledged, the hub first. */
  readonly durableIn: readonly string[];
}

/** Rows of one namespace, read at a level of consistency by the engine: what a serving process cannot answer alone. */
export interface ReadRowsRequest {
  readonly namespace: string;
  readonly level: ReadLevel;
  /** Storage keys (`ViewCodec.rowKey`), at most `READ_KEYS_MAX`. */
  readonly keys: readonly Buffer[];
  /** What the session has seen; asked for at every level but `eventual`. */
  readonly seen?: SeenPositions | undefined;
  /** Of a bounded read, ms. */
  readonly maxStalenessMs?: number | undefined;
  readonly fallback: ReadFallback;
  /** How long waiting and forwarding may take, ms. */
  readonly budgetMs: number;
}

export interface ReadRowsResult {
  /** Stored bytes by place of the key; null where there is no row. */
  readonly rows: readonly (Buffer | null)[];
  /** Region whose store was read. */
  readonly region: string;
  readonly epoch: number;
  /** The level is not met: these are the rows of this region as they are. */
  readonly stale: boolean;
  /** Covers what was read. */
  readonly seen: SeenPositions;
  /** How old the answer may be by the watermarks, ms; null when that is not known. */
  readonly freshnessMs: number | null;
}

export const READ_KEYS_MAX = 16_384;

export interface AuditEntry {
  readonly index: number;
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
  /** Hash of the previous entry, hexadecimal. */
  readonly previous: string;
  readonly hash: string;
}

/** `replaced`: earlier logs of this region that the control store saw and this one does not go through, as after a new disk. */
export type AuditVerdict = { readonly entries: number; readonly replaced: number } & (
  | { readonly ok: true; readonly head: string; readonly anchoredAt: number | null }
  | { readonly ok: false; readonly firstBadIndex: number; readonly reason: string }
);

/** Which conflicts to list; all conditions hold together. */
export interface ConflictQuery {
  readonly view?: string | undefined;
  /** Entity key bytes, hexadecimal. */
  readonly key?: string | undefined;
  /** The two origins, in either order; the same one twice for two lives of one region. */
  readonly origins?: readonly [string, string] | undefined;
  /** Conflicts whose later change was accepted at this wall time or after it, ms. */
  readonly afterMs?: number | undefined;
  /** `next` of the answer before. */
  readonly after?: string | undefined;
  /** At most so many, and at most 500. */
  readonly limit: number;
}

/** One of the two changes of a conflict. */
export interface ConflictSide {
  /** Change id: the stream the change first appeared in, and its seq there. */
  readonly stream: string;
  readonly seq: number;
  readonly origin: string;
  readonly eventTimeUs: number;
  /** Clock reading under which it was accepted. */
  readonly wallMs: number;
  readonly counter: number;
  readonly deleted: boolean;
  /** Stored form of the row (`core/codec/stored-value`), base64, of `features` alone where those are named; null when it was too large to keep. */
  readonly value: string | null;
  readonly valueBytes: number;
}

/** Two changes of one key, neither made knowing the other (P9.4). Its identity is the two change ids. */
export interface Conflict {
  /** Its place in the ledger of this region. */
  readonly cursor: string;
  readonly view: string;
  readonly version: string;
  /** Entity key bytes, hexadecimal. */
  readonly key: string;
  /** `undecidable`: the logs that would tell whether the two are concurrent are gone. */
  readonly kind: 'concurrent' | 'undecidable';
  /** What this region stored after it; `merged` when that is neither of the two. */
  readonly winner: 'stored' | 'incoming' | 'merged';
  /** The view's resolver. */
  readonly rule: string;
  /** Places of the features in question; null when the row as a whole is. */
  readonly features: readonly number[] | null;
  /** Wall time at which the later of the two was accepted, ms. */
  readonly atMs: number;
  readonly stored: ConflictSide;
  readonly incoming: ConflictSide;
}

export interface ConflictPage {
  /** Views in name order, the latest that this region met first. */
  readonly conflicts: readonly Conflict[];
  /** Where to go on; null at the end. A page may hold fewer than `limit` and yet not be the last. */
  readonly next: string | null;
  /** The view versions whose values are in this page. */
  readonly versions: readonly FeatureView[];
}

/** The engine of one region as its faces see it: in the same process, or from a serving process over a local socket. */
export interface RegionEngine {
  readonly region: string;
  status(): Promise<RegionStatus>;
  /** Accepts here when this region is the hub, else forwards to the hub (P6.10). */
  ingest(request: IngestRequest): Promise<IngestResult>;
  /**
   * Reads rows at a level of consistency, here or in a region that can. SESSION_LOST when the session saw what was lost since;
   * STALE_READ when the level cannot be met in time; CONSISTENCY_UNSUPPORTED when it never can; REBUILDING.
   */
  readRows(request: ReadRowsRequest): Promise<ReadRowsResult>;
  /** Every view version this region can serve: its own definitions, then those that came through streams. */
  views(): Promise<readonly FeatureView[]>;
  /** Moves the hub of a namespace to this region: drains the holder when it answers, else waits for its lease to lapse. */
  failover(options: {
    readonly namespace: string;
    readonly actor: string;
    /** A person's word that writes may be left behind where the policy says otherwise, and earlier seals lowered. */
    readonly allowLoss?: boolean | undefined;
  }): Promise<{ readonly epoch: number; readonly lossy: boolean; readonly durationMs: number }>;
  /** Lists conflicts that this region met, as far as its ledger keeps them. VIEW_NOT_FOUND, REQUEST_MALFORMED. */
  conflicts(query: ConflictQuery): Promise<ConflictPage>;
  /** How many conflicts and lost writes this region met, by view; exact, whatever the ledger keeps. */
  conflictCounts(): Promise<readonly ConflictCount[]>;
  /** Replays or discards one tail that this region holds, whatever the policy. TAIL_NOT_FOUND, TAIL_REPLAYED. */
  decideTail(decision: {
    readonly stream: string;
    readonly order: TailOrder;
    readonly actor: string;
  }): Promise<TailStatus>;
  auditEntries(options: { readonly after: number; readonly limit: number }): Promise<readonly AuditEntry[]>;
  auditVerify(): Promise<AuditVerdict>;
  /** Records an administrative act of a face (a refused token, a changed setting) in the audit log. */
  audit(entry: {
    readonly actor: string;
    readonly action: string;
    readonly details: AuditEntry['details'];
  }): Promise<void>;
  /** Counters of a serving process, added to the region's own. */
  reportReads(counters: ReadCounters): void;
}

/** Counters since the previous report. */
export interface ReadCounters {
  readonly requests: number;
  readonly rows: number;
  readonly errors: number;
  /** Storage keys, hexadecimal, of rows found not to be what was written: the engine looks for itself, and ends. */
  readonly damaged?: readonly string[];
}
