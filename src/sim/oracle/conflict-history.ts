import type { FeatureView } from '#core/model/feature-view';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';
import type { ApplyBatch, DecideRow } from '#ports/online-store';
import type { Conflict, RegionEngine } from '#region/engine-api';
import { isCopy } from '#sim/oracle/copy-batch';
import type { DecodedFrame } from '#sim/oracle/decoded-frame';
import type { FrameArchive } from '#sim/oracle/frame-archive';

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
}

interface Expected {
  /** In the order of application; pairs of one stream left out. */
  readonly meetings: JudgedMeeting[];
  superseded: number;
}

/** Conflicts asked for at a time. */
const PAGE = 500;
/** Entries that a ledger keeps of a view. */
const KEPT_MAX = 10_000;
/** Of the version, hexadecimal, as it stands before row keys. */
const VERSION_PREFIX_DIGITS = 16;

/**
 * What the conflict ledger of one region must hold (I9), found without the engine's own way of finding it: every pair of
 * values that met in a row is looked at as stored bytes, and judged by the vectors of the frames in which the two changes
 * first became durable anywhere.
 *
 * Ledgers of two regions may differ, because changes meet in another order there. What holds in every order, and is held
 * here: a region's ledger has exactly the concurrent pairs that met in its store since that was last empty, in their order,
 * each with the value that stayed; the counters equal them, ring or no ring; and as many writes lost as values went under
 * to one that had not been made knowing them.
 */
export class ConflictHistory {
  readonly #archive: FrameArchive;
  readonly #views: ReadonlyMap<string, FeatureView>;
  readonly #expected = new Map<string, Expected>();
  /** Where changes of tails were applied again here. */
  readonly #places = new Map<Id, { readonly stream: StreamKey; readonly seq: number }[]>();
  readonly #vectors = new Map<Id, ReadonlyMap<StreamKey, number> | undefined>();
  #changes = 0;
  #checked = -1;

  constructor(options: { archive: FrameArchive; views: readonly FeatureView[] }) {
    this.#archive = options.archive;
    this.#views = new Map(options.views.map((view) => [view.version.slice(0, VERSION_PREFIX_DIGITS), view]));
  }

  /** The same decisions, with the oracle looking on; `applied` is called when the batch is, and all its frames are placed. */
  watch(batch: ApplyBatch, decide: DecideRow): { readonly decide: DecideRow; readonly applied: () => void } {
    const [stream] = batch.checkpoints.keys();
    const id = stream === undefined ? undefined : parseStreamKey(stream);
    if (id === undefined || batch.checkpoints.size !== 1 || isCopy(batch)) return { decide, applied: () => undefined };
    const partition = `${id.namespace}/${id.partition}`;
    const met: { readonly view: string; readonly meetings: readonly Meeting[] }[] = [];
    const watched: DecideRow = (key, stored, incoming, index) => {
      const decision = decide(key, stored, incoming, index);
      const view = this.#views.get(key.toString('hex', 0, VERSION_PREFIX_DIGITS / 2));
      const after = decision === 'keep' ? stored : decision === 'replace' ? incoming : decision;
      if (view !== undefined)
        met.push({ view: view.name, meetings: meetingsOf(partition, view, { stored, incoming, after }) });
      return decision;
    };
    const applied = (): void => {
      for (const { view, meetings } of met) this.#judge(view, meetings);
    };
    return { decide: watched, applied };
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
    this.#expected.clear();
    this.#places.clear();
    this.#changes++;
  }

