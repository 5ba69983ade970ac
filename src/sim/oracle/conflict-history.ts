import type { FeatureView } from '#core/model/feature-view';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';
import type { ApplyBatch, DecideRow } from '#ports/online-store';
import type { Conflict, RegionEngine } from '#region/engine-api';
import type { Knobs } from '#sim/knobs';
import {
  addTo,
  type CountedView,
  clone,
  differenceTo,
  fitting,
  noPair,
  type SavedTotals,
  type Tally,
  tallyOf,
  vectorText,
} from '#sim/oracle/conflict-tally';
import { backfilled, isCopy } from '#sim/oracle/copy-batch';
import type { DecodedFrame } from '#sim/oracle/decoded-frame';
import type { FrameArchive } from '#sim/oracle/frame-archive';
import type { Violations } from '#sim/oracle/violations';

/** A change id as the oracle writes it: `stream#seq`. */
type Id = string;

/** Two values that met in one row of one store, or in some features of it. */
interface Meeting {
  readonly stored: Id;
  readonly incoming: Id;
  /** Whether the value, or one of its features, gave way to the other one. */
  storedLost: boolean;
  incomingLost: boolean;
  /** Whether something came of the two that is neither. */
  joined: boolean;
}

interface JudgedMeeting extends Meeting {
  readonly concurrent: boolean;
  /** The totals that the store began with hold it. */
  readonly counted: boolean;
  /** With a row that came without the vector of its writer. */
  readonly copied: boolean;
}

/** Conflicts asked for at a time. */
const PAGE = 500;
/** Entries that a ledger keeps of a view. */
const KEPT_MAX = 10_000;
/** Record of the store with which it begins. */
const COVER_KEY = 'conflict-cover';
const COUNTS_PREFIX = 'conflict-counts/';
/** Of the version, hexadecimal, as it stands before row keys. */
const VERSION_PREFIX_DIGITS = 16;

/**
 * What the conflict ledger of one region must hold (I9), found without the engine's own way of finding it: every pair of
 * values that met in a row is looked at as stored bytes, and judged by the vectors of the frames in which the two changes
 * first became durable anywhere.
 *
 * Ledgers of two regions may differ, because changes meet in another order there. What holds in every order, and is held
 * here: a region's ledger lists exactly the concurrent pairs that met in its store since that was last empty, in their order,
 * each with the value that stayed. Its counters outlive the store: they hold all pairs that met since the disks are these,
 * and as many lost writes as values went under to one that had not been made knowing them. What stands in the journal
 * equals what is counted here up to the positions that it names; a store begins with that, never with an older one, and
 * pairs of changes that were both within those positions do not count again, all others do.
 */
export class ConflictHistory {
  readonly #archive: FrameArchive;
  readonly #views: ReadonlyMap<string, FeatureView>;
  readonly #partitions: ReadonlyMap<string, number>;
  readonly #violated: (text: string) => void;
  /** Since the store was last empty, by view, in the order of application; pairs of one stream left out. */
  readonly #flipped = new Set<string>();
  readonly #met = new Map<string, JudgedMeeting[]>();
  /** What the counters must show; undefined when the store is an older one, of which it is not known. */
  #tally: Tally | undefined = new Map();
  /** As it was before the last batch, and the positions then. */
  #before: { readonly vector: string; readonly tally: Tally | undefined };
  readonly #vector = new Map<StreamKey, number>();
  /** Positions that the totals tell of with which the store began, and those totals. */
  #cover: ReadonlyMap<StreamKey, number> = new Map();
  #base: ReadonlyMap<string, CountedView> = new Map();
  readonly #saved: SavedTotals[] = [];
  /** The latest of them that is durable for sure, and whether disks were replaced since: then it may be an older one. */
  #durable = -1;
  #replaced = false;
  /** Logs were cut, or rows came by a copy: some vectors are gone. */
  #blind = false;
  /** Where changes of tails were applied again here. */
  readonly #places = new Map<Id, { readonly stream: StreamKey; readonly seq: number }[]>();
  readonly #vectors = new Map<Id, ReadonlyMap<StreamKey, number> | undefined>();
  #concurrent = 0;
  #changes = 0;
  #checked = -1;

