import { ValueError } from '#core/codec/value-error';
import {
  INT32_MAX,
  INT32_MIN,
  INT64_MAX,
  INT64_MIN,
  LIST_ELEMENTS_MAX,
  NAN_FLOAT32,
  NAN_FLOAT64_HIGH,
  ROW_BYTES_MAX,
  VALUE_BYTES_MAX,
  VARINT_BYTES_MAX,
} from '#core/codec/value-limits';
import type { ScalarType } from '#core/model/feature-view';

const TWO_POW_52 = 2 ** 52;
const TWO_POW_31 = 2 ** 31;
/** Below this length a byte loop beats the call into native code. */
const SHORT_STRING = 24;

/**
 * Avro's binary encoding of single values, restricted to its one canonical form: shortest varints, one block a list, one
 * NaN bit pattern. `ValueReader` refuses everything else, so that bytes and values correspond one to one (I3 compares
 * bytes).
 *
 * Why not a library: rows arrive from peers, and avsc 5.7.9 sizes arrays by the count it reads, so five hostile bytes
 * end the process; its int64 path allocates twice a value. The tests hold this code against avsc as the reference.
 *
 *   1.5 as double   00 00 00 00 00 00 f8 3f        "ab"  04 61 62        [1, -1] as int list  04 02 01 00
 *
 * Appends values to one reused buffer; `take` copies them out. Not reentrant, which synchronous use guarantees.
 */
export class ValueWriter {
  readonly #bytes = Buffer.alloc(ROW_BYTES_MAX);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  #at = 0;

  reset(): void {
    this.#at = 0;
  }

  take(): Buffer {
    const copy = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(copy, 0, 0, this.#at);
    return copy;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  /** Writes a value of the type after checking that it is one. */
  scalar(type: ScalarType, value: unknown): void {
    switch (type) {
      case 'int32':
        if (typeof value !== 'number' || !Number.isInteger(value)) throw mismatch('an int32', value);
        if (value < INT32_MIN || value > INT32_MAX) throw new ValueError(`${value} is outside the range of int32`);
        this.#zigzag(value);
        return;
      case 'int64':
        if (typeof value !== 'bigint') throw mismatch('an int64 (bigint)', value);
        this.#int64(value);
        return;
      case 'timestamp':
        if (typeof value !== 'number' || !Number.isSafeInteger(value))
          throw mismatch('a timestamp (microseconds)', value);
        if (value > -TWO_POW_52 && value < TWO_POW_52) {
          this.#zigzag(value);
          return;
        }
        this.#int64(BigInt(value));
        return;
      case 'float64':
        this.#float64(value);
        return;
      case 'float32':
        this.#float32(value);
        return;
      case 'bool':
        if (typeof value !== 'boolean') throw mismatch('a bool', value);
        this.byte(value ? 1 : 0);
        return;
      case 'string':
        if (typeof value !== 'string') throw mismatch('a string', value);
        this.#string(value);
        return;
      case 'bytes':
        if (!(value instanceof Uint8Array)) throw mismatch('bytes', value);
        this.#blob(value);
        return;
    }
  }

  list(type: ScalarType, value: unknown): void {
    if (!Array.isArray(value)) throw mismatch('a list', value);
    if (value.length > LIST_ELEMENTS_MAX)
      throw new ValueError(`a list of ${value.length} elements; at most ${LIST_ELEMENTS_MAX} are allowed`);
    if (value.length > 0) {
      this.#zigzag(value.length);
      for (let i = 0; i < value.length; i++) this.scalar(type, value[i]);
    }
    this.byte(0);
  }

  #room(bytes: number): void {
    if (this.#at + bytes > ROW_BYTES_MAX)
      throw new ValueError(
        `the row exceeds ${ROW_BYTES_MAX} bytes`,
        'Split the features over several views, or shorten the values.',
      );
  }

  /** Zigzag varint of an integer with |value| < 2^52, so that the doubled value stays exact. */
  #zigzag(value: number): void {
    this.#room(VARINT_BYTES_MAX);
    let rest = value >= 0 ? value * 2 : -value * 2 - 1;
    let at = this.#at;
    while (rest >= TWO_POW_31) {
      this.#bytes[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      this.#bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[at++] = rest;
    this.#at = at;
  }

  #int64(value: bigint): void {
    const near = Number(value);
    if (near > -TWO_POW_52 && near < TWO_POW_52) {
      this.#zigzag(near);
      return;
    }
    if (value < INT64_MIN || value > INT64_MAX) throw new ValueError(`${value} is outside the range of int64`);
    this.#room(VARINT_BYTES_MAX);
    let rest = value >= 0n ? value << 1n : (-value << 1n) - 1n;
    while (rest >= 0x80n) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#at++] = Number(rest);
  }

  #float64(value: unknown): void {
    if (typeof value !== 'number') throw mismatch('a float64', value);
    this.#room(8);
    if (Number.isNaN(value)) {
      // By integers: a NaN that was computed may carry any sign and payload into a float store.
      this.#view.setUint32(this.#at, 0, true);
      this.#view.setUint32(this.#at + 4, NAN_FLOAT64_HIGH, true);
    } else {
      if (!Number.isFinite(value)) throw infinite(value);
      this.#view.setFloat64(this.#at, value, true);
    }
    this.#at += 8;
  }

  #float32(value: unknown): void {
    if (typeof value !== 'number') throw mismatch('a float32', value);
    this.#room(4);
    const rounded = Math.fround(value);
    if (Number.isNaN(rounded)) {
      this.#view.setUint32(this.#at, NAN_FLOAT32, true);
    } else {
      if (!Number.isFinite(rounded))
        throw Number.isFinite(value) ? new ValueError(`${value} is outside the range of float32`) : infinite(value);
      this.#view.setFloat32(this.#at, rounded, true);
    }
    this.#at += 4;
  }

  #string(value: string): void {
    if (value.length <= SHORT_STRING && this.#shortAscii(value)) return;
    if (!value.isWellFormed()) throw new ValueError('the string has a lone surrogate, which UTF-8 cannot carry');
    const length = Buffer.byteLength(value, 'utf8');
    this.#blobLength(length);
    this.#bytes.write(value, this.#at, length, 'utf8');
    this.#at += length;
  }

  /** Writes a short string if it is ASCII; leaves no trace if it is not. */
  #shortAscii(value: string): boolean {
    this.#room(SHORT_STRING + 1);
    let at = this.#at + 1;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) return false;
      this.#bytes[at++] = unit;
    }
    this.#bytes[this.#at] = value.length * 2;
    this.#at = at;
    return true;
  }

  #blob(value: Uint8Array): void {
    this.#blobLength(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  #blobLength(length: number): void {
    if (length > VALUE_BYTES_MAX)
      throw new ValueError(`a value of ${length} bytes; at most ${VALUE_BYTES_MAX} are allowed`);
    this.#zigzag(length);
    this.#room(length);
  }
}

function mismatch(expected: string, value: unknown): ValueError {
  const found =
    value === null
      ? 'null'
      : value instanceof Uint8Array
        ? 'bytes'
        : Array.isArray(value)
          ? 'a list'
          : `${typeof value}${typeof value === 'number' ? ` ${value}` : ''}`;
  return new ValueError(`expected ${expected}, got ${found}`);
}

function infinite(value: number): ValueError {
  return new ValueError(
    `${value} cannot be stored: JSON serving has no form for it`,
    'Send null, NaN or a finite number.',
  );
}
