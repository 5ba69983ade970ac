import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { AntipodeError } from '#core/errors';

/** What the newest meta page of an LMDB data file says. */
export interface DataFileFacts {
  readonly pageBytes: number;
  /** Pages up to the last one that was ever used. */
  readonly usedPages: number;
  /** Map size the file was last written with. */
  readonly mapBytes: number;
}

/** LMDB reads meta pages 0 and 1; each is a page header of 24 bytes and then, little-endian: */
const HEADER_BYTES = 24;
const OFFSETS = {
  magic: HEADER_BYTES,
  version: HEADER_BYTES + 4,
  mapBytes: HEADER_BYTES + 16,
  pageBytes: HEADER_BYTES + 24,
  lastPage: HEADER_BYTES + 120,
  transaction: HEADER_BYTES + 128,
} as const;
const META_BYTES = HEADER_BYTES + 144;
const MAGIC = 0xbeefc0de;
/** Data format 2 of the engine that the `lmdb` package bundles. */
const VERSION = 2;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65536;

/**
 * Looks at a data file before LMDB maps it. LMDB trusts the file: a page that a truncation cut off is a SIGBUS at the
 * first read, which no caller can catch. Undefined when there is no file, or an empty one that LMDB may fill.
 * Throws FRAME_CORRUPT when the file is not whole.
 */
export function inspectDataFile(path: string): DataFileFacts | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const size = fstatSync(descriptor).size;
    if (size === 0) return undefined;
    const first = readMeta(descriptor, 0, path);
    const second = readMeta(descriptor, first.pageBytes, path);
    const newest = second.transaction > first.transaction ? second : first;
    const usedBytes = newest.usedPages * newest.pageBytes;
    if (usedBytes > size) throw damaged(path, `it has ${size} bytes where its meta page counts on ${usedBytes}`);
    return newest;
  } finally {
    closeSync(descriptor);
  }
}

function readMeta(
  descriptor: number,
  position: number,
  path: string,
): DataFileFacts & { readonly transaction: bigint } {
  const meta = Buffer.alloc(META_BYTES);
  if (readSync(descriptor, meta, 0, META_BYTES, position) < META_BYTES)
    throw damaged(path, 'it ends in its meta pages');
  const pageBytes = meta.readUInt32LE(OFFSETS.pageBytes);
  if (meta.readUInt32LE(OFFSETS.magic) !== MAGIC || meta.readUInt32LE(OFFSETS.version) !== VERSION) {
    throw damaged(path, 'its meta pages are not those of an LMDB file');
  }
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX || (pageBytes & (pageBytes - 1)) !== 0) {
    throw damaged(path, `its meta page gives pages of ${pageBytes} bytes`);
  }
  return {
    pageBytes,
    usedPages: Number(meta.readBigUInt64LE(OFFSETS.lastPage)) + 1,
    mapBytes: Number(meta.readBigUInt64LE(OFFSETS.mapBytes)),
    transaction: meta.readBigUInt64LE(OFFSETS.transaction),
  };
}

function damaged(path: string, how: string): AntipodeError {
  return new AntipodeError('FRAME_CORRUPT', `the data file was truncated or overwritten: ${how}`, {
    where: path,
    remedy:
      'Check the disk, then restore the data folder or start the region with an empty one: its peers fill it again.',
  });
}

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
