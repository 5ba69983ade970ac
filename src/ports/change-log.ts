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
 * shares its fsync. Frames are immutable, and are removed from the beginning of a stream only: what is held of a stream is
 * one piece without holes, from its start to its head.
 *
 * Durability: only what `append` has resolved for is durable, and only that is returned by the reading methods. A reader
 * therefore never ships bytes that a crash could take back (P3.1).
 */
export interface ChangeLog {
  /** Every stream that was ever held, also one of which only the position is left. */
  streams(): StreamKey[];
  /** Durable end of a stream; seq 0 and ZERO_HASH when it was never held. */
  head(stream: StreamKey): StreamHead;
  /** Where what is held of a stream begins: the first frame held starts here. Seq 0 and ZERO_HASH for a whole one. */
  start(stream: StreamKey): StreamHead;
  /** Bytes of the envelopes held of a stream. */
  size(stream: StreamKey): number;
  /** Hash of the frame that ends exactly at `seq`, from the start on; undefined below it, and where no frame ends. ZERO_HASH for seq 0 of a whole stream. */
  hashAt(stream: StreamKey, seq: number): Uint8Array | undefined;
  /**
   * Appends frames of one stream. Calls take effect in call order; concurrent calls share an fsync. The first frame must
   * start at the stream's end, counting appends still on their way; anything else is a bug and throws.
   * Resolves when durable. Throws DISK_FULL at once when the reserve is touched: nothing was taken then. Rejects when the
   * engine could not write: the caller must end the process (P3.2), because what is on disk is then unknown.
   */
  append(stream: StreamKey, frames: readonly LoggedFrame[]): Promise<void>;
  /**
   * Durable frames after `afterSeq`, in order, until `maxBytes` of envelopes are collected (always at least one frame if
   * there is one). None when `afterSeq` lies below the start: what would follow is gone, and what is there does not.
   * Ends before a frame that the disk gives back changed; throws FRAME_CORRUPT when that is the first one.
   */
  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[];
  /** End of the durable frame that stands after `afterSeq`, readable or not; undefined when there is none. */
  endAfter(stream: StreamKey, afterSeq: number): number | undefined;
  /**
   * Removes the frames that end at `upTo` or below; the start is then the end of the last of them. From the call on they
   * are read no more. Resolves when they are gone for good; throws and rejects as `append` does.
   */
  truncate(stream: StreamKey, upTo: number): Promise<void>;
  /**
   * Forgets what is held of a stream and lets it begin, empty, at `head`: as one step, durable when resolved. No append of
   * the stream may be on its way. Throws and rejects as `append` does.
   */
  reset(stream: StreamKey, head: StreamHead): Promise<void>;
  /**
   * Puts another copy of a frame in the place of one that became unreadable. `frame` has the range of one that is held;
   * that it is the right one, the caller has checked. Durable when resolved; throws and rejects as `append` does.
   */
  repair(stream: StreamKey, frame: LoggedFrame): Promise<void>;
  /** Bytes on disk. */
  bytes(): number;
  close(): Promise<void>;
}
