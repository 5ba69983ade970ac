import type { StreamKey } from '#core/model/stream';

/** Where a change stands: its change id, or a place where a hub appended it again out of a tail. */
export interface ChangePlace {
  readonly stream: StreamKey;
  readonly seq: number;
}

/** Applied positions by stream: what the changes of a frame may have been caused by. */
export type AppliedVector = ReadonlyMap<StreamKey, number>;

/** A change as far as its causes and its places tell. */
export interface PlacedChange {
  readonly id: ChangePlace;
  /** Places besides the id; a change that was replayed is known to those who applied it there. */
  readonly replayedAt: readonly ChangePlace[];
  /** Of the frame in which the change first appeared; undefined when no log here holds it any more. */
  readonly applied: AppliedVector | undefined;
}

/** `concurrent`: neither knew of the other. `undecidable`: a vector is missing, and what is left does not tell. */
export type Relation = 'stored-first' | 'incoming-first' | 'concurrent' | 'undecidable';

/**
 * Whether `later` was made where `earlier` had been applied, or after it in the same stream (P9.4). Undefined when that
 * would stand in a vector that is missing.
 */
export function knows(later: PlacedChange, earlier: PlacedChange): boolean | undefined {
  if (standsBehind(later, earlier.id) === true) return true;
  for (const place of earlier.replayedAt) if (standsBehind(later, place) === true) return true;
  if (later.applied !== undefined) return false;
  // Two changes of one stream need no vector: their seqs say it.
  return later.id.stream === earlier.id.stream ? false : undefined;
}

function standsBehind({ id, applied }: PlacedChange, place: ChangePlace): boolean | undefined {
  // A region's checkpoint of its own stream lags behind what it appended, so there the seqs count.
  if (place.stream === id.stream) return place.seq < id.seq;
  return applied === undefined ? undefined : (applied.get(place.stream) ?? 0) >= place.seq;
}

export function relationOf(stored: PlacedChange, incoming: PlacedChange): Relation {
  const incomingKnows = knows(incoming, stored);
  if (incomingKnows === true) return 'stored-first';
  const storedKnows = knows(stored, incoming);
  if (storedKnows === true) return 'incoming-first';
  return incomingKnows === false && storedKnows === false ? 'concurrent' : 'undecidable';
}
