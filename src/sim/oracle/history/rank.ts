import type { ObservedValue, Rank, WrittenValue } from '#sim/oracle/history/types';

/** -1, 0 or 1 in the order in which values outrank each other; undefined when what is known does not say. */
export function compareRank(a: Rank, b: Rank): -1 | 0 | 1 | undefined {
  if (a.eventTimeUs !== b.eventTimeUs) return a.eventTimeUs < b.eventTimeUs ? -1 : 1;
  if (a.order === null || b.order === null) return undefined;
  return a.order === b.order ? 0 : a.order < b.order ? -1 : 1;
}

/**
 * Whether a read that found `seen` certainly lacks `required`, another value of the same register: it shows neither that
 * value nor one that outranks it. `mayBeDeleted`: a delete that nobody can place may explain a row that is not there.
 */
export function lacks(seen: ObservedValue, required: ObservedValue | WrittenValue, mayBeDeleted: boolean): boolean {
  if (required.rank === null) return false;
  if (seen.value !== null && seen.value === required.value) return false;
  if (seen.rank !== null) return compareRank(seen.rank, required.rank) === -1;
  // Nothing there, and no tombstone to be seen: right only when nothing was required, or something deleted it.
  return required.value !== null && !mayBeDeleted;
}
