import type { z } from 'zod';
import { FULL_CLASS } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { Channel } from '#ports/link-transport';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { type RequestHandlers, RpcEnd } from '#region/replicate/rpc';
import {
  CREDIT_MESSAGE,
  type HEADS_MESSAGE,
  type Message,
  PROTOCOL_VERSION,
  packFrames,
  parseBody,
} from '#region/replicate/wire';

/** How often a link's server says how far it is, ms: the resolution of freshness and of detecting new streams. */
export const HEADS_INTERVAL_MS = 200;
/** Frames read from the log at once by a subscription, bytes. */
const PUMP_BYTES = 512 * 1024;
/** Bytes of frames in one answer to `fetch`. */
const FETCH_BYTES = 1024 * 1024;
/** Streams one peer may follow at the same time. */
const SUBSCRIPTIONS_MAX = 4096;

interface Subscription {
  readonly id: number;
  readonly stream: StreamKey;
  readonly log: NamespaceLog;
  sent: number;
  pumping: boolean;
  again: boolean;
}

/**
 * One peer's pull of this region's logs: answers its requests and sends it the frames it subscribed to, as they were
 * logged, within the credit it gave. Only durable frames leave, and none beyond a known seal.
 */
export class LinkServer {
  readonly peer: string;
  readonly #region: string;
  readonly #log: string;
  readonly #rpc: RpcEnd;
  readonly #clock: Clock;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #positions: DurablePositions;
  readonly #vouchesFor: (stream: StreamKey) => boolean;
  readonly #withheld: (namespace: string) => ReadonlySet<StreamKey> | 'all';
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #stops: (() => void)[] = [];
  #creditBytes = 0;
  /** Id of the log that the peer said it has. */
  #peerLog = '';

