import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A process of its own that runs one of the roles in `child-roles.ts`. */
export class Child {
  readonly process: ChildProcess;
  readonly #messages: unknown[] = [];
  #wake: (() => void) | undefined;

  constructor(role: string, ...args: readonly string[]) {
    this.process = fork(new URL('./child-roles.ts', import.meta.url), [role, ...args], {
      execArgv: ['--conditions=antipode-source'],
    });
    const wake = (): void => this.#wake?.();
    this.process.on('message', (message) => {
      this.#messages.push(message);
      wake();
    });
    this.process.on('exit', wake);
  }

  /** Next message of the child; undefined when it has ended. */
  async next(): Promise<unknown> {
    while (this.#messages.length === 0) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift();
  }

  /** Messages that came and were not taken. */
  drain(): unknown[] {
    return this.#messages.splice(0);
  }

  async ask(message: string): Promise<unknown> {
    this.process.send(message);
    return await this.next();
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'close');
    this.process.kill(signal);
    await ended;
  }
}
