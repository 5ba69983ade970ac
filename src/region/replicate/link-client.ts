import { decodeFrame, envelopeHash, type Frame, FULL_CLASS } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Channel, LinkTransport } from '#ports/link-transport';
import type { Random } from '#ports/random';
import type { EventList } from '#region/observe/events';
import type { Source } from '#region/replicate/follow-plan';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { RpcEnd } from '#region/replicate/rpc';
import { StreamFailures } from '#region/replicate/stream-failures';
import {
  HEADS_MESSAGE,
  type Message,
  PROTOCOL_VERSION,
  parseBody,
  type RequestAnswer,
  type RequestBody,
  type RequestName,
} from '#region/replicate/wire';
import type { LinkStatus } from '#region/status';

/** Bytes of frames a peer may have on their way to this region: the window of flow control. */
export const LINK_WINDOW_BYTES = 8 * 1024 * 1024;
/** Reconnection: first and longest pause, ms; each pause is drawn between half of it and all of it. */
const RECONNECT_MS_MIN = 100;
const RECONNECT_MS_MAX = 3000;
const HANDSHAKE_TIMEOUT_MS = 5000;
const PING_INTERVAL_MS = 2000;
const REQUEST_TIMEOUT_MS = 5000;
/** Pause after a refused subscription or a full disk, ms. */
const SUBSCRIBE_PAUSE_MS = 1000;

/** What a peer says of one stream it holds: from where on, and how far. */
export interface AnnouncedStream {
  readonly start: number;
  readonly head: number;
  readonly watermarkMs: number | null;
}

export interface LinkObserver {
  /** The peer's positions, several times a second. `watermarkMs` only for its own open streams. */
  onHeads(
    from: { readonly name: string; readonly log: string },
    streams: ReadonlyMap<StreamKey, AnnouncedStream>,
    leases: Readonly<Record<string, number>>,
  ): void;
  onConnected(peer: string): void;
  /** The peer's wall clock, read within the round trip that just ended, ms. */
  onPing(peer: string, wallMs: number, roundTripMs: number): void;
  onLost(peer: string, reason: string): void;
  /** A frame was refused; the stream is asked for again after a pause. */
  onFrameRetry(peer: string, stream: StreamKey, error: AntipodeError): void;
  /** A frame that is not what was asked for, or whose bytes are not what their hash says, so often that the stream is halted at this peer. */
  onBadFrame(peer: string, stream: StreamKey, error: AntipodeError): void;
  /** The first frame of a new holder became durable here; `payload` holds the lease record. Throws when that is not readable. */
  onEpochMarker(namespace: string, payload: Uint8Array): void;
  /** Whether this region may say of the namespace that what it mirrors is durable here (P12.2). */
  mayAcknowledge(namespace: string): boolean;
  /** Whether this region itself extends the stream at this moment: then nobody else's frames are taken for it. */
  extendsItself(stream: StreamKey): boolean;
}

interface Subscription {
  readonly id: number;
  readonly stream: StreamKey;
  readonly log: NamespaceLog;
  /** The peer has accepted it. */
  accepted: boolean;
  /** When it was asked for, or its last frame came. */
  lastMs: number;
}

/**
 * This region's pull of one peer: keeps a channel open, subscribes to the streams it wants from that peer, and appends
 * what comes to the mirrors. Acknowledges only what is durable here, and gives new credit only for that (flow control ends
 * at the disk, not in memory). A bad frame ends its subscription, never the channel, which also carries forwarded writes
 * and promises.
 */
