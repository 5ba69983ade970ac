import { type Change, changeBytes, encodeChanges } from '#core/codec/changes';
import {
  type EncodedFrame,
  encodeFrame,
  type FrameKind,
  FULL_CLASS,
  type IdempotencyEntry,
  type ReplaySource,
} from '#core/codec/frame';
import type { StreamHead, StreamKey } from '#core/model/stream';
import type { Hlc } from '#core/time/hlc';

/** Changes and bytes after which a new frame is begun: large enough to compress and commit well, small enough to apply at once. */
export const FRAME_CHANGES_TARGET = 1024;
export const FRAME_BYTES_TARGET = 256 * 1024;

/** What one request contributes to a frame. */
export interface FramePart {
  readonly changes: readonly Omit<Change, 'offset'>[];
  /** The client's; null when it gave none, and then nobody can ask for it again. */
  readonly idempotency: PartIdentity | null;
}

/** The key of a request, the digest of its whole content in the partition, and where in it the part begins. */
export interface PartIdentity {
  readonly key: string;
  readonly digest: string;
  readonly first: number;
}

/** An idempotency key of a replayed frame: it covers `count` of the frame's changes from index `at`. */
export interface ReplayEntry extends PartIdentity {
  readonly at: number;
  readonly count: number;
  readonly complete: boolean;
}

/** Everything frames of one stream and view version share. */
export interface FrameContext {
  readonly stream: StreamKey;
  readonly epoch: number;
  readonly viewVersion: string;
  readonly watermarkMs: number;
  readonly applied: readonly { readonly stream: StreamKey; readonly seq: number }[];
}

/** Adds frames to the end of one stream; the caller appends them in the same step. */
export class FrameBuilder {
  readonly frames: EncodedFrame[] = [];
  #head: StreamHead;

  constructor(head: StreamHead) {
    this.#head = head;
  }

  get head(): StreamHead {
    return this.#head;
  }

  definition(context: FrameContext, hlc: Hlc, definition: Uint8Array): void {
    this.#push('definition', context, hlc, 1, definition, [], null);
  }

  epochMarker(context: FrameContext, hlc: Hlc, record: Uint8Array): void {
    this.#push('epoch', context, hlc, 1, record, [], null);
  }

  expiry(context: FrameContext, hlc: Hlc, cut: Uint8Array): void {
    this.#push('expiry', context, hlc, 1, cut, [], null);
  }

  /** Several requests' changes in frames of bounded size. `reserve` hands out the readings of each frame. */
  rows(context: FrameContext, parts: readonly FramePart[], reserve: (count: number) => Hlc): void {
    let changes: Change[] = [];
    let entries: IdempotencyEntry[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (changes.length === 0) return;
      this.#push('rows', context, reserve(changes.length), changes.length, encodeChanges(changes), entries, null);
      changes = [];
      entries = [];
      bytes = 0;
    };
    for (const { changes: added, idempotency } of parts) {
      let taken = 0;
      let marked = 0;
      const mark = (complete: boolean): void => {
        if (idempotency === null || (taken === marked && !complete)) return;
        const to = this.#head.seq + changes.length;
        const { key, digest, first } = idempotency;
        entries.push({ key, digest, from: to - (taken - marked), to, first: first + marked, complete });
        marked = taken;
      };
      for (const change of added) {
        if (changes.length >= FRAME_CHANGES_TARGET || (bytes >= FRAME_BYTES_TARGET && changes.length > 0)) {
          mark(false);
          flush();
        }
        changes.push({ ...change, offset: changes.length });
        bytes += changeBytes(change);
        taken += 1;
      }
      mark(true);
    }
    flush();
  }

  /** Changes of one frame of a tail, with the ids and stamps they had. */
  replay(
    context: FrameContext,
    hlc: Hlc,
    changes: readonly Change[],
    entries: readonly ReplayEntry[],
    source: ReplaySource,
  ): void {
    const idempotency = entries.map(({ at, count, ...entry }) => ({
      ...entry,
      from: this.#head.seq + at,
      to: this.#head.seq + at + count,
    }));
    this.#push('rows', context, hlc, changes.length, encodeChanges(changes), idempotency, source);
  }

  #push(
    kind: FrameKind,
    context: FrameContext,
    hlc: Hlc,
    count: number,
    payload: Uint8Array,
    idempotency: readonly IdempotencyEntry[],
    replay: ReplaySource | null,
  ): void {
    const frame = encodeFrame({
      ...context,
      kind,
      from: this.#head.seq,
      to: this.#head.seq + count,
      previousHash: this.#head.hash,
      hlc,
      egressClass: FULL_CLASS,
      omitted: [],
      idempotency,
      replay,
      payload,
    });
    this.frames.push(frame);
    this.#head = { seq: frame.to, hash: frame.hash };
  }
}
