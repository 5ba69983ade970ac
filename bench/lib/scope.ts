/** What has to be undone when a suite ends, whichever way: last first, each whatever became of the others. */
export class Scope {
  readonly #undo: (() => Promise<unknown> | unknown)[] = [];

  defer(work: () => Promise<unknown> | unknown): void {
    this.#undo.push(work);
  }

  async end(): Promise<void> {
    const failures: unknown[] = [];
    for (let work = this.#undo.pop(); work !== undefined; work = this.#undo.pop()) {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** An answer that is not what was written: the figures of such a run mean nothing. */
export class WrongAnswer extends Error {}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Polls until the condition holds; throws with `what` when it does not in time. */
export async function until(
  what: string,
  timeoutMs: number,
  holds: () => Promise<boolean> | boolean,
  pollMs = 20,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(pollMs);
  }
}
