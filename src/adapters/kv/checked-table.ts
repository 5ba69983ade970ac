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
    if (end >= 0 && stored.readUInt32BE(end) === checksumOf(key, stored.subarray(0, end)))
      return stored.subarray(0, end);
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
