import { hasGeneration } from '#core/codec/stored-value';
import type { FeatureView } from '#core/model/feature-view';
import type { StreamKey } from '#core/model/stream';
import type { PlacedChange } from '#sim/oracle/decoded-frame';
import { isExpired } from '#sim/oracle/expiry';

/** The greatest generation and event time of a key's changes in one stream, up to each seq that has one. */
interface Mark {
  readonly seq: number;
  readonly generation: number;
  readonly eventTimeUs: number;
}

/**
 * What was deleted does not come back, and what is written afterwards stays (I7). Every frame says what its origin had
 * applied: of all changes of the key among that, a delete must be of a later generation, or where there are none not
 * earlier in event time, and an upsert of no earlier one.
 */
export function misplacedChanges(
  changes: readonly PlacedChange[],
  views: readonly FeatureView[],
  cuts: ReadonlyMap<string, number>,
): string[] {
  const byVersion = new Map(views.map((view) => [view.version, view]));
  const byKey = Map.groupBy(changes, ({ rowKey }) => rowKey);
  const found: string[] = [];
  for (const ofKey of byKey.values()) {
    const view = byVersion.get(ofKey[0]?.version ?? '');
    if (view === undefined) continue;
    const marks = marksOf(ofKey);
    for (const change of ofKey) {
      // What has expired needs no delete, and was perhaps not there any more.
      if (isExpired(change, cuts)) continue;
      const text = misplaced(change, seenBy(change, marks), view);
      if (text !== undefined) found.push(`${change.id} of ${view.name} ${text}`);
    }
  }
  return found;
}

function misplaced(change: PlacedChange, seen: Mark | undefined, view: FeatureView): string | undefined {
  if (seen === undefined) return undefined;
  const { operation, generation, eventTimeUs } = change;
  if (hasGeneration(view.resolver)) {
    const least = seen.generation + (operation === 'delete' ? 1 : 0);
    if (generation < least)
      return `is a ${operation} of generation ${generation}; its origin had seen ${seen.generation}`;
  } else if (operation === 'delete' && view.resolver.kind === 'last-writer-wins' && eventTimeUs < seen.eventTimeUs)
    return `is a delete as of ${eventTimeUs}; its origin had seen ${seen.eventTimeUs}`;
  return undefined;
}

/** By the stream in which a change first appeared and, where it was replayed, by that of the replay, too. */
function marksOf(changes: readonly PlacedChange[]): Map<StreamKey, Mark[]> {
  const marks = new Map<StreamKey, Mark[]>();
  for (const { id, seq, at, generation, eventTimeUs } of changes) {
    const places = [{ stream: id.slice(0, id.lastIndexOf('#')), seq }, at];
    for (const place of places) {
      const list = marks.get(place.stream) ?? [];
      list.push({ seq: place.seq, generation, eventTimeUs });
      marks.set(place.stream, list);
    }
  }
  for (const [stream, list] of marks) {
    let greatest: Mark = { seq: 0, generation: 0, eventTimeUs: Number.MIN_SAFE_INTEGER };
    const running = list
      .sort((a, b) => a.seq - b.seq)
      .map((mark) => {
        greatest = join(greatest, mark);
        return greatest;
      });
    marks.set(stream, running);
  }
  return marks;
}

function seenBy({ seen }: PlacedChange, marks: ReadonlyMap<StreamKey, readonly Mark[]>): Mark | undefined {
  let all: Mark | undefined;
  for (const [stream, list] of marks) {
    const mark = lastUpTo(list, seen.get(stream) ?? 0);
    if (mark !== undefined) all = all === undefined ? mark : join(all, mark);
  }
  return all;
}

/** The last of some marks in the order of their seqs that is not beyond one. */
function lastUpTo(list: readonly Mark[], seq: number): Mark | undefined {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as Mark).seq <= seq) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}

function join(a: Mark, b: Mark): Mark {
  return {
    seq: b.seq,
    generation: Math.max(a.generation, b.generation),
    eventTimeUs: Math.max(a.eventTimeUs, b.eventTimeUs),
  };
}
