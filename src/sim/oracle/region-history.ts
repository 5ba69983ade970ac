import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import type { ApplyBatch } from '#ports/online-store';
import type { SimKernel } from '#sim/kernel/kernel';
import type { ConflictHistory } from '#sim/oracle/conflict-history';
import { isCopy } from '#sim/oracle/copy-batch';
import type { DecodedFrame } from '#sim/oracle/decoded-frame';
import { cutsOf, isExpired } from '#sim/oracle/expiry';
import type { FrameArchive } from '#sim/oracle/frame-archive';
import type { FreshnessOracle } from '#sim/oracle/freshness';
import { limitOf, type PlainLease } from '#sim/oracle/lease-view';
import type { ReferenceMerge } from '#sim/oracle/reference-merge';
import type { Violations } from '#sim/oracle/violations';

interface KnownLease {
  readonly lease: PlainLease;
  /** Number of the event in which it came to be known: it binds from the next one on. */
  readonly event: number;
}

/** How far a stamp may lie ahead of a clock (P8), ms. */
const CLOCK_BOUND_MS = 500;

interface Reading {
  readonly wallMs: number;
  readonly counter: number;
}

/** How long a hub may go by what a disk said that is not there any more: nobody tells it while that region is cut off, ms. */
export const WORD_MS = 60_000;

/**
 * What one region did to its logs and its store, judged as it happens: every step against the seals that the region has
 * been told of (I2), the order of its streams (I5), and the growth of its clock (I8).
 */
export class RegionHistory {
  readonly region: string;
  readonly #kernel: SimKernel;
  readonly #archive: FrameArchive;
  readonly #merge: ReferenceMerge;
  readonly #violations: Violations;
  readonly #wallMs: () => number;
  readonly #freshness: FreshnessOracle;
  readonly #known = new Map<string, KnownLease>();
  /** Positions of the store, kept over the deaths of processes. */
  readonly #applied = new Map<StreamKey, number>();
  /** Expiry cuts that were applied to the store. */
  readonly #cuts = new Map<string, number>();
  /** The machine died: nothing may be done with the store before it is emptied. */
  #untrusted = false;
  /** Last stamp given in each own stream, and the greatest that earlier processes gave. */
  readonly #lastReadings = new Map<StreamKey, Reading>();
  #greatest: Reading = { wallMs: 0, counter: -1 };
  #floor: Reading = { wallMs: 0, counter: -1 };
  readonly conflicts: ConflictHistory;
  readonly #members: readonly string[];
  readonly #seen: (stream: StreamKey) => number;
  readonly #mayLeaveBehind: boolean;
  appliedChanges = 0;
  /** When its disks last went back to an older copy of themselves. */
  rolledBackMs = Number.NEGATIVE_INFINITY;
  readonly #held = new Map<StreamKey, number>();
  /** Frames of the log that are damaged. */
  #flipped: readonly { readonly stream: StreamKey; readonly end: number }[] = [];
  /** What its earlier disks held, each for as long as somebody may go by it. */
  #heldBefore: readonly { readonly held: ReadonlyMap<StreamKey, number>; readonly untilMs: number }[] = [];

  constructor(options: {
    region: string;
    kernel: SimKernel;
    archive: FrameArchive;
    merge: ReferenceMerge;
    violations: Violations;
    /** What the wall clock of the machine reads, ms. */
    wallMs: () => number;
    freshness: FreshnessOracle;
    conflicts: ConflictHistory;
    members: readonly string[];
    /** How far any log or the control store knows a stream to go. */
    seen: (stream: StreamKey) => number;
    /** Logs have no space for what a region lacks, or frames that cannot be read any more. */
    mayLeaveBehind: boolean;
  }) {
    this.conflicts = options.conflicts;
    this.#seen = options.seen;
    this.#members = options.members;
    this.#mayLeaveBehind = options.mayLeaveBehind;
    this.region = options.region;
    this.#kernel = options.kernel;
    this.#archive = options.archive;
    this.#merge = options.merge;
    this.#violations = options.violations;
    this.#wallMs = options.wallMs;
    this.#freshness = options.freshness;
  }

  /** A new process knows what its journal says. Its log goes up to `heads`, beyond what it was told when an fsync outlived it. */
  restarted(leases: ReadonlyMap<string, PlainLease>, heads: ReadonlyMap<StreamKey, number>): void {
    for (const [stream, head] of heads) {
      this.#held.set(stream, Math.max(head, this.#held.get(stream) ?? 0));
      this.#archive.held(this.region, stream, head);
    }
    this.#known.clear();
    this.#floor = this.#greatest;
    for (const [namespace, lease] of leases) this.learned(namespace, lease);
  }

