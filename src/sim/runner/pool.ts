import { Worker } from 'node:worker_threads';
import type { SimReport } from '#sim/report';
import type { Job } from '#sim/runner/job';

/** A run that takes longer hangs in a loop that never yields, ms of real time. */
const RUN_MS_MAX = 300_000;

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
  readonly #idle: Worker[] = [];
  readonly #waiting: ((worker: Worker) => void)[] = [];
  #started = 0;

  constructor(size: number) {
    this.size = size;
  }

  /** Makes a run as soon as a thread is free. A thread that died or hangs is replaced. */
  async run(job: Job): Promise<JobResult> {
    const worker = await this.#take();
    const result = await runIn(worker, job);
    if ('lost' in result) {
      await worker.terminate();
      this.#give(startWorker());
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

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#started < this.size) {
      this.#started++;
      return startWorker();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(worker);
    else next(worker);
  }
}

function startWorker(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url));
}

function runIn(worker: Worker, job: Job): Promise<JobResult> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const settle = (result: { report: SimReport } | { lost: LostRun }): void => {
      clearTimeout(watchdog);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      resolve({ ...result, ms: performance.now() - startedMs });
    };
    const lose = (reason: string): void => settle({ lost: { seed: job.seed, reason } });
    const onMessage = (report: SimReport): void => settle({ report });
    const onError = (error: unknown): void =>
      lose(error instanceof Error ? (error.stack ?? error.message) : `${error}`);
    const onExit = (code: number): void => lose(`its thread ended with exit code ${code}`);
    const watchdog = setTimeout(() => lose(`no end after ${RUN_MS_MAX / 1000} s`), RUN_MS_MAX);
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.postMessage(job);
  });
}
