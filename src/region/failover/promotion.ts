import { decodeFrame, envelopeHash } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { type Lease, sealOfPromises } from '#core/failover/lease';
import type { CountedPromise } from '#core/failover/participants';
import type { StreamKey } from '#core/model/stream';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { unpackFrames } from '#region/replicate/wire';

const PROMISE_TIMEOUT_MS = 2000;
const FETCH_TIMEOUT_MS = 5000;

export interface PreparedPromotion {
  readonly seal: Record<StreamKey, number>;
  /** Promises whose frames are held here now, this region's and a holder's that was drained included. */
  readonly promises: readonly CountedPromise[];
  /** Regions that gave no promise, or whose frames could not be fetched. */
  readonly missing: readonly string[];
  /** Streams of closed epochs that end here below their seals, and where. Empty unless loss is allowed. */
  readonly lowered: Readonly<Record<StreamKey, number>>;
}

/**
 * P6.3 up to the compare-and-set: this region promises, asks the others to, takes for each stream the greatest position
 * promised as the seal, and fetches everything up to it. A promise whose frames cannot be fetched does not count, and the
 * seal is computed again without it. FAILOVER_REFUSED when one that promised holds the rest, but its log begins above the
 * end of this region's.
 */
export async function preparePromotion(options: {
  readonly region: string;
  /** Id of this region's log. */
  readonly logId: string;
  /** A person allows that sealed history is left behind which no connected region has. */
  readonly allowLoss: boolean;
  readonly lease: Lease;
  /** The promotable regions other than the holder and this one. */
  readonly others: readonly string[];
  /** Also asked, but not counted: the holder, in a planned change of hub. */
  readonly drained?: CountedPromise | undefined;
  readonly log: NamespaceLog;
  readonly peers: Peers;
}): Promise<PreparedPromotion> {
  const { region, lease, log, peers } = options;
  const { namespace, epoch, streams } = lease.record;
  const lowered = await fetchEarlierSeals(options);
  const own: CountedPromise = { region, log: options.logId, heads: await log.promise(epoch, lease.revision) };
  const asked = await Promise.all(
    options.others.map(async (other): Promise<CountedPromise | undefined> => {
      try {
        const { answer } = await peers.request(
          other,
          'promise',
          { namespace, epoch, revision: lease.revision, candidate: region },
          { timeoutMs: PROMISE_TIMEOUT_MS },
        );
        return { region: other, log: answer.log, heads: answer.heads };
      } catch {
        return undefined;
      }
    }),
  );
  let counted = [
    own,
    ...asked.filter((promise) => promise !== undefined),
    ...(options.drained === undefined ? [] : [options.drained]),
  ];
  for (;;) {
    const seal = sealOfPromises(streams, counted);
    const failed = await fetchUpTo({ seal, sources: counted, region, log, peers });
    if (failed === undefined) {
      const promised = counted.map((promise) => promise.region);
      const missing = [lease.record.holder, ...options.others].filter((name) => !promised.includes(name));
      return { seal, promises: counted, missing, lowered };
    }
    // What did come is durable here, and may be applied and relied on already: this region promises it, too.
    const heads = await log.promise(epoch, lease.revision);
    counted = [{ ...own, heads }, ...counted.slice(1).filter((promise) => promise.region !== failed)];
  }
}

/**
 * P6.5: a hub holds every closed epoch up to its seal. Asks every peer in turn for what is missing here; when nobody has it
 * this region does not become hub, since what it would serve and vouch for has a hole. Where a person allows the loss, it
 * answers how far the streams go here, which becomes their seal.
 */
async function fetchEarlierSeals(options: {
  readonly region: string;
  readonly allowLoss: boolean;
  readonly lease: Lease;
  readonly log: NamespaceLog;
  readonly peers: Peers;
}): Promise<Record<StreamKey, number>> {
  const { region, lease, log, peers } = options;
  const lowered: Record<StreamKey, number> = {};
  for (const seals of Object.values(lease.record.seals)) {
    for (const [stream, upTo] of Object.entries(seals)) {
      let filledFirst: AntipodeError | undefined;
      for (const source of peers.names) {
        while (log.head(stream).seq < upTo && peers.connected(source)) {
          try {
            await fetchPiece({ stream, upTo, source, log, peers });
          } catch (caught) {
            const error = toAntipodeError(caught);
            if (error.code === 'INTERNAL') throw caught;
            if (error.code === 'STREAM_TRUNCATED') filledFirst = refusedUntilFilled(region, source, error);
            break;
          }
        }
      }
      const { seq } = log.head(stream);
      if (seq < upTo && filledFirst !== undefined) throw filledFirst;
      if (seq < upTo && options.allowLoss) lowered[stream] = seq;
      else if (seq < upTo) {
        const hole = `${region} holds ${stream} up to ${seq}, its seal is ${upTo}, and no connected region has the rest`;
        throw new AntipodeError('LOSS_REFUSED', hole, {
          remedy:
            'Promote a region that holds it, or bring one back that does. When nobody has it any more: antipode failover NAMESPACE --to REGION --allow-loss.',
        });
      }
    }
  }
  return lowered;
}

