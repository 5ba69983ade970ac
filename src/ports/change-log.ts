import type { StreamHead, StreamKey } from '#core/model/stream';

/** An encoded frame with what the log needs to file it. `bytes` is the envelope as it was logged or received. */
export interface LoggedFrame {
  /** The frame holds seqs (from, to]. */
  readonly from: number;
  readonly to: number;
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

/**
 * The durable logs of one region: its own streams and its mirrors of other regions' streams, in one physical log that
 * shares its fsync. Frames are immutable and never removed from the middle.
 *
 * Durability: only what `append` has resolved for is durable, and only that is returned by the reading methods. A reader
 * therefore never ships bytes that a crash could take back (P3.1).
 */
export interface ChangeLog {
  /** Every stream that holds at least one frame. */
  streams(): StreamKey[];
  /** Durable end of a stream; seq 0 and ZERO_HASH when nothing is held. */
  head(stream: StreamKey): StreamHead;
  /** Hash of the frame that ends exactly at `seq`; undefined when no frame ends there. ZERO_HASH for seq 0. */
  hashAt(stream: StreamKey, seq: number): Uint8Array | undefined;
  /**
   * Appends frames of one stream. Calls take effect in call order; concurrent calls share an fsync. The first frame must
   * start at the stream's end, counting appends still on their way; anything else is a bug and throws.
   * Resolves when durable. Throws DISK_FULL at once when the reserve is touched: nothing was taken then. Rejects when the
   * engine could not write: the caller must end the process (P3.2), because what is on disk is then unknown.
   */
  append(stream: StreamKey, frames: readonly LoggedFrame[]): Promise<void>;
  /** Durable frames after `afterSeq`, in order, until `maxBytes` of envelopes are collected (always at least one frame if there is one). */
  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[];
  /** Bytes on disk. */
  bytes(): number;
  close(): Promise<void>;
}
