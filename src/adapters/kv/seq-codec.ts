/** Bytes of a position in a key or value: big-endian, so that keys sort by it. 2^48 changes outlast any stream. */
export const SEQ_BYTES = 6;

export const SEQ_MAX = 2 ** 48 - 1;

/** `encodeSeq(258)` is `00 00 00 00 01 02`. */
export function encodeSeq(seq: number): Buffer {
  const bytes = Buffer.allocUnsafe(SEQ_BYTES);
  bytes.writeUIntBE(seq, 0, SEQ_BYTES);
  return bytes;
}

export function decodeSeq(bytes: Buffer, offset = 0): number {
  return bytes.readUIntBE(offset, SEQ_BYTES);
}
