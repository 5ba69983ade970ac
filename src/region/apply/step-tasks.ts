import { AntipodeError } from '#core/errors';

interface Task {
  readonly run: () => Promise<void>;
  readonly cancel: (error: AntipodeError) => void;
}

/** Work of others that is done between two steps of the applier, while nothing else writes rows or checkpoints. */
export class StepTasks {
  #tasks: Task[] = [];
  #stopped = false;

  /** Resolves and rejects as `work` does; rejects REBUILDING when the region stops first. */
  add<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const task = { run: () => work().then(resolve, reject), cancel: reject };
      if (this.#stopped) task.cancel(stopping());
      else this.#tasks.push(task);
    });
  }

  async run(): Promise<void> {
    for (const task of this.#tasks.splice(0)) await task.run();
  }

  stop(): void {
    this.#stopped = true;
    for (const task of this.#tasks.splice(0)) task.cancel(stopping());
  }
}

function stopping(): AntipodeError {
  return new AntipodeError('REBUILDING', 'the region stops');
}
