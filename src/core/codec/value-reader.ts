import { isUtf8 } from 'node:buffer';
import { ValueError } from '#core/codec/value-error';
import {
  INT32_MAX,
  INT32_MIN,
  LIST_ELEMENTS_MAX,
  NAN_FLOAT32,
  NAN_FLOAT64_HIGH,
  VALUE_BYTES_MAX,
  VARINT_BYTES_MAX,
} from '#core/codec/value-limits';
import type { ScalarType, ScalarValue } from '#core/model/feature-view';

/** Reads what `ValueWriter` writes from [start, end) of a buffer, never past `end`, whatever the bytes say. */
export class ValueReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  open(bytes: Buffer, start: number, end: number): void {
    if (start < 0 || end > bytes.length || start > end)
      throw new ValueError(`the range ${start}..${end} lies outside of ${bytes.length} bytes`);
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Call after the last value: bytes that belong to nothing are as wrong as missing ones. */
  close(): void {
    if (this.#at !== this.#end) throw new ValueError(`${this.#end - this.#at} bytes follow the last value`);
  }

  /** Where the next value begins. */
  get at(): number {
    return this.#at;
  }

  byte(): number {
    if (this.#at >= this.#end) throw short();
    return this.#bytes[this.#at++] as number;
  }

  /** With `compact`, an int64 that is at most 49 bits long comes as a number, which is cheaper to make and to write out. */
  scalar(type: ScalarType, compact = false): ScalarValue {
    switch (type) {
      case 'int32': {
        const value = this.#zigzag();
        if (value < INT32_MIN || value > INT32_MAX) throw new ValueError('an int32 out of range');
        return value;
      }
      case 'int64':
        return compact ? this.#int64() : BigInt(this.#int64());
      case 'timestamp': {
        const value = Number(this.#int64());
        if (!Number.isSafeInteger(value)) throw new ValueError('a timestamp out of range');
        return value;
      }
      case 'float64':
        return this.#float64();
      case 'float32':
        return this.#float32();
      case 'bool': {
        const value = this.byte();
        if (value > 1) throw new ValueError(`a bool of ${value}`);
        return value === 1;
      }
      case 'string':
        return this.#string();
      case 'bytes': {
        const start = this.#blobStart();
        return new Uint8Array(this.#bytes.subarray(start, this.#at));
      }
    }
  }

  list(type: ScalarType, compact = false): ScalarValue[] {
    const count = this.#zigzag();
    if (count === 0) return [];
    // Every element takes a byte at least, so a count beyond the rest is a lie that must not size an array.
    if (count < 0 || count > LIST_ELEMENTS_MAX || count > this.#end - this.#at)
      throw new ValueError(`a list of ${count} elements in ${this.#end - this.#at} bytes`);
    const values: ScalarValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.scalar(type, compact));
    if (this.byte() !== 0) throw new ValueError('a list of several blocks');
    return values;
  }

  /** A zigzag varint that fits 49 bits: all lengths and every int32. */
  #zigzag(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      if (at >= this.#end) throw short();
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw new ValueError('a number in more bytes than it needs');
        this.#at = at;
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      }
      scale *= 128;
    }
    throw new ValueError('a number out of range');
  }

  /** A number when it is at most 7 bytes long. */
  #int64(): number | bigint {
    const start = this.#at;
    let length = 1;
    while (
      length <= VARINT_BYTES_MAX &&
      start + length <= this.#end &&
      (this.#bytes[start + length - 1] as number) >= 0x80
    )
      length += 1;
    if (start + length > this.#end) throw short();
    if (length <= 7) return this.#zigzag();
    if (length > VARINT_BYTES_MAX) throw new ValueError('an int64 out of range');
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 7n) | BigInt((this.#bytes[start + i] as number) & 0x7f);
    const last = this.#bytes[start + length - 1] as number;
    if (last === 0) throw new ValueError('a number in more bytes than it needs');
    if (length === VARINT_BYTES_MAX && last > 1) throw new ValueError('an int64 out of range');
    this.#at = start + length;
    return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n);
  }

  #float64(): number {
    const at = this.#at;
    if (at + 8 > this.#end) throw short();
    this.#at = at + 8;
    const value = this.#bytes.readDoubleLE(at);
    if (Number.isFinite(value)) return value;
    if (
      Number.isNaN(value) &&
      this.#bytes.readUInt32LE(at) === 0 &&
      this.#bytes.readUInt32LE(at + 4) === NAN_FLOAT64_HIGH
    )
      return value;
    throw new ValueError('a float64 that is infinite or not the canonical NaN');
  }

  #float32(): number {
    const at = this.#at;
    if (at + 4 > this.#end) throw short();
    this.#at = at + 4;
    const value = this.#bytes.readFloatLE(at);
    if (Number.isFinite(value)) return value;
    if (Number.isNaN(value) && this.#bytes.readUInt32LE(at) === NAN_FLOAT32) return value;
    throw new ValueError('a float32 that is infinite or not the canonical NaN');
  }

  #string(): string {
    const start = this.#blobStart();
    const text = this.#bytes.toString('utf8', start, this.#at);
    // Decoding never fails: it puts U+FFFD for what is not UTF-8. Only where one shows up is the slow check due.
    if (text.includes('\ufffd') && !isUtf8(this.#bytes.subarray(start, this.#at)))
      throw new ValueError('a string that is not UTF-8');
    return text;
  }

  /** Moves past a length-prefixed value and returns where it starts. */
  #blobStart(): number {
    const length = this.#zigzag();
    if (length < 0 || length > VALUE_BYTES_MAX) throw new ValueError(`a value of ${length} bytes`);
    const start = this.#at;
    if (start + length > this.#end) throw short();
    this.#at = start + length;
    return start;
  }
}

function short(): ValueError {
  return new ValueError('the bytes end before the row does');
}
