import type { Results } from './report.ts';
import type { Row } from './rows.ts';

/** What a suite is given. */
export interface SuiteRun {
  readonly results: Results;
  /** The short form: fewer rows and rounds, no peers that take long to start, and answers verified all the same. */
  readonly quick: boolean;
  /** Rounds of the cells that goals are made of: `wanted`, unless the command or the short form says otherwise. */
  rounds(wanted: number): number;
  /** Real rows of the flights example. */
  readonly pool: readonly Row[];
  /** A project with the views of the suites, of which no region runs. */
  readonly projectFolder: string;
  /** Says what is being done. */
  progress(text: string): void;
}

export type Suite = (run: SuiteRun) => Promise<void>;
