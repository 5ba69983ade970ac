import { editsOf, type Mutant } from '#sim/mutants/mutant';
import type { Oracle } from '#sim/oracle/violations';
import { type Job, replayLine } from '#sim/runner/job';
import { Pool } from '#sim/runner/pool';

/** What became of one seeded bug. */
export interface Verdict {
  readonly mutant: string;
  readonly bug: string;
  readonly killed: boolean;
  /** Oracles that fired in the run that killed it, the first one first. */
  readonly oracles: readonly string[];
  readonly seed: number | undefined;
  readonly seedsTried: number;
  readonly replay: string | undefined;
  /** Why it may live, where that is known. */
  readonly explained: string | undefined;
  /** Why a run came to no end, if one did. */
  readonly lost: string | undefined;
  readonly seconds: number;
}

/** Seeds that showed the bug once come first, then all from 1 on. */
export function seedsFor(mutant: Mutant, seedsMax: number): number[] {
  const all = Array.from({ length: seedsMax }, (_, index) => index + 1);
  return [...new Set([...(mutant.firstSeeds ?? []), ...all])].slice(0, seedsMax);
}

/** Puts a bug in and runs seeds, in one thread, until an oracle notices, or there are no more. */
export async function tryMutant(
  mutant: Mutant,
  options: {
    readonly seeds: readonly number[];
    readonly giveUp: () => boolean;
    /** Oracles that count, instead of all. */
    readonly oracles?: readonly Oracle[];
  },
): Promise<Verdict> {
  const startedMs = performance.now();
  const pool = new Pool(1, editsOf(mutant));
  let found: Pick<Verdict, 'oracles' | 'seed' | 'replay'> = { oracles: [], seed: undefined, replay: undefined };
  let lost: string | undefined;
  let seedsTried = 0;
  for (const seed of options.seeds) {
    if (options.giveUp()) break;
    const job: Job = { seed, kinds: mutant.faults, mutant: mutant.name, oracles: options.oracles };
    const result = await pool.run(job);
    seedsTried++;
    // A run that came to no end says nothing about the oracles.
    if ('lost' in result) lost = result.lost.reason;
    const oracles = 'lost' in result ? [] : result.report.violations.map(({ oracle }) => oracle);
    if (oracles.length === 0) continue;
    found = { oracles: [...new Set(oracles)], seed, replay: replayLine(job) };
    break;
  }
  await pool.close();
  return {
    mutant: mutant.name,
    bug: mutant.bug,
    killed: found.seed !== undefined,
    ...found,
    seedsTried,
    lost,
    explained: mutant.explained,
    seconds: Number(((performance.now() - startedMs) / 1000).toFixed(1)),
  };
}
