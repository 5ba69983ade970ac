import type { PeerWord } from '#core/membership/incarnation-choice';
import type { StreamKey } from '#core/model/stream';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';

const RECALL_TIMEOUT_MS = 1000;

/** What one peer remembers of this region's streams. */
export interface Recall {
  readonly word: PeerWord;
  /** How far the peer holds each stream of this region, in whichever incarnation. */
  readonly heads: Readonly<Record<StreamKey, number>>;
}

/**
 * Asks a peer what it holds of this region's streams (P1.4), writes on their way to its disk included. A peer counts only
 * once it has opened a link to this process: its link to an earlier one has ended then, and nothing that was on its way
 * there can become durable after this answer.
 */
export async function recall(
  peer: string,
  options: { readonly log: NamespaceLog; readonly peers: Peers; readonly attached: (peer: string) => boolean },
): Promise<Recall> {
  const { log, peers, attached } = options;
  if (!peers.connected(peer) || !attached(peer)) return { word: 'silent', heads: {} };
  try {
    const { answer } = await peers.request(
      peer,
      'recall',
      { namespace: log.namespace },
      { timeoutMs: RECALL_TIMEOUT_MS },
    );
    let word: PeerWord = 'whole';
    const heads: Record<StreamKey, number> = {};
    for (const [stream, end] of Object.entries(answer.streams)) {
      heads[stream] = end.seq;
      if (log.head(stream).seq < end.seq || hexHashAt(log, stream, end.seq) !== end.hash) word = 'ahead';
    }
    return { word, heads };
  } catch {
    return { word: 'silent', heads: {} };
  }
}

export function hexHashAt(log: NamespaceLog, stream: StreamKey, seq: number): string | undefined {
  const hash = log.hashAt(stream, seq);
  return hash === undefined ? undefined : Buffer.from(hash).toString('hex');
}
