/**
 * Which parts of a tail the hub has taken over: ranges (from, to] of seqs, in order, that neither meet nor overlap. More than
 * one position is needed because a seal may be lowered later: what then lies beyond it comes before what was taken over.
 */
export type Coverage = readonly (readonly [from: number, to: number])[];

/** The coverage with one more range. */
export function covering(coverage: Coverage, from: number, to: number): Coverage {
  const before = coverage.filter((range) => range[1] < from);
  const after = coverage.filter((range) => range[0] > to);
  const met = coverage.filter((range) => range[1] >= from && range[0] <= to);
  const start = Math.min(from, ...met.map((range) => range[0]));
  const end = Math.max(to, ...met.map((range) => range[1]));
  return [...before, [start, end], ...after];
}

/** Up to where everything after `from` is taken over. */
export function coveredTo(coverage: Coverage, from: number): number {
  const range = coverage.find(([start, end]) => start <= from && end > from);
  return range === undefined ? from : range[1];
}
