import { isLive, payloadStart, readChangeId, readGeneration } from '#core/codec/cell';
import { foldState } from '#core/codec/counter-state';
import { cellSpans, pickCells } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { lastWriterWins } from '#core/merge/last-writer-wins';
import type { Merge } from '#core/merge/merge-of';
import type { ResolverKind } from '#core/model/feature-view';
import { readEventTimeUs } from '#core/model/stamp';
import { ViewRegistry } from '#region/apply/view-registry';
import { PriorValues } from '#region/ingest/prior-values';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch, withApply } from '#sim/mutants/patching';
import type { MergeStyle } from '#sim/workload/merge-styles';

/** What leads to changes that arrive in another order than they were made in. */
const REORDERING: readonly FaultKind[] = ['isolate-hub', 'crash-hub'];

/** All views merge alike, and clients meet at a few keys. */
function crowd(style: MergeStyle, deleteShare = 0.1): (knobs: Knobs) => Knobs {
  return (knobs) => ({
    ...knobs,
    namespaces: knobs.namespaces.map((namespace) => ({ ...namespace, merges: namespace.merges.map(() => style) })),
    workload: {
      ...knobs.workload,
      intervalMs: 15,
      keys: 2,
      deleteShare,
      eventTimeStepMs: 60_000,
      eventTimeSpreadMs: 10,
    },
  });
}

/** Puts another merge in the place of those of some views; `merge` gets the right one. */
function otherMerge(kind: ResolverKind, merge: (right: Merge, codec: ViewCodec) => Merge): () => () => void {
  return () => {
    const real = ViewRegistry.prototype.merge;
    return patch(ViewRegistry.prototype, 'merge', function (this: ViewRegistry, codec) {
      const right = real.call(this, codec);
      return codec.view.resolver.kind === kind ? merge(right, codec) : right;
    });
  };
}

function scoreOf(codec: ViewCodec, value: Buffer): number {
  const score = codec.decodeRow(value, payloadStart(value, 0, true), value.length)[1];
  return typeof score === 'number' ? score : Number.NEGATIVE_INFINITY;
}

function sameGenerationAlive(a: Buffer, b: Buffer): boolean {
  return readGeneration(a) === readGeneration(b) && isLive(a) && isLive(b);
}

/** Adds what comes in again to what is there, as a counter of increments would. */
function addedAgain(codec: ViewCodec, stored: Buffer, incoming: Buffer): Buffer {
  const start = payloadStart(incoming, 0, true);
  const [count] = foldState(codec, incoming, start, incoming.length);
  const [before, total = null] = foldState(codec, stored, payloadStart(stored, 0, true), stored.length);
  const nameEnd = start + 5 + incoming.readUInt8(start + 4);
  const row = codec.encodeRow([BigInt(count as bigint) + BigInt(before as bigint), total]);
  const component = Buffer.concat([incoming.subarray(start, nameEnd + 8), row]);
  component.writeUInt32BE(component.length - 4, 0);
  return Buffer.concat([incoming.subarray(0, start), component]);
}

