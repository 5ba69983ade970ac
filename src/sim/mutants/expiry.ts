import { ExpiryCuts } from '#region/apply/expiry-cuts';
import type { Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch, withApply } from '#sim/mutants/patching';
import type { MergeStyle } from '#sim/workload/merge-styles';

/** Rows that live for seconds, written with event times around their end. */
function shortLived(style: MergeStyle): (knobs: Knobs) => Knobs {
  return (knobs) => ({
    ...knobs,
    namespaces: knobs.namespaces.map((namespace) => ({
      ...namespace,
      ttlSeconds: 3,
      merges: namespace.merges.map(() => style),
    })),
    workload: { ...knobs.workload, intervalMs: 20, keys: 20, eventTimeStepMs: 1, eventTimeSpreadMs: 5000 },
  });
}

export const EXPIRY_MUTANTS: readonly Mutant[] = [
  {
    name: 'cut-does-not-bind',
    bug: 'What arrives late is written although a cut that was applied before says that it has expired.',
    faults: ['isolate-hub', 'reset-link'],
    tune: shortLived('last-writer-wins'),
    oracles: ['I3', 'I4', 'I5'],
    install: () => patch(ExpiryCuts.prototype, 'cutUs', () => Number.NEGATIVE_INFINITY),
  },
  {
    name: 'expired-rows-stay',
    bug: 'A cut binds what comes, and what is stored already stays.',
    faults: ['reset-link'],
    tune: shortLived('last-writer-wins'),
    oracles: ['I3', 'I4'],
    install: () => patch(ExpiryCuts.prototype, 'sweep', async () => false),
  },
  {
    name: 'cut-takes-the-row',
    firstSeeds: [4],
    bug: 'The first feature of a row to expire takes the others with it.',
    faults: ['reset-link'],
    tune: shortLived('last-writer-wins by feature'),
    oracles: ['I3', 'I4'],
    hiddenStore: (inner) =>
      withApply(inner, (batch, merge, after) => {
        const swept = (batch.swept ?? []).map(({ key }) => ({ key, value: null }));
        return inner.apply({ ...batch, swept }, merge, after);
      }),
  },
  {
    name: 'cut-forgotten-at-restart',
    bug: 'Cuts are not kept in the store.',
    faults: ['crash-region', 'crash-hub', 'isolate-hub'],
    tune: shortLived('last-writer-wins'),
    oracles: ['I3', 'I4', 'I5'],
    install: () => patch(ExpiryCuts.prototype, 'reload', () => undefined),
  },
];
