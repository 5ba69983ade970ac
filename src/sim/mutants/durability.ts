import type { RowWrite } from '#ports/online-store';
import type { Mutant } from '#sim/mutants/mutant';
import { withApply } from '#sim/mutants/patching';

/** Bugs of the disk, the log and the store, each to be caught by an oracle. */
export const DURABILITY_MUTANTS: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fsync',
    bug: 'The disk says that the log is durable before it is.',
    faults: ['crash-hub', 'crash-region'],
    oracles: ['I1', 'I5', 'I8'],
    lyingDisk: true,
  },
  {
    name: 'checkpoint-without-rows',
    bug: 'A row of a batch is now and then left out while the checkpoint moves on.',
    faults: ['reset-link'],
    oracles: ['I3', 'I4'],
    hiddenStore: (inner, random) =>
      withApply(inner, (batch, merge, after) => {
        const kept = batch.rows.map((_, index) => index).filter(() => !random.chance(0.01));
        const rows = kept.map((index) => batch.rows[index] as RowWrite);
        return inner.apply(
          { ...batch, rows },
          (key, stored, incoming, index) => merge(key, stored, incoming, kept[index] as number),
          after,
        );
      }),
  },
  {
    name: 'apply-twice',
    bug: 'A batch is now and then applied a second time.',
    faults: ['reset-link'],
    oracles: ['I5'],
    store: (inner, random) =>
      withApply(inner, async (batch, merge, after) => {
        const outcome = await inner.apply(batch, merge, after);
        if (batch.checkpoints.size > 0 && random.chance(0.05)) await inner.apply(batch, merge, after);
        return outcome;
      }),
  },
];
