const CHUNK_MAX = 512;

/**
 * Keys in order, as an array of sorted chunks: inserting moves at most one chunk, whatever the table's size. Keys are
 * bytes as latin1 text, for which `<` is the order of the bytes.
 */
export class SortedKeys {
  readonly #chunks: string[][] = [];

  /** The key must not be there. */
  insert(key: string): void {
    if (this.#chunks.length === 0) {
      this.#chunks.push([key]);
      return;
    }
    const index = Math.min(this.#chunkOf(key), this.#chunks.length - 1);
    const chunk = this.#chunks[index] as string[];
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > CHUNK_MAX) this.#chunks.splice(index + 1, 0, chunk.splice(CHUNK_MAX / 2));
  }

  /** The key must be there. */
  remove(key: string): void {
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index] as string[];
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0) this.#chunks.splice(index, 1);
  }

  clear(): void {
    this.#chunks.length = 0;
  }

  /** Keys from the first that is not below `key`. */
  *ascending(key: string): Generator<string> {
    let index = this.#chunkOf(key);
    let at = lowerBound(this.#chunks[index] ?? [], key);
    for (; index < this.#chunks.length; index++, at = 0) {
      const chunk = this.#chunks[index] as string[];
      for (; at < chunk.length; at++) yield chunk[at] as string;
    }
  }

  /** Keys from the last that is below `key`, or from the last of all, downwards. */
  *descending(key: string | undefined): Generator<string> {
    let index = key === undefined ? this.#chunks.length : this.#chunkOf(key);
    let at = key === undefined ? 0 : lowerBound(this.#chunks[index] ?? [], key);
    for (;;) {
      const chunk = this.#chunks[index] ?? [];
      while (at > 0) yield chunk[--at] as string;
      if (index === 0) return;
      at = (this.#chunks[--index] as string[]).length;
    }
  }

  /** Index of the first chunk whose last key is not below `key`; the number of chunks when all are below. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.#chunks[middle] as string[];
      if ((chunk[chunk.length - 1] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first element that is not below `key`. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