/** Bugs of the merge, each to be caught by an oracle. */
export const MERGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'keep-first',
    bug: 'The merge keeps what is stored.',
    faults: ['reset-link'],
    oracles: ['I4', 'I6', 'I7'],
    hiddenStore: (inner) => withApply(inner, (batch) => inner.apply(batch, () => 'keep')),
  },
  {
    name: 'tie-by-arrival',
    firstSeeds: [1],
    bug: 'The merge compares event times alone; of equals the later to arrive wins.',
    faults: REORDERING,
    tune: crowd('last-writer-wins', 0),
    oracles: ['I3', 'I4'],
    hiddenStore: (inner) =>
      withApply(inner, (batch) =>
        inner.apply(batch, (_key, stored, incoming) =>
          readEventTimeUs(incoming) >= readEventTimeUs(stored) ? 'replace' : 'keep',
        ),
      ),
  },
  {
    name: 'region-without-priority',
    bug: 'Regions have no ranks: the last writer wins.',
    faults: REORDERING,
    tune: crowd('region-priority'),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('region-priority', () => lastWriterWins),
  },
  {
    name: 'region-tie-by-arrival',
    bug: 'Of two values of one region the later to arrive wins.',
    faults: REORDERING,
    tune: crowd('region-priority'),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('region-priority', (right) => (stored, incoming) => {
      const sameRegion = readChangeId(stored).origin === readChangeId(incoming).origin;
      return sameRegion ? 'replace' : right(stored, incoming);
    }),
  },
  {
    name: 'max-without-tie-break',
    bug: 'Of equal greatest values the first to arrive stays.',
    faults: REORDERING,
    tune: crowd('max', 0.05),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('max', (right, codec) => (stored, incoming) => {
      const equal = sameGenerationAlive(stored, incoming) && scoreOf(codec, stored) === scoreOf(codec, incoming);
      return equal ? 'keep' : right(stored, incoming);
    }),
  },
  {
    name: 'nan-wins',
    bug: 'No number is greater than NaN.',
    faults: REORDERING,
    tune: crowd('max', 0.05),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('max', (right, codec) => (stored, incoming) => {
      if (!sameGenerationAlive(stored, incoming) || !Number.isNaN(scoreOf(codec, incoming)))
        return right(stored, incoming);
      return 'replace';
    }),
  },
  {
    name: 'generation-ignored',
    bug: 'The merge of least values does not look at generations: what is deleted stays where a value is less.',
    faults: REORDERING,
    tune: crowd('min', 0.3),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('min', (right) => (stored, incoming) => {
      if (readGeneration(stored) === readGeneration(incoming)) return right(stored, incoming);
      return isLive(stored) ? 'keep' : 'replace';
    }),
  },
  {
    name: 'generation-not-raised',
    bug: 'A delete is of the generation that it finds.',
    faults: REORDERING,
    tune: crowd('max by feature', 0.3),
    oracles: ['I7'],
    install: () => {
      const real = PriorValues.prototype.place;
      return patch(PriorValues.prototype, 'place', function (this: PriorValues, change, producer) {
        const placed = real.call(this, change, producer);
        const generation = placed.generation ?? 0;
        return change.operation === 'delete' && generation > 0 ? { ...placed, generation: generation - 1 } : placed;
      });
    },
  },
  {
    name: 'generation-forgotten',
    bug: 'An upsert does not take the generation that it finds: nothing can be written after a delete.',
    faults: REORDERING,
    tune: crowd('counter', 0.3),
    oracles: ['I7'],
    install: () => {
      const real = PriorValues.prototype.place;
      return patch(PriorValues.prototype, 'place', function (this: PriorValues, change, producer) {
        const placed = real.call(this, change, producer);
        return change.operation === 'upsert' ? { ...placed, generation: 0 } : placed;
      });
    },
  },
  {
    name: 'delete-in-the-past',
    bug: 'A delete keeps its own event time where a later one is stored.',
    faults: REORDERING,
    tune: (knobs) => {
      const crowded = crowd('last-writer-wins by feature', 0.3)(knobs);
      return { ...crowded, workload: { ...crowded.workload, eventTimeStepMs: 100, eventTimeSpreadMs: 1000 } };
    },
    oracles: ['I7'],
    install: () => {
      const real = PriorValues.prototype.place;
      return patch(PriorValues.prototype, 'place', function (this: PriorValues, change, producer) {
        return { ...real.call(this, change, producer), eventTimeUs: change.eventTimeUs };
      });
    },
  },
  {
    name: 'counter-adds-on-redelivery',
    bug: 'A counter adds the totals that come in to those that are there.',
    faults: REORDERING,
    tune: crowd('counter', 0),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('counter', (right, codec) => (stored, incoming) => {
      if (!sameGenerationAlive(stored, incoming)) return right(stored, incoming);
      return addedAgain(codec, stored, incoming);
    }),
  },
  {
    name: 'counter-by-arrival',
    bug: 'A counter keeps the producer that wrote last, whole.',
    faults: REORDERING,
    tune: crowd('counter', 0.05),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('counter', () => lastWriterWins),
  },
  {
    name: 'partial-row-overwrites',
    bug: 'A partial row takes the place of the whole row.',
    faults: REORDERING,
    tune: crowd('last-writer-wins by feature', 0.05),
    oracles: ['I3', 'I4', 'I7'],
    install: otherMerge('last-writer-wins', () => () => 'replace'),
  },
  {
    name: 'coalesce-by-arrival',
    bug: 'Of several changes of one key in a batch only the last is applied.',
    faults: REORDERING,
    tune: crowd('last-writer-wins by feature', 0),
    oracles: ['I3', 'I4', 'I7'],
    hiddenStore: (inner) =>
      withApply(inner, (batch, merge, after) => {
        const last = new Map(batch.rows.map(({ key }, index) => [key.toString('hex'), index]));
        const kept = [...last.values()].sort((a, b) => a - b);
        const rows = kept.flatMap((index) => batch.rows[index] ?? []);
        return inner.apply(
          { ...batch, rows },
          (key, stored, incoming, index) => merge(key, stored, incoming, kept[index] ?? 0),
          after,
        );
      }),
  },
  {
    name: 'tombstones-of-what-was-there',
    bug: 'A delete leaves no trace of features that were not written yet.',
    faults: REORDERING,
    tune: (knobs) => {
      const crowded = crowd('max by feature', 0.3)(knobs);
      return { ...crowded, workload: { ...crowded.workload, keys: 150, hotShare: 0 } };
    },
    oracles: ['I3', 'I4'],
    install: otherMerge('max', (right, codec) => (stored, incoming) => {
      const decision = right(stored, incoming);
      const merged = decision === 'keep' ? stored : decision === 'replace' ? incoming : decision;
      const count = codec.view.features.length;
      const before = cellSpans(stored, count) ?? [];
      const spans = cellSpans(merged, count) ?? [];
      const picks = Array.from({ length: count }, (_, place) => {
        const start = spans[2 * place] as number;
        const end = spans[2 * place + 1] as number;
        const absent = before[2 * place] === before[2 * place + 1];
        return { from: merged, start, end: absent && end > start && !isLive(merged, start) ? start : end };
      });
      return pickCells(picks);
    }),
  },
];
