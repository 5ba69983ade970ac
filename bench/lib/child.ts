// Work in a process of its own, so that load is not made by the process that measures, asked for by messages.
import { type ChildProcess, fork } from 'node:child_process';
import { WrongAnswer } from './scope.ts';

type Answer = { readonly id: number } & (
  | { readonly result: unknown }
  | { readonly error: string; readonly wrong: boolean }
);

/** A process that runs a file which calls `serveCalls`. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  readonly #gone: Promise<void>;
  #nextId = 1;

  constructor(file: URL) {
    this.#process = fork(file, [], { execArgv: ['--conditions=antipode-source'], serialization: 'advanced' });
    this.#process.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('result' in answer) waiting?.resolve(answer.result);
      else waiting?.reject(answer.wrong ? new WrongAnswer(answer.error) : new Error(answer.error));
    });
    this.#gone = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => {
        for (const { reject } of this.#waiting.values()) reject(new Error(`the load ended: ${signal ?? code}`));
        this.#waiting.clear();
        resolve();
      });
    });
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error('the load did not start');
    return this.#process.pid;
  }

  /** Calls a function of the process; rejects as the function does. */
  call(name: string, argument?: unknown): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, name, argument });
    });
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#gone;
  }
}

/** In the child: answers calls by name until the parent is gone. */
export function serveCalls(functions: Readonly<Record<string, (argument: never) => unknown>>): void {
  const answer = (message: Answer): void => {
    process.send?.(message);
  };
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ id, name, argument }: { id: number; name: string; argument: unknown }) => {
    const called = functions[name];
    Promise.resolve()
      .then(() => {
        if (called === undefined) throw new Error(`no function is named ${name}`);
        return called(argument as never);
      })
      .then(
        (result) => answer({ id, result }),
        (error: unknown) =>
          answer({
            id,
            error: error instanceof Error ? (error.stack ?? error.message) : String(error),
            wrong: error instanceof WrongAnswer,
          }),
      );
  });
}