/** Fetches and makes durable what is missing here up to the seal. Answers the region whose frames could not be had. */
async function fetchUpTo(options: {
  readonly seal: Readonly<Record<StreamKey, number>>;
  readonly sources: readonly CountedPromise[];
  readonly region: string;
  readonly log: NamespaceLog;
  readonly peers: Peers;
}): Promise<string | undefined> {
  const { seal, sources, region, log, peers } = options;
  for (const [stream, upTo] of Object.entries(seal)) {
    while (log.head(stream).seq < upTo) {
      const source = sources.find((promise) => promise.region !== region && (promise.heads[stream] ?? 0) >= upTo);
      if (source === undefined) throw new AntipodeError('FAILOVER_REFUSED', `nobody holds ${stream} up to ${upTo}`);
      try {
        await fetchPiece({ stream, upTo, source: source.region, log, peers });
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (error.code === 'INTERNAL') throw caught;
        if (error.code === 'STREAM_TRUNCATED') throw refusedUntilFilled(region, source.region, error);
        return source.region;
      }
    }
  }
  return undefined;
}

/**
 * What begins above this region's end is not lost: the one whose log let go of the beginning holds it in its store. A seal
 * at this region's end would take it from everybody, and no loss that a person allows is meant by that.
 */
function refusedUntilFilled(region: string, holder: string, cause: AntipodeError): AntipodeError {
  const reason = `${region} lacks history that ${holder} has in its store and no more in its log: ${cause.message}`;
  return new AntipodeError('FAILOVER_REFUSED', reason, {
    remedy: `Promote ${holder}, or wait until the backfill of ${region} has ended, which runs by itself.`,
    cause,
  });
}

async function fetchPiece(options: {
  stream: StreamKey;
  upTo: number;
  source: string;
  log: NamespaceLog;
  peers: Peers;
}): Promise<void> {
  const { stream, upTo, source, log, peers } = options;
  const before = log.queuedHead(stream).seq;
  const { blob } = await peers.request(
    source,
    'fetch',
    { stream, after: before, upTo },
    { timeoutMs: FETCH_TIMEOUT_MS },
  );
  for (const bytes of unpackFrames(blob)) {
    const { frame } = decodeFrame(bytes);
    if (frame.stream !== stream)
      throw new AntipodeError('FRAME_FOREIGN_ORIGIN', `${source} sent a frame of ${frame.stream} as one of ${stream}`);
    const logged = {
      from: frame.from,
      to: frame.to,
      hash: Buffer.from(envelopeHash(bytes)),
      bytes: Buffer.from(bytes),
      previousHash: frame.previousHash,
      epoch: frame.epoch,
    };
    await log.mirror(stream, logged, { forPromotion: true });
  }
  if (log.head(stream).seq === before)
    throw new AntipodeError('PEER_UNAVAILABLE', `${source} sent nothing of ${stream} after ${before}`);
}

/**
 * How long a candidate waits before it begins, so that the most advanced region goes first: nobody waits who holds as much
 * as every region that answers; the others wait one step for each that holds more, or as much and is preferred.
 */
export async function candidateDelayMs(options: {
  readonly region: string;
  readonly others: readonly string[];
  readonly lease: Lease;
  readonly log: NamespaceLog;
  readonly peers: Peers;
  readonly stepMs: number;
  /** All promotable regions, the preferred first. */
  readonly ranking: readonly string[];
}): Promise<number> {
  const { streams } = options.lease.record;
  const own = streams.reduce((sum, stream) => sum + options.log.head(stream).seq, 0);
  const rank = (name: string): number => options.ranking.indexOf(name);
  const ahead = await Promise.all(
    options.others.map(async (other) => {
      try {
        const { answer } = await options.peers.request(
          other,
          'inspect',
          { streams: streams.map((stream) => ({ stream, at: 0 })) },
          { timeoutMs: 1000 },
        );
        const theirs = streams.reduce((sum, stream) => sum + (answer.streams[stream]?.head ?? 0), 0);
        return theirs > own || (theirs === own && rank(other) < rank(options.region));
      } catch {
        return false;
      }
    }),
  );
  return ahead.filter(Boolean).length * options.stepMs;
}
