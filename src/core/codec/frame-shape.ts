import { HASH_BYTES } from '#core/hash';

/** Fewest bytes one item of each array of a frame body takes: a string's length and a long, and so on. */
const APPLIED_ITEM_BYTES_MIN = 2;
const OMITTED_ITEM_BYTES_MIN = 2;
const IDEMPOTENCY_ITEM_BYTES_MIN = 6;
/** Branch of the optional source of a replayed frame. */
const WITH_REPLAY = 1;

class Walk {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  long(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || factor > 2 ** 56) throw new Error('a number does not end');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      factor *= 128;
    }
  }

  skip(count: number): void {
    if (count < 0 || count > this.#bytes.length - this.#at) throw new Error('a length exceeds the body');
    this.#at += count;
  }

  string(): void {
    this.skip(this.long());
  }

  longs(count: number): void {
    for (let i = 0; i < count; i++) this.long();
  }

  array(itemBytesMin: number, item: () => void): void {
    for (let count = this.long(); count !== 0; count = this.long()) {
      if (count < 0 || count > (this.#bytes.length - this.#at) / itemBytesMin) {
        throw new Error('an array claims more items than the body can hold');
      }
      for (let i = 0; i < count; i++) item();
    }
  }
}

/**
 * Throws when an array of a frame body claims more items than the body could hold. The Avro library allocates by the
 * count it reads, so a few hostile bytes under a valid hash would otherwise end the process (I13). Follows the schema in
 * `frame.ts` up to the last array; what comes after it has only lengths, which the library checks itself.
 */
export function checkFrameShape(body: Uint8Array): void {
  const walk = new Walk(body);
  walk.string(); // stream
  walk.longs(4); // epoch, from, to, kind
  walk.string(); // viewVersion
  walk.skip(HASH_BYTES); // previousHash
  walk.longs(3); // hlcWallMs, hlcCounter, watermarkMs
  walk.array(APPLIED_ITEM_BYTES_MIN, () => {
    walk.string();
    walk.long();
  });
  walk.string(); // egressClass
  walk.array(OMITTED_ITEM_BYTES_MIN, () => {
    walk.string();
    walk.long();
  });
  walk.array(IDEMPOTENCY_ITEM_BYTES_MIN, () => {
    walk.string(); // key
    walk.string(); // digest
    walk.longs(3); // from, to, first
    walk.skip(1); // complete
  });
  if (walk.long() !== WITH_REPLAY) return;
  walk.string(); // tailStream
  walk.longs(2); // tailFrom, tailTo
  walk.string(); // originalStream
  walk.longs(3); // originalFrom, hlcWallMs, hlcCounter
  walk.array(APPLIED_ITEM_BYTES_MIN, () => {
    walk.string();
    walk.long();
  });
}
