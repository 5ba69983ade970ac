import type { Clock } from '#ports/clock';
import type { RegionEngine } from '#region/engine-api';

const REPORT_MS = 1000;

/** Counts the feature reads of one face and reports them to the engine each second: the region's totals are made of these. */
export class ReadMeter {
  readonly #engine: RegionEngine;
  readonly #damaged: () => readonly string[];
  readonly #stop: () => void;
  #requests = 0;
  #rows = 0;
  #errors = 0;

  constructor(options: {
    readonly engine: RegionEngine;
    readonly clock: Clock;
    /** Storage keys of rows found damaged since the last call, hexadecimal. */
    readonly damaged?: (() => readonly string[]) | undefined;
  }) {
    this.#engine = options.engine;
    this.#damaged = options.damaged ?? (() => []);
    this.#stop = options.clock.every(REPORT_MS, () => this.#report());
  }

  answered(rows: number): void {
    this.#requests += 1;
    this.#rows += rows;
  }

  /** A read that failed though the caller did nothing wrong. */
  failed(): void {
    this.#requests += 1;
    this.#errors += 1;
  }

  stop(): void {
    this.#stop();
    this.#report();
  }

  #report(): void {
    if (this.#requests === 0) return;
    const damaged = this.#damaged();
    const counters = { requests: this.#requests, rows: this.#rows, errors: this.#errors };
    this.#requests = 0;
    this.#rows = 0;
    this.#errors = 0;
    this.#engine.reportReads(damaged.length === 0 ? counters : { ...counters, damaged });
  }
}
