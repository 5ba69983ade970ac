import type { ChildProcess } from 'node:child_process';
import { AntipodeError } from '#core/errors';
import { Backoff } from './backoff.ts';
import { failureError, isProcessMessage, type ProcessMessage } from './messages.ts';

const RESTART_MS_FIRST = 250;
const RESTART_MS_MAX = 10_000;
/** A process that served this long was well: its next end begins the backoff anew. */
const WELL_MS = 30_000;

export type SupervisedState = 'stopped' | 'starting' | 'serving' | 'waiting';

export type SupervisedEvent =
  | { readonly type: 'starting'; readonly pid: number }
  | { readonly type: 'serving'; readonly pid: number; readonly address: string; readonly startedInMs: number }
  /** `restartInMs` is null when it is not started again. `reason` is what it said of itself, or how it ended. */
  | {
      readonly type: 'ended';
      readonly pid: number;
      readonly reason: string;
      readonly expected: boolean;
      readonly restartInMs: number | null;
    }
  | { readonly type: 'log'; readonly level: 'warn' | 'error'; readonly event: string; readonly text: string }
  | { readonly type: 'workers'; readonly pids: readonly number[] };

export interface SupervisedOptions {
  readonly name: string;
  readonly launch: () => ChildProcess;
  /** Start it again, after a pause, when it ends by itself or by a stranger. */
  readonly autoRestart: boolean;
  /** How long it may take until it serves, ms. */
  readonly readyMsMax: number;
  readonly onEvent: (event: SupervisedEvent) => void;
}

/** One child process that is kept running: started, watched, restarted with a growing pause, stopped within a bound. */
export class Supervised {
  readonly name: string;
  readonly #options: SupervisedOptions;
  readonly #backoff = new Backoff({ firstMs: RESTART_MS_FIRST, maxMs: RESTART_MS_MAX });
  #state: SupervisedState = 'stopped';
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #wanted = false;
  #workers: readonly number[] = [];
  #failure: AntipodeError | undefined;
  #stops = 0;
  #firstStart = false;

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get state(): SupervisedState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Its own children, as it last named them. */
  get workers(): readonly number[] {
    return this.#workers;
  }

  /**
   * Starts the process and waits until it serves. Rejects with what it said of its failure, and does not try again by
   * itself then: a first start that fails is for a person.
   */
  async start(): Promise<void> {
    clearTimeout(this.#restart);
    await this.#exited;
    this.#wanted = true;
    this.#firstStart = true;
    try {
      await this.#launch();
    } catch (error) {
      this.#wanted = false;
      await this.#end(0);
      throw error;
    } finally {
      this.#firstStart = false;
    }
  }

  /** Sends a signal to the process; false when there is none. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child?.kill(signal) ?? false;
  }

  /** Ends the process for good: SIGTERM, then SIGKILL after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restart);
    await this.#end(graceMs);
    this.#state = 'stopped';
  }

  /** Waits for the end of the process, which somebody else brings about, and keeps it ended. */
  async ended(): Promise<void> {
    await this.#exited;
  }

  /** From now on an end is meant and not repaired. */
  abandon(): void {
    this.#wanted = false;
    clearTimeout(this.#restart);
  }

  async #end(graceMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#stops += 1;
    const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    child.kill('SIGTERM');
    // A process that was halted would see the first signal only after this one.
    child.kill('SIGCONT');
    await this.#exited;
    clearTimeout(killer);
  }

  async #launch(): Promise<void> {
    const startedAtMs = performance.now();
    this.#state = 'starting';
    this.#failure = undefined;
    const child = this.#options.launch();
    this.#child = child;
    const ready = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    this.#exited = exited.promise;
    const late = setTimeout(() => {
      ready.reject(
        new AntipodeError('PEER_TIMEOUT', `${this.name} was not ready within ${this.#options.readyMsMax} ms`, {
          remedy: 'Its log says how far it came.',
        }),
      );
    }, this.#options.readyMsMax);
    child.on('message', (message) => {
      if (isProcessMessage(message)) this.#receive(message, child, startedAtMs, ready.resolve);
    });
    child.once('error', (cause) => {
      this.#failure = new AntipodeError('INTERNAL', `${this.name} could not be started: ${cause.message}`, { cause });
      if (child.pid === undefined) child.emit('exit', null, null);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(late);
      const reason = this.#failure?.message ?? (signal === null ? `exit code ${code}` : signal);
      ready.reject(
        this.#failure ??
          new AntipodeError('INTERNAL', `${this.name} ended before it was ready: ${reason}`, {
            remedy: 'Its log says why.',
          }),
      );
      this.#ended(child, reason, performance.now() - startedAtMs);
      exited.resolve();
    });
    if (child.pid !== undefined) this.#options.onEvent({ type: 'starting', pid: child.pid });
    try {
      await ready.promise;
    } finally {
      clearTimeout(late);
    }
  }

  #receive(message: ProcessMessage, child: ChildProcess, startedAtMs: number, ready: () => void): void {
    const pid = child.pid ?? 0;
    switch (message.type) {
      case 'serving':
        this.#state = 'serving';
        this.#options.onEvent({
          type: 'serving',
          pid,
          address: message.address,
          startedInMs: Math.round(performance.now() - startedAtMs),
        });
        ready();
        return;
      case 'failed':
        this.#failure = failureError(message);
        return;
      case 'workers':
        this.#workers = message.pids;
        this.#options.onEvent(message);
        return;
      case 'log':
        this.#options.onEvent(message);
        return;
      default:
        message satisfies never;
    }
  }

  #ended(child: ChildProcess, reason: string, livedMs: number): void {
    this.#child = undefined;
    this.#workers = [];
    const served = this.#state === 'serving';
    this.#state = 'stopped';
    if (served && livedMs > WELL_MS) this.#backoff.reset();
    // A first start that fails is reported by `start` and not repeated.
    const restarts = this.#wanted && this.#options.autoRestart && !this.#firstStart;
    const restartInMs = restarts ? this.#backoff.nextMs() : null;
    if (restartInMs !== null) {
      this.#state = 'waiting';
      this.#restart = setTimeout(() => {
        this.#launch().catch(() => this.#giveUpOn());
      }, restartInMs);
    }
    const expected = this.#stops > 0;
    this.#stops = 0;
    this.#options.onEvent({ type: 'ended', pid: child.pid ?? 0, reason, expected, restartInMs });
  }

  /** A restarted process that never became ready but still runs is ended; its end leads to the next attempt. */
  #giveUpOn(): void {
    this.#child?.kill('SIGKILL');
  }
}
