import { decodeFrame, envelopeHash, FULL_CLASS } from '#core/codec/frame';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Channel, LinkTransport } from '#ports/link-transport';
import type { Random } from '#ports/random';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { RpcEnd } from '#region/replicate/rpc';
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

export interface LinkObserver {
  /** The peer's positions, several times a second. `watermarkMs` only for its own open streams. */
  onHeads(
    peer: string,
    streams: ReadonlyMap<StreamKey, { readonly head: number; readonly watermarkMs: number | null }>,
    leases: Readonly<Record<string, number>>,
  ): void;
  onConnected(peer: string): void;
  onLost(peer: string, reason: string): void;
  /** A frame that is not what was asked for, or whose bytes are not what their hash says. */
  onBadFrame(peer: string, stream: StreamKey | undefined, error: AntipodeError): void;
  /** The first frame of a new holder became durable here; `payload` holds the lease record. */
  onEpochMarker(namespace: string, payload: Uint8Array): void;
  /** Whether this region itself extends the stream at this moment: then nobody else's frames are taken for it. */
  extendsItself(stream: StreamKey): boolean;
}

interface Subscription {
  readonly stream: StreamKey;
  readonly log: NamespaceLog;
}

/**
 * This region's pull of one peer: keeps a channel open, subscribes to the streams it wants from that peer, and appends
 * what comes to the mirrors. Acknowledges only what is durable here, and gives new credit only for that (flow control ends
 * at the disk, not in memory).
 */
export class LinkClient {
  readonly peer: string;
  readonly #region: string;
  readonly #transport: LinkTransport;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #observer: LinkObserver;
  readonly #events: EventList;
  readonly #stopping = new AbortController();
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #halted = new Map<StreamKey, string>();
  readonly #heads = new Map<StreamKey, { head: number; watermarkMs: number | null }>();
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

  constructor(options: {
    peer: string;
    region: string;
    transport: LinkTransport;
    clock: Clock;
    random: Random;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    observer: LinkObserver;
    events: EventList;
  }) {
    this.peer = options.peer;
    this.#region = options.region;
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

  follows(stream: StreamKey): boolean {
    for (const subscription of this.#subscriptions.values()) if (subscription.stream === stream) return true;
    return false;
  }

  status(): LinkStatus {
    const channel = this.#rpc?.channel;
    const halted = [...this.#halted.values()][0];
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

  /** Subscribes to a stream at this peer unless that is done, or stands no chance. */
  follow(stream: StreamKey): void {
    const log = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '');
    if (log === undefined || !this.connected || this.follows(stream) || this.#halted.has(stream)) return;
    void this.#subscribe(stream, log);
  }

  async #subscribe(stream: StreamKey, log: NamespaceLog): Promise<void> {
    const rpc = this.#rpc;
    if (rpc === undefined) return;
    // Frames received but not yet durable would be asked for again from the durable head; from the queued one they are not.
    const head = log.queuedHead(stream);
    const subscription = this.#nextSubscription++;
    this.#subscriptions.set(subscription, { stream, log });
    try {
      const hash = Buffer.from(head.hash).toString('hex');
      await rpc.request(
        'subscribe',
        { subscription, stream, after: head.seq, hash, egressClass: FULL_CLASS },
        { timeoutMs: REQUEST_TIMEOUT_MS },
      );
    } catch (caught) {
      this.#subscriptions.delete(subscription);
      const error = toAntipodeError(caught);
      if (error.code === 'STREAM_DIVERGED') this.#halt(stream, error);
    }
  }

  #halt(stream: StreamKey, error: AntipodeError): void {
    this.#halted.set(stream, `${error.code}: ${error.message}`);
    this.#observer.onBadFrame(this.peer, stream, error);
    this.#drop(stream);
  }

  #drop(stream: StreamKey): void {
    for (const [id, subscription] of this.#subscriptions) {
      if (subscription.stream !== stream) continue;
      this.#subscriptions.delete(id);
      this.#rpc?.request('unsubscribe', { subscription: id }, { timeoutMs: REQUEST_TIMEOUT_MS }).catch(() => undefined);
    }
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
        { protocol: PROTOCOL_VERSION, region: this.#region, creditBytes: LINK_WINDOW_BYTES },
        { timeoutMs: HANDSHAKE_TIMEOUT_MS },
      );
      if (answer.region !== this.peer)
        throw new AntipodeError('PROTOCOL_MISMATCH', `${this.peer} says it is ${answer.region}`);
      expiry();
      this.#rpc = rpc;
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
      this.#heads.clear();
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
      await rpc.request('ping', {}, { timeoutMs: HANDSHAKE_TIMEOUT_MS });
      this.#roundTripMs = this.#clock.monotonicMs() - sentMs;
    } catch (caught) {
      if (toAntipodeError(caught).code === 'PEER_TIMEOUT')
        rpc.channel.close(`no answer to a ping within ${HANDSHAKE_TIMEOUT_MS} ms`);
    }
  }

  #onOneWay(message: Message): void {
    if (message.kind === 'heads') {
      const { streams, leases } = parseBody(HEADS_MESSAGE, message.body, 'heads');
      for (const [stream, position] of Object.entries(streams)) {
        if (parseStreamKey(stream) !== undefined) this.#heads.set(stream, position);
      }
      this.#observer.onHeads(this.peer, this.#heads, leases);
    } else if (message.kind === 'frame') this.#onFrame(message);
    else throw new AntipodeError('PROTOCOL_MISMATCH', `${message.kind} is not for a link's client`);
  }

  #onFrame(message: Message): void {
    const subscription = this.#subscriptions.get(message.id);
    const bytes = message.blob;
    // A subscription given up while its frames were on their way: they are not missed, only their credit is.
    if (subscription === undefined) {
      this.#giveCredit(bytes.length, undefined, 0);
      return;
    }
    const { stream, log } = subscription;
    try {
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
      log.mirror(stream, logged, { forPromotion: false }).then(
        (outcome) => {
          if (outcome === 'refused') this.#drop(stream);
          else if (frame.kind === 'epoch') this.#observer.onEpochMarker(log.namespace, frame.payload);
          this.#giveCredit(bytes.length, outcome === 'refused' ? undefined : stream, frame.to);
        },
        (caught: unknown) => this.#onBadFrame(stream, toAntipodeError(caught)),
      );
    } catch (caught) {
      this.#onBadFrame(stream, toAntipodeError(caught));
    }
  }

  #onBadFrame(stream: StreamKey, error: AntipodeError): void {
    if (error.code === 'STREAM_DIVERGED') {
      this.#halt(stream, error);
      return;
    }
    // A full disk is nobody's bad frame: the link comes back and goes on from what is durable.
    if (error.code !== 'DISK_FULL') this.#observer.onBadFrame(this.peer, stream, error);
    this.#rpc?.channel.close(`${error.code}: ${error.message}`);
  }

  /** Collects acknowledgements and credit of one turn into one message. */
  #giveCredit(bytes: number, stream: StreamKey | undefined, seq: number): void {
    this.#creditDue += bytes;
    if (stream !== undefined) this.#ackDue.set(stream, Math.max(seq, this.#ackDue.get(stream) ?? 0));
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