  constructor(options: {
    archive: FrameArchive;
    views: readonly FeatureView[];
    region: string;
    knobs: Pick<Knobs, 'namespaces'>;
    violations: Violations;
  }) {
    this.#archive = options.archive;
    this.#partitions = new Map(options.knobs.namespaces.map(({ name, partitions }) => [name, partitions]));
    this.#violated = (text) => options.violations.add('I9', `${options.region}: ${text}`);
    this.#before = { vector: '', tally: this.#tally };
    this.#views = new Map(options.views.map((view) => [view.version.slice(0, VERSION_PREFIX_DIGITS), view]));
  }

  /** The same decisions, with the oracle looking on; `applied` is called when the batch is, and all its frames are placed. */
  watch(batch: ApplyBatch, decide: DecideRow): { readonly decide: DecideRow; readonly applied: () => void } {
    const met: { readonly view: string; readonly meetings: readonly Meeting[] }[] = [];
    const source = sourceOf(batch);
    const watched: DecideRow = (key, stored, incoming, index) => {
      const decision = decide(key, stored, incoming, index);
      const view = this.#views.get(key.toString('hex', 0, VERSION_PREFIX_DIGITS / 2));
      const after = decision === 'keep' ? stored : decision === 'replace' ? incoming : decision;
      if (view === undefined || source === undefined) return decision;
      const { namespace } = source;
      const partition = source.partition ?? partitionOf(key, this.#partitions.get(namespace) ?? 1);
      met.push({
        view: view.name,
        meetings: meetingsOf(`${namespace}/${partition}`, view, { stored, incoming, after }),
      });
      return decision;
    };
    const applied = (): void => {
      this.#before = { vector: vectorText(this.#vector), tally: clone(this.#tally) };
      const copied = source !== undefined && source.partition === undefined;
      if (copied) this.#blind = true;
      for (const { view, meetings } of met) this.#judge(view, meetings, copied);
      for (const [stream, seq] of batch.checkpoints) this.#vector.set(stream, seq);
      if (batch.records.has(COVER_KEY)) this.#began(batch);
    };
    return { decide: watched, applied };
  }

  /** The region writes totals into its journal; call the answer when they are durable. */
  saving(value: Uint8Array): () => void {
    const { views, upTo } = JSON.parse(Buffer.from(value).toString('utf8')) as {
      views: Record<string, CountedView>;
      upTo: Record<StreamKey, number>;
    };
    const [text, counted] = [vectorText(Object.entries(upTo)), new Map(Object.entries(views))];
    const states = [this.#before, { vector: vectorText(this.#vector), tally: this.#tally }];
    const same = states.filter(({ vector }) => vector === text);
    const state = same.find(({ tally }) => differenceTo(tally, counted, this.#blind) === undefined);
    if (same.length === 0) this.#violated('the totals in the journal name positions at which the store is not');
    else if (state === undefined)
      this.#violated(`the totals in the journal: ${differenceTo(same.at(-1)?.tally, counted, this.#blind)}`);
    const index = this.#saved.push({ vector: text, counted, tally: clone(state?.tally) }) - 1;
    return () => {
      this.#durable = Math.max(this.#durable, index);
      this.#replaced = false;
    };
  }

  /** An empty store begins with what the journal kept. */
  #began({ records }: ApplyBatch): void {
    const cover = JSON.parse(records.get(COVER_KEY)?.toString('utf8') ?? '{}') as Record<StreamKey, number>;
    this.#cover = new Map(Object.entries(cover));
    this.#base = new Map(
      [...records].flatMap(([key, value]): [string, CountedView][] =>
        key.startsWith(COUNTS_PREFIX) && value !== null
          ? [[key.slice(COUNTS_PREFIX.length), JSON.parse(value.toString('utf8')) as CountedView]]
          : [],
      ),
    );
    const first = this.#replaced ? 0 : Math.max(0, this.#durable);
    const saved = fitting(this.#saved.slice(first), vectorText(this.#cover), this.#base);
    const none = this.#base.size === 0 && this.#cover.size === 0 && (this.#replaced || this.#durable < 0);
    if (saved === undefined && !none)
      this.#violated('the store was built again without the totals that the journal had');
    this.#tally = saved === undefined ? new Map() : clone(saved.tally);
    this.#changes++;
  }

  /** Frames left the log: what their writers knew may be gone. */
  cut(): void {
    this.#blind = true;
  }

  /** A frame of the log cannot be read for a while. */
  flipped(stream: StreamKey, end: number): void {
    this.#flipped.add(`${stream}#${end}`);
  }

  /** Whether the log has the frame of a change, and had it readable all the time. */
  #held(log: ChangeLog, id: Id): boolean {
    const { stream, seq } = split(id);
    const [frame] = log.read(stream, seq - 1, 1);
    return frame !== undefined && frame.from < seq && !this.#flipped.has(`${stream}#${frame.to}`);
  }

  /** Other disks stand in the machine, with another journal; and perhaps with a store that goes on from positions of its own. */
  disksReplaced(kept: ReadonlyMap<StreamKey, number> | undefined): void {
    this.#replaced = true;
    this.#durable = -1;
    this.#vector.clear();
    for (const [stream, seq] of kept ?? []) this.#vector.set(stream, seq);
    if (kept !== undefined) this.#tally = undefined;
  }

  /** A frame of the batch that has just been applied. */
  placed(frame: DecodedFrame): void {
    if (!frame.replayed) return;
    frame.changes.forEach(({ id }, index) => {
      const places = this.#places.get(id) ?? [];
      this.#places.set(id, [...places, { stream: frame.stream, seq: frame.from + index + 1 }]);
    });
  }

  /** A copy of a store brings what that store knew of tails that were appended again. */
  copied({ records }: ApplyBatch): void {
    for (const [key, value] of records) {
      if (!key.startsWith('replay-of/') || value === null) continue;
      const { stream, from } = JSON.parse(value.toString('utf8')) as { stream: StreamKey; from: number };
      const frame = this.#archive.holding(stream, from + 1);
      if (frame !== undefined) this.placed(frame);
    }
  }

  wiped(): void {
    this.#met.clear();
    this.#places.clear();
    this.#vector.clear();
    this.#changes++;
  }

  /** How many concurrent pairs met. */
  get concurrent(): number {
    return this.#concurrent;
  }

  /** What is wrong with the region's ledger; looked at again only when something was applied since. */
  async shortcomings(region: RegionEngine, log: ChangeLog): Promise<string[]> {
    if (this.#checked === this.#changes || this.#tally === undefined) return [];
    const found: string[] = [];
    const counts = new Map((await region.conflictCounts()).map((count) => [count.view, count]));
    const blind = this.#blind || log.streams().some((stream) => log.start(stream).seq > 0);
    const wrong = differenceTo(this.#tally, new Map([...counts].map(([view, count]) => [view, tallyOf(count)])), blind);
    if (wrong !== undefined) found.push(wrong);
    // A vector that left the log with its frame: the ledger says that it cannot tell, and counts the write as lost.
    if (blind) return found;
    for (const view of new Set([...counts.keys(), ...this.#met.keys()])) {
      const listed = await listAll(region, view);
      const met = this.#met.get(view) ?? [];
      // Beyond what the ledger keeps only the counters can be judged.
      if (met.length > KEPT_MAX) continue;
      const { difference, again } = this.#difference(met, listed, log);
      if (difference !== undefined) found.push(`${view}: ${difference}`);
      const counted = new Map<string, number>();
      const { pairs } = tallyOf(counts.get(view));
      for (const [names, [concurrent, undecidable]] of Object.entries(pairs)) {
        const [before, doubtful] = this.#base.get(view)?.pairs[names] ?? noPair;
        add(counted, `${names} concurrent`, concurrent - before);
        add(counted, `${names} undecidable`, undecidable - doubtful);
      }
      for (const { stored, incoming, kind } of listed.filter((entry) => !again.has(entry)))
        add(counted, `${pairOf(stored.origin, incoming.origin)} ${kind}`, -1);
      for (const [name, left] of counted)
        if (left !== 0) found.push(`${view}: ${name} is counted ${left} times too often`);
    }
    if (found.length === 0) this.#checked = this.#changes;
    return found;
  }

  /**
   * Goes through both in step. What is undecidable may stand for either, when the region's log no longer tells. `again`:
   * entries of pairs that the totals held before.
   */
  #difference(
    meetings: readonly JudgedMeeting[],
    listed: readonly Conflict[],
    log: ChangeLog,
  ): { readonly difference?: string; readonly again: ReadonlySet<Conflict> } {
    const again = new Set<Conflict>();
    let next = 0;
    for (const meeting of meetings) {
      const entry = listed[next];
      const same =
        entry !== undefined &&
        `${entry.stored.stream}#${entry.stored.seq}` === meeting.stored &&
        `${entry.incoming.stream}#${entry.incoming.seq}` === meeting.incoming;
      const both = `${meeting.stored} and ${meeting.incoming}`;
      if (!same && !meeting.concurrent) continue;
      if (!same) return { difference: `${both} are concurrent, entry ${next} is of others or missing`, again };
      next++;
      if (meeting.counted) again.add(entry);
      if (entry.kind === 'undecidable') {
        if (this.#held(log, meeting.stored) && !meeting.copied)
          return { difference: `${both} are called undecidable`, again };
        continue;
      }
      if (!meeting.concurrent) return { difference: `${both} are no conflict, and listed as one`, again };
      const winner = winnerOf(meeting);
      if (entry.winner !== winner) return { difference: `of ${both} the ${winner} stayed`, again };
    }
    const left = listed[next];
    return left === undefined ? { again } : { difference: `entry ${left.cursor} is of changes that never met`, again };
  }

  /** Meetings of one row. A write that lost in several features to writes of its own stream lost once. */
  #judge(view: string, meetings: readonly Meeting[], copied: boolean): void {
    this.#changes++;
    const met = this.#met.get(view) ?? [];
    this.#met.set(view, met);
    let lostInStream = false;
    for (const meeting of meetings) {
      // Two states of a counter, of which the same change came last: one holds more of the others, and none is lost.
      if (meeting.stored === meeting.incoming) continue;
      const counted = this.#within(this.#cover, meeting) || (copied && this.#within(this.#vector, meeting));
      if (counted && copied) continue;
      const storedKnew = this.#knew(meeting.stored, meeting.incoming);
      const incomingKnew = this.#knew(meeting.incoming, meeting.stored);
      const lost = [meeting.incomingLost && !storedKnew, meeting.storedLost && !incomingKnew].filter(Boolean).length;
      if (streamOf(meeting.stored) === streamOf(meeting.incoming)) {
        lostInStream ||= lost > 0 && !counted;
        continue;
      }
      const concurrent = !storedKnew && !incomingKnew;
      if (concurrent) this.#concurrent++;
      met.push({ ...meeting, concurrent, counted, copied });
      if (counted || this.#tally === undefined) continue;
      const pair = pairOf(originOf(meeting.stored), originOf(meeting.incoming));
      addTo(this.#tally, view, { superseded: lost, pair, concurrent });
    }
    if (lostInStream && this.#tally !== undefined) addTo(this.#tally, view, { superseded: 1 });
  }

  /** Whether both changes of a meeting were applied up to these positions, wherever they stand. */
  #within(positions: ReadonlyMap<StreamKey, number>, { stored, incoming }: Meeting): boolean {
    return [stored, incoming].every((id) =>
      [split(id), ...(this.#places.get(id) ?? [])].some(({ stream, seq }) => seq <= (positions.get(stream) ?? 0)),
    );
  }

  /** Whether the writer of `later` had applied `earlier`, where it first appeared or where it was appended again. */
  #knew(later: Id, earlier: Id): boolean {
    const own = split(later);
    return [split(earlier), ...(this.#places.get(earlier) ?? [])].some(({ stream, seq }) =>
      stream === own.stream ? seq < own.seq : (this.#vectorOf(later)?.get(stream) ?? 0) >= seq,
    );
  }

  #vectorOf(id: Id): ReadonlyMap<StreamKey, number> | undefined {
    if (!this.#vectors.has(id)) {
      const { stream, seq } = split(id);
      this.#vectors.set(id, this.#archive.holding(stream, seq)?.applied);
    }
    return this.#vectors.get(id);
  }
}

/** Newest first over the interface, oldest first here. */
async function listAll(region: RegionEngine, view: string): Promise<Conflict[]> {
  const all: Conflict[] = [];
  let after: string | undefined;
  do {
    const page = await region.conflicts({ view, limit: PAGE, after });
    all.push(...page.conflicts);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return all.reverse();
}

function winnerOf({ storedLost, incomingLost, joined }: Meeting): Conflict['winner'] {
  if (joined || storedLost === incomingLost) return 'merged';
  return storedLost ? 'incoming' : 'stored';
}

/** What met in a row: the values as a whole, or of each feature; one meeting for all features of one stored change. */
function meetingsOf(
  partition: string,
  { granularity, features }: FeatureView,
  row: { readonly stored: Buffer; readonly incoming: Buffer; readonly after: Buffer },
): Meeting[] {
  const cells = (value: Buffer): Buffer[] => (granularity === 'row' ? [value] : cellsOf(value, features.length));
  const [stored, incoming, after] = [cells(row.stored), cells(row.incoming), cells(row.after)];
  const meetings = new Map<Id, Meeting>();
  for (const [place, ours] of stored.entries()) {
    const theirs = incoming[place] as Buffer;
    if (ours.length === 0 || theirs.length === 0 || ours.equals(theirs)) continue;
    const id = idOf(partition, ours);
    const meeting = meetings.get(id) ?? {
      stored: id,
      incoming: idOf(partition, theirs),
      storedLost: false,
      incomingLost: false,
      joined: false,
    };
    if (after[place]?.equals(ours)) meeting.incomingLost = true;
    else if (after[place]?.equals(theirs)) meeting.storedLost = true;
    else meeting.joined = true;
    meetings.set(id, meeting);
  }
  return [...meetings.values()];
}

/** The cells of a row under feature granularity: each behind its length in four bytes. */
function cellsOf(value: Buffer, count: number): Buffer[] {
  const cells: Buffer[] = [];
  for (let at = 0; cells.length < count; ) {
    const end = at + 4 + value.readUInt32BE(at);
    cells.push(value.subarray(at + 4, end));
    at = end;
  }
  return cells;
}

/** The change id in a stored cell, by the description of the format alone: it follows stamp and flag. */
function idOf(partition: string, cell: Buffer): Id {
  const originEnd = 19 + cell.readUInt8(18);
  const origin = cell.toString('utf8', 19, originEnd);
  const incarnation = cell.toString('hex', originEnd + 1, originEnd + 9);
  return `${partition}/${origin}/${incarnation}#${cell.readUIntBE(originEnd + 9, 6)}`;
}

function split(id: Id): { readonly stream: StreamKey; readonly seq: number } {
  const at = id.lastIndexOf('#');
  return { stream: id.slice(0, at), seq: Number(id.slice(at + 1)) };
}

function streamOf(id: Id): StreamKey {
  return split(id).stream;
}

function originOf(id: Id): string {
  return parseStreamKey(streamOf(id))?.origin ?? '';
}

/** Where rows come from: frames of one stream, or the store of a peer. Undefined for anything else. */
function sourceOf(
  batch: ApplyBatch,
): { readonly namespace: string; readonly partition: number | undefined } | undefined {
  if (isCopy(batch)) {
    const namespace = backfilled(batch);
    return namespace === undefined ? undefined : { namespace, partition: undefined };
  }
  const [stream] = batch.checkpoints.keys();
  return stream === undefined || batch.checkpoints.size !== 1 ? undefined : parseStreamKey(stream);
}

/** FNV-1a of the entity key: how keys are spread over partitions. */
function partitionOf(rowKey: Buffer, partitions: number): number {
  let value = 0x811c9dc5;
  for (const byte of rowKey.subarray(VERSION_PREFIX_DIGITS / 2)) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0) % partitions;
}

function pairOf(a: string, b: string): string {
  return a <= b ? `${a},${b}` : `${b},${a}`;
}

function add(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}