  /** How many concurrent pairs met since the store was last empty. */
  get concurrent(): number {
    let count = 0;
    for (const { meetings } of this.#expected.values()) count += meetings.filter(({ concurrent }) => concurrent).length;
    return count;
  }

  /** What is wrong with the region's ledger; looked at again only when something was applied since. */
  async shortcomings(region: RegionEngine, log: ChangeLog): Promise<string[]> {
    if (this.#checked === this.#changes) return [];
    const found: string[] = [];
    const counts = new Map((await region.conflictCounts()).map((count) => [count.view, count]));
    for (const view of new Set([...counts.keys(), ...this.#expected.keys()])) {
      const expected = this.#expected.get(view) ?? { meetings: [], superseded: 0 };
      const listed = await listAll(region, view);
      const count = counts.get(view);
      const superseded = count?.superseded ?? 0;
      // A vector that left the log with its frame: the ledger says that it cannot tell, and counts the write as lost.
      if (log.streams().some((stream) => log.start(stream).seq > 0)) {
        if (superseded < expected.superseded)
          found.push(`${view}: ${superseded} writes are counted as lost, at least ${expected.superseded} lost`);
        continue;
      }
      // Where the logs no longer tell whether the winner knew of a write, it is counted as lost.
      const doubtful = listed.filter(({ kind }) => kind === 'undecidable').length;
      if (superseded < expected.superseded || superseded > expected.superseded + doubtful)
        found.push(`${view}: ${superseded} writes are counted as lost, ${expected.superseded} lost`);
      const counted = new Map<string, number>();
      for (const { origins, concurrent, undecidable } of count?.pairs ?? []) {
        counted.set(`${origins.join(',')} concurrent`, concurrent);
        counted.set(`${origins.join(',')} undecidable`, undecidable);
      }
      const total = [...counted.values()].reduce((sum, each) => sum + each, 0);
      if (listed.length !== Math.min(total, KEPT_MAX))
        found.push(`${view}: ${total} conflicts are counted, ${listed.length} listed`);
      // Beyond what the ledger keeps only the counters can be judged.
      if (total > KEPT_MAX) continue;
      for (const { stored, incoming, kind } of listed)
        add(counted, `${pairOf(stored.origin, incoming.origin)} ${kind}`, -1);
      for (const [name, left] of counted)
        if (left !== 0) found.push(`${view}: ${name} is counted ${left} times too often`);
      const difference = this.#difference(expected.meetings, listed, log);
      if (difference !== undefined) found.push(`${view}: ${difference}`);
    }
    if (found.length === 0) this.#checked = this.#changes;
    return found;
  }

  /** Goes through both in step. What is undecidable may stand for either, when the region's log no longer tells. */
  #difference(meetings: readonly JudgedMeeting[], listed: readonly Conflict[], log: ChangeLog): string | undefined {
    let next = 0;
    for (const meeting of meetings) {
      const entry = listed[next];
      const same =
        entry !== undefined &&
        `${entry.stored.stream}#${entry.stored.seq}` === meeting.stored &&
        `${entry.incoming.stream}#${entry.incoming.seq}` === meeting.incoming;
      if (!same && !meeting.concurrent) continue;
      if (!same)
        return `${meeting.stored} and ${meeting.incoming} are concurrent, entry ${next} is of others or missing`;
      next++;
      if (entry.kind === 'undecidable') {
        if (holds(log, meeting.stored)) return `${meeting.stored} and ${meeting.incoming} are called undecidable`;
        continue;
      }
      if (!meeting.concurrent) return `${meeting.stored} and ${meeting.incoming} are no conflict, and listed as one`;
      const winner = winnerOf(meeting);
      if (entry.winner !== winner) return `of ${meeting.stored} and ${meeting.incoming} the ${winner} stayed`;
    }
    const left = listed[next];
    return left === undefined ? undefined : `entry ${left.cursor} is of changes that never met`;
  }

  /** Meetings of one row. A write that lost in several features to writes of its own stream lost once. */
  #judge(view: string, meetings: readonly Meeting[]): void {
    this.#changes++;
    let expected = this.#expected.get(view);
    if (expected === undefined) {
      expected = { meetings: [], superseded: 0 };
      this.#expected.set(view, expected);
    }
    let lostInStream = false;
    for (const meeting of meetings) {
      const storedKnew = this.#knew(meeting.stored, meeting.incoming);
      const incomingKnew = this.#knew(meeting.incoming, meeting.stored);
      const lost = [meeting.incomingLost && !storedKnew, meeting.storedLost && !incomingKnew].filter(Boolean).length;
      if (streamOf(meeting.stored) === streamOf(meeting.incoming)) {
        lostInStream ||= lost > 0;
        continue;
      }
      expected.superseded += lost;
      expected.meetings.push({ ...meeting, concurrent: !storedKnew && !incomingKnew });
    }
    if (lostInStream) expected.superseded++;
  }

  /** Whether the writer of `later` had applied `earlier`, where it first appeared or where it was appended again. */
  #knew(later: Id, earlier: Id): boolean {
    const own = split(later);
    return [split(earlier), ...(this.#places.get(earlier) ?? [])].some(({ stream, seq }) =>
      stream === own.stream ? seq < own.seq : (this.#vector(later)?.get(stream) ?? 0) >= seq,
    );
  }

  #vector(id: Id): ReadonlyMap<StreamKey, number> | undefined {
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

function holds(log: ChangeLog, id: Id): boolean {
  const { stream, seq } = split(id);
  const [frame] = log.read(stream, seq - 1, 1);
  return frame !== undefined && frame.from < seq;
}

function pairOf(a: string, b: string): string {
  return a <= b ? `${a},${b}` : `${b},${a}`;
}

function add(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}
