import type { PlacedChange } from '#sim/oracle/decoded-frame';

/** Rare ways in which changes of one row were put in order: names of moments, each once for every time it was so. */
export function rareMerges(changes: Iterable<PlacedChange>): string[] {
  const found: string[] = [];
  const byRow = new Map<string, PlacedChange[]>();
  for (const change of changes) {
    const held = byRow.get(change.rowKey);
    if (held === undefined) byRow.set(change.rowKey, [change]);
    else held.push(change);
  }
  for (const row of byRow.values()) {
    row.sort(compare);
    for (const [index, change] of row.entries()) {
      const next = row[index + 1];
      if (next === undefined) {
        if (change.operation === 'delete') found.push('delete-won');
        continue;
      }
      if (change.operation === 'delete') found.push('delete-outranked');
      if (change.eventTimeUs !== next.eventTimeUs || change.wallMs !== next.wallMs) continue;
      found.push(change.counter === next.counter ? 'tie-by-origin' : 'tie-by-counter');
    }
  }
  return found;
}

function compare(a: PlacedChange, b: PlacedChange): number {
  return (
    a.eventTimeUs - b.eventTimeUs ||
    a.wallMs - b.wallMs ||
    a.counter - b.counter ||
    a.origin.length - b.origin.length ||
    (a.origin < b.origin ? -1 : 1)
  );
}
