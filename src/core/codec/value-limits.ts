/** Bounds of one value, key and row. They protect every region from one producer's mistake; raising one is a protocol change. */

/** Bytes of an encoded entity key. */
export const KEY_BYTES_MAX = 512;
/** Avro bytes of one row. */
export const ROW_BYTES_MAX = 256 * 1024;
/** UTF-8 bytes of one string, or bytes of one `bytes` value. */
export const VALUE_BYTES_MAX = 64 * 1024;
/** Elements of one list. */
export const LIST_ELEMENTS_MAX = 16 * 1024;

export const INT32_MIN = -0x8000_0000;
export const INT32_MAX = 0x7fff_ffff;
export const INT64_MIN = -(1n << 63n);
export const INT64_MAX = (1n << 63n) - 1n;

/** Longest varint of a 64-bit value. */
export const VARINT_BYTES_MAX = 10;
/** The one NaN: high 32 bits of the float64 (the low ones are 0), and the float32. */
export const NAN_FLOAT64_HIGH = 0x7ff8_0000;
export const NAN_FLOAT32 = 0x7fc0_0000;
