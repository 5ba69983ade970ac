import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type Frame } from '#core/codec/frame';
import { AntipodeError, assert, toAntipodeError } from '#core/errors';
import type { LogHistogram } from '#core/histogram';
import type { Merge } from '#core/merge/merge-of';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import { HLC_COUNTER_MAX } from '#core/time/hlc';
import type { LoggedFrame } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { Host } from '#ports/host';
import type { DecideRow, OnlineStore, RowWrite } from '#ports/online-store';
import { AppliedWaits } from '#region/apply/applied-waits';
import { collectKey, collectReplay } from '#region/apply/carried-records';
import { CellSources } from '#region/apply/cell-sources';
import type { ConflictWatch, WatchedBatch } from '#region/apply/conflict-watch';
import { ExpiryCuts } from '#region/apply/expiry-cuts';
import { HaltedStreams } from '#region/apply/halted-streams';
import { Parking } from '#region/apply/parking';
import type { Projection } from '#region/apply/projection';
import {
  encodeJsonRecord,
  idempotencyKey,
  SERVING_STATE_KEY,
  type ServingState,
  undecodableKey,
} from '#region/apply/records';
import { addSizes, mergedGrowth, storedForm } from '#region/apply/row-forms';
import { StepTasks } from '#region/apply/step-tasks';
import { StreamProgress } from '#region/apply/stream-progress';
import { definitionKey, type ViewRegistry } from '#region/apply/view-registry';
import { HLC_AHEAD_MS_MAX, type HlcService } from '#region/ingest/hlc-service';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Envelope bytes read from the log for one transaction of the store: bounds memory and the time a transaction takes. */
const BATCH_BYTES = 512 * 1024;
/** How long the applier waits before it tries again on a full disk, ms. */
const SPACE_RETRY_MS = 1000;

/**
 * Turns logged frames into rows: the only writer of the online store. Each step applies a bounded run of one stream's
 * frames, with the checkpoint, in one transaction (P5.2), strictly from the checkpoint on (P5.1), and never beyond what
 * the lease record allows (P5.3). When a seal becomes known that lies below what was applied, the store is wiped and
 * applied again from the logs, and the region does not serve until that is done.
 */
export class Applier {
  readonly #store: OnlineStore;
  readonly #clock: Clock;
  readonly #host: Host;
  readonly #views: ViewRegistry;
  readonly #conflicts: ConflictWatch;
  readonly #expiry: ExpiryCuts;
  readonly #hlc: HlcService;
  readonly #events: EventList;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #region: string;
  readonly #progress = new Map<StreamKey, StreamProgress>();
  readonly #checkpoints: Map<StreamKey, number>;
  readonly #sources = new CellSources();
  /** Streams whose next frame is stamped too far ahead (P8). */
  readonly #parking: Parking;
  readonly #waits = new AppliedWaits();
  readonly halted: HaltedStreams;
  /** Why a namespace lacks something that its logs cannot give it; undefined when it lacks nothing. */
  incomplete: (namespace: string) => string | undefined = () => undefined;
  /** Nothing of the namespace is here, and a copy is on its way. */
  awaitsFirstRows: (namespace: string) => boolean = () => false;
  readonly projection: Projection;
  readonly #tasks = new StepTasks();
  #rebuilding: boolean;
  #wake: (() => void) | undefined;
  #woken = false;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #rowsApplied = 0;
  #publish: (() => ServingState) | undefined;
  #publishDue = false;

  constructor(options: {
    region: string;
    store: OnlineStore;
    clock: Clock;
    host: Host;
    views: ViewRegistry;
    conflicts: ConflictWatch;
    hlc: HlcService;
    events: EventList;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    projection: Projection;
    /** The store was found empty or untrustworthy: nothing is served before the logs are applied. */
    rebuilding: boolean;
  }) {
    this.projection = options.projection;
    this.#region = options.region;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#host = options.host;
    this.#views = options.views;
    this.#conflicts = options.conflicts;
    this.#expiry = new ExpiryCuts(options.store);
    this.#hlc = options.hlc;
    this.#events = options.events;
    this.halted = new HaltedStreams(options.events);
    this.#namespaces = options.namespaces;
    this.#rebuilding = options.rebuilding;
    this.#checkpoints = options.store.checkpoints();
    this.#parking = new Parking({ ...options, release: () => this.kick() });
  }

