import type { StreamKey } from '#core/model/stream';

interface Wait {
  readonly stream: StreamKey;
  readonly seq: number;
  readonly resolve: () => void;
}

/** Those who wait until a position of a stream is applied here. Whoever is woken looks for himself whether it was. */
export class AppliedWaits {
  #waits: Wait[] = [];

  until(stream: StreamKey, seq: number): Promise<void> {
    return new Promise((resolve) => this.#waits.push({ stream, seq, resolve }));
  }

  /** Wakes those whose position is reached. */
  settle(checkpoint: (stream: StreamKey) => number): void {
    if (this.#waits.length > 0) this.#end(({ stream, seq }) => checkpoint(stream) >= seq);
  }

  /** Wakes those whose position lies beyond the seal of its stream: it will never be applied. */
  endBeyond(sealOf: (stream: StreamKey) => number): void {
    this.#end(({ stream, seq }) => seq > sealOf(stream));
  }

  endAll(): void {
    this.#end(() => true);
  }

  #end(ends: (wait: Wait) => boolean): void {
    const left: Wait[] = [];
    for (const wait of this.#waits) {
      if (ends(wait)) wait.resolve();
      else left.push(wait);
    }
    this.#waits = left;
  }
}
