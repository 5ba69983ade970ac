import { Worker } from 'node:worker_threads';
import type { SourceEdit } from '#sim/mutants/source-edit';
import type { SimReport } from '#sim/report';
import type { Job } from '#sim/runner/job';

/** A run that takes longer hangs in a loop that never yields, ms of real time. */
const RUN_MS_MAX = 300_000;

/** Room for the young, MiB: a run makes much that dies at once, and scavenging a small room often is a twentieth of its time. */
const YOUNG_MIB = 64;

/** A run that came to no end: its thread died or hung. */
export interface LostRun {
  readonly seed: number;
  readonly reason: string;
}

export type JobResult =
  | { readonly report: SimReport; readonly ms: number }
  | { readonly lost: LostRun; readonly ms: number };

/** Threads that make runs. Each run is as if it were alone, so their order does not matter. */
export class Pool {
  readonly size: number;
  readonly #edits: readonly SourceEdit[];
  readonly #idle: Worker[] = [];
  readonly #waiting: ((worker: Worker) => void)[] = [];
  #started = 0;

  /** `edits`: bugs to be put into the source that the threads run. */
  constructor(size: number, edits: readonly SourceEdit[] = []) {
    this.size = size;
    this.#edits = edits;
  }

  /** Makes a run as soon as a thread is free. A thread that died or hangs is replaced. */
  async run(job: Job, onLine: (line: string) => void = () => undefined): Promise<JobResult> {
    const worker = await this.#take();
    const result = await runIn(worker, job, onLine);
    if ('lost' in result) {
      await worker.terminate();
      this.#give(this.#startWorker());
    } else this.#give(worker);
    return result;
  }

  /** Does something with each item, at most as many at a time as there are threads, until one answers `stop`. */
  async inLanes<T>(items: Iterable<T>, work: (item: T) => Promise<'go on' | 'stop'>): Promise<void> {
    const source = items[Symbol.iterator]();
    let stopped = false;
    const lane = async (): Promise<void> => {
      for (;;) {
        const next = source.next();
        if (next.done === true || stopped) return;
        if ((await work(next.value)) === 'stop') stopped = true;
      }
    };
    await Promise.all(Array.from({ length: this.size }, lane));
  }

  /** Call when no run is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.map((worker) => worker.terminate()));
  }

  #startWorker(): Worker {
    return new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: this.#edits,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
  }

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#started < this.size) {
      this.#started++;
      return this.#startWorker();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(worker);
    else next(worker);
  }
}

function runIn(worker: Worker, job: Job, onLine: (line: string) => void): Promise<JobResult> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const settle = (result: { report: SimReport } | { lost: LostRun }): void => {
      clearTimeout(watchdog);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      resolve({ ...result, ms: performance.now() - startedMs });
    };
    const lose = (reason: string): void => settle({ lost: { seed: job.seed, reason } });
    const onMessage = (told: { report: SimReport } | { line: string }): void => {
      if ('report' in told) settle(told);
      else onLine(told.line);
    };
    const onError = (error: unknown): void =>
      lose(error instanceof Error ? (error.stack ?? error.message) : `${error}`);
    const onExit = (code: number): void => lose(`its thread ended with exit code ${code}`);
    const watchdog = setTimeout(() => lose(`no end after ${RUN_MS_MAX / 1000} s`), RUN_MS_MAX);
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.postMessage(job);
  });
}
