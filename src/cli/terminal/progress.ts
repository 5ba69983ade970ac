import { stripVTControlCharacters } from 'node:util';

/** How often progress is written where it cannot be written over, ms. */
const LINE_INTERVAL_MS = 5_000;
const REDRAW_INTERVAL_MS = 100;

/** One line of progress on standard error: drawn over on a terminal, and a line now and then elsewhere. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #quiet: boolean;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(options: { readonly quiet?: boolean; readonly stream?: NodeJS.WriteStream } = {}) {
    this.#stream = options.stream ?? process.stderr;
    this.#quiet = options.quiet ?? false;
  }

  update(text: string): void {
    const now = performance.now();
    const { isTTY, columns } = this.#stream;
    if (this.#quiet || now - this.#writtenAtMs < (isTTY ? REDRAW_INTERVAL_MS : LINE_INTERVAL_MS)) return;
    // The first line elsewhere comes only after a while: short work has nothing to say.
    if (!isTTY && this.#writtenAtMs === Number.NEGATIVE_INFINITY) {
      this.#writtenAtMs = now;
      return;
    }
    this.#writtenAtMs = now;
    if (!isTTY) {
      this.#stream.write(`${text}\n`);
      return;
    }
    this.#stream.write(`\r\x1b[2K${stripVTControlCharacters(text).slice(0, Math.max(20, columns - 1))}`);
    this.#drawn = true;
  }

  /** Takes the line away, for other output. */
  clear(): void {
    if (!this.#drawn) return;
    this.#stream.write('\r\x1b[2K');
    this.#drawn = false;
    this.#writtenAtMs = Number.NEGATIVE_INFINITY;
  }
}
