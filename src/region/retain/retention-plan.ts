import type { StreamKey } from '#core/model/stream';

/** How long the frames of a namespace stay in a log. */
export interface RetentionConfig {
  /** Frames older than this may go once every member has them, ms. */
  readonly ageMs: number;
  /** More bytes of frames than this are not kept as long as another region holds them: the oldest go, even if a member is left behind. */
  readonly bytes: number;
}

/** What is known of one stream of a namespace when it is decided what goes. */
export interface RetainedStream {
  readonly stream: StreamKey;
  readonly start: number;
  /** Frames beyond this stay whatever happens: a tail, or what a later release must still decode. */
  readonly cap: number;
  /** What every member holds, this region included. */
  readonly heldByAll: number;
  /** What at least one other member holds: nobody lets go of an only copy that can be read, which may yet become a tail. */
  readonly heldByOne: number;
  /** Frames up to here are older than the age. */
  readonly aged: number;
  /** A damaged frame that nobody can replace ends here; 0 when there is none. */
  readonly unreadable: number;
  /**
   * Another member holds what comes before that frame, nobody has a copy of it, and no seal to come can rule it out: what
   * it changed can be had from the store here and from nowhere else.
   */
  readonly awaited: boolean;
  /** Ends of the frames held, oldest first, with their bytes; only as many as may have to go for the sake of space. */
  readonly frames: readonly { readonly to: number; readonly bytes: number; readonly wallMs: number }[];
}

export interface Cut {
  readonly stream: StreamKey;
  /** Frames that end here or below go. */
  readonly upTo: number;
  /** Members that do not hold it all are left behind: space leaves no choice, or the frames are not readable. */
  readonly leavesBehind: boolean;
}

/**
 * Which frames should go: the old ones that everybody has; and, of more bytes than are kept, the oldest whoever has them.
 * Says nothing of snapshots: below which of them it may really be cut is the caller's part.
 */
export function planCuts(streams: readonly RetainedStream[], excessBytes: number): Cut[] {
  const upTo = new Map<StreamKey, number>();
  for (const { stream, start, cap, heldByAll, heldByOne, aged, unreadable, awaited } of streams) {
    const wanted = Math.max(Math.min(aged, heldByAll), awaited ? unreadable : Math.min(unreadable, heldByOne));
    upTo.set(stream, Math.max(start, Math.min(cap, wanted)));
  }
  let excess = excessBytes;
  const oldest = streams
    .flatMap(({ stream, cap, heldByOne, frames }) =>
      frames.filter(({ to }) => to <= Math.min(cap, heldByOne)).map((frame) => ({ stream, ...frame })),
    )
    .sort((a, b) => a.wallMs - b.wallMs || a.to - b.to);
  for (const { stream, to, bytes } of oldest) {
    if (excess <= 0) break;
    excess -= bytes;
    upTo.set(stream, Math.max(to, upTo.get(stream) ?? 0));
  }
  return streams.flatMap(({ stream, start, heldByAll }) => {
    const cut = upTo.get(stream) ?? 0;
    return cut > start ? [{ stream, upTo: cut, leavesBehind: cut > heldByAll }] : [];
  });
}
