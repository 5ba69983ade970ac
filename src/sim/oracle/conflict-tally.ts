import type { StreamKey } from '#core/model/stream';

/** Counters of one view as the engine writes them: of each pair of origins how many are concurrent, and undecidable. */
export interface CountedView {
  readonly superseded: number;
  readonly pairs: Readonly<Record<string, readonly [number, number]>>;
}

/** Counters of one view as they must be: of each pair how many met, and how many of those were concurrent. */
interface ViewTally {
  superseded: number;
  readonly pairs: Map<string, { met: number; concurrent: number }>;
}

export type Tally = Map<string, ViewTally>;

/** Totals that a region wrote into its journal, with what was counted beside it at that moment. */
export interface SavedTotals {
  readonly vector: string;
  readonly counted: ReadonlyMap<string, CountedView>;
  readonly tally: Tally | undefined;
}

export const noPair = [0, 0] as const;

export function clone(tally: Tally | undefined): Tally | undefined {
  if (tally === undefined) return undefined;
  return new Map(
    [...tally].map(([view, { superseded, pairs }]) => [
      view,
      { superseded, pairs: new Map([...pairs].map(([names, counts]) => [names, { ...counts }])) },
    ]),
  );
}

export function addTo(
  tally: Tally,
  view: string,
  { superseded, pair, concurrent }: { superseded: number; pair?: string; concurrent?: boolean },
): void {
  const counts = tally.get(view) ?? { superseded: 0, pairs: new Map() };
  tally.set(view, counts);
  counts.superseded += superseded;
  if (pair === undefined) return;
  const one = counts.pairs.get(pair) ?? { met: 0, concurrent: 0 };
  counts.pairs.set(pair, { met: one.met + 1, concurrent: one.concurrent + (concurrent === true ? 1 : 0) });
}

/** The counters of a view in the form of the journal. */
export function tallyOf(
  count:
    | {
        readonly superseded: number;
        readonly pairs: readonly {
          readonly origins: readonly [string, string];
          readonly concurrent: number;
          readonly undecidable: number;
        }[];
      }
    | undefined,
): CountedView {
  if (count === undefined) return { superseded: 0, pairs: {} };
  const { superseded, pairs } = count;
  return {
    superseded,
    pairs: Object.fromEntries(
      pairs.map(({ origins, concurrent, undecidable }) => [origins.join(','), [concurrent, undecidable]]),
    ),
  };
}

/**
 * In what counters differ from what they must be; undefined when they do not. None may be too small. A pair whose vectors the
 * region's logs no longer tell may be called undecidable, and its writes count as lost; where logs were cut (`blind`), more may.
 */
export function differenceTo(
  tally: Tally | undefined,
  counts: ReadonlyMap<string, CountedView>,
  blind: boolean,
): string | undefined {
  if (tally === undefined) return undefined;
  for (const view of new Set([...tally.keys(), ...counts.keys()])) {
    const must = tally.get(view) ?? { superseded: 0, pairs: new Map<string, { met: number; concurrent: number }>() };
    const { superseded, pairs } = counts.get(view) ?? { superseded: 0, pairs: {} };
    const doubtful = Object.values(pairs).reduce((sum, [, undecidable]) => sum + undecidable, 0);
    if (superseded < must.superseded || (!blind && superseded > must.superseded + doubtful))
      return `${view}: ${superseded} writes are counted as lost, ${must.superseded} lost`;
    for (const names of new Set([...must.pairs.keys(), ...Object.keys(pairs)])) {
      const { met, concurrent } = must.pairs.get(names) ?? { met: 0, concurrent: 0 };
      const [sure, undecidable] = pairs[names] ?? noPair;
      if (sure + undecidable < concurrent || (!blind && (sure > concurrent || sure + undecidable > met)))
        return `${view}: of ${names} ${sure} and ${undecidable} are counted, ${concurrent} of ${met} are concurrent`;
    }
  }
  return undefined;
}

/** The latest of these that are the same. */
export function fitting(
  saved: readonly SavedTotals[],
  vector: string,
  counts: ReadonlyMap<string, CountedView>,
): SavedTotals | undefined {
  return saved.findLast((each) => each.vector === vector && textOf(each.counted) === textOf(counts));
}

export function vectorText(vector: Iterable<readonly [StreamKey, number]>): string {
  return [...vector]
    .filter(([, seq]) => seq > 0)
    .map(([stream, seq]) => `${stream}#${seq}`)
    .sort()
    .join(' ');
}

function textOf(counts: ReadonlyMap<string, CountedView>): string {
  return JSON.stringify([...counts].map(([view, { superseded, pairs }]) => [view, superseded, pairs]).sort());
}
