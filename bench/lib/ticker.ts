import { Worker } from 'node:worker_threads';

const PERIOD_MS = 0.25;
const SLEEPER = `
const { parentPort, workerData } = require('node:worker_threads');
const cell = new Int32Array(new SharedArrayBuffer(4));
for (;;) {
  Atomics.wait(cell, 0, 0, workerData);
  parentPort.postMessage(0);
}`;

/**
 * Calls back every quarter of a millisecond. Timers of the event loop are a millisecond coarse, and a loop that spins takes
 * a core from what is measured; this takes a few percent of one.
 */
export class Ticker {
  readonly #sleeper: Worker;
  #stopped: Promise<unknown> | undefined;

  constructor(onTick: () => void) {
    this.#sleeper = new Worker(SLEEPER, { eval: true, workerData: PERIOD_MS });
    this.#sleeper.on('message', () => {
      if (this.#stopped === undefined) onTick();
    });
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#sleeper.terminate();
    await this.#stopped;
  }
}