  constructor(options: {
    region: string;
    /** Id of this region's log. */
    log: string;
    channel: Channel;
    clock: Clock;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    positions: DurablePositions;
    /** Requests that are not about streams: promises, forwarded writes, tails. */
    handlers: RequestHandlers;
    /** Whether this region can say of an own open stream that what it holds is all there is. */
    vouchesFor: (stream: StreamKey) => boolean;
    /** Streams of a namespace of which this region is nobody's source, and does not say what it holds. */
    withheld?: (namespace: string) => ReadonlySet<StreamKey> | 'all';
  }) {
    this.#withheld = options.withheld ?? (() => new Set());
    this.peer = options.channel.peer;
    this.#region = options.region;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#namespaces = options.namespaces;
    this.#positions = options.positions;
    this.#vouchesFor = options.vouchesFor;
    this.#rpc = new RpcEnd({
      channel: options.channel,
      clock: options.clock,
      handlers: { ...options.handlers, ...this.#streamHandlers() },
      onOneWay: (message) => this.#onOneWay(message),
    });
    for (const log of this.#namespaces.values()) this.#stops.push(log.onDurable((stream) => this.#onDurable(stream)));
    this.#stops.push(this.#clock.every(HEADS_INTERVAL_MS, () => this.#sendHeads()));
    options.channel.onClose(() => {
      for (const stop of this.#stops) stop();
      this.#subscriptions.clear();
    });
  }

  close(reason: string): void {
    this.#rpc.channel.close(reason);
  }

  #streamHandlers(): RequestHandlers {
    return {
      hello: async (body) => {
        if (body.region !== this.peer)
          throw new AntipodeError('PROTOCOL_MISMATCH', `${this.peer} says it is ${body.region}`);
        this.#creditBytes = body.creditBytes;
        this.#peerLog = body.log;
        this.#positions.met(this.peer, body.log);
        return { answer: { protocol: PROTOCOL_VERSION, region: this.#region, log: this.#log } };
      },
      ping: async () => ({ answer: { wallMs: this.#clock.wallMs() } }),
      inspect: async ({ streams }) => {
        const answer: Record<StreamKey, { head: number; hashAt: string | null }> = {};
        for (const { stream, at } of streams) {
          const log = this.#logOf(stream);
          const hash = log.hashAt(stream, at);
          answer[stream] = {
            head: log.head(stream).seq,
            hashAt: hash === undefined ? null : Buffer.from(hash).toString('hex'),
          };
        }
        return { answer: { streams: answer } };
      },
      recall: async ({ namespace }) => {
        const log = this.#namespaces.get(namespace);
        if (log === undefined)
          throw new AntipodeError('STREAM_NOT_FOUND', `${namespace} is no namespace of this region`);
        const streams: Record<StreamKey, { seq: number; hash: string }> = {};
        for (const stream of log.streams()) {
          if (parseStreamKey(stream)?.origin !== this.peer) continue;
          const { seq, hash } = log.queuedHead(stream);
          if (seq > 0) streams[stream] = { seq, hash: Buffer.from(hash).toString('hex') };
        }
        return { answer: { streams } };
      },
      subscribe: async ({ subscription: id, stream, after, hash, egressClass }) => {
        const log = this.#logOf(stream);
        if (egressClass !== FULL_CLASS)
          throw new AntipodeError('PROTOCOL_MISMATCH', `egress class ${egressClass} is not known`);
        if (this.#subscriptions.size >= SUBSCRIPTIONS_MAX)
          throw new AntipodeError('OVERLOADED', `more than ${SUBSCRIPTIONS_MAX} subscriptions`);
        this.#assertHeld(stream, log, after);
        const held = log.hashAt(stream, after);
        if (held === undefined || Buffer.from(held).toString('hex') !== hash) {
          throw new AntipodeError('STREAM_DIVERGED', `${stream} at ${after} is another history here`, {
            where: stream,
          });
        }
        this.#positions.asksAfter(stream, { name: this.peer, log: this.#peerLog }, after);
        const subscription: Subscription = { id, stream, log, sent: after, pumping: false, again: false };
        this.#subscriptions.set(id, subscription);
        this.#pump(subscription);
        return { answer: {} };
      },
      unsubscribe: async ({ subscription }) => {
        this.#subscriptions.delete(subscription);
        return { answer: {} };
      },
      fetch: async ({ stream, after, upTo }) => {
        const log = this.#logOf(stream);
        if (after < log.start(stream).seq) this.#assertHeld(stream, log, after);
        const frames = log.read(stream, after, FETCH_BYTES).filter((frame) => frame.to <= upTo);
        return { answer: { frames: frames.length }, blob: packFrames(frames) };
      },
    };
  }

  /** What follows `after` is held here: else STREAM_TRUNCATED below the start, STREAM_SHRUNK or STREAM_NOT_FOUND above the end. */
  #assertHeld(stream: StreamKey, log: NamespaceLog, after: number): void {
    const start = log.start(stream).seq;
    const head = log.head(stream).seq;
    if (after < start)
      throw new AntipodeError('STREAM_TRUNCATED', `${stream} begins at ${start} here, above ${after}`, {
        where: stream,
      });
    if (after <= head) return;
    const own = parseStreamKey(stream)?.origin === this.#region;
    throw new AntipodeError(
      own ? 'STREAM_SHRUNK' : 'STREAM_NOT_FOUND',
      `${stream} ends at ${head} here, before ${after}`,
      { where: stream },
    );
  }

  #logOf(stream: StreamKey): NamespaceLog {
    const log = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '');
    if (log === undefined) throw new AntipodeError('STREAM_NOT_FOUND', `${stream} is of no namespace of this region`);
    return log;
  }

  #onOneWay(message: Message): void {
    if (message.kind !== 'credit')
      throw new AntipodeError('PROTOCOL_MISMATCH', `${message.kind} is not for a link's server`);
    const { durable, creditBytes } = parseBody(CREDIT_MESSAGE, message.body, 'credit');
    for (const [stream, seq] of Object.entries(durable)) {
      if (parseStreamKey(stream) !== undefined)
        this.#positions.acknowledge(stream, { name: this.peer, log: this.#peerLog }, seq);
    }
    this.#creditBytes += creditBytes;
    for (const subscription of this.#subscriptions.values()) this.#pump(subscription);
  }

  #onDurable(stream: StreamKey): void {
    for (const subscription of this.#subscriptions.values())
      if (subscription.stream === stream) this.#pump(subscription);
  }

  #pump(subscription: Subscription): void {
    if (subscription.pumping) {
      subscription.again = true;
      return;
    }
    subscription.pumping = true;
    void this.#pumpAll(subscription)
      .catch((error: unknown) => this.close(`cannot read ${subscription.stream}: ${String(error)}`))
      .finally(() => {
        subscription.pumping = false;
        if (!subscription.again) return;
        subscription.again = false;
        this.#pump(subscription);
      });
  }

  async #pumpAll(subscription: Subscription): Promise<void> {
    const { stream, log } = subscription;
    const channel = this.#rpc.channel;
    while (!channel.closed && this.#creditBytes > 0 && this.#subscriptions.has(subscription.id)) {
      const standing = log.standing(stream);
      const limit = standing.kind === 'sealed' ? standing.seal : Number.MAX_SAFE_INTEGER;
      // Frames left this log that were not sent here, because the peer had them from another: it goes on behind them. One
      // that has not finds a gap, and asks again.
      subscription.sent = Math.max(subscription.sent, log.start(stream).seq);
      const frames = readable(log, stream, subscription.sent, Math.min(PUMP_BYTES, this.#creditBytes)).filter(
        (frame) => frame.to <= limit,
      );
      if (frames.length === 0) return;
      let writable = true;
      for (const frame of frames) {
        writable = this.#rpc.oneWay('frame', subscription.id, undefined, frame.bytes);
        subscription.sent = frame.to;
        this.#creditBytes -= frame.bytes.length;
      }
      if (!writable) await channel.drained();
    }
  }

  #sendHeads(): void {
    const streams: z.infer<typeof HEADS_MESSAGE>['streams'] = {};
    const leases: Record<string, number> = {};
    for (const [namespace, log] of this.#namespaces) {
      const watermarkMs = log.watermarkMs();
      if (log.lease !== undefined) leases[namespace] = log.lease.revision;
      const withheld = this.#withheld(namespace);
      if (withheld === 'all') continue;
      for (const stream of log.streams()) {
        if (withheld.has(stream)) continue;
        streams[stream] = {
          start: log.start(stream).seq,
          head: log.head(stream).seq,
          watermarkMs: this.#vouchesFor(stream) ? watermarkMs : null,
        };
      }
    }
    this.#rpc.oneWay('heads', 0, { streams, leases });
  }
}

/** The next frames, none while the first of them is damaged here: it is not sent, and goes out once a good copy is in its place. */
function readable(log: NamespaceLog, stream: StreamKey, after: number, maxBytes: number): readonly LoggedFrame[] {
  try {
    return log.read(stream, after, maxBytes);
  } catch (caught) {
    if (toAntipodeError(caught).code !== 'FRAME_CORRUPT') throw caught;
    return [];
  }
}
