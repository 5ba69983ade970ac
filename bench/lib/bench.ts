import type { Results } from './report.ts';
import type { Row } from './rows.ts';

/** What a suite is given. */
export interface SuiteRun {
  readonly results: Results;
  /** The short form: fewer rows and rounds, no peers that take long to start, and answers verified all the same. */
  readonly quick: boolean;
  /** Real rows of the flights example. */
  readonly pool: readonly Row[];
  /** A project with the views of the suites, of which no region runs. */
  readonly projectFolder: string;
  /** Says what is being done. */
  progress(text: string): void;
}

export type Suite = (run: SuiteRun) => Promise<void>;
