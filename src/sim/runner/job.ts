import { type CrashTarget, formatTarget } from '#sim/crash/crash-points';
import type { FaultKind } from '#sim/knobs';
import { MUTANTS } from '#sim/mutants/catalog';
import type { Oracle } from '#sim/oracle/violations';
import type { SimReport } from '#sim/report';
import { type SimulateOptions, simulate } from '#sim/simulation';

/** One run to be made, as plain values: it may be made in another thread. */
export interface Job {
  readonly seed: number;
  readonly kinds?: readonly FaultKind[] | undefined;
  /** Name of the bug to put in. */
  readonly mutant?: string | undefined;
  /** Where one machine dies, beside all other faults. */
  readonly crashAt?: CrashTarget | undefined;
  /** Oracles that count, instead of all. */
  readonly oracles?: readonly Oracle[] | undefined;
  /** Whether everything that happens is told as it does. */
  readonly prints?: boolean | undefined;
  /** Whether the report lists the labelled points that were passed. */
  readonly points?: boolean | undefined;
}

export function optionsOf(job: Job): SimulateOptions {
  const mutant = MUTANTS.find(({ name }) => name === job.mutant);
  return { ...job, mutant };
}

export function runJob(job: Job, print?: (line: string) => void): Promise<SimReport> {
  return simulate({ ...optionsOf(job), print });
}

/** The line that makes the same run again, with everything that happens in it. */
export function replayLine({ seed, kinds, mutant, crashAt, oracles }: Job): string {
  const parts = [`npm run sim -- --seed ${seed}`];
  if (kinds !== undefined) parts.push(`--faults ${kinds.join(',')}`);
  if (mutant !== undefined) parts.push(`--mutant ${mutant}`);
  if (crashAt !== undefined) parts.push(`--crash-at '${formatTarget(crashAt)}'`);
  if (oracles !== undefined) parts.push(`--oracles ${oracles.join(',')}`);
  return [...parts, '--trace'].join(' ');
}
