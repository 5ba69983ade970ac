import { Child } from './child.ts';

/** Lines between the servers of one stage: all delayed alike, cut together, each counting its bytes. */
export class Lines {
  readonly #child = new Child(new URL('../load/lines.ts', import.meta.url));
  readonly #lines: number[] = [];

  get pid(): number {
    return this.#child.pid;
  }

  /** Opens a line to a port of this machine; resolves with the port to dial instead. */
  async open(targetPort: number): Promise<number> {
    const { line, port } = (await this.#child.call('open', targetPort)) as { line: number; port: number };
    this.#lines.push(line);
    return port;
  }

  /** One way, ms. */
  async delay(delayMs: number): Promise<void> {
    await this.#child.call('shape', { delayMs });
  }

  /** Of each direction of a line; Infinity for no limit. */
  async bandwidth(bytesPerSecond: number): Promise<void> {
    await this.#child.call('shape', { bytesPerSecond });
  }

  async cut(): Promise<void> {
    await this.#child.call('cut');
  }

  async heal(): Promise<void> {
    await this.#child.call('heal');
  }

  /** Bytes that came out of all lines so far, in both directions. */
  async delivered(): Promise<number> {
    const each = await Promise.all(this.#lines.map((line) => this.#child.call('delivered', line)));
    return (each as number[]).reduce((sum, bytes) => sum + bytes, 0);
  }

  end(): Promise<void> {
    return this.#child.end();
  }
}
