/** What a region says of itself: the source of `status`, the dashboard, metrics and the answers to other regions. JSON-safe. */
export interface RegionStatus {
  readonly region: string;
  readonly place: string;
  /** Wall clock when this snapshot was taken, ms. */
  readonly nowMs: number;
  readonly startedAtMs: number;
  readonly state: 'starting' | 'serving' | 'rebuilding' | 'stopping';
  readonly control: { readonly reachable: boolean; readonly lastAnswerAgeMs: number | null };
  readonly namespaces: readonly NamespaceStatus[];
  readonly streams: readonly StreamStatus[];
  readonly links: readonly LinkStatus[];
  readonly tails: readonly TailStatus[];
  readonly store: { readonly rows: number; readonly bytes: number };
  /** Backfills completed by this process, and what came with them so far. */
  readonly backfills: { readonly completed: number; readonly rows: number; readonly bytes: number };
  /** `snapshot`: the newest copy of the store beside the log; null when none was taken yet. */
  readonly log: { readonly bytes: number; readonly snapshot: SnapshotStatus | null };
  readonly ingest: IngestCounters;
  /** Feature reads answered by all serving processes of this region. */
  readonly reads: {
    readonly requests: number;
    readonly rows: number;
    readonly errors: number;
    readonly requestsPerSecond: number;
  };
  /** Conflicts and lost writes by view, since this region has its disks. */
  readonly conflicts: readonly ConflictCount[];
  /** The most recent events, newest last, at most 200. */
  readonly events: readonly RegionEvent[];
  readonly clock: ClockStatus;
}

/** The wall clock of this region against those of its peers. */
export interface ClockStatus {
  /** Why this region accepts no writes for the sake of its clock; null when it would. */
  readonly fenced: string | null;
  /** Peers, and the control store as `control`, that were measured in the last minute. Offset: peer's clock less this one's, give or take the uncertainty, ms. */
  readonly offsets: readonly { readonly peer: string; readonly offsetMs: number; readonly uncertaintyMs: number }[];
}

export interface NamespaceStatus {
  readonly namespace: string;
  readonly replication: 'active-passive' | 'active-active';
  /** Region that holds the lease as far as this region knows; null when the record has no holder or is not known, or there is no lease. */
  readonly hub: string | null;
  readonly epoch: number;
  readonly revision: number;
  /** Active-active: `active` while it accepts writes, `joining` before its first one after a start. */
  readonly role: 'holder' | 'follower' | 'promoting' | 'active' | 'joining';
  /** Whether this region accepts writes itself right now. */
  readonly accepting: boolean;
  /** What a member of an active-active namespace waits for before it accepts; null when it accepts, or is none. */
  readonly waitsFor: string | null;
  readonly leaseRemainingMs: number | null;
  /** Epoch that this region promised to mirror no more of, until its seal is known. */
  readonly promisedEpoch: number | null;
  /** What is under way when this region lacks something that no log can give it; null when it lacks nothing. */
  readonly backfill: BackfillStatus | null;
  /** Greatest freshness of the open streams of the namespace at this region: now minus watermark, ms. */
  readonly freshnessMs: number | null;
  /** Of an active-active namespace: how fresh this region is to each member, itself included; else null. */
  readonly members: readonly MemberFreshness[] | null;
  /** What acknowledgements of the current epoch are worth, and what earlier promotions left behind; none of an active-active namespace. */
  readonly acknowledgements?: AcknowledgementStatus | undefined;
}

/** From the lease record, as far as this region knows it. */
export interface AcknowledgementStatus {
  /** Participants beside the hub that every acknowledgement of the epoch waited for at the least, and those by name. */
  readonly count: number;
  readonly regions: readonly string[];
  /** Regions whose acknowledgements count in the epoch. */
  readonly participants: readonly string[];
  /** Promotions that may have left acknowledged writes behind, oldest first. */
  readonly lossy: readonly {
    /** Epoch that was closed. */
    readonly epoch: number;
    readonly promised: readonly string[];
    /** Regions that did not promise and may hold more. */
    readonly missing: readonly string[];
    /** Streams of earlier epochs that were cut shorter: what lay in (from, to] is valid no more. */
    readonly lowered: Readonly<Record<string, { readonly from: number; readonly to: number }>>;
  }[];
}

