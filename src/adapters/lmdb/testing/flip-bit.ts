import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

/** Read at a time. */
const CHUNK_BYTES = 8 * 1024 * 1024;
/** A file of this length is looked through as a whole. */
const WHOLE_BYTES_MAX = 1024 ** 3;
/** Unit in which a file says how much of the disk it takes. */
const BLOCK_BYTES = 512;

/** Flips the lowest bit of the middle byte of `text` wherever it stands in the file; how often that was. Every copy counts: which one is in use only the engine knows. */
export function flipBitIn(file: string, text: Buffer): number {
  const descriptor = openSync(file, 'r+');
  try {
    const found = placesOf(descriptor, text);
    for (const place of found) {
      const at = place + (text.length >> 1);
      const byte = Buffer.alloc(1);
      readSync(descriptor, byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ 1;
      writeSync(descriptor, byte, 0, 1, at);
    }
    fsyncSync(descriptor);
    return found.length;
  } finally {
    closeSync(descriptor);
  }
}

function placesOf(descriptor: number, text: Buffer): number[] {
  const { size: end, blocks } = fstatSync(descriptor);
  // The file of a store is as long as its map; what is in use, and the reserve behind it, lie at its beginning.
  const size = end <= WHOLE_BYTES_MAX ? end : Math.min(end, blocks * BLOCK_BYTES);
  const found = new Set<number>();
  const chunk = Buffer.alloc(CHUNK_BYTES);
  // Chunks overlap, so that nothing is missed where two of them meet.
  for (let start = 0; start < size; start += CHUNK_BYTES - text.length) {
    const read = readSync(descriptor, chunk, 0, CHUNK_BYTES, start);
    const part = chunk.subarray(0, read);
    for (let at = part.indexOf(text); at !== -1; at = part.indexOf(text, at + 1)) found.add(start + at);
  }
  return [...found];
}
