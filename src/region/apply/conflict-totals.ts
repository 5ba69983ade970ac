import { toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Journal } from '#ports/journal';
import type { OnlineReader } from '#ports/online-store';
import type { HeldStreams } from '#region/apply/change-history';
import type { AppliedVector, PlacedChange } from '#region/apply/conflict-relation';
import { withinSeal } from '#region/apply/projection';
import { decodeJsonRecord, encodeJsonRecord } from '#region/apply/records';

/** Records of the store: the counters, by view. */
export const COUNTS_PREFIX = 'conflict-counts/';
/** Record of the store, written when it begins: up to where changes are in the totals that it began with. */
export const COVER_KEY = 'conflict-cover';
/** Entry of the journal. */
const TOTALS_KEY = 'conflict-totals';

/** What is counted of one view. */
export interface ViewTotals {
  readonly superseded: number;
  /** By the two origins in name order with a comma between them: concurrent, undecidable. */
  readonly pairs: Readonly<Record<string, readonly [number, number]>>;
}

interface Totals {
  readonly views: Readonly<Record<string, ViewTotals>>;
  /** What the store held when they were read: pairs of changes that were both in it are counted. */
  readonly upTo: Readonly<Record<StreamKey, number>>;
}

/**
 * The counters of the conflict ledger, kept in the journal with the positions that they tell of, because they outlive the
 * store: one that is emptied begins with them. Whoever is applied again meets others again; a pair of which both were in the
 * store that was counted, is in the totals, and any other is counted when it meets. So what a dead machine took along
 * since the totals were last written is counted again from the logs, and nothing else is.
 */
export class ConflictTotals {
  readonly #store: OnlineReader;
  readonly #journal: Journal;
  readonly #namespaces: ReadonlyMap<string, HeldStreams>;
  /** A copy is on its way: its rows are counted as they come, and no position tells of that. */
  copying: () => boolean = () => false;

  constructor(options: {
    store: OnlineReader;
    journal: Journal;
    namespaces: ReadonlyMap<string, HeldStreams>;
  }) {
    this.#store = options.store;
    this.#journal = options.journal;
    this.#namespaces = options.namespaces;
  }

  /** What an empty store begins with: belongs into its first transaction. */
  seed(): Map<string, Buffer> {
    const { views, upTo } = this.#written() ?? NOTHING;
    const records = new Map([[COVER_KEY, encodeJsonRecord(upTo)]]);
    for (const [view, totals] of Object.entries(views))
      records.set(COUNTS_PREFIX + view, encodeJsonRecord({ ...totals, entries: 0 }));
    return records;
  }

  /**
   * Writes the totals as they are now, unless the store is still behind what those of the journal tell of: then what was
   * counted since is counted again if it is lost. On a full disk the older ones stay, which lose nothing either.
   */
  async save(): Promise<void> {
    if (this.copying() || !this.#caughtUp()) return;
    try {
      await this.write();
    } catch (caught) {
      if (toAntipodeError(caught).code !== 'DISK_FULL') throw caught;
    }
  }

  /** The same when something was counted since. */
  async saveCounted(): Promise<void> {
    const before = this.#written();
    if (JSON.stringify(before?.views ?? {}) !== JSON.stringify(this.#now().views)) await this.save();
  }

  /** Durable when it resolves. Positions and counters are read before it returns. Rejects DISK_FULL. */
  async write(): Promise<void> {
    const now = this.#now();
    const value = encodeJsonRecord(now);
    const before = this.#journal.get(TOTALS_KEY);
    if (before === undefined ? Object.keys(now.views).length === 0 : value.equals(before)) return;
    await this.#journal.write([{ kind: 'put', key: TOTALS_KEY, value }]);
  }

  #written(): Totals | undefined {
    const bytes = this.#journal.get(TOTALS_KEY);
    return bytes === undefined ? undefined : decodeJsonRecord<Totals>(Buffer.from(bytes));
  }

  #now(): Totals {
    const views: Record<string, ViewTotals> = {};
    for (const [key, value] of this.#store.records(COUNTS_PREFIX)) {
      const { superseded, pairs } = decodeJsonRecord<ViewTotals>(value);
      views[key.slice(COUNTS_PREFIX.length)] = { superseded, pairs };
    }
    return { views, upTo: Object.fromEntries([...this.#store.checkpoints()].sort(([a], [b]) => (a < b ? -1 : 1))) };
  }

  /** All that the totals of the journal tell of is in the store again, as far as it is valid. */
  #caughtUp(): boolean {
    for (const [stream, seq] of Object.entries(this.#written()?.upTo ?? {})) {
      const log = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '');
      if (log !== undefined && this.#store.checkpoint(stream) < withinSeal(log, stream, seq)) return false;
    }
    return true;
  }
}

const NOTHING: Totals = { views: {}, upTo: {} };

/** The vector that a store's counters began with. */
export function readCover(store: Pick<OnlineReader, 'record'>): AppliedVector {
  const bytes = store.record(COVER_KEY);
  return new Map(bytes === undefined ? [] : Object.entries(decodeJsonRecord<Totals['upTo']>(bytes)));
}

/** Whether two changes were in one store together, whose counters went on: whatever came of it is counted already. */
export function metWithin(vectors: readonly AppliedVector[], a: PlacedChange, b: PlacedChange): boolean {
  return vectors.some((vector) => isWithin(vector, a) && isWithin(vector, b));
}

function isWithin(vector: AppliedVector, { id, replayedAt }: PlacedChange): boolean {
  return [id, ...replayedAt].some(({ stream, seq }) => seq <= (vector.get(stream) ?? 0));
}
