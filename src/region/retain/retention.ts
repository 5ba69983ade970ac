import { decodeFrame } from '#core/codec/frame';
import { toAntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { OnlineReader } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import type { Applier } from '#region/apply/applier';
import { parseUndecodableKey, UNDECODABLE_PREFIX } from '#region/apply/records';
import type { AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { type Cut, planCuts, type RetainedStream, type RetentionConfig } from '#region/retain/retention-plan';
import { decodeManifest, type SnapshotManifest } from '#region/retain/snapshot-manifest';
import type { SnapshotTaker } from '#region/retain/snapshot-taker';

/** What a namespace keeps when nothing else is configured: 7 days, 10 GiB. */
export const DEFAULT_RETENTION: RetentionConfig = { ageMs: 7 * 24 * 3600 * 1000, bytes: 10 * 1024 ** 3 };

const LOOK_MS_MIN = 50;
const LOOK_MS_MAX = 60_000;
/** Time between two looks while there is a damaged frame of which no peer has a copy, ms. */
const HURRY_MS = 1000;
/** Looks in one age: frames stay a twentieth longer than configured at the most, plus the time until a snapshot. */
const LOOKS_PER_AGE = 20;
/** Snapshots for the sake of age alone in one age. */
const SNAPSHOTS_PER_AGE = 8;
/** A snapshot rests at least so many times as long as it took: copying takes no more than a tenth of the time. */
const REST_FACTOR = 9;
const REST_MS_MIN = 200;
const PAGE_BYTES = 256 * 1024;
/** Frames looked at in one look, bytes per stream. */
const WALK_BYTES_MAX = 64 * 1024 * 1024;

export interface RetainedNamespace {
  readonly log: NamespaceLog;
  readonly retention: RetentionConfig;
}

interface Held {
  readonly id: number;
  readonly manifest: SnapshotManifest;
}

/**
 * Lets go of old frames. Never before a verified snapshot of the store, in the log's own fsynced environment, holds what
 * they did (P12.1): a store that is lost afterwards comes back from it. A snapshot may be relied on when every member
 * holds what it reaches to, since no later seal can rule it out then (P5.3); only where space leaves no choice, or a frame
 * is not readable any more, is one relied on that a seal may yet rule out: the store then comes back from a peer, since
 * frames that no other member holds stay as long as a seal may rule them out.
 */
export class Retention {
  readonly #region: string;
  readonly #namespaces: ReadonlyMap<string, RetainedNamespace>;
  readonly #store: OnlineReader;
  readonly #snapshots: Snapshots;
  readonly #taker: SnapshotTaker;
  readonly #applier: Applier;
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #peers: readonly string[];
  readonly #heldBy: (peer: string, stream: StreamKey) => number;
  readonly #mayCopy: () => boolean;
  readonly #stopping = new AbortController();
  /** Up to where each stream was found to be older than the age. */
  readonly #aged = new Map<StreamKey, number>();
  /** Clock readings of the frames that the last walk over a stream saw, ms by the seq at which they end: none is decoded twice. */
  readonly #readings = new Map<StreamKey, ReadonlyMap<number, number>>();
  /** Members that were left behind, as last told. */
  #told = '';
  #restUntilMs = 0;
  #takenMs: number | undefined;
  #running: Promise<void> | undefined;
  #stopLooking: () => void = () => undefined;

  constructor(options: {
    region: string;
    namespaces: ReadonlyMap<string, RetainedNamespace>;
    store: OnlineReader;
    snapshots: Snapshots;
    taker: SnapshotTaker;
    applier: Applier;
    clock: Clock;
    events: EventList;
    audit: AuditLog;
    peers: readonly string[];
    /** How far a peer holds a stream durably, as far as known; 0 when it is not. */
    heldBy: (peer: string, stream: StreamKey) => number;
    /** Whether the store is complete: what is copied from it may be relied on. */
    mayCopy: () => boolean;
  }) {
    this.#region = options.region;
    this.#namespaces = options.namespaces;
    this.#store = options.store;
    this.#snapshots = options.snapshots;
    this.#taker = options.taker;
    this.#applier = options.applier;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#peers = options.peers;
    this.#heldBy = options.heldBy;
    this.#mayCopy = options.mayCopy;
  }

  start(): void {
    const ages = [...this.#namespaces.values()].map(({ retention }) => retention.ageMs);
    const intervalMs = Math.max(LOOK_MS_MIN, Math.min(LOOK_MS_MAX, Math.min(...ages) / LOOKS_PER_AGE));
    let nextMs = this.#clock.monotonicMs() + intervalMs;
    this.#stopLooking = this.#clock.every(Math.min(intervalMs, HURRY_MS), () => {
      const nowMs = this.#clock.monotonicMs();
      if (nowMs < nextMs && !this.#hurries()) return;
      nextMs = nowMs + intervalMs;
      this.#running ??= this.look().finally(() => {
        this.#running = undefined;
      });
    });
  }

  /** Somebody may wait for what a damaged frame of this log held, and gets it from the store once the frame is gone. */
  #hurries(): boolean {
    const { halted } = this.#applier;
    return [...halted.damaged().keys()].some((stream) => halted.hasNoCopy(stream));
  }

  async stop(): Promise<void> {
    this.#stopLooking();
    this.#stopping.abort();
    await this.#running;
  }

  /** The newest complete snapshot; null when there is none. */
  newest(): SnapshotManifest | null {
    return this.#held()[0]?.manifest ?? null;
  }

  /** Takes a snapshot now and makes room for it. Resolves when it is durable and verified; rejects as `SnapshotTaker.take`. */
  async takeNow(): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    try {
      const [, ...older] = this.#held();
      for (const { id } of older) await this.#snapshots.remove(id);
      const { manifest } = await this.#taker.take(this.#stopping.signal);
      this.#takenMs = this.#clock.monotonicMs();
      const message = `a snapshot of ${manifest.rows} rows was taken: ${manifest.bytes} bytes`;
      this.#events.add('snapshot-taken', 'info', message, { rows: manifest.rows, bytes: manifest.bytes });
    } finally {
      const nowMs = this.#clock.monotonicMs();
      this.#restUntilMs = nowMs + Math.max(REST_MS_MIN, REST_FACTOR * (nowMs - startedMs));
    }
  }

  /** One look at everything: cuts what may be cut, takes a snapshot when one is missing for that. Never rejects. */
  async look(): Promise<void> {
    try {
      let wanted: 'age' | 'space' | undefined;
      for (const namespace of this.#namespaces.values()) wanted = (await this.#tend(namespace)) ?? wanted;
      await this.#removeOld();
      if (wanted !== undefined && this.#mayCopy() && this.#due(wanted)) await this.takeNow();
    } catch (caught) {
      if (this.#stopping.signal.aborted) return;
      const error = toAntipodeError(caught);
      this.#restUntilMs = this.#clock.monotonicMs() + LOOK_MS_MAX / 60;
      this.#events.add(error.code === 'DISK_FULL' ? 'disk-full' : 'retention-failed', 'warning', error.message, {
        code: error.code,
      });
    }
  }

  #due(why: 'age' | 'space'): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#restUntilMs) return false;
    if (why === 'space' || this.#takenMs === undefined) return true;
    const ageMs = Math.min(...[...this.#namespaces.values()].map(({ retention }) => retention.ageMs));
    return nowMs - this.#takenMs >= ageMs / SNAPSHOTS_PER_AGE;
  }

  /** Cuts the logs of one namespace. Says for what a newer snapshot is wanted. */
  async #tend({ log, retention }: RetainedNamespace): Promise<'age' | 'space' | undefined> {
    const excess = log.streams().reduce((sum, stream) => sum + log.size(stream), 0) - retention.bytes;
    const streams: RetainedStream[] = [];
    for (const stream of log.streams()) {
      if (log.head(stream).seq > log.start(stream).seq) streams.push(this.#look(log, stream, retention, excess));
      await this.#clock.yield();
    }
    const cuts = planCuts(streams, excess);
    const held = this.#held();
    const safe = held.find(({ manifest }) => this.#cannotBeRuledOut(manifest));
    const any = held.find(({ manifest }) => this.#isWithin(manifest, (one, stream) => this.#heldByOne(one, stream)));
    let wanted: 'age' | 'space' | undefined;
    let removed = 0;
    const behind: Cut[] = [];
    for (const cut of cuts) {
      const { stream } = cut;
      const relied = cut.leavesBehind ? any : safe;
      const upTo = log.mayLetGo(stream, Math.min(cut.upTo, relied?.manifest.from[stream] ?? 0));
      const start = log.start(stream).seq;
      if (upTo > start) {
        await log.truncate(stream, upTo);
        removed += log.start(stream).seq - start;
        const damagedAt = this.#applier.halted.damaged().get(stream);
        if (damagedAt !== undefined && damagedAt < log.start(stream).seq) this.#applier.repaired(stream);
        if (cut.leavesBehind) behind.push({ ...cut, upTo: log.start(stream).seq });
      }
      const missing = cut.upTo > (held[0]?.manifest.from[stream] ?? 0);
      if (missing) wanted = excess > 0 || cut.leavesBehind ? 'space' : (wanted ?? 'age');
    }
    if (removed > 0) {
      const message = `${removed} changes of ${log.namespace} left the log: a snapshot holds them`;
      this.#events.add('log-truncated', 'info', message, { namespace: log.namespace, changes: removed });
    }
    this.#tellBehind(log, behind);
    return wanted;
  }

  #look(log: NamespaceLog, stream: StreamKey, retention: RetentionConfig, excess: number): RetainedStream {
    const start = log.start(stream).seq;
    const head = log.head(stream).seq;
    const standing = log.standing(stream);
    const end = standing.kind === 'open' ? head : standing.kind === 'sealed' ? Math.min(standing.seal, head) : start;
    const cap = Math.min(end, this.#firstUndecodable(stream));
    const { aged, frames } = this.#walk(log, stream, { from: start, cap, ageMs: retention.ageMs, excess });
    return {
      stream,
      start,
      cap,
      heldByAll: this.#heldByAll(log, stream),
      heldByOne: this.#heldByOne(log, stream),
      aged,
      unreadable: this.#unreadable(log, stream),
      awaited: this.#awaited(log, stream),
      frames,
    };
  }

  #walk(
    log: NamespaceLog,
    stream: StreamKey,
    options: { readonly from: number; readonly cap: number; readonly ageMs: number; readonly excess: number },
  ): Pick<RetainedStream, 'aged' | 'frames'> {
    const { cap, ageMs, excess } = options;
    const oldestMs = this.#clock.wallMs() - ageMs;
    let aged = Math.max(options.from, this.#aged.get(stream) ?? 0);
    const frames: { to: number; bytes: number; wallMs: number }[] = [];
    const known = this.#readings.get(stream);
    const readings = new Map<number, number>();
    let after = excess > 0 ? options.from : aged;
    let bytes = 0;
    while (after < cap && bytes < WALK_BYTES_MAX) {
      const page = this.#read(log, stream, after);
      if (page.length === 0) break;
      for (const frame of page) {
        if (frame.to > cap) break;
        const wallMs = known?.get(frame.to) ?? decodeFrame(frame.bytes).frame.hlc.wallMs;
        readings.set(frame.to, wallMs);
        if (wallMs < oldestMs && frame.from <= aged) aged = Math.max(aged, frame.to);
        else if (bytes >= excess) break;
        frames.push({ to: frame.to, bytes: frame.bytes.length, wallMs });
        bytes += frame.bytes.length;
      }
      const last = frames[frames.length - 1]?.to ?? 0;
      if (last <= after) break;
      after = last;
    }
    this.#aged.set(stream, aged);
    this.#readings.set(stream, readings);
    return { aged, frames: excess > 0 ? frames : [] };
  }

  #read(
    log: NamespaceLog,
    stream: StreamKey,
    after: number,
  ): readonly { from: number; to: number; bytes: Uint8Array }[] {
    try {
      return log.read(stream, after, PAGE_BYTES);
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code !== 'FRAME_CORRUPT') throw caught;
      return [];
    }
  }

  /**
   * Where to cut so that a damaged frame is gone, when its changes are in the store: who lacks them then needs a backfill,
   * and no more. The cut comes one frame later, at one whose hash can be trusted.
   */
  #unreadable(log: NamespaceLog, stream: StreamKey): number {
    const damagedAt = this.#applier.halted.damaged().get(stream);
    const end = damagedAt === undefined ? undefined : log.endAfter(stream, damagedAt);
    const next = end === undefined ? undefined : log.endAfter(stream, end);
    return next !== undefined && next <= this.#applier.checkpoint(stream) ? next : 0;
  }

  /** Whether a member that holds all before the damaged frame can have the rest from this region's store alone. */
  #awaited(log: NamespaceLog, stream: StreamKey): boolean {
    const { halted } = this.#applier;
    const damagedAt = halted.damaged().get(stream);
    if (damagedAt === undefined || !halted.hasNoCopy(stream)) return false;
    // A namespace without leases has no seals; below a known one no other comes.
    if (log.standing(stream).kind !== 'sealed' && log.live === undefined) return false;
    return this.#heldByOne(log, stream) >= damagedAt;
  }

  /** What every member holds, this region included. */
  #heldByAll(log: NamespaceLog, stream: StreamKey): number {
    return Math.min(log.head(stream).seq, ...this.#peers.map((peer) => this.#heldBy(peer, stream)));
  }

  /** What another member holds, too. */
  #heldByOne(log: NamespaceLog, stream: StreamKey): number {
    const head = log.head(stream).seq;
    return this.#peers.length === 0
      ? head
      : Math.min(head, Math.max(...this.#peers.map((peer) => this.#heldBy(peer, stream))));
  }

  /** Frames that this release could not decode are kept for one that can (P2.4). */
  #firstUndecodable(stream: StreamKey): number {
    let first = Number.MAX_SAFE_INTEGER;
    for (const [key] of this.#store.records(UNDECODABLE_PREFIX)) {
      const undecodable = parseUndecodableKey(key);
      if (undecodable.stream === stream) first = Math.min(first, undecodable.from);
    }
    return first;
  }

  /** No seal can come that lies below what the snapshot reaches to: it is known already, or every member holds that much. */
  #cannotBeRuledOut(manifest: SnapshotManifest): boolean {
    return this.#isWithin(manifest, (log, stream) => this.#heldByAll(log, stream));
  }

  /** Whether the snapshot reaches no further than the seals and, of open streams, than `limit`. */
  #isWithin(manifest: SnapshotManifest, limit: (log: NamespaceLog, stream: StreamKey) => number): boolean {
    return Object.entries(manifest.to).every(([stream, to]) => {
      for (const log of this.#logs()) {
        const standing = log.standing(stream);
        if (standing.kind === 'sealed') return to <= standing.seal;
        if (standing.kind === 'open') return log.live !== undefined || to <= limit(log, stream);
      }
      return false;
    });
  }

  /** A snapshot is kept until a newer one is there that can be relied on. */
  async #removeOld(): Promise<void> {
    const held = this.#held();
    const safe = held.findIndex(({ manifest }) => this.#cannotBeRuledOut(manifest));
    if (safe < 0) return;
    for (const { id } of held.slice(safe + 1)) await this.#snapshots.remove(id);
  }

  #held(): Held[] {
    return this.#snapshots.list().flatMap(({ id, manifest }) => {
      const decoded = decodeManifest(manifest);
      return decoded.verified ? [{ id, manifest: decoded }] : [];
    });
  }

  #logs(): NamespaceLog[] {
    return [...this.#namespaces.values()].map(({ log }) => log);
  }

  /** Told once for as long as the same members are behind. */
  #tellBehind(log: NamespaceLog, cuts: readonly Cut[]): void {
    if (cuts.length === 0) return;
    const members = this.#peers.filter((peer) => cuts.some(({ stream, upTo }) => this.#heldBy(peer, stream) < upTo));
    const telling = `${log.namespace} ${members.join(' ')}`;
    if (telling === this.#told) return;
    this.#told = telling;
    const message = `frames of ${log.namespace} left the log although ${members.join(', ')} may lack them: a backfill will be needed there`;
    this.#events.add('retention-forced', 'warning', message, { namespace: log.namespace, members });
    this.#audit.note(this.#region, 'retention-forced', {
      namespace: log.namespace,
      members: members.join(', '),
      streams: cuts.map(({ stream, upTo }) => `${stream} ${upTo}`).join(', '),
    });
  }
}
