import type { Slice } from '#core/codec/counter-state';
import { cellSpans, pickCells } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { byRegion, byStamp, byValue, type CellOrder, type CellSpan } from '#core/merge/cell-order';
import { mergeCounters } from '#core/merge/counter';
import type { MergeDecision } from '#core/merge/decision';
import { lastWriterWins } from '#core/merge/last-writer-wins';
import type { FeatureView } from '#core/model/feature-view';

/**
 * Decides two stored forms of one key and view version. Commutative, associative, idempotent and total: whatever bytes it
 * is given, every region that has seen the same ones ends with the same.
 */
export type Merge = (stored: Buffer, incoming: Buffer) => MergeDecision;

/** The merge of a view version (P9.1). Make it once: it compiles what the resolver needs. */
export function mergeOf(codec: ViewCodec): Merge {
  const { view } = codec;
  if (view.resolver.kind === 'counter') return mergeCounters;
  if (view.granularity === 'feature') return mergeFeatures(view.features.map((_, place) => orderOf(codec, place)));
  if (view.resolver.kind === 'last-writer-wins') return lastWriterWins;
  return mergeRows(orderOf(codec, rowPlace(view)));
}

/** The feature that decides over whole rows. */
function rowPlace({ resolver, features }: FeatureView): number {
  const by = resolver.kind === 'max' || resolver.kind === 'min' ? resolver.by : null;
  return features.findIndex(({ name }) => name === by);
}

function orderOf(codec: ViewCodec, place: number): CellOrder {
  const { resolver, granularity } = codec.view;
  switch (resolver.kind) {
    case 'region-priority':
      return byRegion(resolver.regions);
    case 'max':
    case 'min':
      return byValue(resolver.kind, (bytes, start, end) =>
        granularity === 'feature'
          ? codec.decodeFeature(place, bytes, start, end)
          : codec.decodeRowFeature(place, bytes, start, end),
      );
    default:
      return byStamp;
  }
}

function whole(bytes: Buffer): CellSpan {
  return { bytes, start: 0, end: bytes.length };
}

function mergeRows(order: CellOrder): Merge {
  return (stored, incoming) => (order(whole(stored), whole(incoming)) < 0 ? 'replace' : 'keep');
}

/** Each feature's cell by itself: two pipelines that write different features of one key keep both. */
function mergeFeatures(orders: readonly CellOrder[]): Merge {
  return (stored, incoming) => {
    const a = cellSpans(stored, orders.length);
    const b = cellSpans(incoming, orders.length);
    // Bytes that are no value lose to those that are; of two such the greater stay.
    if (a === undefined || b === undefined)
      return a === undefined ? (b === undefined ? lastWriterWins(stored, incoming) : 'replace') : 'keep';
    const picks: Slice[] = [];
    let takesStored = false;
    let takesIncoming = false;
    for (let place = 0; place < orders.length; place++) {
      const x: CellSpan = { bytes: stored, start: a[2 * place] as number, end: a[2 * place + 1] as number };
      const y: CellSpan = { bytes: incoming, start: b[2 * place] as number, end: b[2 * place + 1] as number };
      const order = compareCells(orders[place] as CellOrder, x, y);
      if (order > 0) takesStored = true;
      if (order < 0) takesIncoming = true;
      const { bytes: from, start, end } = order < 0 ? y : x;
      picks.push({ from, start, end });
    }
    if (!takesIncoming) return 'keep';
    return takesStored ? pickCells(picks) : 'replace';
  };
}

/** A feature that was never written loses to any cell. */
function compareCells(order: CellOrder, x: CellSpan, y: CellSpan): number {
  if (x.start === x.end || y.start === y.end) return (x.start === x.end ? 0 : 1) - (y.start === y.end ? 0 : 1);
  return order(x, y);
}
