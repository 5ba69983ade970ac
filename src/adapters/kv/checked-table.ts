import { crc32 } from 'node:zlib';
import { AntipodeError } from '#core/errors';
import type { KvEntry, KvRange, KvTable, KvWriter } from './ordered-kv.ts';

/** What every value of a `CheckedTable` is longer by, bytes. */
export const CHECKSUM_BYTES = 4;

/** Told of each value that is not what was written, before the reader is. */
export type OnDamage = (damage: {
  readonly table: string;
  readonly key: Buffer;
  readonly error: AntipodeError;
}) => void;

/** A value that was found to be what was written, and its bytes in the table. */
export interface KnownValue {
  readonly stored: Buffer;
  readonly value: Buffer;
}

/**
 * A table whose values carry the CRC-32 of key and value behind them, so that a bit that flips on the disk or in memory is
 * found before anybody takes the value for what was written (I15). Reads throw STORE_CORRUPT then.
 */
export class CheckedTable implements KvTable {
  readonly #table: KvTable;
  readonly #onDamage: OnDamage | undefined;

  constructor(table: KvTable, onDamage?: OnDamage) {
    this.#table = table;
    this.#onDamage = onDamage;
  }

  get name(): string {
    return this.#table.name;
  }

  get(key: Buffer): Buffer | undefined {
    const stored = this.#table.get(key);
    return stored === undefined ? undefined : this.#checked(key, stored);
  }

  /** Like `get`, but a copy; `known` itself when it is the value still: then there is nothing to check and to copy. */
  copy(key: Buffer, known?: KnownValue): KnownValue | undefined {
    const stored = this.#table.get(key);
    if (stored === undefined) return undefined;
    if (known?.stored.equals(stored) === true) return known;
    this.#checked(key, stored);
    const copy = Buffer.from(stored);
    return { stored: copy, value: copy.subarray(0, copy.length - CHECKSUM_BYTES) };
  }

  *entries(range: KvRange): Iterable<KvEntry> {
    for (const [key, stored] of this.#table.entries(range)) yield [key, this.#checked(key, stored)];
  }

  count(): number {
    return this.#table.count();
  }

  put(writer: KvWriter, key: Buffer, value: Uint8Array): void {
    const stored = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
    stored.set(value);
    stored.writeUInt32BE(checksumOf(key, value), value.length);
    writer.put(this.#table, key, stored);
  }

  remove(writer: KvWriter, key: Buffer): void {
    writer.remove(this.#table, key);
  }

  #checked(key: Buffer, stored: Buffer): Buffer {
    const end = stored.length - CHECKSUM_BYTES;
    if (end >= 0) {
      const value = stored.subarray(0, end);
      if (stored.readUInt32BE(end) === checksumOf(key, value)) return value;
    }
    const error = new AntipodeError(
      'STORE_CORRUPT',
      `the value of ${key.toString('hex')} in ${this.name} of the online store is not what was written`,
    );
    this.#onDamage?.({ table: this.name, key: Buffer.from(key), error });
    throw error;
  }
}

function checksumOf(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key));
}
