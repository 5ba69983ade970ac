/** What a decoder needs of a result: how many bytes it holds on to beside the envelope. */
interface Entry<Decoded> {
  readonly bytes: Buffer;
  readonly decoded: Decoded;
  readonly size: number;
}

/**
 * Frames decoded lately, by their bytes. A frame is read two or three times within moments: from the link, from the log by the
 * applier, and by whoever looks at clocks or causes. Bounded by bytes; what was put in first goes first.
 */
export class RecentFrames<Decoded> {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, Entry<Decoded>>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The result for exactly these bytes; the key only finds the candidate. */
  get(key: string, bytes: Buffer): Decoded | undefined {
    const entry = this.#entries.get(key);
    return entry?.bytes.equals(bytes) === true ? entry.decoded : undefined;
  }

  /** `bytes` must be the caller's own: nobody writes into them afterwards. `bodyBytes` is what the result holds beside them. */
  set(key: string, bytes: Buffer, decoded: Decoded, bodyBytes: number): void {
    const size = bytes.length + bodyBytes;
    if (size > this.#bytesMax) return;
    this.#remove(key);
    this.#entries.set(key, { bytes, decoded, size });
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.size ?? 0;
    this.#entries.delete(key);
  }
}
