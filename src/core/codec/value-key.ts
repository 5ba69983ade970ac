import { isUtf8 } from 'node:buffer';
import { ValueError } from '#core/codec/value-error';
import { INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, KEY_BYTES_MAX } from '#core/codec/value-limits';
import type { JoinKey, ScalarValue } from '#core/model/feature-view';

/**
 * Byte form of an entity key: the parts in the order of the view's join keys, each so that memcmp orders keys as their
 * values do, and self-delimiting, so that different keys never share bytes.
 *
 *   int32             4 bytes, big endian, sign bit flipped      -1 is 7f ff ff ff
 *   int64, timestamp  8 bytes, big endian, sign bit flipped       1 is 80 00 00 00 00 00 00 01
 *   bool              1 byte, 0 or 1
 *   string, bytes     the bytes with 00 written as 00 ff, then 00 00      "a" is 61 00 00
 */
const SIGN_32 = 0x8000_0000;
const SIGN_64 = 1n << 63n;
const ESCAPE = 0xff;

export class KeyWriter {
  readonly #bytes = Buffer.alloc(KEY_BYTES_MAX);
  #at = 0;

  reset(): void {
    this.#at = 0;
  }

  /** The key behind `prefix`. */
  take(prefix: Buffer): Buffer {
    const start = prefix.length;
    const copy = Buffer.allocUnsafe(start + this.#at);
    copy.set(prefix, 0);
    // Keys are short: a loop costs less than the call of a copy.
    for (let i = 0; i < this.#at; i++) copy[start + i] = this.#bytes[i] as number;
    return copy;
  }

  part(type: JoinKey['type'], value: unknown): void {
    switch (type) {
      case 'int32':
        if (typeof value !== 'number' || !Number.isInteger(value) || value < INT32_MIN || value > INT32_MAX)
          throw expected('an int32');
        this.#room(4);
        this.#at = this.#bytes.writeUInt32BE(value + SIGN_32, this.#at);
        return;
      case 'int64':
        if (typeof value !== 'bigint' || value < INT64_MIN || value > INT64_MAX) throw expected('an int64 (bigint)');
        this.#room(8);
        this.#int64(value);
        return;
      case 'timestamp':
        if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw expected('a timestamp (microseconds)');
        this.#room(8);
        this.#int64(value);
        return;
      case 'bool':
        if (typeof value !== 'boolean') throw expected('a bool');
        this.#room(1);
        this.#bytes[this.#at++] = value ? 1 : 0;
        return;
      case 'string':
        if (typeof value !== 'string') throw expected('a string');
        if (!value.isWellFormed()) throw new ValueError('the string has a lone surrogate, which UTF-8 cannot carry');
        if (value.length > KEY_BYTES_MAX) throw tooLong();
        this.#escaped(Buffer.from(value, 'utf8'));
        return;
      case 'bytes':
        if (!(value instanceof Uint8Array)) throw expected('bytes');
        this.#escaped(value);
        return;
    }
  }

  #int64(value: number | bigint): void {
    const small = Number(value);
    if (Number.isSafeInteger(small)) {
      // In two halves, without a bigint: a bigint beyond the safe integers is not rounded to one of them.
      const high = Math.floor(small / 0x1_0000_0000);
      this.#at = this.#bytes.writeUInt32BE(high + SIGN_32, this.#at);
      this.#at = this.#bytes.writeUInt32BE(small - high * 0x1_0000_0000, this.#at);
    } else this.#at = this.#bytes.writeBigUInt64BE(BigInt(value) + SIGN_64, this.#at);
  }

  #escaped(value: Uint8Array): void {
    if (value.length > KEY_BYTES_MAX) throw tooLong();
    for (const byte of value) {
      this.#room(2);
      this.#bytes[this.#at++] = byte;
      if (byte === 0) this.#bytes[this.#at++] = ESCAPE;
    }
    this.#room(2);
    this.#bytes[this.#at++] = 0;
    this.#bytes[this.#at++] = 0;
  }

  #room(bytes: number): void {
    if (this.#at + bytes > KEY_BYTES_MAX) throw tooLong();
  }
}

/** Reads the parts of one key; `bytes` holds the key and nothing else. */
export function readKey(types: readonly JoinKey['type'][], bytes: Buffer): ScalarValue[] {
  if (bytes.length > KEY_BYTES_MAX) throw tooLong();
  const values: ScalarValue[] = [];
  let at = 0;
  const advance = (count: number): number => {
    const start = at;
    if (start + count > bytes.length) throw new ValueError('the bytes end before the entity key does');
    at += count;
    return start;
  };
  const escaped = (): Buffer => {
    const out = Buffer.allocUnsafe(bytes.length - at);
    let length = 0;
    for (;;) {
      const byte = bytes[advance(1)] as number;
      if (byte === 0) {
        const next = bytes[advance(1)];
        if (next === 0) return out.subarray(0, length);
        if (next !== ESCAPE) throw new ValueError('a stray zero byte in an entity key');
      }
      out[length++] = byte;
    }
  };
  for (const type of types) {
    switch (type) {
      case 'int32':
        values.push(bytes.readUInt32BE(advance(4)) - SIGN_32);
        break;
      case 'int64':
        values.push(bytes.readBigUInt64BE(advance(8)) - SIGN_64);
        break;
      case 'timestamp': {
        const us = Number(bytes.readBigUInt64BE(advance(8)) - SIGN_64);
        if (!Number.isSafeInteger(us)) throw new ValueError('a timestamp out of range');
        values.push(us);
        break;
      }
      case 'bool': {
        const byte = bytes[advance(1)] as number;
        if (byte > 1) throw new ValueError(`a bool of ${byte}`);
        values.push(byte === 1);
        break;
      }
      case 'string': {
        const text = escaped();
        if (!isUtf8(text)) throw new ValueError('a string that is not UTF-8');
        values.push(text.toString('utf8'));
        break;
      }
      case 'bytes':
        values.push(new Uint8Array(escaped()));
        break;
    }
  }
  if (at !== bytes.length) throw new ValueError(`${bytes.length - at} bytes follow the entity key`);
  return values;
}

function expected(what: string): ValueError {
  return new ValueError(`expected ${what}`);
}

function tooLong(): ValueError {
  return new ValueError(
    `the entity key exceeds ${KEY_BYTES_MAX} bytes`,
    'Use shorter join key values, or a hash of them.',
  );
}
