const REFRESH_MS = 500;
const PLAIN_REFRESH_MS = 5000;

/** Messages above, one live line below; without a terminal the live line is printed now and then instead. */
export class Screen {
  readonly #terminal = process.stderr.isTTY === true;
  #line = '';

  say(text: string): void {
    this.#clear();
    process.stderr.write(`${text}\n`);
    this.#draw();
  }

  /** Keeps a live line up to date until the returned function is called. */
  show(line: () => string): () => void {
    const draw = (): void => {
      this.#clear();
      this.#line = line();
      if (this.#terminal) this.#draw();
      else process.stderr.write(`${this.#line}\n`);
    };
    const timer = setInterval(draw, this.#terminal ? REFRESH_MS : PLAIN_REFRESH_MS);
    return () => {
      clearInterval(timer);
      this.#clear();
      this.#line = '';
    };
  }

  #clear(): void {
    if (this.#terminal && this.#line !== '') process.stderr.write('\r\x1b[2K');
  }

  #draw(): void {
    if (this.#terminal && this.#line !== '')
      process.stderr.write(this.#line.slice(0, (process.stderr.columns ?? 120) - 1));
  }
}
