import { AntipodeError } from '#core/errors';

/** Longest key of any table, bytes; what LMDB allows on the smallest page size. */
export const KEY_BYTES_MAX = 1978;

export type KvEntry = readonly [key: Buffer, value: Buffer];

/** Bounds are bytewise; `from` and `after` exclude each other. Empty means the whole table. */
export interface KvRange {
  /** Inclusive lower bound. */
  readonly from?: Buffer | undefined;
  /** Exclusive lower bound. */
  readonly after?: Buffer | undefined;
  /** Exclusive upper bound. */
  readonly before?: Buffer | undefined;
  /** Highest key first. */
  readonly reverse?: boolean | undefined;
  readonly limit?: number | undefined;
}

/** A named table of binary keys and values in bytewise order of the keys. Reads see what is committed, or inside `transact` what it wrote. */
export interface KvTable {
  readonly name: string;
  /** The buffer is overwritten by the next read of any table of this process: decode or copy at once. */
  get(key: Buffer): Buffer | undefined;
  /** Copies. Finish the loop before the next `await` and before writing: the iterator holds a cursor. */
  entries(range: KvRange): Iterable<KvEntry>;
  count(): number;
}

export type KvOperation =
  | { readonly kind: 'put'; readonly table: KvTable; readonly key: Buffer; readonly value: Uint8Array }
  | { readonly kind: 'remove'; readonly table: KvTable; readonly key: Buffer };

/** Writes inside `transact`; gone when it returns. */
export interface KvWriter {
  put(table: KvTable, key: Buffer, value: Uint8Array): void;
  remove(table: KvTable, key: Buffer): void;
}

/** How much a transaction may write, so that space is there before it begins. Upper bounds. */
export interface KvSize {
  readonly operations: number;
  /** Of keys and values. */
  readonly bytes: number;
}

/** Reading side, which a process may hold while another one writes. */
export interface OrderedKvReader {
  /** One of the tables the engine was opened with; any other name is a bug. */
  table(name: string): KvTable;
  close(): Promise<void>;
}

/**
 * What the change log, the journal and the online store need of an engine. An engine is opened for one of two uses: as a
 * log it is written by `write`, as a projection by `transact` and `clear`; never by both.
 *
 * If an engine made something readable that a crash takes back, regions would acknowledge and ship rows that the origin
 * then numbers anew; if it applied part of a batch, a checkpoint would stand for rows that are not there.
 */
export interface OrderedKv extends OrderedKvReader {
  /**
   * Applies all operations atomically, after those of earlier calls. Resolves when durable, together with what other
   * calls wrote meanwhile; nothing is readable before that. Keep the buffers unchanged until then.
   * Throws DISK_FULL at once, with nothing taken, when the reserve is touched. Rejects when the engine failed: what is on
   * disk is then unknown and every later call rejects too.
   */
  write(operations: readonly KvOperation[]): Promise<void>;
  /**
   * Runs `work` as one atomic transaction, readable on return, in every process. Survives the death of the process, not
   * of the machine (see `sync`). When `work` throws, nothing changes. Throws DISK_FULL before `work` runs.
   */
  transact<T>(size: KvSize, work: (writer: KvWriter) => T): T;
  /** Empties the tables, as one transaction. */
  clear(tables: readonly KvTable[]): void;
  /** Resolves when all that is readable now is on disk. Write nothing meanwhile. */
  sync(): Promise<void>;
  /** Bytes of disk that hold data, the reserve left out. */
  bytes(): number;
}

/** A wrong key would end in a torn batch inside an engine, so it is refused before. */
export function checkKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > KEY_BYTES_MAX) {
    throw new AntipodeError('INTERNAL', `a key has ${key.length} bytes; 1 to ${KEY_BYTES_MAX} are allowed`);
  }
}

/** Exclusive upper bound of all keys that start with `prefix`; undefined when there is none (empty, or all 0xff). */
export function prefixEnd(prefix: Uint8Array): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end.writeUInt8(end.readUInt8(length - 1) + 1, length - 1);
  return end;
}

/** Size of a batch of operations. */
export function sizeOf(operations: readonly KvOperation[]): KvSize {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length + (operation.kind === 'put' ? operation.value.length : 0);
  }
  return { operations: operations.length, bytes };
}
