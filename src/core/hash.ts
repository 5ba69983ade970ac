import { hash } from 'node:crypto';

/** Bytes of a SHA-256 digest. */
export const HASH_BYTES = 32;

/** The hash that stands before the first frame of a stream. */
export const ZERO_HASH: Buffer = Buffer.alloc(HASH_BYTES);

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex');
}

/** 32-bit FNV-1a over the bytes, as an unsigned number; used only to spread entity keys over partitions. */
export function fnv1a(bytes: Uint8Array): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) {
    value ^= bytes[i] as number;
    value = Math.imul(value, 0x01000193);
  }
  return value >>> 0;
}
