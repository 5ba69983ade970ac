import type { StreamStanding } from '#core/failover/lease';
import type { SeenPositions } from '#core/model/session-token';
import type { StreamKey } from '#core/model/stream';

/** What of a namespace a store shows at one moment, as a session sees it. */
export interface Shown {
  /** All valid changes of the epochs before this one are applied. */
  readonly epoch: number;
  /** Closed streams of those epochs: they need not be listed, the epoch says it. */
  readonly folded: ReadonlySet<StreamKey>;
}

export interface LostPosition {
  readonly stream: StreamKey;
  readonly position: number;
  readonly seal: number;
}

/** How a session stands to a store: `behind` names the streams that are not far enough, none when an epoch is not. */
export type SeenVerdict =
  | { readonly kind: 'shown' }
  | { readonly kind: 'behind'; readonly streams: readonly StreamKey[] }
  | { readonly kind: 'lost'; readonly lost: readonly LostPosition[] };

/** What a store shows, from the standing of every stream and what is applied of it. */
export function shownBy(options: {
  /** The current epoch, as far as known. */
  readonly epoch: number;
  readonly streams: Iterable<StreamKey>;
  readonly standing: (stream: StreamKey) => StreamStanding;
  readonly applied: (stream: StreamKey) => number;
}): Shown {
  const sealed: { stream: StreamKey; epoch: number }[] = [];
  let { epoch } = options;
  for (const stream of options.streams) {
    const standing = options.standing(stream);
    if (standing.kind !== 'sealed') continue;
    sealed.push({ stream, epoch: standing.epoch });
    if (options.applied(stream) < standing.seal) epoch = Math.min(epoch, standing.epoch);
  }
  return { epoch, folded: new Set(sealed.filter((each) => each.epoch < epoch).map(({ stream }) => stream)) };
}

/** Whether a store shows everything that a session has seen. A position past a seal is lost, wherever one asks (P11.1). */
export function judgeSeen(
  seen: SeenPositions,
  shown: Shown,
  state: { readonly standing: (stream: StreamKey) => StreamStanding; readonly applied: (stream: StreamKey) => number },
): SeenVerdict {
  const lost: LostPosition[] = [];
  const behind: StreamKey[] = [];
  for (const [stream, position] of Object.entries(seen.streams)) {
    const standing = state.standing(stream);
    if (standing.kind === 'sealed' && position > standing.seal) lost.push({ stream, position, seal: standing.seal });
    else if (state.applied(stream) < position) behind.push(stream);
  }
  if (lost.length > 0) return { kind: 'lost', lost };
  return behind.length > 0 || shown.epoch < seen.epoch ? { kind: 'behind', streams: behind } : { kind: 'shown' };
}

/** Covers everything that a store shows, and what the session had seen before, in as few words as possible. */
export function coverOf(
  shown: Shown,
  applied: Iterable<readonly [StreamKey, number]>,
  before: SeenPositions | undefined,
): SeenPositions {
  const streams: Record<StreamKey, number> = {};
  const here = new Map(applied);
  for (const [stream, position] of [...here, ...Object.entries(before?.streams ?? {})]) {
    // What the session saw beyond the seal stays, for it to be told of the loss.
    if (shown.folded.has(stream) && position <= (here.get(stream) ?? 0)) continue;
    const held = Object.hasOwn(streams, stream) ? (streams[stream] ?? 0) : 0;
    streams[stream] = Math.max(held, position);
  }
  return { epoch: Math.max(shown.epoch, before?.epoch ?? 0), streams };
}
