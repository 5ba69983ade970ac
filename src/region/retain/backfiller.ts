import { ROW_KEY_PREFIX_BYTES } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { fnv1a } from '#core/hash';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { DecideRow, OnlineStore } from '#ports/online-store';
import type { Applier } from '#region/apply/applier';
import type { ConflictWatch } from '#region/apply/conflict-watch';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';
import type { Links } from '#region/replicate/links';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { BACKFILL_PREFIX, type BackfillState, encodeBackfill, readBackfill } from '#region/retain/backfill-state';
import { mergeChunk } from '#region/retain/copied-sections';
import { type Gap, gapsOf, sourceFor } from '#region/retain/gaps';
import { beyondSeal } from '#region/retain/snapshot-manifest';
import type { BackfillStatus } from '#region/status';

const REQUEST_TIMEOUT_MS = 10_000;
/** How long a gap must stand before a backfill begins, ms: a peer that still has the frames may be connecting. */
const GAP_PATIENCE_MS = 2000;
/** Pause after something went wrong, ms. */
const RETRY_MS = 500;
/** Failures one after another, after which a backfill begins again from whichever peer is best then. */
const FAILURES_MAX = 20;

/**
 * Fills the gaps of one namespace from the online store of a peer (P12.3): its rows, a chunk at a time in key order, merged
 * by the applier; then the streams from the vector at which the copy began. How far it is stands in the store beside the
 * rows, so it resumes at each chunk, after a crash too. As long as something is missing, and until a durable snapshot holds
 * what came, this region acknowledges nothing of the namespace and is not promotable. From the first chunk to the snapshot it
 * gives no copies itself: what came is only in a store that is not synced.
 */
export class Backfiller {
  readonly #region: string;
  readonly #log: NamespaceLog;
  readonly #store: OnlineStore;
  readonly #applier: Applier;
  readonly #conflicts: ConflictWatch;
  readonly #partitions: number;
  readonly #views: ViewRegistry;
  readonly #links: Links;
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #secure: () => Promise<void>;
  readonly #stopping = new AbortController();
  #gaps: readonly Gap[] = [];
  #gapSinceMs: number | undefined;
  /** Since when nobody has the frames of changes that a copy brought beyond the end of this log. */
  #unheldSinceMs: number | undefined;
  /** Whether the rest of what a copy brought was waited for when it was last looked. */
  #torn = false;
  #state: BackfillState | undefined;
  #failures = 0;
  #running: Promise<void> | undefined;
  #completed = 0;
  #rowsTotal = 0;
  #bytesTotal = 0;

  constructor(options: {
    region: string;
    log: NamespaceLog;
    store: OnlineStore;
    applier: Applier;
    conflicts: ConflictWatch;
    partitions: number;
    views: ViewRegistry;
    links: Links;
    clock: Clock;
    events: EventList;
    audit: AuditLog;
    /** Takes a durable snapshot of the store. */
    secure: () => Promise<void>;
  }) {
    this.#region = options.region;
    this.#log = options.log;
    this.#store = options.store;
    this.#applier = options.applier;
    this.#conflicts = options.conflicts;
    this.#partitions = options.partitions;
    this.#views = options.views;
    this.#links = options.links;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#secure = options.secure;
    this.#state = readBackfill(this.#store, this.#log.namespace);
    const state = this.#state;
    if (state === undefined) return;
    const message = `the backfill of ${this.#log.namespace} from ${state.peer} goes on after ${state.rows} rows`;
    this.#events.add('backfill-resumed', 'info', message, { namespace: this.#log.namespace, peer: state.peer });
  }

  /** Why this region lacks something of the namespace that its logs cannot give it; undefined when it does not. */
  incomplete(): string | undefined {
    return this.#state === undefined ? (this.#gaps[0]?.reason ?? this.unsettled()) : this.unsettled();
  }

