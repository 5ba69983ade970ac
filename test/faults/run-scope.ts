import type { TestScope } from '../support/local-topology.ts';

/** Stands in for a test where there is none: `end` cleans up what was left to it, also when the process is told to stop. */
export class RunScope implements TestScope {
  readonly #tell: (message: string) => void;
  readonly #work: (() => Promise<void>)[] = [];
  readonly #interrupted = (): void => {
    void this.end().finally(() => process.exit(130));
  };

  constructor(tell: (message: string) => void) {
    this.#tell = tell;
    process.once('SIGINT', this.#interrupted).once('SIGTERM', this.#interrupted);
  }

  after(work: () => Promise<void>): void {
    this.#work.push(work);
  }

  diagnostic(message: string): void {
    this.#tell(message);
  }

  async end(): Promise<void> {
    process.off('SIGINT', this.#interrupted).off('SIGTERM', this.#interrupted);
    for (const work of this.#work.splice(0).reverse()) await work();
  }
}
