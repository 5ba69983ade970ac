import type { DecodedFrame, PlacedChange } from '#sim/oracle/decoded-frame';

/** The latest cut of each view version among some frames: event time below which nothing of it counts, microseconds. */
export function cutsOf(frames: Iterable<DecodedFrame>): Map<string, number> {
  const cuts = new Map<string, number>();
  for (const { version, cutUs } of frames)
    if (cutUs !== undefined) cuts.set(version, Math.max(cutUs, cuts.get(version) ?? cutUs));
  return cuts;
}

export function isExpired(change: PlacedChange, cuts: ReadonlyMap<string, number>): boolean {
  return change.eventTimeUs < (cuts.get(change.version) ?? Number.NEGATIVE_INFINITY);
}