/** How much of one member's writes is here. The greatest of these is the freshness of the namespace. */
export interface MemberFreshness {
  readonly region: string;
  /** Now minus the watermark of the least fresh of its streams, ms; null until it was heard in this process. */
  readonly freshnessMs: number | null;
}

export interface StreamStatus {
  readonly stream: string;
  readonly namespace: string;
  readonly partition: number;
  readonly origin: string;
  readonly incarnation: string;
  readonly epoch: number;
  /** Of the current epoch, thus still growing. */
  readonly open: boolean;
  /** Last seq durable here. */
  readonly head: number;
  /** Last seq applied to the online store. */
  readonly applied: number;
  /** Last valid seq of a closed epoch's stream; null while open. */
  readonly seal: number | null;
  /** Time up to which the origin said that this region has everything, ms; null until heard. */
  readonly watermarkMs: number | null;
  /** now - watermark; it grows while a link is cut, and does not grow while a stream is merely idle. */
  readonly freshnessMs: number | null;
  /** Seqs the origin announced and this region has not applied. */
  readonly backlog: number;
  /** From acceptance at the origin to visible here, ms; over the whole life of the process. */
  readonly lag: {
    readonly count: number;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
    readonly maxMs: number | null;
  };
  /** For streams of this region: last seq each peer acknowledged as durable there. */
  readonly durableAt: Readonly<Record<string, number>>;
  /** Why the stream is not applied any further; null when it is. */
  readonly haltedReason: string | null;
  /** Wall time until which the stream waits because its next change is stamped too far ahead of this clock, ms; null when it does not. */
  readonly parkedUntilMs: number | null;
}

export interface LinkStatus {
  readonly peer: string;
  readonly state: 'connecting' | 'connected' | 'stopped';
  /** Why the link is not connected, as code and text. */
  readonly reason: string | null;
  readonly roundTripMs: number | null;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly framesReceived: number;
  readonly changesReceived: number;
  readonly reconnects: number;
  /** Since when the link is in its state, ms. */
  readonly sinceMs: number;
}

export interface TailStatus {
  readonly namespace: string;
  readonly stream: string;
  /** The tail is the seqs (from, to]. */
  readonly from: number;
  readonly to: number;
  /**
   * `kept`: by policy, until somebody decides. `replaying`, then `replayed`: appended by the hub through merge. `discarded`:
   * somebody decided that it is applied nowhere; its frames stay in the journal.
   */
  readonly state: 'kept' | 'replaying' | 'replayed' | 'discarded';
  /** Changes the hub has taken over so far (appended, or found already known by their idempotency keys). */
  readonly replayed: number;
}

/** What this region counted in one view since it has its disks, whatever became of its store. */
export interface ConflictCount {
  readonly view: string;
  /** Writes that lost: a value that was not made knowing them stayed, or took their place. */
  readonly superseded: number;
  readonly pairs: readonly {
    /** In name order. */
    readonly origins: readonly [string, string];
    readonly concurrent: number;
    readonly undecidable: number;
  }[];
}

/** A namespace that lacks what its logs cannot give it, and is filled from a peer's online store. */
export interface BackfillStatus {
  /** `waiting`: no connected peer can give it yet. `securing`: all rows are here, a durable snapshot of them is not. */
  readonly phase: 'waiting' | 'copying' | 'securing';
  readonly peer: string | null;
  /** As code and text. */
  readonly reason: string;
  /** Rows and bytes that came so far. */
  readonly rows: number;
  readonly bytes: number;
  /** Rows in the peer's whole store when it began: at most so many come. */
  readonly rowsExpected: number | null;
  /** Wall clock, ms. */
  readonly startedMs: number | null;
}

export interface SnapshotStatus {
  readonly atMs: number;
  readonly rows: number;
  readonly bytes: number;
}

export interface IngestCounters {
  readonly acceptedChanges: number;
  readonly refusedChanges: number;
  readonly quarantinedChanges: number;
  readonly duplicateRequests: number;
  readonly forwardedRequests: number;
  /** Since the previous second, changes per second accepted here. */
  readonly changesPerSecond: number;
}

export interface RegionEvent {
  readonly atMs: number;
  /** Stable kebab-case name: lease-acquired, lease-lost, promotion-started, promotion-completed, link-connected, link-lost, tail-found, tail-replayed, rebuild-started, rebuild-completed, row-quarantined, … */
  readonly event: string;
  readonly severity: 'info' | 'warning' | 'error';
  /** One sentence for a person. */
  readonly message: string;
}
