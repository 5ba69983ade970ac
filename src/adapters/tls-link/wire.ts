import { MAX_MESSAGE_BYTES } from '#ports/link-transport';

/**
 * What runs inside the TLS connection, in each direction: a header of 4 bytes, then a body.
 *
 *   00 00 00 05  68 65 6c 6c 6f      a message of 5 bytes (top bit 0: its length, at most MAX_MESSAGE_BYTES)
 *   81 00 00 00                      READY: the server has checked the client and takes messages
 *   82 00 00 00                      BEAT: still alive
 *   83 00 00 04  64 6f 6e 65         GOODBYE: orderly end with its reason, UTF-8
 *
 * Control headers are 1 bit, kind 7 bits, body length 24 bits, of which at most CONTROL_BYTES_MAX are used.
 */
export const HEADER_BYTES = 4;
export const CONTROL_BYTES_MAX = 256;

export const READY = 1;
export const BEAT = 2;
export const GOODBYE = 3;
export type ControlKind = typeof READY | typeof BEAT | typeof GOODBYE;

const CONTROL_BIT = 0x8000_0000;

export function messageHeader(messageBytes: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(messageBytes);
  return header;
}

export function controlBytes(kind: ControlKind, body = ''): Buffer {
  const text = Buffer.from(body, 'utf8').subarray(0, CONTROL_BYTES_MAX);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + text.length);
  bytes.writeUInt32BE((CONTROL_BIT + kind * 0x100_0000 + text.length) >>> 0);
  text.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** Where the reader hands what it found. Returning false stops it for good: the channel has ended meanwhile. */
export interface WireSink {
  message(bytes: Buffer): boolean;
  control(kind: ControlKind, body: Buffer): boolean;
}

/**
 * Cuts the byte stream into messages. A message that lies within one chunk is passed on as a view of it; one that spans
 * chunks is gathered in a buffer of its own, allocated only after its length has been checked. So a reader never holds
 * more than one message, however the peer slices its bytes.
 */
export class WireReader {
  readonly #sink: WireSink;
  /** Bytes of an unfinished header or body; undefined between them. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** Length of the header or body that is being read. */
  #wanted = HEADER_BYTES;
  /** Undefined while a header is being read, 0 for a message, else the control kind. */
  #kind: ControlKind | 0 | undefined;

  constructor(sink: WireSink) {
    this.#sink = sink;
  }

  /** Takes the next chunk. Returns why the peer cannot be understood any further, or undefined. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    for (;;) {
      const piece = chunk.subarray(at, at + this.#wanted - this.#heldBytes);
      at += piece.length;
      const whole = this.#gather(piece);
      if (whole === undefined) return undefined;
      if (this.#kind === undefined) {
        const reason = this.#begin(whole.readUInt32BE());
        if (reason !== undefined) return reason;
      } else if (!this.#finish(this.#kind, whole)) {
        return undefined;
      }
    }
  }

  #gather(piece: Buffer): Buffer | undefined {
    if (this.#held === undefined) {
      if (piece.length === this.#wanted) return piece;
      if (piece.length === 0) return undefined;
      this.#held = Buffer.allocUnsafeSlow(this.#wanted);
    }
    this.#heldBytes += piece.copy(this.#held, this.#heldBytes);
    if (this.#heldBytes < this.#wanted) return undefined;
    const whole = this.#held;
    this.#held = undefined;
    this.#heldBytes = 0;
    return whole;
  }

  #begin(header: number): string | undefined {
    if (header < CONTROL_BIT) {
      if (header > MAX_MESSAGE_BYTES)
        return `a message of ${header} bytes was announced, ${MAX_MESSAGE_BYTES} are allowed`;
      this.#kind = 0;
      this.#wanted = header;
      return undefined;
    }
    const kind = (header >>> 24) & 0x7f;
    const bodyBytes = header & 0xff_ffff;
    if ((kind !== READY && kind !== BEAT && kind !== GOODBYE) || bodyBytes > CONTROL_BYTES_MAX) {
      return `header ${header.toString(16)} is not part of the protocol`;
    }
    this.#kind = kind;
    this.#wanted = bodyBytes;
    return undefined;
  }

  #finish(kind: ControlKind | 0, body: Buffer): boolean {
    this.#kind = undefined;
    this.#wanted = HEADER_BYTES;
    return kind === 0 ? this.#sink.message(body) : this.#sink.control(kind, body);
  }
}
