import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type {
  AuditEntry,
  AuditVerdict,
  ConflictPage,
  ConflictQuery,
  IngestRequest,
  IngestResult,
  ReadCounters,
  ReadRowsRequest,
  ReadRowsResult,
  RegionEngine,
} from '#region/engine-api';
import type { ConflictCount, RegionStatus, TailStatus } from '#region/status';
import type { FakeReader } from '#server/testing/fake-reader';
import { conflictPage, DRIVERS, EVERYTHING, ROUTES, regionStatus, STREAM } from '#server/testing/fixtures';
import type { ManualClock } from '#server/testing/manual-clock';

/** An engine in memory: what is ingested can be read at once, and all that was asked of it is written down. */
export class FakeEngine implements RegionEngine {
  readonly region = 'eu-west';
  readonly requests: IngestRequest[] = [];
  readonly audited: Parameters<RegionEngine['audit']>[0][] = [];
  readonly failovers: Parameters<RegionEngine['failover']>[0][] = [];
  readonly tailDecisions: Parameters<RegionEngine['decideTail']>[0][] = [];
  readonly conflictQueries: ConflictQuery[] = [];
  readonly reads: ReadCounters[] = [];
  known: FeatureView[] = [DRIVERS, ROUTES, EVERYTHING];
  readonly rowReads: ReadRowsRequest[] = [];
  /** What the next read of rows says beside the rows. */
  answered: Omit<ReadRowsResult, 'rows'> = {
    region: 'us-east',
    epoch: 3,
    stale: false,
    seen: { epoch: 3, streams: { [STREAM]: 1300 } },
    freshnessMs: 5,
  };
  viewsAsked = 0;
  /** Thrown by every call while set. */
  failure: Error | undefined;
  /** Awaited by every call while set. */
  delay: Promise<void> | undefined;
  readonly #clock: ManualClock;
  readonly #reader: FakeReader | undefined;

  constructor(clock: ManualClock, reader?: FakeReader) {
    this.#clock = clock;
    this.#reader = reader;
  }

  async status(): Promise<RegionStatus> {
    await this.#gate();
    return regionStatus(this.#clock.wallMs());
  }

  async ingest(request: IngestRequest): Promise<IngestResult> {
    this.requests.push(request);
    await this.#gate();
    const view = this.known.find((candidate) => candidate.version === request.version);
    if (view === undefined) throw new AntipodeError('VIEW_NOT_FOUND', `no version ${request.version}`);
    const duplicate =
      request.idempotencyKey !== undefined &&
      this.requests.slice(0, -1).some((earlier) => earlier.idempotencyKey === request.idempotencyKey);
    const latestUs = (this.#clock.wallMs() + view.eventTimeAheadMsMax) * 1000;
    const quarantined = request.changes.flatMap((change, index) =>
      change.eventTimeUs > latestUs ? [{ index, code: 'ROW_EVENT_TIME_AHEAD', message: 'event time is ahead' }] : [],
    );
    for (const change of request.changes) {
      if (change.eventTimeUs > latestUs) continue;
      this.#reader?.putEncoded(view, change.key, change.eventTimeUs, change.row, change.operation);
    }
    return {
      accepted: request.changes.length - quarantined.length,
      quarantined,
      duplicate,
      durableIn: [this.region],
      hub: 'us-east',
      positions: { [STREAM]: this.requests.length },
      epoch: 3,
      hlc: { wallMs: this.#clock.wallMs(), counter: this.requests.length },
    };
  }

  async readRows(request: ReadRowsRequest): Promise<ReadRowsResult> {
    this.rowReads.push(request);
    await this.#gate();
    const rows = request.keys.map((key) => {
      const stored = this.#reader?.row(key);
      return stored === undefined ? null : Buffer.from(stored);
    });
    return { rows, ...this.answered };
  }

  async views(): Promise<readonly FeatureView[]> {
    this.viewsAsked += 1;
    await this.#gate();
    return this.known;
  }

  async failover(
    options: Parameters<RegionEngine['failover']>[0],
  ): Promise<{ epoch: number; lossy: boolean; durationMs: number }> {
    await this.#gate();
    if (options.namespace !== 'flights') throw new AntipodeError('FAILOVER_REFUSED', 'no such namespace');
    this.failovers.push(options);
    return { epoch: 4, lossy: false, durationMs: 812 };
  }

  async decideTail(decision: Parameters<RegionEngine['decideTail']>[0]): Promise<TailStatus> {
    await this.#gate();
    if (decision.stream !== STREAM) throw new AntipodeError('TAIL_NOT_FOUND', 'no such tail');
    this.tailDecisions.push(decision);
    const state = decision.order === 'replay' ? 'replaying' : 'discarded';
    return { namespace: 'flights', stream: STREAM, from: 3, to: 9, state, replayed: 0 };
  }

  async conflicts(query: ConflictQuery): Promise<ConflictPage> {
    this.conflictQueries.push(query);
    await this.#gate();
    return conflictPage();
  }

  async conflictCounts(): Promise<readonly ConflictCount[]> {
    await this.#gate();
    return regionStatus(this.#clock.wallMs()).conflicts;
  }

  async auditEntries(options: { readonly after: number; readonly limit: number }): Promise<readonly AuditEntry[]> {
    await this.#gate();
    return [0, 1, 2]
      .filter((index) => index > options.after)
      .slice(0, options.limit)
      .map((index) => ({ index, atMs: 1, actor: 'ops', action: 'failover', details: {}, previous: '00', hash: '11' }));
  }

  async auditVerify(): Promise<AuditVerdict> {
    await this.#gate();
    return { ok: true, entries: 3, head: '11', anchoredAt: null, replaced: 0 };
  }

  async audit(entry: Parameters<RegionEngine['audit']>[0]): Promise<void> {
    await this.#gate();
    this.audited.push(entry);
  }

  reportReads(counters: ReadCounters): void {
    this.reads.push(counters);
  }

  async #gate(): Promise<void> {
    if (this.delay !== undefined) await this.delay;
    if (this.failure !== undefined) throw this.failure;
  }
}
