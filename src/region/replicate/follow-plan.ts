import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** A relay is left for one that announces more only after it has sent nothing for so long, ms: heads are older than frames. */
export const RELAY_QUIET_MS = 1000;

/** What is known of one connected peer as a source of a stream. */
export interface Source {
  readonly peer: string;
  /** Below it, it holds the stream no more: what is asked for must begin there or above. */
  readonly start: number;
  /** Head it announced. */
  readonly head: number;
  /** It says that its head is all there is: the live origin does, one that lost its disk does not. */
  readonly vouches: boolean;
  /** It may be asked: the stream did not just fail there. */
  readonly willing: boolean;
  /** `following` once it has accepted the subscription. */
  readonly state: 'none' | 'asked' | 'following';
  /** Since its last frame, or since it was asked, ms. */
  readonly quietMs: number;
}

export interface FollowPlan {
  readonly follow: readonly string[];
  readonly drop: readonly string[];
}

/**
 * At which peers a stream is followed. The origin comes first while it has something to give: more than is held here, or,
 * for a stream that still grows, its word that there is no more. Otherwise one relay that announces more (P4.3), for as
 * long as it has more or no other has; and none once the origin has accepted.
 */
export function planFollowing(options: {
  readonly origin: string;
  readonly sealed: boolean;
  /** End of the stream here, counting writes on their way. */
  readonly head: number;
  readonly sources: readonly Source[];
}): FollowPlan {
  const { origin, sealed, head } = options;
  const sources = options.sources.map((source) => ({ ...source, willing: source.willing && source.start <= head }));
  const own = sources.find((source) => source.peer === origin && source.willing);
  const relays = sources.filter((source) => source.peer !== origin);
  const current = relays.filter((source) => source.state !== 'none');
  // One that let go of what comes next here has nothing to give, followed or not.
  const reaching = relays.filter((source) => source.start <= head);
  const follow: string[] = [];
  if (own !== undefined && (own.head > head || (!sealed && (own.vouches || own.head === head)))) {
    if (own.state === 'none') follow.push(own.peer);
    if (own.head > head || own.vouches)
      return { follow, drop: own.state === 'following' ? current.map(({ peer }) => peer) : [] };
  }
  const best = furthest(reaching.filter((source) => source.head > head && (source.willing || source.state !== 'none')));
  const kept = furthest(reaching.filter((source) => source.state !== 'none'));
  if (best === undefined || (kept !== undefined && (kept.head > head || kept.quietMs < RELAY_QUIET_MS)))
    return { follow, drop: current.filter((source) => source !== kept).map(({ peer }) => peer) };
  follow.push(best.peer);
  return { follow, drop: current.map(({ peer }) => peer) };
}

/** As code and text; `stops` when the stream cannot go on from this peer. */
export interface StreamTrouble {
  readonly reason: string;
  readonly stops: boolean;
}

/**
 * Why a stream cannot be taken from a peer that has more of it, or once sent more: as code and text. An origin that does
 * not vouch for its own stream and ends below this mirror has lost what it sent.
 */
export function streamTrouble(
  stream: StreamKey,
  log: Pick<NamespaceLog, 'standing' | 'head' | 'queuedHead'>,
  source: Source,
): StreamTrouble | undefined {
  const standing = log.standing(stream);
  const head = log.queuedHead(stream).seq;
  const wanted = standing.kind === 'open' || (standing.kind === 'sealed' && head < standing.seal);
  if (wanted && source.head > head && source.start > head)
    return {
      stops: true,
      reason: `STREAM_TRUNCATED: ${stream} begins at ${source.start} at ${source.peer}, above ${head}`,
    };
  const own = parseStreamKey(stream)?.origin === source.peer;
  if (own && standing.kind === 'open' && !source.vouches && source.head < log.head(stream).seq)
    return {
      stops: false,
      reason: `STREAM_SHRUNK: ${stream} ends at ${source.head} at ${source.peer}, which sent it up to ${head}`,
    };
  return undefined;
}

function furthest(sources: readonly Source[]): Source | undefined {
  return sources.reduce<Source | undefined>(
    (best, source) => (best === undefined || source.head > best.head ? source : best),
    undefined,
  );
}
