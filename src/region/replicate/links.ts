import { AntipodeError } from '#core/errors';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Channel, LinkTransport } from '#ports/link-transport';
import type { Random } from '#ports/random';
import type { Applier } from '#region/apply/applier';
import type { AuditLog } from '#region/audit/audit-log';
import type { PeerClocks } from '#region/clocks/peer-clocks';
import type { EventList } from '#region/observe/events';
import type { DurablePositions } from '#region/replicate/durable-positions';
import { planFollowing, type StreamTrouble, streamTrouble } from '#region/replicate/follow-plan';
import { type AnnouncedStream, LinkClient, type LinkObserver } from '#region/replicate/link-client';
import { LinkServer } from '#region/replicate/link-server';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import type { RequestHandlers } from '#region/replicate/rpc';
import type { RequestAnswer, RequestBody, RequestName } from '#region/replicate/wire';
import type { LinkStatus } from '#region/status';

/**
 * All links of a region: pulls every peer, serves every peer, and decides which stream is followed at which peer. A stream
 * is followed at its origin; only while its origin has no more of it to give is it followed at a peer that has, so that
 * survivors finish what a dead or wiped origin had sent to only one of them (P4.3).
 */
export class Links implements Peers, LinkObserver {
  readonly names: readonly string[];
  readonly #region: string;
  readonly #log: string;
  readonly #transport: LinkTransport;
  readonly #clock: Clock;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #applier: Applier;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #positions: DurablePositions;
  readonly #clocks: PeerClocks;
  readonly #clients = new Map<string, LinkClient>();
  readonly #servers = new Map<string, LinkServer>();
  readonly #held = new Map<string, ReadonlyMap<StreamKey, AnnouncedStream>>();
  #handlers: RequestHandlers = {};
  #extends: (stream: StreamKey) => boolean = () => false;
  #mayAppend: (namespace: string) => boolean = () => false;
  #onNewerLease: (namespace: string) => void = () => undefined;
  #onMarker: (namespace: string, payload: Uint8Array) => void = () => undefined;
  /** Why this region lacks something of a namespace that its logs cannot give it; then it acknowledges nothing of it. */
  incomplete: (namespace: string) => string | undefined = () => undefined;
  /** Of which streams of a namespace nothing is said to peers, because less of them is here than their logs say. */
  withheld: (namespace: string) => ReadonlySet<StreamKey> | 'all' = () => new Set();

  constructor(options: {
    region: string;
    /** Id of this region's log. */
    log: string;
    peers: readonly string[];
    transport: LinkTransport;
    clock: Clock;
    random: Random;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    applier: Applier;
    events: EventList;
    audit: AuditLog;
    positions: DurablePositions;
    clocks: PeerClocks;
  }) {
    this.#region = options.region;
    this.#log = options.log;
    this.names = options.peers;
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#namespaces = options.namespaces;
    this.#applier = options.applier;
    this.#events = options.events;
    this.#audit = options.audit;
    this.#positions = options.positions;
    this.#clocks = options.clocks;
    for (const peer of options.peers) {
      this.#clients.set(peer, new LinkClient({ ...options, peer, observer: this }));
    }
  }

