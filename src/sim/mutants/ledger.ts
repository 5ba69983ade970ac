import { ChangeHistory } from '#region/apply/change-history';
import { ConflictBatch, ConflictLedger } from '#region/apply/conflict-ledger';
import type { Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch, withApply } from '#sim/mutants/patching';

const EVENT_TIME_BYTES = 8;
const FEW = 3;

/** Few keys and many writes, so that the changes of two hubs meet. */
function crowded(knobs: Knobs): Knobs {
  return {
    ...knobs,
    workload: { ...knobs.workload, intervalMs: 15, keys: 2, eventTimeStepMs: 60_000, eventTimeSpreadMs: 10 },
  };
}

/** Bugs of the conflict ledger, each to be caught by an oracle. */
export const LEDGER_MUTANTS: readonly Mutant[] = [
  {
    name: 'equal-times-no-conflict',
    bug: 'Two concurrent writes of one event time are not listed.',
    faults: ['isolate-hub', 'crash-hub'],
    tune: crowded,
    oracles: ['I9'],
    install: () => {
      const real = ConflictBatch.prototype.conflict;
      return patch(ConflictBatch.prototype, 'conflict', function (this: ConflictBatch, view, origins, entry, counted) {
        const { stored, incoming } = entry;
        if (stored.stamp.compare(incoming.stamp, 0, EVENT_TIME_BYTES, 0, EVENT_TIME_BYTES) === 0) return;
        real.call(this, view, origins, entry, counted);
      });
    },
  },
  {
    name: 'stored-vector-ignored',
    bug: 'What the writer of the stored value had applied counts as nothing.',
    faults: ['isolate-hub', 'crash-hub'],
    tune: crowded,
    oracles: ['I9'],
    install: () => {
      const real = ChangeHistory.prototype.locate;
      return patch(ChangeHistory.prototype, 'locate', function (this: ChangeHistory, id) {
        return { ...real.call(this, id), applied: new Map() };
      });
    },
  },
  {
    name: 'replay-place-forgotten',
    bug: 'Who applied a change where it was replayed is taken for not knowing it.',
    faults: ['isolate-hub', 'crash-hub'],
    tune: crowded,
    oracles: ['I9'],
    install: () => {
      const real = ChangeHistory.prototype.locate;
      return patch(ChangeHistory.prototype, 'locate', function (this: ChangeHistory, id) {
        return { ...real.call(this, id), replayedAt: [] };
      });
    },
  },
  {
    name: 'ring-shortens-ledger',
    bug: 'The ring of entries is far shorter than it says.',
    faults: ['isolate-hub', 'crash-hub'],
    tune: crowded,
    oracles: ['I9'],
    install: () => {
      const real = ConflictLedger.prototype.begin;
      return patch(ConflictLedger.prototype, 'begin', function (this: ConflictLedger) {
        const batch = real.call(this);
        Object.defineProperty(batch, 'keptMax', { value: FEW });
        return batch;
      });
    },
  },
  {
    name: 'ledger-outside-transaction',
    bug: 'The ledger is written after the rows, and now and then not at all.',
    faults: ['isolate-hub', 'crash-hub', 'crash-region'],
    tune: crowded,
    oracles: ['I9'],
    hiddenStore: (inner, random) =>
      withApply(inner, async (batch, merge, after) => {
        const outcome = await inner.apply(batch, merge);
        const records = after?.() ?? new Map();
        if (records.size > 0 && !random.chance(0.2))
          await inner.apply({ rows: [], checkpoints: new Map(), records }, merge);
        return outcome;
      }),
  },
  {
    name: 'totals-end-with-store',
    bug: 'A store that is built again begins to count anew.',
    faults: ['isolate-hub-with-one', 'isolate-hub', 'lose-store', 'crash-machine'],
    tune: crowded,
    oracles: ['I9'],
    edit: {
      file: 'src/region/apply/conflict-totals.ts',
      find: 'const { views, upTo } = this.#written() ?? NOTHING;',
      put: 'const { views, upTo } = NOTHING;',
    },
  },
  {
    name: 'totals-counted-again',
    bug: 'What the totals hold is counted once more when it is applied again.',
    faults: ['isolate-hub-with-one', 'isolate-hub', 'lose-store', 'crash-machine'],
    tune: crowded,
    oracles: ['I9'],
    edit: {
      file: 'src/region/apply/conflict-totals.ts',
      find: 'return vectors.some((vector) => isWithin(vector, a) && isWithin(vector, b));',
      put: 'return vectors.length > 2 && isWithin(new Map(), a) && isWithin(new Map(), b);',
    },
  },
  {
    name: 'half-a-pair-counts-as-counted',
    bug: 'A pair of which one change is in the totals is taken for counted.',
    faults: ['isolate-hub-with-one', 'isolate-hub', 'lose-store', 'crash-machine'],
    tune: crowded,
    oracles: ['I9'],
    edit: {
      file: 'src/region/apply/conflict-totals.ts',
      find: 'return vectors.some((vector) => isWithin(vector, a) && isWithin(vector, b));',
      put: 'return vectors.some((vector) => isWithin(vector, a) || isWithin(vector, b));',
    },
  },
  {
    name: 'lost-write-not-counted',
    bug: 'A write that lost is not counted.',
    faults: ['reset-link'],
    tune: crowded,
    oracles: ['I9'],
    install: () => patch(ConflictBatch.prototype, 'superseded', () => undefined),
  },
];
