import { FRAME_CHANGES_MAX } from '#core/codec/frame';
import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import { type DecodedFrame, decodeForOracle } from '#sim/oracle/decoded-frame';
import type { Violations } from '#sim/oracle/violations';

interface ArchivedFrame {
  readonly region: string;
  readonly hash: string;
  readonly from: number;
  readonly bytes: Buffer;
}

/** Every frame that was ever durable anywhere. One position of one stream holds one frame, for ever and everywhere (P1). */
export class FrameArchive {
  readonly #violations: Violations;
  readonly #streams = new Map<StreamKey, Map<number, ArchivedFrame>>();
  readonly #forgotten: ArchivedFrame[] = [];
  readonly #held = new Map<string, number>();
  readonly #decoded = new Map<string, DecodedFrame>();
  /** How far each region ever held each stream on disk. */
  readonly #farthest = new Map<StreamKey, Map<string, number>>();

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  keep(region: string, stream: StreamKey, { from, to, hash: hashBytes, bytes }: LoggedFrame): void {
    let frames = this.#streams.get(stream);
    if (frames === undefined) {
      frames = new Map();
      this.#streams.set(stream, frames);
    }
    const farthest = this.#farthest.get(stream) ?? new Map<string, number>();
    this.#farthest.set(stream, farthest.set(region, Math.max(to, farthest.get(region) ?? 0)));
    const hash = Buffer.from(hashBytes).toString('hex');
    const held = frames.get(to);
    if (held === undefined) frames.set(to, { region, hash, from, bytes: Buffer.from(bytes) });
    else if (held.hash !== hash)
      this.#violations.add('I5', `${stream} ${to} is one frame at ${held.region} and another at ${region}`);
  }

  /**
   * Nobody knows any more that the stream went beyond `seq`: neither a log nor the control store. Its origin may give those
   * positions again (P1.4); what stood there was read, perhaps, and stays among the frames that were.
   */
  forget(stream: StreamKey, seq: number): void {
    const frames = this.#streams.get(stream);
    for (const [to, frame] of frames ?? []) {
      if (to <= seq) continue;
      frames?.delete(to);
      this.#forgotten.push(frame);
    }
    const farthest = this.#farthest.get(stream);
    for (const [region, to] of farthest ?? []) farthest?.set(region, Math.min(seq, to));
  }

  /** A region held the stream durably up to here. */
  held(region: string, stream: StreamKey, to: number): void {
    const name = `${region} ${stream}`;
    this.#held.set(name, Math.max(to, this.#held.get(name) ?? 0));
  }

  /** How far a region held the stream at some time, whatever became of its disk. */
  everHeld(region: string, stream: StreamKey): number {
    return this.#held.get(`${region} ${stream}`) ?? 0;
  }

  /** The frames of (from, to], which a log may hold no more; fewer when they were never durable anywhere. */
  between(stream: StreamKey, from: number, to: number): DecodedFrame[] {
    const frames: DecodedFrame[] = [];
    const held = this.#streams.get(stream);
    for (let end = to; end > from; ) {
      const frame = held?.get(end);
      if (frame === undefined || frame.from < from) break;
      frames.unshift(this.decode(frame.bytes));
      end = frame.from;
    }
    return frames;
  }

  /** All of them, in any log still or not. */
  *frames(): Generator<DecodedFrame> {
    for (const held of this.#streams.values()) for (const { bytes } of held.values()) yield this.decode(bytes);
    for (const { bytes } of this.#forgotten) yield this.decode(bytes);
  }

  /** Whether the frame was durable somewhere already. */
  holds(stream: StreamKey, { to, hash }: LoggedFrame): boolean {
    return this.#streams.get(stream)?.get(to)?.hash === Buffer.from(hash).toString('hex');
  }

  /** How far any other region ever held the stream. */
  farthestElsewhere(region: string, stream: StreamKey): number {
    let farthest = 0;
    for (const [holder, to] of this.#farthest.get(stream) ?? [])
      if (holder !== region) farthest = Math.max(farthest, to);
    return farthest;
  }

  /** The frame in which a change first became durable; undefined when it never did. */
  holding(stream: StreamKey, seq: number): DecodedFrame | undefined {
    const held = this.#streams.get(stream);
    for (let end = seq; end < seq + FRAME_CHANGES_MAX; end++) {
      const frame = held?.get(end);
      if (frame !== undefined) return frame.from < seq ? this.decode(frame.bytes) : undefined;
    }
    return undefined;
  }

  /** Decodes once per content. */
  decode(bytes: Uint8Array): DecodedFrame {
    const hash = Buffer.from(bytes.buffer, bytes.byteOffset + 8, 32).toString('hex');
    let frame = this.#decoded.get(hash);
    if (frame === undefined) {
      frame = decodeForOracle(bytes);
      this.#decoded.set(hash, frame);
    }
    return frame;
  }
}