  start(): void {
    for (const log of this.#namespaces.values()) log.onDurable(() => this.kick());
    this.halted.watch(this.#namespaces.values());
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#parking.stop();
    this.kick();
    await this.#running;
    this.#waits.endAll();
    this.#tasks.stop();
  }

  /** Runs `work` between two steps of the applier: nothing else changes rows or checkpoints meanwhile. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tasks.add(work);
    this.kick();
    return done;
  }

  /** Inside `exclusive`, after checkpoints were written: the streams go on from there. */
  reload(): void {
    this.#checkpoints.clear();
    for (const [stream, seq] of this.#store.checkpoints()) this.#checkpoints.set(stream, seq);
    for (const stream of this.#checkpoints.keys()) this.#settleWatermark(stream);
    this.#views.load(this.#store);
    this.#expiry.reload();
    this.#waits.settle((waiting) => this.checkpoint(waiting));
    this.kick();
  }

  checkpoints(): ReadonlyMap<StreamKey, number> {
    return this.#checkpoints;
  }

  /** Nothing is served until everything is there: what was found missing is too much to serve without. */
  beginRebuild(reason: string): void {
    if (this.#rebuilding) return;
    this.#rebuilding = true;
    this.#events.add('rebuild-started', 'warning', reason);
    this.#publishDue = this.#publish !== undefined;
    this.kick();
  }

  /** A good copy of the damaged frame is in the log, or its changes came some other way. */
  repaired(stream: StreamKey): void {
    this.halted.repaired(stream);
    this.kick();
  }

  get rebuilding(): boolean {
    return this.#rebuilding;
  }

  get expiry(): ExpiryCuts {
    return this.#expiry;
  }

  get rowsApplied(): number {
    return this.#rowsApplied;
  }

  checkpoint(stream: StreamKey): number {
    return this.#checkpoints.get(stream) ?? 0;
  }

  /** Applied positions of a namespace: what a change made here may have been caused by. */
  appliedVector(namespace: string): { stream: StreamKey; seq: number }[] {
    const vector: { stream: StreamKey; seq: number }[] = [];
    for (const [stream, seq] of this.#checkpoints) if (stream.startsWith(`${namespace}/`)) vector.push({ stream, seq });
    return vector;
  }

  /** Why a stream is not applied any further; undefined when it is. */
  haltedReason(stream: StreamKey): string | undefined {
    return this.halted.reason(stream);
  }

  /** Wall time until which the stream waits because it is stamped too far ahead, ms; undefined when it does not. */
  parkedUntilMs(stream: StreamKey): number | undefined {
    return this.#parking.untilMs(stream);
  }

  /** Something changed: frames became durable, or the lease record moved. */
  kick(): void {
    this.#woken = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Resolves when `seq` of the stream is applied here; rejects OUTCOME_UNKNOWN when that cannot come any more. */
  async applied(stream: StreamKey, seq: number): Promise<void> {
    if (this.checkpoint(stream) >= seq) return;
    await this.#waits.until(stream, seq);
    if (this.checkpoint(stream) < seq)
      throw new AntipodeError('OUTCOME_UNKNOWN', `${stream} ${seq} was not applied before the epoch closed`);
  }

  /** The origin says that at `watermarkMs` its stream ended at `head` (P1, watermarks when idle). */
  announce(stream: StreamKey, head: number, watermarkMs: number | null): void {
    const progress = this.#progressOf(stream);
    progress.announcedHead = Math.max(progress.announcedHead, head);
    // A time that has not come yet here says nothing: one clock or the other is wrong.
    if (watermarkMs === null || watermarkMs > this.#latestMs()) return;
    progress.announce(head, watermarkMs);
    this.#settleWatermark(stream);
  }

  watermarkMs(stream: StreamKey): number | null {
    return this.#progress.get(stream)?.watermarkMs(this.#latestMs()) ?? null;
  }

  announcedHead(stream: StreamKey): number {
    return this.#progress.get(stream)?.announcedHead ?? 0;
  }

  lag(stream: StreamKey): LogHistogram | undefined {
    return this.#progress.get(stream)?.lag;
  }

  /** Has `build`'s answer written to the store's serving state with the next step of the applier. */
  publish(build: () => ServingState): void {
    this.#publish = build;
    this.#publishDue = true;
    this.kick();
  }

  async #run(): Promise<void> {
    try {
      if (this.#rebuilding && this.projection.unfilled()) await this.#fillAgain();
      while (!this.#stopped) {
        this.#woken = false;
        await this.#tasks.run();
        await this.#rebuildWhereBeyondSeal();
        let progressed = false;
        for (const log of this.#namespaces.values()) {
          for (const stream of log.streams()) {
            if (this.#stopped) return;
            if (await this.#step(log, stream)) progressed = true;
          }
        }
        if (this.#rebuilding && !progressed && this.#caughtUp()) this.#finishRebuild();
        if (!progressed) progressed = await this.#sweep();
        if (this.#publishDue) await this.#writeServingState();
        if (progressed) await this.#clock.yield();
        else if (!this.#woken && !this.#stopped) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } catch (error) {
      this.#host.fatal(error);
    }
  }

  /** Applies one bounded run of a stream; false when there was nothing to do. */
  async #step(log: NamespaceLog, stream: StreamKey): Promise<boolean> {
    const from = this.checkpoint(stream);
    const standing = log.standing(stream);
    if (standing.kind === 'unknown' || this.halted.has(stream) || this.#parking.holds(stream)) return false;
    const limit = standing.kind === 'sealed' ? standing.seal : Number.MAX_SAFE_INTEGER;
    if (from >= limit || log.head(stream).seq <= from) return false;
    const frames = this.halted.read(log, stream, from, BATCH_BYTES).filter((frame) => frame.to <= limit);
    if (frames.length === 0) return false;
    try {
      return await this.#applyFrames(stream, frames);
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code === 'DISK_FULL') return this.#waitForSpace(error);
      if (error.code !== 'FRAME_CORRUPT') throw caught;
      this.halted.halt(stream, from, error);
      return false;
    }
  }

  /** Removes a piece of what has expired; false when nothing has. */
  async #sweep(): Promise<boolean> {
    try {
      return await this.#expiry.sweep((version) => this.#views.version(version));
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code !== 'DISK_FULL') throw caught;
      return this.#waitForSpace(error);
    }
  }

  /** Nothing was applied; the frames are in the log. Tries again after a while, without a busy loop. */
  async #waitForSpace(error: AntipodeError): Promise<boolean> {
    this.#events.add('disk-full', 'error', error.message);
    await this.#clock.sleep(SPACE_RETRY_MS);
    return true;
  }

  /** Applies frames up to the first that must wait; false when that is the first of all. */
  async #applyFrames(stream: StreamKey, logged: readonly LoggedFrame[]): Promise<boolean> {
    const rows: RowWrite[] = [];
    const merges: Merge[] = [];
    const records = new Map<string, Buffer | null>();
    const watch = this.#conflicts.begin(stream, this.#checkpoints);
    this.#expiry.begin();
    const frames: Frame[] = [];
    let position = this.checkpoint(stream);
    // What this region stamped itself is never parked.
    const own = parseStreamKey(stream)?.origin === this.#region;
    for (const entry of logged) {
      const { frame } = decodeFrame(entry.bytes);
      assert(frame.stream === stream && frame.from === position, `${stream} continues at ${position}`);
      if (!own && this.#parking.mustWait(frame)) break;
      this.#collect(frame, rows, merges, records, watch);
      this.projection.collectReadings(frame, records);
      position = frame.to;
      frames.push(frame);
    }
    if (frames.length === 0) return false;
    const decide: DecideRow = (key, stored, incoming, index) => {
      const decision = (merges[index] as Merge)(stored, incoming);
      watch.decided(key, stored, incoming, index, decision);
      return decision;
    };
    const extra = addSizes(watch.bound(), mergedGrowth(this.#store, rows, merges));
    const batch = { rows, checkpoints: new Map([[stream, position]]), records, extra };
    await this.#store.apply(batch, decide, () => watch.records());
    watch.commit();
    this.#expiry.commit();
    this.#checkpoints.set(stream, position);
    this.#rowsApplied += rows.length;
    const progress = this.#progressOf(stream);
    const now = this.#clock.wallMs();
    for (const frame of frames) {
      if (frame.kind === 'rows' && frame.replay === null && !this.#rebuilding) {
        progress.lag.record(Math.max(0, now - frame.hlc.wallMs), frame.to - frame.from);
      }
      const last = { wallMs: frame.hlc.wallMs, counter: frame.hlc.counter + (frame.to - frame.from) - 1 };
      this.#hlc.observe(last);
    }
    progress.announcedHead = Math.max(progress.announcedHead, position);
    this.#settleWatermark(stream);
    this.#waits.settle((waiting) => this.checkpoint(waiting));
    return true;
  }

  #collect(
    frame: Frame,
    rows: RowWrite[],
    merges: Merge[],
    records: Map<string, Buffer | null>,
    watch: WatchedBatch,
  ): void {
    if (frame.kind === 'epoch') return;
    if (frame.kind === 'expiry') {
      this.#expiry.raise(frame.viewVersion, frame.payload, records);
      return;
    }
    if (frame.kind === 'definition') {
      records.set(definitionKey(frame.viewVersion), Buffer.from(frame.payload));
      if (this.#views.learn(frame.payload) === undefined) {
        this.#events.add(
          'definition-undecodable',
          'error',
          `view version ${frame.viewVersion} cannot be decoded by this release; its frames are kept`,
          { stream: frame.stream },
        );
      }
      return;
    }
    const id = parseStreamKey(frame.stream);
    assert(id !== undefined, `stream key ${frame.stream}`);
    if (frame.replay !== null) collectReplay(this.#store, frame.replay.tail, records);
    const codec = this.#views.version(frame.viewVersion);
    if (codec === undefined) {
      records.set(undecodableKey(frame.viewVersion, frame.stream, frame.from), encodeJsonRecord({ to: frame.to }));
      return;
    }
    for (const entry of frame.idempotency) {
      collectKey(this.#store, frame, idempotencyKey(id, codec.view.name, entry.key), entry, records);
    }
    const original = frame.replay?.original ?? frame;
    const source = this.#sources.of(original.stream);
    const base = original.hlc;
    const merge = this.#views.merge(codec);
    const changes = decodeChanges(frame.payload, frame.to - frame.from);
    watch.frame(frame, codec, { firstRow: rows.length, offsetMax: changes.at(-1)?.offset ?? 0 }, records);
    const cutUs = this.#expiry.cutUs(frame.viewVersion);
    for (const change of changes) {
      if (change.eventTimeUs < cutUs) {
        this.#expiry.leftOut();
        continue;
      }
      if (base.counter + change.offset > HLC_COUNTER_MAX)
        throw new AntipodeError('FRAME_CORRUPT', `change ${change.offset} of ${frame.stream} has an impossible stamp`);
      rows.push({
        key: codec.rowKey(change.key),
        value: storedForm(codec, {
          eventTimeUs: change.eventTimeUs,
          hlc: { wallMs: base.wallMs, counter: base.counter + change.offset },
          source,
          seq: original.from + change.offset + 1,
          operation: change.operation,
          generation: change.generation ?? 0,
          features: change.features,
          row: change.row,
        }),
      });
      merges.push(merge);
    }
  }

  /** P5.3: anything held from beyond a seal that is now known makes the whole store a projection of the wrong history. */
  async #rebuildWhereBeyondSeal(): Promise<void> {
    for (const log of this.#namespaces.values()) {
      const beyond = this.projection.beyondSeal(log, this.#checkpoints);
      if (beyond === undefined) continue;
      const { stream, applied, seal } = beyond;
      const message = `applied up to ${applied} of ${stream}, its seal is ${seal}: the store is built again`;
      this.#events.add('rebuild-started', 'warning', message, { stream });
      this.#rebuilding = true;
      await this.#fillAgain();
      await this.#writeServingState();
      return;
    }
  }

  /** Empties the store and fills it from a snapshot, as far as one goes. */
  async #fillAgain(): Promise<void> {
    this.#checkpoints.clear();
    this.#expiry.reload();
    this.#parking.clear();
    this.halted.refilled();
    await this.projection.fill(async (error) => {
      if (this.#stopped) throw error;
      await this.#waitForSpace(error);
    });
    this.#conflicts.wiped();
    this.reload();
  }

  /** Everything the logs hold and the lease allows is applied, and of each namespace it is known which streams are valid. */
  #caughtUp(): boolean {
    for (const log of this.#namespaces.values()) {
      if ((!log.judged && log.streams().length > 0) || this.awaitsFirstRows(log.namespace)) return false;
      if (log.streams().some((stream) => this.halted.lacks(log, stream, this.checkpoint(stream)))) return false;
    }
    return true;
  }

  #finishRebuild(): void {
    this.#rebuilding = false;
    this.#publishDue = this.#publish !== undefined;
    this.#events.add('rebuild-completed', 'info', `the online store is complete again: ${this.#store.rowCount()} rows`);
  }

  async #writeServingState(): Promise<void> {
    this.#publishDue = false;
    const state = this.#publish?.();
    if (state === undefined) return;
    const records = new Map([
      [SERVING_STATE_KEY, encodeJsonRecord({ ...state, state: this.#rebuilding ? 'rebuilding' : state.state })],
    ]);
    try {
      await this.#store.apply({ rows: [], checkpoints: new Map(), records }, () => 'keep');
    } catch (caught) {
      // A state that cannot be written now is written with the next interval; without one the store counts as incomplete.
      if (toAntipodeError(caught).code !== 'DISK_FULL') throw caught;
    }
  }

  #settleWatermark(stream: StreamKey): void {
    this.#progressOf(stream).settle(this.checkpoint(stream), this.#latestMs());
  }

  /** The latest wall time that a clock within the bound may show. */
  #latestMs(): number {
    return this.#clock.wallMs() + HLC_AHEAD_MS_MAX;
  }

  /** Wakes everybody who waits for positions beyond a seal: they will never be applied. */
  settleBeyondSeals(): void {
    this.#waits.endBeyond((stream) => {
      const standing = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '')?.standing(stream);
      return standing?.kind === 'sealed' ? standing.seal : Number.POSITIVE_INFINITY;
    });
  }

  #progressOf(stream: StreamKey): StreamProgress {
    let progress = this.#progress.get(stream);
    if (progress === undefined) {
      progress = new StreamProgress();
      this.#progress.set(stream, progress);
    }
    return progress;
  }
}