  /**
   * Why what the store holds of the namespace may not be relied on by others: it came by a copy that is not durable, or not
   * whole. A gap alone is no reason: all that is here is durable then, and peers may lack just that.
   */
  unsettled(): string | undefined {
    if (this.#state !== undefined)
      return `${this.#log.namespace} is filled from ${this.#state.peer}: ${this.#state.reason}`;
    const torn = this.#awaitedTear();
    return torn && `a copy brought ${torn.stream} up to ${torn.reach}, its log ends at ${torn.head} here`;
  }

  /** Of which streams nothing is said to peers, because this region holds less of them than their logs say. */
  withheld(): ReadonlySet<StreamKey> | 'all' {
    if (this.unsettled() !== undefined) return 'all';
    return new Set(this.#gaps.flatMap(({ stream, within }) => (within === 'own log' ? [stream] : [])));
  }

  /** Nothing of the namespace was ever applied here, and its rows have not come yet: an empty answer would be a wrong one. */
  awaitsFirstRows(): boolean {
    const awaited = this.#state === undefined ? this.#gaps.length > 0 : this.#state.phase === 'copying';
    return awaited && this.#applier.appliedVector(this.#log.namespace).length === 0;
  }

  /** Rows of the namespace that are here already may be served, although not as fresh; without any, nothing is. */
  status(): BackfillStatus | null {
    const state = this.#state;
    const reason = this.incomplete();
    if (reason === undefined) return null;
    return {
      phase: state?.phase ?? 'waiting',
      peer: state?.peer ?? null,
      reason,
      rows: state?.rows ?? 0,
      bytes: state?.bytes ?? 0,
      rowsExpected: state?.rowsExpected ?? null,
      startedMs: state?.startedMs ?? null,
    };
  }

  totals(): { readonly completed: number; readonly rows: number; readonly bytes: number } {
    return { completed: this.#completed, rows: this.#rowsTotal, bytes: this.#bytesTotal };
  }

  /** Looks for gaps and goes on with what is under way. Called regularly. */
  tend(): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    this.#state = readBackfill(this.#store, this.#log.namespace);
    this.#gaps = gapsOf(this.#log, this.#applier, this.#links);
    if (this.#state === undefined && this.#gaps.length === 0) {
      this.#gapSinceMs = undefined;
      this.#tendTorn();
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    if (this.#gapSinceMs === undefined) this.#found(nowMs);
    if (this.#state === undefined && nowMs - (this.#gapSinceMs ?? nowMs) < GAP_PATIENCE_MS) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /**
   * What a copy brought beyond the end of this log, as long as its frames may come. When every region is connected and
   * none has them, there is nothing to wait for: they went with the disk of who gave the copy.
   */
  #awaitedTear(): ReturnType<Applier['projection']['torn']> {
    const torn = this.#applier.projection.torn(this.#log);
    const { names } = this.#links;
    if (torn === undefined || this.#links.announcedHead(torn.stream) > torn.head) this.#unheldSinceMs = undefined;
    else if (names.some((peer) => !this.#links.connected(peer))) this.#unheldSinceMs = undefined;
    else this.#unheldSinceMs ??= this.#clock.monotonicMs();
    const unheldMs = this.#unheldSinceMs === undefined ? 0 : this.#clock.monotonicMs() - this.#unheldSinceMs;
    return unheldMs > GAP_PATIENCE_MS ? undefined : torn;
  }

  /** What was not acknowledged while something was missing is acknowledged once nothing is. */
  #tendTorn(): void {
    const torn = this.#awaitedTear() !== undefined;
    if (this.#torn && !torn) this.#links.acknowledgeHeld(this.#log);
    this.#torn = torn;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AntipodeError('PEER_UNAVAILABLE', 'the region stops'));
    await this.#running;
  }

  #found(nowMs: number): void {
    this.#gapSinceMs = nowMs;
    const { namespace } = this.#log;
    const reason = this.incomplete() ?? '';
    this.#events.add('gap-found', 'warning', `${namespace} has a gap: ${reason}`, { namespace });
    this.#audit.note(this.#region, 'gap-found', { namespace, reason });
    if (this.awaitsFirstRows())
      this.#applier.beginRebuild(`nothing of ${namespace} is here, and no log reaches back to its beginning`);
  }

  /** Goes on until done, or until something must be waited for. Never rejects. */
  async #run(): Promise<void> {
    try {
      if (this.#state === undefined) await this.#begin();
      while (this.#state?.phase === 'copying') await this.#copy(this.#state);
      if (this.#state?.phase === 'securing') await this.#finish(this.#state);
      this.#failures = 0;
    } catch (caught) {
      if (this.#stopping.signal.aborted) return;
      await this.#failed(toAntipodeError(caught));
    }
  }

  async #failed(error: AntipodeError): Promise<void> {
    const { namespace } = this.#log;
    this.#failures += 1;
    const state = this.#state;
    // Two that began to fill each other at the same time: none of them has anything yet, and both let go.
    const crossed = error.code === 'REBUILDING' && state?.chunks === 0;
    const again = error.disposition === 'reset' || this.#failures >= FAILURES_MAX || crossed;
    if (this.#failures === 1 || again)
      this.#events.add('backfill-interrupted', 'warning', `the backfill of ${namespace}: ${error.message}`, {
        code: error.code,
      });
    if (again && state?.phase === 'copying') {
      this.#failures = 0;
      const before: BackfillState | undefined = state.unsecured ? { ...state, phase: 'securing', from: {} } : undefined;
      await this.#write(before).catch(() => undefined);
    }
    const restMs = crossed && this.#region > state.peer ? GAP_PATIENCE_MS : RETRY_MS;
    await this.#clock.sleep(restMs, this.#stopping.signal).catch(() => undefined);
  }

  /** Asks all connected peers what they could give, and begins with the best of them. */
  async #begin(): Promise<void> {
    const { namespace } = this.#log;
    const source = await sourceFor(this.#log, this.#gaps, this.#links, REQUEST_TIMEOUT_MS);
    if (source === undefined) {
      await this.#clock.sleep(RETRY_MS, this.#stopping.signal);
      return;
    }
    const reason = this.#gaps[0]?.reason ?? '';
    const state: BackfillState = {
      ...source,
      phase: 'copying',
      cursor: null,
      chunks: 0,
      rows: 0,
      bytes: 0,
      startedMs: this.#clock.wallMs(),
      unsecured: this.#state !== undefined,
      reason,
    };
    await this.#write(state);
    const message = `${namespace} is filled from ${source.peer}, at most ${source.rowsExpected} rows: ${reason}`;
    this.#events.add('backfill-started', 'warning', message, { namespace, peer: source.peer });
    this.#audit.note(this.#region, 'backfill-started', { namespace, peer: source.peer, reason });
  }

  /** Fetches and merges one chunk. */
  async #copy(state: BackfillState): Promise<void> {
    const { namespace } = this.#log;
    const { peer, storeId, cursor } = state;
    this.#stopping.signal.throwIfAborted();
    const { answer, blob } = await this.#links.request(
      peer,
      'copyChunk',
      { namespace, storeId, cursor },
      { timeoutMs: REQUEST_TIMEOUT_MS },
    );
    for (const [stream, { seq }] of Object.entries(state.from)) {
      if ((answer.reach[stream] ?? 0) < seq)
        throw new AntipodeError('SNAPSHOT_CHANGED', `${peer} holds less of ${stream} than when the copy began`);
    }
    await this.#applier.exclusive(async () => {
      this.#assertSame(state);
      // Asked in the same step in which the rows are written: a seal that comes later finds how far they reach.
      const beyond = beyondSeal(answer.reach, [this.#log]);
      if (beyond !== undefined)
        throw new AntipodeError('SNAPSHOT_BEYOND_SEAL', `${peer} applied ${beyond.stream} beyond its seal`);
      const { rows, codecs, records, merge } = mergeChunk(blob, this.#store, this.#views);
      const watch = this.#conflicts.beginCopy(this.#applier.checkpoints());
      codecs.forEach((codec, index) => {
        const key = rows[index]?.key.subarray(ROW_KEY_PREFIX_BYTES) ?? Buffer.alloc(0);
        if (codec !== undefined) watch.copied(index, codec, { namespace, partition: fnv1a(key) % this.#partitions });
      });
      const next: BackfillState = {
        ...state,
        phase: answer.next === null ? 'securing' : 'copying',
        cursor: answer.next,
        chunks: state.chunks + 1,
        rows: state.rows + rows.length,
        bytes: state.bytes + blob.length,
      };
      const decide: DecideRow = (key, stored, incoming, index) => {
        const decision = merge(index, stored, incoming);
        if (codecs[index] !== undefined) watch.decided(key, stored, incoming, index, decision);
        return decision;
      };
      const beside = new Map<string, Buffer | null>([...records, ...this.#reach(answer.reach)]);
      beside.set(BACKFILL_PREFIX + namespace, encodeBackfill(next));
      const batch = { rows, checkpoints: new Map<StreamKey, number>(), records: beside, extra: watch.bound() };
      await this.#store.apply(batch, decide, () => watch.records());
      watch.commit();
      this.#applier.projection.load();
      this.#applier.expiry.copied(records);
      this.#state = next;
      this.#rowsTotal += rows.length;
      this.#bytesTotal += blob.length;
    });
    this.#failures = 0;
    await this.#clock.yield();
  }

  #reach(reach: Readonly<Record<StreamKey, number>>): Map<string, Buffer> {
    return this.#applier.projection.cover(Object.entries(reach));
  }

  /** All rows are here: the streams go on from the vector at which the copy began, and then all of it is made durable. */
  async #finish(state: BackfillState): Promise<void> {
    const { namespace } = this.#log;
    for (const [stream, { seq, hash }] of Object.entries(state.from)) await this.#goOnFrom(stream, seq, hash);
    await this.#applier.exclusive(async () => {
      this.#assertSame(state);
      const checkpoints = new Map<StreamKey, number>();
      for (const [stream, { seq }] of Object.entries(state.from))
        if (seq > this.#applier.checkpoint(stream)) checkpoints.set(stream, seq);
      // With what is beyond a seal, the store is emptied and filled anew before anything else.
      if (beyondSeal(Object.fromEntries(checkpoints), [this.#log]) !== undefined)
        throw new AntipodeError('SNAPSHOT_BEYOND_SEAL', `${state.peer} applied more than is valid`);
      const records = new Map([[BACKFILL_PREFIX + namespace, encodeBackfill(state)]]);
      await this.#store.apply({ rows: [], checkpoints, records }, () => 'keep');
      this.#applier.reload();
      for (const stream of checkpoints.keys()) this.#applier.repaired(stream);
    });
    if (this.#applier.rebuilding) {
      // What this copy left out and no log here holds would be waited for in vain: another copy brings it.
      this.#gaps = gapsOf(this.#log, this.#applier, this.#links);
      return this.#gaps.some(({ within }) => within === 'own log') ? this.#begin() : this.#wait();
    }
    await this.#secure();
    await this.#write(undefined);
    this.#completed += 1;
    this.#gaps = gapsOf(this.#log, this.#applier, this.#links);
    this.#gapSinceMs = undefined;
    const left = this.#gaps.length > 0 ? 'has what came' : 'is complete again';
    const message = `${namespace} ${left}: ${state.rows} rows in ${state.chunks} pieces from ${state.peer}`;
    this.#events.add('backfill-completed', 'info', message, { namespace, rows: state.rows });
    this.#audit.note(this.#region, 'backfill-completed', { namespace, peer: state.peer, rows: state.rows });
    this.#torn = true;
    if (this.#gaps.length === 0) this.#tendTorn();
    this.#links.reconcile();
  }

  #wait(): Promise<void> {
    return this.#clock.sleep(RETRY_MS / 5, this.#stopping.signal);
  }

  /** Lets the log of a stream begin where the copy did, unless it holds more than that without a hole. */
  async #goOnFrom(stream: StreamKey, seq: number, hash: string): Promise<void> {
    if (seq <= this.#log.head(stream).seq) return;
    this.#links.unfollow(stream);
    if (await this.#log.reset(stream, { seq, hash: Buffer.from(hash, 'hex') }))
      this.#events.add('stream-reset', 'info', `${stream} goes on from ${seq} here`, { stream });
  }

  async #write(state: BackfillState | undefined): Promise<void> {
    await this.#applier.exclusive(async () => {
      const value = state === undefined ? null : encodeBackfill(state);
      const records = new Map([[BACKFILL_PREFIX + this.#log.namespace, value]]);
      await this.#store.apply({ rows: [], checkpoints: new Map(), records }, () => 'keep');
    });
    this.#state = state;
  }

  /** The store may have been emptied, and the backfill forgotten, since the last step. */
  #assertSame(state: BackfillState): void {
    const now = readBackfill(this.#store, this.#log.namespace);
    if (now?.storeId === state.storeId && now.chunks === state.chunks && now.startedMs === state.startedMs) return;
    this.#state = now;
    throw new AntipodeError('SNAPSHOT_CHANGED', 'the online store of this region was emptied meanwhile');
  }
}
