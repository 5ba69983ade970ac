import type { OnlineReader } from '#ports/online-store';
import {
  type ConflictEntryRecord,
  type ConflictKind,
  decodeConflict,
  encodeConflict,
} from '#region/apply/conflict-entry';
import type { AppliedVector } from '#region/apply/conflict-relation';
import { COUNTS_PREFIX, COVER_KEY, readCover, type ViewTotals } from '#region/apply/conflict-totals';
import { decodeJsonRecord, encodeJsonRecord } from '#region/apply/records';
import type { ConflictCount } from '#region/status';

/** Entries kept of each view; the oldest make room. The counters go on. */
export const CONFLICTS_KEPT_MAX = 10_000;

const ENTRY_PREFIX = 'conflict/';

/**
 * Whether a record of the store belongs to the ledger. A copy of the store leaves it out: what the logs bring after the copy
 * was begun is applied again, and would be counted twice. The counters come back from the journal.
 */
export function isOfLedger(key: string): boolean {
  return key.startsWith(ENTRY_PREFIX) || key.startsWith(COUNTS_PREFIX) || key === COVER_KEY;
}

interface Counts extends ViewTotals {
  /** Entries written since the store was empty: the number of the next one. */
  readonly entries: number;
}

const NOTHING: Counts = { superseded: 0, entries: 0, pairs: {} };

export interface NumberedConflict {
  /** Number of the entry in its view, from 0, without holes. */
  readonly number: number;
  readonly entry: ConflictEntryRecord;
}

/**
 * The conflict ledger of one region (P9.4): counters that never lose count, and the latest entries of each view. Both are
 * records of the online store, written in the transaction that applies the rows, so they tell of exactly what is applied.
 * A store that is built again begins with the counters that the journal kept (`ConflictTotals`), and lists anew.
 */
export class ConflictLedger {
  readonly #store: OnlineReader;
  readonly #keptMax: number;
  #counts = new Map<string, Counts>();
  #cover: AppliedVector = new Map();

  constructor(store: OnlineReader, keptMax: number = CONFLICTS_KEPT_MAX) {
    this.#store = store;
    this.#keptMax = keptMax;
    this.reload();
  }

  /** Reads the counters again: the store was emptied. */
  reload(): void {
    this.#counts = new Map(
      this.#store
        .records(COUNTS_PREFIX)
        .map(([key, value]) => [key.slice(COUNTS_PREFIX.length), decodeJsonRecord<Counts>(value)]),
    );
    this.#cover = readCover(this.#store);
  }

  /** Pairs of changes that are both within it were counted before the store was built. */
  get cover(): AppliedVector {
    return this.#cover;
  }

  /** Collects what one batch brings. Nothing counts before `commit`. */
  begin(): ConflictBatch {
    return new ConflictBatch(this.#counts, this.#keptMax);
  }

  counts(): ConflictCount[] {
    return [...this.#counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([view, { superseded, pairs }]) => ({
        view,
        superseded,
        pairs: Object.entries(pairs)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([names, [concurrent, undecidable]]) => ({
            origins: names.split(',') as [string, string],
            concurrent,
            undecidable,
          })),
      }));
  }

  /** Views that have entries, in name order. */
  views(): string[] {
    return [...this.#counts]
      .filter(([, { entries }]) => entries > 0)
      .map(([view]) => view)
      .sort();
  }

  /** Entries of a view, newest first, with numbers below `before`; at most `limit` and as far as they are kept. */
  entries(view: string, before: number | undefined, limit: number): NumberedConflict[] {
    const written = this.#counts.get(view)?.entries ?? 0;
    const end = Math.min(before ?? written, written);
    const from = Math.max(0, end - limit);
    const page = this.#store.records(entryPrefix(view), {
      ...(from === 0 ? {} : { after: entryKey(view, from - 1) }),
      limit: Math.max(0, end - from),
    });
    return page
      .map(([key, value]) => ({ number: Number(key.slice(-NUMBER_DIGITS)), entry: decodeConflict(value) }))
      .filter(({ number }) => number < end)
      .reverse();
  }
}

/** What one batch adds to the ledger: `records` belong into its transaction, `commit` follows when that succeeded. */
export class ConflictBatch {
  readonly keptMax: number;
  readonly #committed: Map<string, Counts>;
  readonly #changed = new Map<string, Counts>();
  readonly #entries = new Map<string, Buffer | null>();

  constructor(committed: Map<string, Counts>, keptMax: number) {
    this.#committed = committed;
    this.keptMax = keptMax;
  }

  /** `counted`: it is in the totals already, and only listed. */
  conflict(view: string, origins: readonly [string, string], entry: ConflictEntryRecord, counted: boolean): void {
    const counts = this.#of(view);
    const pair = origins[0] <= origins[1] ? `${origins[0]},${origins[1]}` : `${origins[1]},${origins[0]}`;
    this.#changed.set(view, {
      ...counts,
      entries: counts.entries + 1,
      pairs: counted ? counts.pairs : { ...counts.pairs, [pair]: oneMore(counts.pairs[pair] ?? [0, 0], entry.kind) },
    });
    this.#entries.set(entryKey(view, counts.entries), encodeConflict(entry));
    const oldest = counts.entries - this.keptMax;
    if (oldest >= 0) this.#entries.set(entryKey(view, oldest), null);
  }

  superseded(view: string): void {
    const counts = this.#of(view);
    this.#changed.set(view, { ...counts, superseded: counts.superseded + 1 });
  }

  /** Entries and counters as records of the store. */
  records(): ReadonlyMap<string, Buffer | null> {
    const records = new Map(this.#entries);
    for (const [view, counts] of this.#changed) records.set(`${COUNTS_PREFIX}${view}`, encodeJsonRecord(counts));
    return records;
  }

  commit(): void {
    for (const [view, counts] of this.#changed) this.#committed.set(view, counts);
  }

  #of(view: string): Counts {
    return this.#changed.get(view) ?? this.#committed.get(view) ?? NOTHING;
  }
}

const NUMBER_DIGITS = 16;

function entryPrefix(view: string): string {
  return `${ENTRY_PREFIX}${view}/`;
}

function entryKey(view: string, number: number): string {
  return `${entryPrefix(view)}${String(number).padStart(NUMBER_DIGITS, '0')}`;
}

function oneMore([concurrent, undecidable]: readonly [number, number], kind: ConflictKind): readonly [number, number] {
  return kind === 'concurrent' ? [concurrent + 1, undecidable] : [concurrent, undecidable + 1];
}