  get untrusted(): boolean {
    return this.#untrusted;
  }

  machineDied(): void {
    this.#untrusted = true;
  }

  /** The log is another one now, which goes up to `heads`. */
  logReplaced(by: 'older' | 'empty', heads: ReadonlyMap<StreamKey, number>): void {
    if (by === 'older') this.rolledBackMs = this.#kernel.nowMs;
    const { nowMs } = this.#kernel;
    const lately = this.#heldBefore.filter(({ untilMs }) => nowMs <= untilMs);
    const before = new Map(this.#held);
    this.#heldBefore = [...lately, { held: before, untilMs: nowMs + WORD_MS }];
    this.#held.clear();
    for (const stream of before.keys())
      if (parseStreamKey(stream)?.origin === this.region) this.#archive.forget(stream, this.#seen(stream));
    for (const [stream, head] of heads) this.#held.set(stream, head);
  }

  /**
   * Other disks stand in the machine: of clock readings that only the lost ones knew nothing can be asked. `kept`: positions
   * of a store that its region stopped in order, and may go on with.
   */
  disksReplaced(kept: ReadonlyMap<StreamKey, number> | undefined): void {
    this.#freshness.disksReplaced(this.region);
    this.conflicts.disksReplaced(kept);
    this.#untrusted = kept === undefined;
    this.#applied.clear();
    for (const [stream, seq] of kept ?? []) this.#applied.set(stream, seq);
    this.#greatest = { wallMs: 0, counter: -1 };
    this.#floor = this.#greatest;
    this.#lastReadings.clear();
  }

  learned(namespace: string, lease: PlainLease): void {
    const known = this.#known.get(namespace)?.lease;
    if (known !== undefined && known.revision >= lease.revision) return;
    this.#known.set(namespace, { lease, event: this.#kernel.events });
  }

  /** The engine hands frames to its log. */
  appending(stream: StreamKey, frames: readonly LoggedFrame[]): void {
    const last = frames[frames.length - 1];
    if (last === undefined) return;
    const seal = this.#knownSeal(stream);
    if (seal !== undefined && last.to > seal)
      this.#violations.add(
        'I2',
        `${this.region} logs ${stream} up to ${last.to}, beyond its seal ${seal}, which it knows`,
      );
    const own = parseStreamKey(stream)?.origin === this.region;
    if (!own) return;
    // What it gets back of its own from others it does not write anew.
    const written = frames.filter((frame) => !this.#archive.holds(stream, frame));
    this.#checkOwn(stream, written[0]?.from);
    for (const { bytes } of written) {
      const decoded = this.#archive.decode(bytes);
      this.#checkCaughtUp(decoded);
      this.#checkStamp(decoded);
      this.#checkClock(bytes);
    }
  }

  /** P6.6: who extends an epoch has applied everything valid of those before it. */
  #checkCaughtUp({ stream, kind }: DecodedFrame): void {
    const known = this.#known.get(parseStreamKey(stream)?.namespace ?? '');
    if (kind !== 'rows' || known === undefined || known.event >= this.#kernel.events) return;
    for (const seals of Object.values(known.lease.seals))
      for (const [sealed, seal] of Object.entries(seals)) {
        const applied = this.#applied.get(sealed) ?? 0;
        if (applied >= seal) continue;
        this.#violations.add(
          'I2',
          `${this.region} extends ${stream} and has applied ${sealed} up to ${applied} of ${seal}`,
        );
      }
  }

  durable(stream: StreamKey, frames: readonly LoggedFrame[]): void {
    for (const frame of frames) this.#archive.keep(this.region, stream, frame);
    this.#held.set(stream, Math.max(this.#held.get(stream) ?? 0, ...frames.map(({ to }) => to)));
    const to = frames.at(-1)?.to;
    if (to !== undefined) this.#archive.held(this.region, stream, to);
    if (to !== undefined && parseStreamKey(stream)?.origin === this.region)
      this.#freshness.written(this.region, { stream, to, atMs: this.#kernel.nowMs });
  }

