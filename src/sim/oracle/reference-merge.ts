import { type PlacedChange, storedBytes } from '#sim/oracle/decoded-frame';

/** Whether `a` outranks `b`: the later event time, then the later clock reading, then the origin (P9.2). */
export function outranks(a: PlacedChange, b: PlacedChange): boolean {
  if (a.eventTimeUs !== b.eventTimeUs) return a.eventTimeUs > b.eventTimeUs;
  if (a.wallMs !== b.wallMs) return a.wallMs > b.wallMs;
  if (a.counter !== b.counter) return a.counter > b.counter;
  if (a.origin.length !== b.origin.length) return a.origin.length > b.origin.length;
  return a.origin > b.origin;
}

/** The rows that all valid changes together give, by a merge written apart from the engine's: row key to stored bytes. */
export function referenceRows(changes: Iterable<PlacedChange>): Map<string, string> {
  const winners = new Map<string, PlacedChange>();
  for (const change of changes) {
    const held = winners.get(change.rowKey);
    if (held === undefined || outranks(change, held)) winners.set(change.rowKey, change);
  }
  return new Map([...winners].map(([rowKey, change]) => [rowKey, storedBytes(change)]));
}
