import type { StreamKey } from '#core/model/stream';
import type { Applier } from '#region/apply/applier';
import { gapOf, withinSeal } from '#region/apply/projection';
import type { Links } from '#region/replicate/links';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { BackfillState } from '#region/retain/backfill-state';

/** A part of a stream that no log within reach can give this region any more. */
export interface Gap {
  readonly stream: StreamKey;
  /** Its changes must have come up to here before the stream can go on. */
  readonly until: number;
  /** Where it lies: in what the own log claims to hold, or beyond its end, up to which nothing is missing. */
  readonly within: 'own log' | 'peers';
  readonly reason: string;
}

/**
 * What this region lacks of a namespace and cannot fetch frame by frame: a stream that begins above what is applied here,
 * in its own log or at every connected peer that has more of it; or one with a damaged frame of which nobody has a copy.
 */
export function gapsOf(
  log: NamespaceLog,
  applier: Pick<Applier, 'checkpoint' | 'halted'>,
  links: Pick<Links, 'sources'>,
): Gap[] {
  const gaps: Gap[] = [];
  const announced = links.sources(log.namespace);
  for (const stream of new Set([...log.streams(), ...announced.keys()])) {
    const standing = log.standing(stream);
    if (standing.kind === 'unknown') continue;
    const own = gapOf(log, stream, applier.checkpoint(stream));
    if (own !== undefined) {
      const reason = `STREAM_TRUNCATED: ${stream} is applied up to ${own.applied}, its log begins at ${own.start} here`;
      gaps.push({ stream, until: own.until, within: 'own log', reason });
      continue;
    }
    const head = log.queuedHead(stream).seq;
    const damagedAt = applier.halted.damaged().get(stream);
    if (damagedAt !== undefined && applier.halted.lacks(log, stream, applier.checkpoint(stream))) {
      const until = log.endAfter(stream, damagedAt);
      const reason = `FRAME_CORRUPT: the frame of ${stream} after ${damagedAt} is damaged here, and no peer's log holds it`;
      if (applier.halted.hasNoCopy(stream) && until !== undefined)
        gaps.push({ stream, until, within: 'own log', reason });
      continue;
    }
    if (standing.kind === 'sealed' && head >= standing.seal) continue;
    const ahead = (announced.get(stream) ?? []).filter((source) => source.head > head);
    const start = Math.min(...ahead.map((source) => source.start));
    if (ahead.length === 0 || start <= head) continue;
    const peers = ahead.map(({ peer }) => peer).join(', ');
    const reason = `STREAM_TRUNCATED: ${stream} ends at ${head} here and begins at ${start} at ${peers}`;
    gaps.push({ stream, until: withinSeal(log, stream, start), within: 'peers', reason });
  }
  return gaps;
}

/**
 * The connected peer whose store fills most of the gaps, and of several the one that has applied most; undefined when none
 * fills any. Regions of which each lacks what only another holds are complete again after some rounds.
 */
export async function sourceFor(
  log: NamespaceLog,
  gaps: readonly Gap[],
  links: Pick<Links, 'names' | 'connected' | 'request'>,
  timeoutMs: number,
): Promise<Pick<BackfillState, 'peer' | 'storeId' | 'from' | 'rowsExpected'> | undefined> {
  const { namespace } = log;
  const offers = await Promise.all(
    links.names
      .filter((peer) => links.connected(peer))
      .map(async (peer) => {
        try {
          const { answer } = await links.request(peer, 'copyBegin', { namespace }, { timeoutMs });
          const applied = Object.values(answer.vector).reduce((sum, { seq }) => sum + seq, 0);
          return { peer, storeId: answer.storeId, from: answer.vector, rowsExpected: answer.rows, applied };
        } catch {
          return undefined;
        }
      }),
  );
  let best: (NonNullable<(typeof offers)[number]> & { readonly filled: number }) | undefined;
  for (const offer of offers) {
    if (offer === undefined) continue;
    const filled = gaps.filter(({ stream, until }) => (offer.from[stream]?.seq ?? 0) >= until).length;
    if (filled === 0 || filled < (best?.filled ?? 0)) continue;
    if (best === undefined || filled > best.filled || offer.applied > best.applied) best = { ...offer, filled };
  }
  if (best === undefined) return undefined;
  const { peer, storeId, from, rowsExpected } = best;
  return { peer, storeId, from, rowsExpected };
}