  async start(options: {
    readonly handlers: RequestHandlers;
    readonly extendsItself: (stream: StreamKey) => boolean;
    /** Whether this region may append to the namespace at this moment. */
    readonly mayAppend: (namespace: string) => boolean;
    readonly onNewerLease: (namespace: string) => void;
    readonly onEpochMarker: (namespace: string, payload: Uint8Array) => void;
  }): Promise<void> {
    this.#handlers = options.handlers;
    this.#extends = options.extendsItself;
    this.#mayAppend = options.mayAppend;
    this.#onNewerLease = options.onNewerLease;
    this.#onMarker = options.onEpochMarker;
    await this.#transport.listen((channel) => this.#accept(channel));
    for (const client of this.#clients.values()) client.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
    for (const server of this.#servers.values()) server.close('the region stops');
    await this.#transport.close();
  }

  /** How far a peer said that it holds a stream durably, now or when it was last connected; 0 when it did not. */
  heldBy(peer: string, stream: StreamKey): number {
    return this.#held.get(peer)?.get(stream)?.head ?? 0;
  }

  /** Which connected peers hold how much of each stream of a namespace. */
  sources(namespace: string): Map<StreamKey, { peer: string; start: number; head: number }[]> {
    const sources = new Map<StreamKey, { peer: string; start: number; head: number }[]>();
    for (const client of this.#clients.values()) {
      for (const stream of client.streams(namespace)) {
        const source = client.sourceOf(stream);
        if (source === undefined) continue;
        const { peer, start, head } = source;
        sources.set(stream, [...(sources.get(stream) ?? []), { peer, start, head }]);
      }
    }
    return sources;
  }

  /** Nobody is asked for the stream until the next look. */
  unfollow(stream: StreamKey): void {
    for (const client of this.#clients.values()) client.unfollow(stream);
  }

  /** Tells each origin what is durable here of its streams: after a time in which nothing was acknowledged. */
  acknowledgeHeld(log: NamespaceLog): void {
    for (const stream of log.streams()) {
      const standing = log.standing(stream);
      const head = log.head(stream).seq;
      const upTo = standing.kind === 'sealed' ? Math.min(head, standing.seal) : head;
      this.#clients.get(parseStreamKey(stream)?.origin ?? '')?.acknowledge(stream, upTo);
    }
  }

  mayAcknowledge(namespace: string): boolean {
    return this.incomplete(namespace) === undefined;
  }

  connected(peer: string): boolean {
    return this.#clients.get(peer)?.connected ?? false;
  }

  /** Whether the peer has opened a link to this process: its links to earlier ones have ended then. */
  attached(peer: string): boolean {
    return this.#servers.has(peer);
  }

  /** Farthest end of a stream that a connected peer announced. */
  announcedHead(stream: StreamKey): number {
    return Math.max(0, ...[...this.#clients.values()].map((client) => client.headOf(stream)));
  }

  async request<N extends RequestName>(
    peer: string,
    name: N,
    body: RequestBody<N>,
    options: { readonly timeoutMs: number; readonly blob?: Uint8Array },
  ): Promise<{ answer: RequestAnswer<N>; blob: Buffer }> {
    const client = this.#clients.get(peer);
    if (client === undefined) throw new AntipodeError('PEER_UNAVAILABLE', `${peer} is no region of this topology`);
    return client.request(name, body, options);
  }

  status(): LinkStatus[] {
    return [...this.#clients.values()].map((client) => {
      const status = client.status();
      const trouble = status.state === 'connected' ? this.#streamTrouble(client) : undefined;
      if (trouble === undefined) return status;
      return { ...status, state: trouble.stops ? ('stopped' as const) : status.state, reason: trouble.reason };
    });
  }

  /** Why a stream cannot be taken from a connected peer although it has it, or had it: as code and text. */
  #streamTrouble(client: LinkClient): StreamTrouble | undefined {
    for (const log of this.#namespaces.values()) {
      for (const stream of client.streams(log.namespace)) {
        const source = client.sourceOf(stream);
        if (source === undefined) continue;
        const trouble = streamTrouble(stream, log, source);
        if (trouble !== undefined) return trouble;
      }
    }
    return undefined;
  }

  extendsItself(stream: StreamKey): boolean {
    return this.#extends(stream);
  }

  onHeads(
    from: { readonly name: string; readonly log: string },
    streams: ReadonlyMap<StreamKey, AnnouncedStream>,
    leases: Readonly<Record<string, number>>,
  ): void {
    const peer = from.name;
    for (const [namespace, revision] of Object.entries(leases)) {
      const log = this.#namespaces.get(namespace);
      if (log !== undefined && revision > (log.lease?.revision ?? 0)) this.#onNewerLease(namespace);
    }
    this.#held.set(peer, streams);
    this.#noteLive(peer, streams);
    for (const [stream, { head, watermarkMs }] of streams) {
      this.#noteSealed(stream, from, head);
      if (parseStreamKey(stream)?.origin !== peer) continue;
      // To be as far as an origin with another history says nothing of how fresh this region is.
      const diverged = this.#clients.get(peer)?.diverged(stream) === true;
      // Nor does the time of a clock that is known to be wrong.
      const tells = !diverged && !this.#clocks.beyondBound(peer);
      this.#applier.announce(stream, head, tells ? watermarkMs : null);
    }
    this.reconcile();
  }

  /** A member of an active-active namespace vouches for the streams that it extends, and for no others. */
  #noteLive(peer: string, streams: ReadonlyMap<StreamKey, { readonly watermarkMs: number | null }>): void {
    for (const log of this.#namespaces.values()) {
      if (log.live === undefined) continue;
      const vouched = [...streams].flatMap(([stream, { watermarkMs }]) => (watermarkMs === null ? [] : [stream]));
      const own = vouched.map((stream) => ({ stream, id: parseStreamKey(stream) }));
      const live = own.filter(({ id }) => id?.origin === peer && id.namespace === log.namespace);
      if (live.length > 0)
        log.live.set(
          peer,
          live.map(({ stream }) => stream),
        );
    }
  }

  /** What a peer holds of a closed epoch counts up to the seal, wherever it has it from; beyond it nothing does (P4.2). */
  #noteSealed(stream: StreamKey, peer: { readonly name: string; readonly log: string }, head: number): void {
    const standing = this.#namespaces.get(parseStreamKey(stream)?.namespace ?? '')?.standing(stream);
    if (standing?.kind === 'sealed') this.#positions.acknowledge(stream, peer, Math.min(head, standing.seal));
  }

  onConnected(peer: string): void {
    this.#events.add('link-connected', 'info', `the link from ${peer} is up`, { peer });
    this.reconcile();
  }

  onPing(peer: string, wallMs: number, roundTripMs: number): void {
    this.#clocks.observe(peer, wallMs, roundTripMs);
  }

  onLost(peer: string, reason: string): void {
    this.#events.add('link-lost', 'warning', `the link from ${peer} was lost: ${reason}`, { peer });
    this.#audit.note(this.#region, 'link-lost', { peer, reason });
    this.reconcile();
  }

  onEpochMarker(namespace: string, payload: Uint8Array): void {
    this.#onMarker(namespace, payload);
  }

  onFrameRetry(peer: string, stream: StreamKey, error: AntipodeError): void {
    this.#events.add('frame-retried', 'warning', `${error.code} from ${peer}: ${error.message}`, { peer, stream });
  }

  onBadFrame(peer: string, stream: StreamKey, error: AntipodeError): void {
    this.#events.add('frame-refused', 'error', `${error.code} from ${peer}: ${error.message}`, { peer, stream });
    this.#audit.note(this.#region, 'frame-refused', {
      peer,
      stream,
      code: error.code,
      message: error.message,
    });
  }

  /**
   * Whether this region can say of one of its own open streams that what it holds is all there is: it may append, and the
   * stream is the one it appends to, or is held here as far as anybody has told.
   */
  vouchesFor(stream: StreamKey): boolean {
    const id = parseStreamKey(stream);
    const log = this.#namespaces.get(id?.namespace ?? '');
    if (id === undefined || log === undefined || id.origin !== this.#region) return false;
    if (log.standing(stream).kind !== 'open' || !this.#mayAppend(id.namespace)) return false;
    // What peers still hold of earlier incarnations is for the reader to compare: it hears of peers that this region does not.
    if (this.#extends(stream) || log.live !== undefined) return this.#extends(stream);
    const head = log.head(stream).seq;
    if (head < (log.lease?.record.reported[stream] ?? 0)) return false;
    return [...this.#clients.values()].every((client) => client.headOf(stream) <= head);
  }

  /** Follows what should be followed, and no more. Cheap and idempotent: called with every heads message and every change of the lease. */
  reconcile(): void {
    const clients = [...this.#clients.values()].filter((client) => client.connected);
    for (const log of this.#namespaces.values()) {
      const announced = new Set(clients.flatMap((client) => client.streams(log.namespace)));
      for (const stream of announced) this.#reconcileStream(stream, log, clients);
    }
  }

  #reconcileStream(stream: StreamKey, log: NamespaceLog, clients: readonly LinkClient[]): void {
    const origin = parseStreamKey(stream)?.origin;
    const head = log.queuedHead(stream).seq;
    const standing = log.standing(stream);
    const sealed = standing.kind === 'sealed';
    if (origin === undefined || this.#extends(stream) || (sealed && head >= standing.seal)) {
      for (const client of clients) client.unfollow(stream);
      return;
    }
    if (standing.kind === 'open' && !log.openFor(standing.epoch)) return;
    const sources = clients.map((client) => client.sourceOf(stream)).filter((source) => source !== undefined);
    const plan = planFollowing({ origin, sealed, head, sources });
    for (const peer of plan.drop) this.#clients.get(peer)?.unfollow(stream);
    for (const peer of plan.follow) this.#clients.get(peer)?.follow(stream);
  }

  #accept(channel: Channel): void {
    if (!this.#clients.has(channel.peer)) {
      this.#audit.note(this.#region, 'peer-refused', { peer: channel.peer });
      channel.close(`${channel.peer} is no region of this topology`);
      return;
    }
    this.#servers.get(channel.peer)?.close('the peer opened a newer channel');
    const server = new LinkServer({
      region: this.#region,
      log: this.#log,
      channel,
      clock: this.#clock,
      namespaces: this.#namespaces,
      positions: this.#positions,
      handlers: this.#handlers,
      vouchesFor: (stream) => this.vouchesFor(stream),
      withheld: (namespace) => this.withheld(namespace),
    });
    this.#servers.set(channel.peer, server);
    channel.onClose(() => {
      if (this.#servers.get(channel.peer) === server) this.#servers.delete(channel.peer);
    });
  }
}
