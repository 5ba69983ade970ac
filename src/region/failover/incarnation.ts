import type { Lease } from '#core/failover/lease';
import { parseStreamKey, type StreamKey, streamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Random } from '#ports/random';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';

/** How long a starting holder waits for its peers to vouch for its streams before it mints a new incarnation, ms. */
export const VOUCH_WAIT_MS = 3000;
const INSPECT_TIMEOUT_MS = 1000;

/** Who can tell about this region's log. */
export interface OwnLogSurroundings {
  readonly log: NamespaceLog;
  /** Id of this region's log. */
  readonly logId: string;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly events: EventList;
}

/**
 * `behind`: somebody saw more of a stream, or something else, than is here: part of it is lost. `unvouched`: nobody did, and
 * not everybody could be asked.
 */
export type OwnLog = 'whole' | 'behind' | 'unvouched';

/**
 * P1.4: whether this region's log still holds everything it ever gave away of these streams. Every member must have seen
 * nothing that is not here. When one saw more or something else, or cannot be asked, the answer is no, and the holder goes
 * on under a new incarnation, which is always safe: a new incarnation reuses no seq.
 */
export async function judgeOwnLog(
  options: OwnLogSurroundings & { readonly lease: Lease; readonly streams: readonly StreamKey[] },
): Promise<OwnLog> {
  const { lease, streams, log, logId, peers, clock, events } = options;
  for (const stream of streams) {
    const reported = lease.record.reported[stream] ?? 0;
    if (log.head(stream).seq < reported) {
      events.add(
        'log-behind',
        'error',
        `${stream} ends at ${log.head(stream).seq}, the control store saw ${reported}: new incarnation`,
        { stream },
      );
      return 'behind';
    }
  }
  const deadlineMs = clock.monotonicMs() + VOUCH_WAIT_MS;
  const unasked = new Set(peers.names);
  while (unasked.size > 0) {
    for (const peer of [...unasked]) {
      const verdict = await vouches(peer, streams, log, peers);
      if (verdict === 'behind') {
        events.add(
          'log-behind',
          'error',
          `${peer} holds more of this region's streams than this region: new incarnation`,
          { peer },
        );
        return 'behind';
      }
      if (verdict === 'whole') unasked.delete(peer);
    }
    if (unasked.size === 0) break;
    if (clock.monotonicMs() > deadlineMs) {
      const silent = `${[...unasked].join(', ')} could not vouch for this region's log: new incarnation`;
      events.add('log-not-vouched', 'warning', silent);
      // Of a log that is not here any more nobody has said that it held no more.
      return lease.record.holderLog === logId ? 'unvouched' : 'behind';
    }
    await clock.sleep(100);
  }
  if (lease.record.holderLog === logId) return 'whole';
  // What only the lost log had nobody saw: it was acknowledged here perhaps, and is missed by nobody.
  events.add(
    'log-replaced',
    'warning',
    `this region's log is another one than in epoch ${lease.record.epoch}: new incarnation`,
  );
  return 'unvouched';
}

async function vouches(
  peer: string,
  streams: readonly StreamKey[],
  log: NamespaceLog,
  peers: Peers,
): Promise<'whole' | 'behind' | 'silent'> {
  if (!peers.connected(peer)) return 'silent';
  try {
    const heads = await peers.request(
      peer,
      'inspect',
      { streams: streams.map((stream) => ({ stream, at: 0 })) },
      { timeoutMs: INSPECT_TIMEOUT_MS },
    );
    const at = streams.map((stream) => ({ stream, at: heads.answer.streams[stream]?.head ?? 0 }));
    if (at.some(({ stream, at: seq }) => seq > log.head(stream).seq)) return 'behind';
    const hashes = await peers.request(peer, 'inspect', { streams: at }, { timeoutMs: INSPECT_TIMEOUT_MS });
    for (const { stream, at: seq } of at) {
      // It ends where this log does not reach back any more: it has seen nothing that is not here.
      if (seq < log.start(stream).seq) continue;
      const own = log.hashAt(stream, seq);
      if (own === undefined || Buffer.from(own).toString('hex') !== hashes.answer.streams[stream]?.hashAt)
        return 'behind';
    }
    return 'whole';
  } catch {
    return 'silent';
  }
}

/** Streams of a new incarnation of this region, one a partition. */
export function mintStreams(options: {
  readonly namespace: string;
  readonly partitions: number;
  readonly region: string;
  readonly random: Random;
}): StreamKey[] {
  const { namespace, region: origin } = options;
  const incarnation = options.random.hex(8);
  return Array.from({ length: options.partitions }, (_, partition) =>
    streamKey({ namespace, partition, origin, incarnation }),
  );
}

/** Partition of a stream key that is known to be one. */
export function partitionOf(stream: StreamKey): number {
  return parseStreamKey(stream)?.partition ?? 0;
}