  /** P1.3, P1.4: only its origin extends a stream, so nobody may hold more of it than the origin did before. */
  #checkOwn(stream: StreamKey, from: number | undefined): void {
    if (from === undefined) return;
    const elsewhere = this.#archive.farthestElsewhere(this.region, stream);
    if (elsewhere > from)
      this.#violations.add('I5', `${this.region} extends ${stream} from ${from}; others hold it up to ${elsewhere}`);
  }

  /** The log begins at a position instead of what it held. */
  reset(stream: StreamKey, seq: number): void {
    this.conflicts.cut();
    this.#held.set(stream, seq);
    this.#archive.held(this.region, stream, seq);
  }

  /** A frame of the log reads otherwise than it was written. */
  flipped(stream: StreamKey, end: number): void {
    this.conflicts.flipped(stream, end);
    this.#flipped = [...this.#flipped, { stream, end }];
  }

  /**
   * Frames leave the log: while there is space for them, only such as every region held at some time; never an only copy
   * (P12.1), but for a damaged one that nobody has, with the frame behind it, whose hash is where the log begins then.
   */
  truncating(stream: StreamKey, upTo: number): void {
    this.conflicts.cut();
    const others = this.#members.filter((region) => region !== this.region);
    const damaged = this.#flipped.some((flip) => flip.stream === stream && flip.end <= upTo);
    this.#flipped = this.#flipped.filter((flip) => flip.stream !== stream || flip.end > upTo);
    if (!damaged && others.every((region) => this.#archive.everHeld(region, stream) < upTo))
      this.#violations.add('I1', `${this.region} lets go of ${stream} up to ${upTo}, which nobody else ever held`);
    if (this.#mayLeaveBehind) return;
    for (const region of others) {
      const held = this.#archive.everHeld(region, stream);
      if (held < upTo)
        this.#violations.add('I1', `${this.region} lets go of ${stream} up to ${upTo}, ${region} held ${held} of it`);
    }
  }

  /** Up to where the disks hold a stream, or did shortly ago: what was said then is still on its way. */
  held(stream: StreamKey, nowMs: number): number {
    const lately = this.#heldBefore.filter(({ untilMs }) => nowMs <= untilMs);
    return Math.max(this.#held.get(stream) ?? 0, ...lately.map(({ held }) => held.get(stream) ?? 0));
  }

  /** What the log holds of what a batch is to apply. Asked when the batch is handed over: a log may begin anew meanwhile. */
  toApply(batch: ApplyBatch, log: ChangeLog): ReadonlyMap<StreamKey, readonly LoggedFrame[]> {
    if (isCopy(batch)) return new Map();
    return new Map(
      [...batch.checkpoints].map(([stream, to]) => {
        const frames = log.read(stream, this.#applied.get(stream) ?? 0, Number.MAX_SAFE_INTEGER);
        return [stream, frames.filter((frame) => frame.to <= to)];
      }),
    );
  }

  /** The engine changed its store; `held` is what its log held of that. */
  applying(batch: ApplyBatch, held: ReadonlyMap<StreamKey, readonly LoggedFrame[]>): void {
    if (this.#untrusted)
      this.#violations.add('I5', `${this.region} goes on with a store that was left behind by a dead machine`);
    if (isCopy(batch)) {
      this.#copied(batch);
      return;
    }
    if (batch.checkpoints.size === 0) {
      if (batch.rows.length > 0) this.#violations.add('I5', `${this.region} changes rows without a checkpoint`);
      return;
    }
    const expected: { rowKey: string; value: string }[] = [];
    for (const [stream, to] of batch.checkpoints) {
      const from = this.#applied.get(stream) ?? 0;
      const seal = this.#knownSeal(stream);
      if (seal !== undefined && to > seal)
        this.#violations.add(
          'I2',
          `${this.region} applies ${stream} up to ${to}, beyond its seal ${seal}, which it knows`,
        );
      if (to <= from)
        this.#violations.add('I5', `${this.region} applies ${stream} up to ${to} again, it was at ${from}`);
      let position = from;
      for (const logged of held.get(stream) ?? []) {
        if (logged.from !== position) break;
        position = logged.to;
        // What a crash left durable was never told of; it is applied all the same.
        this.#archive.keep(this.region, stream, logged);
        const decoded = this.#archive.decode(logged.bytes);
        this.conflicts.placed(decoded);
        for (const [version, cutUs] of cutsOf([decoded]))
          this.#cuts.set(version, Math.max(cutUs, this.#cuts.get(version) ?? cutUs));
        for (const change of decoded.changes.filter((each) => !isExpired(each, this.#cuts)))
          expected.push({ rowKey: change.rowKey, value: this.#merge.stored([change]) });
        this.#checkContained(decoded);
      }
      if (position !== to)
        this.#violations.add(
          'I5',
          `${this.region} applies ${stream} from ${from} to ${to}, its log leads to ${position}`,
        );
      this.#applied.set(stream, to);
    }
    this.appliedChanges += expected.length;
    const same =
      expected.length === batch.rows.length &&
      expected.every(({ rowKey, value }, index) => {
        const row = batch.rows[index];
        return row !== undefined && row.key.toString('hex') === rowKey && row.value.toString('hex') === value;
      });
    if (!same)
      this.#violations.add(
        'I5',
        `${this.region} applies ${batch.rows.length} rows for ${[...batch.checkpoints.keys()].join(', ')}, its log holds ${expected.length} or other ones`,
      );
  }

  /** P8: what others stamped is applied only when it is within the bound of the clock here. */
  #checkContained({ stream, wallMs, changes }: DecodedFrame): void {
    if (parseStreamKey(stream)?.origin === this.region) return;
    const latestMs = changes.reduce((latest, change) => Math.max(latest, change.wallMs), wallMs);
    const aheadMs = latestMs - this.#wallMs();
    if (aheadMs > CLOCK_BOUND_MS)
      this.#violations.add(
        'I8',
        `${this.region} applies ${stream}, stamped ${aheadMs.toFixed(0)} ms ahead of its clock`,
      );
  }

  /** P8: nobody stamps beyond the bound of its own clock. A first frame of an epoch waits with its hub, not for itself. */
  #checkStamp({ stream, kind, wallMs }: DecodedFrame): void {
    const aheadMs = wallMs - this.#wallMs();
    if (kind !== 'epoch' && aheadMs > CLOCK_BOUND_MS + 1)
      this.#violations.add('I8', `${this.region} stamps ${stream} ${aheadMs.toFixed(0)} ms ahead of its own clock`);
  }

  /** Rows of a snapshot or of a peer's store: what they hold is judged at the end; where streams go on from, now. */
  #copied(batch: ApplyBatch): void {
    this.conflicts.copied(batch);
    for (const [key, value] of batch.records) {
      if (!key.startsWith('expiry/') || value === null) continue;
      const version = key.slice('expiry/'.length);
      const { cutUs } = JSON.parse(value.toString('utf8')) as { readonly cutUs: number };
      this.#cuts.set(version, Math.max(cutUs, this.#cuts.get(version) ?? cutUs));
    }
    for (const [stream, to] of batch.checkpoints) {
      const seal = this.#knownSeal(stream);
      if (seal !== undefined && to > seal)
        this.#violations.add(
          'I2',
          `${this.region} copies ${stream} up to ${to}, beyond its seal ${seal}, which it knows`,
        );
      if (to > (this.#applied.get(stream) ?? 0)) this.#applied.set(stream, to);
      else this.#violations.add('I5', `${this.region} copies ${stream} up to ${to}, it was there already`);
    }
  }

  wiped(): void {
    this.#untrusted = false;
    this.#applied.clear();
    this.#cuts.clear();
    this.conflicts.wiped();
  }

  #knownSeal(stream: StreamKey): number | undefined {
    const known = this.#known.get(parseStreamKey(stream)?.namespace ?? '');
    if (known === undefined || known.event >= this.#kernel.events) return undefined;
    const limit = limitOf(known.lease, stream);
    return limit === 'open' ? undefined : limit;
  }

  #checkClock(bytes: Uint8Array): void {
    const { wallMs, counter, to, from, stream } = this.#archive.decode(bytes);
    const first = { wallMs, counter };
    const last = this.#lastReadings.get(stream) ?? this.#floor;
    if (!isAfter(first, last) || !isAfter(first, this.#floor))
      this.#violations.add(
        'I8',
        `${this.region} stamps ${stream} ${from + 1} with ${wallMs}/${counter} after ${last.wallMs}/${last.counter}, with ${this.#floor.wallMs}/${this.#floor.counter} before it started`,
      );
    const end = { wallMs, counter: counter + (to - from) - 1 };
    this.#lastReadings.set(stream, end);
    if (isAfter(end, this.#greatest)) this.#greatest = end;
  }
}

function isAfter(a: Reading, b: Reading): boolean {
  return a.wallMs > b.wallMs || (a.wallMs === b.wallMs && a.counter > b.counter);
}
