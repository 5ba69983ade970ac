import type { ChangeLog } from '#ports/change-log';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { SourceEdit } from '#sim/mutants/source-edit';
import type { Oracle } from '#sim/oracle/violations';

/** What has to be changed in the source for a bug. */
export function editsOf(mutant: Mutant | undefined): readonly SourceEdit[] {
  return mutant?.edit === undefined ? [] : [mutant.edit].flat();
}

/** A bug put in on purpose, around the engine's ports or into the engine while a run lasts. */
export interface Mutant {
  readonly name: string;
  /** What it does, in words. */
  readonly bug: string;
  /** Faults under which it shows. */
  readonly faults: readonly FaultKind[];
  /** Seeds that showed it once, tried before all others: they save time, as long as one of them does. */
  readonly firstSeeds?: readonly number[];
  /** Conditions under which it shows soon, instead of what the seed draws. */
  readonly tune?: (knobs: Knobs) => Knobs;
  /** Oracles that may catch it. */
  readonly oracles: readonly Oracle[];
  /** Why no oracle catches it, for one that is known to live. */
  readonly explained?: string;
  /** Changes of the engine's source. */
  readonly edit?: SourceEdit | readonly SourceEdit[];
  /** Between engine and recorder: the oracles see what the bug does. */
  readonly changeLog?: (inner: ChangeLog) => ChangeLog;
  readonly journal?: (inner: Journal) => Journal;
  readonly store?: (inner: OnlineStore, random: SeededRandom) => OnlineStore;
  /** Below the recorder: the oracles see only what comes of it. `pause` takes as long as a transaction. */
  readonly hiddenStore?: (inner: OnlineStore, random: SeededRandom, pause: () => Promise<void>) => OnlineStore;
  /** The log's disk says `durable` before it is. */
  readonly lyingDisk?: boolean;
  /** Changes the engine; returns how to change it back. */
  readonly install?: () => () => void;
}
