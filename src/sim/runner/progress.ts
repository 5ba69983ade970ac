/** How often a line is written where nobody watches, ms. */
const LINE_MS = 10_000;
/** How often a line is renewed on a terminal, ms. */
const RENEW_MS = 500;

/** Progress on stderr: one line renewed on a terminal, one now and then elsewhere. */
export class Progress {
  readonly #total: number | undefined;
  readonly #unit: string;
  readonly #startedMs = performance.now();
  readonly #terminal = process.stderr.isTTY === true;
  #done = 0;
  #toldMs = performance.now();

  constructor(total: number | undefined, unit: string) {
    this.#total = total;
    this.#unit = unit;
  }

  step(text: () => string): void {
    this.#done++;
    const nowMs = performance.now();
    if (nowMs - this.#toldMs < (this.#terminal ? RENEW_MS : LINE_MS)) return;
    this.#toldMs = nowMs;
    const seconds = (nowMs - this.#startedMs) / 1000;
    const of = this.#total === undefined ? '' : ` of ${this.#total}`;
    const line = `${this.#done}${of} ${this.#unit}, ${seconds.toFixed(0)} s, ${text()}`;
    process.stderr.write(this.#terminal ? `\r\u001b[K${line}` : `${line}\n`);
  }

  end(): void {
    if (this.#terminal) process.stderr.write('\r\u001b[K');
  }
}
