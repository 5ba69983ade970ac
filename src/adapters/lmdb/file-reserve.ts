import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { AntipodeError } from '#core/errors';
import { isErrno } from './data-file.ts';

/** Written in one call, and the least by which the reserve grows: in larger steps the next fsync is felt. */
const CHUNK_BYTES = 1024 * 1024;

/** File systems count some blocks of their own to a file. */
const METADATA_BYTES_MAX = 1024 * 1024;
/** Unit of `stat.blocks`, on every file system. */
const BLOCK_BYTES = 512;

const ZEROS = Buffer.alloc(CHUNK_BYTES);

const NO_SPACE = ['ENOSPC', 'EDQUOT', 'EFBIG'] as const;

/**
 * Keeps real disk blocks behind the pages that the next transactions of an LMDB file may touch.
 *
 * A page of a writable map that has no block on disk gets one at the first touch, and when the disk is full then, the
 * kernel kills the process. A file that is written by calls fails more gently, but in the middle of a commit. So zeros
 * are written beyond the last used page while there is still space. Nobody reads there: LMDB writes a new page in
 * full before it points to it.
 *
 * Invariant: every byte below `end` has a block, and no transaction runs that could touch a page above it. Zeros are
 * written at `end` and above only, therefore never over a page in use. On file systems that write each block anew
 * (btrfs, ZFS) no reservation is possible, and only the free-space check of the region protects.
 */
export class FileReserve {
  readonly #path: string;
  readonly #reserveBytes: number;
  readonly #descriptor: number;
  #end: number;

  /**
   * `usedBytes`: length of the part in use. Above it lies what an earlier process reserved, as far as the file has
   * blocks; a copy that left out zeros has none there and is filled again.
   */
  constructor(options: { readonly path: string; readonly reserveBytes: number; readonly usedBytes: number }) {
    this.#path = options.path;
    this.#reserveBytes = options.reserveBytes;
    this.#descriptor = openSync(options.path, 'r+');
    const { blocks, size } = fstatSync(this.#descriptor);
    const allocatedBytes = Math.min(size, blocks * BLOCK_BYTES - METADATA_BYTES_MAX);
    const reservedBytes = options.usedBytes + options.reserveBytes;
    this.#end = Math.max(options.usedBytes, Math.min(allocatedBytes, reservedBytes));
  }

  /** True when `ensure` with the same arguments would have to write. */
  grows(usedBytes: number, needBytes: number): boolean {
    return usedBytes + Math.max(needBytes, this.#reserveBytes) > this.#end;
  }

  /** Returns when `needBytes` above the used part, and the whole reserve, have blocks. Throws DISK_FULL. */
  ensure(usedBytes: number, needBytes: number): void {
    const wanted = usedBytes + Math.max(needBytes, this.#reserveBytes);
    if (wanted <= this.#end) return;
    const target = Math.max(wanted, this.#end + CHUNK_BYTES);
    try {
      while (this.#end < target) {
        const length = Math.min(CHUNK_BYTES, target - this.#end);
        this.#end += writeSync(this.#descriptor, ZEROS, 0, length, this.#end);
      }
    } catch (error) {
      if (!isErrno(error, ...NO_SPACE)) throw error;
      if (wanted > this.#end) throw diskFull(this.#path, error);
    }
  }

  /** For what frees space: true when the part above the used one already has `needBytes`, the reserve notwithstanding. */
  holds(usedBytes: number, needBytes: number): boolean {
    return usedBytes + needBytes <= this.#end;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

export function diskFull(path: string, cause?: unknown): AntipodeError {
  return new AntipodeError('DISK_FULL', 'the disk is too full to keep the reserve of the data file', {
    where: path,
    cause,
  });
}
