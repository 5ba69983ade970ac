import { readEventTimeUs } from '#core/model/stamp';
import type { Mutant } from '#sim/mutants/mutant';
import { withApply } from '#sim/mutants/patching';

/** Bugs of the merge, each to be caught by an oracle. */
export const MERGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'keep-first',
    bug: 'The merge keeps what is stored.',
    faults: ['reset-link'],
    oracles: ['I4'],
    hiddenStore: (inner) => withApply(inner, (batch) => inner.apply(batch, () => 'keep')),
  },
  {
    name: 'tie-by-arrival',
    bug: 'The merge compares event times alone; of equals the later to arrive wins.',
    faults: ['isolate-hub', 'crash-hub'],
    firstSeeds: [55, 35, 57, 40, 34],
    tune: (knobs) => ({
      ...knobs,
      workload: {
        ...knobs.workload,
        intervalMs: 15,
        keys: 2,
        deleteShare: 0,
        eventTimeStepMs: 60_000,
        eventTimeSpreadMs: 10,
      },
    }),
    oracles: ['I3', 'I4'],
    hiddenStore: (inner) =>
      withApply(inner, (batch) =>
        inner.apply(batch, (_key, stored, incoming) =>
          readEventTimeUs(incoming) >= readEventTimeUs(stored) ? 'replace' : 'keep',
        ),
      ),
  },
];