export class LinkClient {
  readonly peer: string;
  readonly #region: string;
  readonly #log: string;
  readonly #transport: LinkTransport;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #observer: LinkObserver;
  readonly #events: EventList;
  readonly #stopping = new AbortController();
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #byStream = new Map<StreamKey, Subscription>();
  readonly #failures = new StreamFailures();
  #heads: ReadonlyMap<StreamKey, AnnouncedStream> = new Map();
  #rpc: RpcEnd | undefined;
  #running: Promise<void> = Promise.resolve();
  #state: LinkStatus['state'] = 'connecting';
  #reason: string | null = null;
  #sinceMs: number;
  #roundTripMs: number | null = null;
  #reconnects = 0;
  #framesReceived = 0;
  #changesReceived = 0;
  #bytesBefore = { sent: 0, received: 0 };
  #creditDue = 0;
  #ackDue = new Map<StreamKey, number>();
  #flushing = false;
  #nextSubscription = 1;
  /** Id of the peer's log, as it said when the channel began. */
  #peerLog = '';

  constructor(options: {
    peer: string;
    region: string;
    /** Id of this region's log. */
    log: string;
    transport: LinkTransport;
    clock: Clock;
    random: Random;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    observer: LinkObserver;
    events: EventList;
  }) {
    this.peer = options.peer;
    this.#region = options.region;
    this.#log = options.log;
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#namespaces = options.namespaces;
    this.#observer = options.observer;
    this.#events = options.events;
    this.#sinceMs = options.clock.wallMs();
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AntipodeError('PEER_UNAVAILABLE', 'the region stops'));
    this.#rpc?.channel.close('the region stops');
    await this.#running;
  }

  get connected(): boolean {
    return this.#state === 'connected';
  }

  headOf(stream: StreamKey): number {
    return this.#heads.get(stream)?.head ?? 0;
  }

  /** Streams of a namespace that the peer announced. */
  streams(namespace: string): StreamKey[] {
    return [...this.#heads.keys()].filter((stream) => stream.startsWith(`${namespace}/`));
  }

  /** What this peer is as a source of the stream; undefined when it is not connected or did not announce it. */
  sourceOf(stream: StreamKey): Source | undefined {
    const position = this.#heads.get(stream);
    if (position === undefined || !this.connected) return undefined;
    const nowMs = this.#clock.monotonicMs();
    const subscription = this.#byStream.get(stream);
    return {
      peer: this.peer,
      start: position.start,
      head: position.head,
      vouches: position.watermarkMs !== null,
      willing: this.#failures.mayTry(stream, nowMs),
      state: subscription === undefined ? 'none' : subscription.accepted ? 'following' : 'asked',
      quietMs: subscription === undefined ? 0 : nowMs - subscription.lastMs,
    };
  }

  /** The peer holds another history of the stream than this region. */
  diverged(stream: StreamKey): boolean {
    return this.#failures.diverged(stream);
  }

  status(): LinkStatus {
    const channel = this.#rpc?.channel;
    const halted = this.#failures.haltedReason();
    return {
      peer: this.peer,
      state: halted === undefined ? this.#state : 'stopped',
      reason: halted ?? this.#reason,
      roundTripMs: this.#roundTripMs,
      bytesReceived: this.#bytesBefore.received + (channel?.bytesReceived ?? 0),
      bytesSent: this.#bytesBefore.sent + (channel?.bytesSent ?? 0),
      framesReceived: this.#framesReceived,
      changesReceived: this.#changesReceived,
      reconnects: this.#reconnects,
      sinceMs: this.#sinceMs,
    };
  }

  async request<N extends RequestName>(
    name: N,
    body: RequestBody<N>,
    options: { readonly timeoutMs: number; readonly blob?: Uint8Array },
  ): Promise<{ answer: RequestAnswer<N>; blob: Buffer }> {
    if (this.#rpc === undefined || !this.connected)
      throw new AntipodeError('PEER_UNAVAILABLE', `${this.peer} is not connected to ${this.#region}`);
    return this.#rpc.request(name, body, options);
  }

  /** Tells the peer what is durable here of one of its streams. */
  acknowledge(stream: StreamKey, seq: number): void {
    if (this.connected && seq > 0) this.#giveCredit(0, stream, seq);
  }

  /** Subscribes to a stream at this peer unless that is done, or stands no chance. */
  follow(stream: StreamKey): void {
    const log = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '');
    if (log === undefined || !this.connected || this.#byStream.has(stream)) return;
    if (this.#failures.mayTry(stream, this.#clock.monotonicMs())) void this.#subscribe(stream, log);
  }

  /** Ends the subscription to a stream at this peer; what is on its way is dropped. */
  unfollow(stream: StreamKey): void {
    const subscription = this.#byStream.get(stream);
    if (subscription !== undefined) this.#drop(subscription);
  }

  async #subscribe(stream: StreamKey, log: NamespaceLog): Promise<void> {
    const rpc = this.#rpc;
    if (rpc === undefined) return;
    // Frames received but not yet durable would be asked for again from the durable head; from the queued one they are not.
    const head = log.queuedHead(stream);
    const id = this.#nextSubscription++;
    const subscription = { id, stream, log, accepted: false, lastMs: this.#clock.monotonicMs() };
    this.#subscriptions.set(id, subscription);
    this.#byStream.set(stream, subscription);
    try {
      const hash = Buffer.from(head.hash).toString('hex');
      await rpc.request(
        'subscribe',
        { subscription: id, stream, after: head.seq, hash, egressClass: FULL_CLASS },
        { timeoutMs: REQUEST_TIMEOUT_MS },
      );
      subscription.accepted = true;
      this.#failures.subscribed(stream, head.seq);
      this.#acknowledgeHeld(stream, log);
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code === 'STREAM_DIVERGED') this.#fail(subscription, error);
      else this.#giveUp(subscription);
    }
  }

  /**
   * Says again what is durable here of an open stream: the acknowledgement may have been lost with the last channel. Not
   * while a promise stands, when this region may hold what it fetched as a candidate (P4.2).
   */
  #acknowledgeHeld(stream: StreamKey, log: NamespaceLog): void {
    const standing = log.standing(stream);
    const { seq } = log.head(stream);
    if (standing.kind === 'open' && log.openFor(standing.epoch) && seq > 0) this.#giveCredit(0, stream, seq);
  }

  /** Counts against the stream at this peer, once for each subscription. */
  #fail(subscription: Subscription, error: AntipodeError): void {
    const { stream, log } = subscription;
    if (this.#subscriptions.get(subscription.id) !== subscription) return;
    const at = { head: log.queuedHead(stream).seq, nowMs: this.#clock.monotonicMs() };
    const outcome = this.#failures.count(stream, error, at);
    if (outcome === 'halted') this.#observer.onBadFrame(this.peer, stream, error);
    else if (outcome === 'retry') this.#observer.onFrameRetry(this.peer, stream, error);
    this.#drop(subscription);
  }

  /** Ends a subscription that may well succeed later. */
  #giveUp(subscription: Subscription): void {
    if (this.#subscriptions.get(subscription.id) !== subscription) return;
    this.#failures.pause(subscription.stream, this.#clock.monotonicMs() + SUBSCRIBE_PAUSE_MS);
    this.#drop(subscription);
  }

  #drop({ id, stream }: Subscription): void {
    this.#subscriptions.delete(id);
    this.#byStream.delete(stream);
    this.#rpc?.request('unsubscribe', { subscription: id }, { timeoutMs: REQUEST_TIMEOUT_MS }).catch(() => undefined);
  }

  async #run(): Promise<void> {
    const signal = this.#stopping.signal;
    let pauseMs = RECONNECT_MS_MIN;
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonicMs();
      const reason = await this.#session(signal);
      if (signal.aborted) return;
      if (this.#clock.monotonicMs() - startedMs > RECONNECT_MS_MAX * 2) pauseMs = RECONNECT_MS_MIN;
      if (this.#reason !== reason) this.#reason = reason;
      await this.#clock.sleep(pauseMs * (0.5 + this.#random.next() / 2), signal).catch(() => undefined);
      pauseMs = Math.min(RECONNECT_MS_MAX, pauseMs * 2);
    }
  }

  /** One connection from its start to its end; returns why it ended. */
  async #session(signal: AbortSignal): Promise<string> {
    const deadline = new AbortController();
    const abort = (): void => deadline.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const expiry = this.#clock.every(HANDSHAKE_TIMEOUT_MS, () =>
      deadline.abort(
        new AntipodeError('PEER_TIMEOUT', `${this.peer} did not complete the handshake in ${HANDSHAKE_TIMEOUT_MS} ms`),
      ),
    );
    let channel: Channel | undefined;
    let stopPing: (() => void) | undefined;
    try {
      channel = await this.#transport.connect(this.peer, deadline.signal);
      const closed = new Promise<string>((resolve) => (channel as Channel).onClose(resolve));
      const rpc = new RpcEnd({ channel, clock: this.#clock, onOneWay: (message) => this.#onOneWay(message) });
      const { answer } = await rpc.request(
        'hello',
        { protocol: PROTOCOL_VERSION, region: this.#region, log: this.#log, creditBytes: LINK_WINDOW_BYTES },
        { timeoutMs: HANDSHAKE_TIMEOUT_MS },
      );
      if (answer.region !== this.peer)
        throw new AntipodeError('PROTOCOL_MISMATCH', `${this.peer} says it is ${answer.region}`);
      expiry();
      this.#rpc = rpc;
      this.#peerLog = answer.log;
      this.#failures.reconnected();
      this.#enter('connected', null);
      this.#observer.onConnected(this.peer);
      void this.#ping(rpc);
      stopPing = this.#clock.every(PING_INTERVAL_MS, () => void this.#ping(rpc));
      const reason = await closed;
      this.#enter('connecting', reason);
      this.#reconnects += 1;
      this.#observer.onLost(this.peer, reason);
      return reason;
    } catch (caught) {
      const error = toAntipodeError(caught, 'PEER_UNAVAILABLE');
      channel?.close(error.message);
      return `${error.code}: ${error.message}`;
    } finally {
      expiry();
      stopPing?.();
      signal.removeEventListener('abort', abort);
      this.#bytesBefore.sent += channel?.bytesSent ?? 0;
      this.#bytesBefore.received += channel?.bytesReceived ?? 0;
      this.#rpc = undefined;
      this.#subscriptions.clear();
      this.#byStream.clear();
      this.#heads = new Map();
      this.#creditDue = 0;
      this.#ackDue.clear();
    }
  }

  #enter(state: LinkStatus['state'], reason: string | null): void {
    this.#state = state;
    this.#reason = reason;
    this.#sinceMs = this.#clock.wallMs();
    if (state !== 'connected') this.#roundTripMs = null;
  }

  async #ping(rpc: RpcEnd): Promise<void> {
    const sentMs = this.#clock.monotonicMs();
    try {
      const { answer } = await rpc.request('ping', {}, { timeoutMs: HANDSHAKE_TIMEOUT_MS });
      this.#roundTripMs = this.#clock.monotonicMs() - sentMs;
      this.#observer.onPing(this.peer, answer.wallMs, this.#roundTripMs);
    } catch (caught) {
      if (toAntipodeError(caught).code === 'PEER_TIMEOUT')
        rpc.channel.close(`no answer to a ping within ${HANDSHAKE_TIMEOUT_MS} ms`);
    }
  }

  #onOneWay(message: Message): void {
    if (message.kind === 'heads') {
      const { streams, leases } = parseBody(HEADS_MESSAGE, message.body, 'heads');
      this.#heads = new Map(Object.entries(streams).filter(([stream]) => parseStreamKey(stream) !== undefined));
      this.#observer.onHeads({ name: this.peer, log: this.#peerLog }, this.#heads, leases);
    } else if (message.kind === 'frame') this.#onFrame(message);
    else throw new AntipodeError('PROTOCOL_MISMATCH', `${message.kind} is not for a link's client`);
  }

  #onFrame(message: Message): void {
    const subscription = this.#subscriptions.get(message.id);
    // A subscription given up while its frames were on their way: they are not missed, only their credit is.
    if (subscription === undefined) this.#giveCredit(message.blob.length, undefined, 0);
    else void this.#take(subscription, message.blob);
  }

  /** Appends a frame to its mirror. Up to there it is one synchronous step, so frames are taken in the order they came. */
  async #take(subscription: Subscription, bytes: Buffer): Promise<void> {
    const { stream, log } = subscription;
    const rpc = this.#rpc;
    let durable = 0;
    try {
      const frame = this.#decode(stream, bytes);
      subscription.lastMs = this.#clock.monotonicMs();
      this.#framesReceived += 1;
      this.#changesReceived += frame.to - frame.from;
      const logged = {
        from: frame.from,
        to: frame.to,
        hash: Buffer.from(envelopeHash(bytes)),
        bytes,
        previousHash: frame.previousHash,
        epoch: frame.epoch,
      };
      const outcome = await log.mirror(stream, logged, { forPromotion: false });
      if (outcome === 'appended') this.#failures.progressed(stream, frame.to);
      if (outcome === 'refused') this.unfollow(stream);
      else {
        durable = frame.to;
        if (frame.kind === 'epoch') this.#announceEpoch(stream, log.namespace, frame.payload);
      }
    } catch (caught) {
      const error = toAntipodeError(caught);
      // A full disk is nobody's bad frame: the stream goes on from what is durable.
      if (error.code === 'DISK_FULL') this.#giveUp(subscription);
      else this.#fail(subscription, error);
    }
    // Credit belongs to the channel on which the frame came.
    if (this.#rpc === rpc) this.#giveCredit(bytes.length, durable === 0 ? undefined : stream, durable);
  }

  /** Throws FRAME_FOREIGN_ORIGIN or FRAME_CORRUPT on a frame that may not be taken as one of `stream`. */
  #decode(stream: StreamKey, bytes: Buffer): Frame {
    if (this.#observer.extendsItself(stream))
      throw new AntipodeError(
        'FRAME_FOREIGN_ORIGIN',
        `${this.peer} sent frames of ${stream}, which this region extends`,
      );
    const { frame } = decodeFrame(bytes);
    if (frame.stream !== stream)
      throw new AntipodeError(
        'FRAME_FOREIGN_ORIGIN',
        `${this.peer} sent a frame of ${frame.stream} as one of ${stream}`,
      );
    return frame;
  }

  /** The frame stays: it is what its origin wrote. The region then learns the record from the control store alone. */
  #announceEpoch(stream: StreamKey, namespace: string, payload: Uint8Array): void {
    try {
      this.#observer.onEpochMarker(namespace, payload);
    } catch (caught) {
      this.#observer.onBadFrame(this.peer, stream, toAntipodeError(caught));
    }
  }

  /** Collects acknowledgements and credit of one turn into one message. */
  #giveCredit(bytes: number, stream: StreamKey | undefined, seq: number): void {
    this.#creditDue += bytes;
    const namespace = stream === undefined ? undefined : parseStreamKey(stream)?.namespace;
    if (stream !== undefined && namespace !== undefined && this.#observer.mayAcknowledge(namespace))
      this.#ackDue.set(stream, Math.max(seq, this.#ackDue.get(stream) ?? 0));
    if (this.#flushing) return;
    this.#flushing = true;
    void this.#clock.yield().then(() => {
      this.#flushing = false;
      if (this.#creditDue === 0 && this.#ackDue.size === 0) return;
      this.#rpc?.oneWay('credit', 0, { durable: Object.fromEntries(this.#ackDue), creditBytes: this.#creditDue });
      this.#creditDue = 0;
      this.#ackDue.clear();
    });
  }
}
