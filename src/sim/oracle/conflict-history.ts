import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';
import type { ApplyBatch, DecideRow } from '#ports/online-store';
import type { Conflict, RegionEngine } from '#region/engine-api';
import type { DecodedFrame } from '#sim/oracle/decoded-frame';
import type { FrameArchive } from '#sim/oracle/frame-archive';

/** A change id as the oracle writes it: `stream#seq`. */
type Id = string;

/** Two values that met in one row of one store. */
interface Meeting {
  readonly view: string;
  readonly stored: Id;
  readonly incoming: Id;
  /** Of the two values, which stays: both where the engine merged them. */
  readonly storedStays: boolean;
  readonly incomingStays: boolean;
}

interface JudgedMeeting extends Meeting {
  readonly concurrent: boolean;
}

interface Expected {
  /** In the order of application; pairs of one stream left out. */
  readonly meetings: JudgedMeeting[];
  superseded: number;
}

/** Pages of the ledger that are looked through. */
const PAGE = 500;

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
  readonly #views: ReadonlyMap<string, string>;
  readonly #expected = new Map<string, Expected>();
  /** Where changes of tails were applied again here. */
  readonly #places = new Map<Id, { readonly stream: StreamKey; readonly seq: number }[]>();
  readonly #vectors = new Map<Id, ReadonlyMap<StreamKey, number> | undefined>();
  #changes = 0;
  #checked = -1;

  /** `views`: names by the first bytes of their versions, hexadecimal, as they stand before row keys. */
  constructor(options: { archive: FrameArchive; views: ReadonlyMap<string, string> }) {
    this.#archive = options.archive;
    this.#views = options.views;
  }

  /** The same decisions, with the oracle looking on; `applied` is called when the batch is, and all its frames are placed. */
  watch(batch: ApplyBatch, decide: DecideRow): { readonly decide: DecideRow; readonly applied: () => void } {
    const met: Meeting[] = [];
    const [stream] = batch.checkpoints.keys();
    const id = stream === undefined ? undefined : parseStreamKey(stream);
    if (id === undefined || batch.checkpoints.size !== 1) return { decide, applied: () => undefined };
    const partition = `${id.namespace}/${id.partition}`;
    const watched: DecideRow = (key, stored, incoming, index) => {
      const decision = decide(key, stored, incoming, index);
      const view = this.#views.get(key.toString('hex', 0, 8));
      if (view !== undefined)
        met.push({
          view,
          stored: idOf(partition, stored),
          incoming: idOf(partition, incoming),
          storedStays: decision !== 'replace',
          incomingStays: decision !== 'keep',
        });
      return decision;
    };
    const applied = (): void => {
      for (const meeting of met) this.#judge(meeting);
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
      if (superseded !== expected.superseded)
        found.push(`${view}: ${superseded} writes are counted as lost, ${expected.superseded} lost`);
      const entries = new Map<string, number>();
      for (const { stored, incoming, kind } of listed)
        add(entries, `${pairOf(stored.origin, incoming.origin)} ${kind}`);
      for (const { origins, concurrent, undecidable } of count?.pairs ?? []) {
        if ((entries.get(`${origins.join(',')} concurrent`) ?? 0) !== concurrent)
          found.push(`${view}: ${concurrent} conflicts of ${origins.join(',')} are counted, not as many listed`);
        if ((entries.get(`${origins.join(',')} undecidable`) ?? 0) !== undecidable)
          found.push(
            `${view}: ${undecidable} undecidable pairs of ${origins.join(',')} are counted, not as many listed`,
          );
      }
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
      const winner = meeting.storedStays ? (meeting.incomingStays ? 'merged' : 'stored') : 'incoming';
      if (entry.winner !== winner) return `of ${meeting.stored} and ${meeting.incoming} the ${winner} stayed`;
    }
    const left = listed[next];
    return left === undefined ? undefined : `entry ${left.cursor} is of changes that never met`;
  }

  #judge(meeting: Meeting): void {
    this.#changes++;
    let expected = this.#expected.get(meeting.view);
    if (expected === undefined) {
      expected = { meetings: [], superseded: 0 };
      this.#expected.set(meeting.view, expected);
    }
    const storedKnew = this.#knew(meeting.stored, meeting.incoming);
    const incomingKnew = this.#knew(meeting.incoming, meeting.stored);
    if (!meeting.incomingStays && !storedKnew) expected.superseded++;
    if (!meeting.storedStays && !incomingKnew) expected.superseded++;
    if (streamOf(meeting.stored) !== streamOf(meeting.incoming))
      expected.meetings.push({ ...meeting, concurrent: !storedKnew && !incomingKnew });
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

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
