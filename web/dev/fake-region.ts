import type { LinkStatus, NamespaceStatus, RegionEvent, RegionStatus, StreamStatus, TailStatus } from '../snapshot.ts';

const EVENTS_MAX = 200;
const TAIL_CHANGES = 1_280;
const DETECTION_MS = 3_000;
const PROMOTION_MS = 2_000;

const PLACES: Readonly<Record<string, string>> = {
  'us-east': 'Virginia, United States',
  'eu-west': 'Ireland',
  'ap-south': 'Mumbai, India',
  'sa-east': 'São Paulo, Brazil',
  'ca-central': 'Montréal, Canada',
};

export interface FakeOptions {
  /** The region whose view of the world is told. */
  readonly region: string;
  readonly regions: readonly string[];
  readonly startMs: number;
  readonly partitions: number;
}

interface FakeStream {
  readonly origin: string;
  readonly partition: number;
  readonly incarnation: string;
  readonly epoch: number;
  head: number;
  applied: number;
  seal: number | null;
  watermarkMs: number;
  lagCount: number;
  lagMaxMs: number;
  haltedReason: string | null;
  readonly durableAt: Record<string, number>;
}

interface FakeLink {
  readonly peer: string;
  readonly oneWayMs: number;
  state: LinkStatus['state'];
  reason: string | null;
  sinceMs: number;
  bytesReceived: number;
  bytesSent: number;
  frames: number;
  changes: number;
  reconnects: number;
}

/**
 * A region that does not exist, for developing and testing the page: it tells of hubs, links and streams the way a real
 * one does, and obeys commands such as `cutLink`. The same commands at the same times give the same statuses.
 */
export class FakeRegion {
  readonly #options: FakeOptions;
  #nowMs: number;
  #startedAtMs: number;
  #hub: string | null;
  #epoch = 3;
  #promotionMs: number | null = null;
  #lostHub: string | null = null;
  #controlLostMs: number | null = null;
  #seed = 0x2f6e2b1;
  #incarnations = 0;
  #accepted = 0;
  #acceptedRate = 0;
  #requests = 0;
  #requestRate = 0;
  #readRows = 0;
  #rows = 0;
  readonly #links: FakeLink[];
  readonly #streams: FakeStream[] = [];
  readonly #tails: { -readonly [Key in keyof TailStatus]: TailStatus[Key] }[] = [];
  readonly #events: RegionEvent[] = [];

  constructor(options: FakeOptions) {
    this.#options = options;
    this.#nowMs = options.startMs;
    this.#startedAtMs = options.startMs;
    this.#hub = options.regions[0] ?? null;
    this.#links = options.regions
      .filter((peer) => peer !== options.region)
      .map((peer, index) => ({
        peer,
        oneWayMs: [40, 110, 60, 95, 130, 25][index % 6] ?? 50,
        state: 'connected',
        reason: null,
        sinceMs: options.startMs,
        bytesReceived: 0,
        bytesSent: 0,
        frames: 0,
        changes: 0,
        reconnects: 0,
      }));
    this.#log('info', 'region-started', `Region ${options.region} serves; its store was closed cleanly.`);
    for (const link of this.#links) this.#log('info', 'link-connected', `Link to ${link.peer} is connected.`);
    if (this.#hub !== null) {
      this.#openStreams(this.#hub);
      this.#log('info', 'lease-acquired', `${this.#hub} holds the lease of flights, epoch ${this.#epoch}.`);
    }
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    if (this.#promotionMs !== null) this.#promote(this.#promotionMs);
    this.#ingest(ms);
    this.#replicate(ms);
    this.#read(ms);
    this.#replay(ms);
  }

  cutLink(peer: string, reason = 'LINK_SILENT: no frame and no heartbeat for 10 s'): void {
    const link = this.#link(peer);
    if (link === undefined || link.state !== 'connected') return;
    Object.assign(link, { state: 'connecting', reason, sinceMs: this.#nowMs });
    this.#log('error', 'link-lost', `Link to ${peer} is lost. ${reason}`);
  }

  healLink(peer: string): void {
    const link = this.#link(peer);
    if (link === undefined || link.state === 'connected') return;
    Object.assign(link, { state: 'connected', reason: null, sinceMs: this.#nowMs, reconnects: link.reconnects + 1 });
    this.#log('info', 'link-connected', `Link to ${peer} is connected again.`);
  }

  loseControl(): void {
    this.#controlLostMs = this.#nowMs;
    this.#log('error', 'control-lost', 'The control store does not answer.');
  }

  findControl(): void {
    this.#controlLostMs = null;
    this.#log('info', 'control-found', 'The control store answers again.');
  }

  /** The hub dies without a word; after the detection time its lease lapses and the next region is promoted. */
  killHub(): void {
    const hub = this.#hub;
    if (hub === null || hub === this.#options.region) return;
    this.#lostHub = hub;
    this.cutLink(hub, `LINK_CLOSED: connection reset by ${hub}`);
    this.#promotionMs = this.#nowMs;
  }

  /** The killed hub comes back, finds that it was deposed, and its tail is replayed by the new hub. */
  returnHub(): void {
    const hub = this.#lostHub;
    if (hub === null) return;
    this.#lostHub = null;
    this.healLink(hub);
    const stream = this.#streams.find((candidate) => candidate.origin === hub && candidate.seal !== null);
    if (stream === undefined) return;
    const from = stream.seal ?? stream.head;
    const identity = { namespace: 'flights', stream: keyOf(stream) };
    this.#tails.push({ ...identity, from, to: from + TAIL_CHANGES, state: 'replaying', replayed: 0 });
    this.#log('warning', 'tail-found', `${hub} holds a tail of ${TAIL_CHANGES} changes beyond the seal of epoch 3.`);
  }

  /** The first open stream is applied no further. */
  haltStream(reason: string): void {
    const stream = this.#streams.find(isOpen);
    if (stream === undefined) return;
    stream.haltedReason = reason;
    this.#log('error', 'stream-halted', `${keyOf(stream)} is not applied any further. ${reason}`);
  }

  quarantineRow(): void {
    this.#log(
      'warning',
      'row-quarantined',
      'Row of route_stats at flights/0 seq 81,220: origin is not a known airport.',
    );
  }

  status(): RegionStatus {
    const { region } = this.#options;
    const control = this.#controlLostMs;
    return {
      region,
      place: PLACES[region] ?? '',
      nowMs: this.#nowMs,
      startedAtMs: this.#startedAtMs,
      state: 'serving',
      control: { reachable: control === null, lastAnswerAgeMs: control === null ? 210 : this.#nowMs - control },
      namespaces: [this.#namespaceStatus()],
      streams: this.#streams.map((stream) => this.#streamStatus(stream)),
      links: this.#links.map((link) => this.#linkStatus(link)),
      tails: this.#tails.map((tail) => ({ ...tail })),
      store: { rows: this.#rows, bytes: this.#rows * 96 },
      log: { bytes: this.#streams.reduce((sum, stream) => sum + stream.head * 41, 0), snapshot: null },
      ingest: {
        acceptedChanges: this.#accepted,
        refusedChanges: 0,
        quarantinedChanges: this.#events.filter((event) => event.event === 'row-quarantined').length,
        duplicateRequests: 2,
        forwardedRequests: this.#hub === region ? 0 : 14,
        changesPerSecond: this.#acceptedRate,
      },
      reads: {
        requests: this.#requests,
        rows: this.#readRows,
        errors: 0,
        requestsPerSecond: this.#requestRate,
      },
      conflicts: [],
      backfills: { completed: 0, rows: 0, bytes: 0 },
      events: this.#events.slice(-EVENTS_MAX),
      clock: {
        fenced: null,
        offsets: this.#links.map(({ peer, oneWayMs }) => ({ peer, offsetMs: 3, uncertaintyMs: oneWayMs })),
      },
    };
  }

  #namespaceStatus(): NamespaceStatus {
    const { region } = this.#options;
    const holder = this.#hub === region;
    const freshness = this.#streams.filter(isOpen).map((stream) => this.#nowMs - stream.watermarkMs);
    return {
      namespace: 'flights',
      replication: 'active-passive',
      backfill: null,
      hub: this.#hub,
      epoch: this.#epoch,
      revision: 40 + this.#epoch,
      role: this.#promotionMs !== null && this.#hub === null ? 'promoting' : holder ? 'holder' : 'follower',
      accepting: holder && this.#controlLostMs === null,
      waitsFor: null,
      members: null,
      leaseRemainingMs: holder ? 2_400 : null,
      promisedEpoch: this.#hub === null ? this.#epoch : null,
      freshnessMs: freshness.length === 0 ? null : Math.max(...freshness),
    };
  }

  #streamStatus(stream: FakeStream): StreamStatus {
    const own = stream.origin === this.#options.region;
    const oneWayMs = own ? 0 : (this.#link(stream.origin)?.oneWayMs ?? 50);
    const counted = stream.lagCount > 0;
    return {
      stream: keyOf(stream),
      namespace: 'flights',
      partition: stream.partition,
      origin: stream.origin,
      incarnation: stream.incarnation,
      epoch: stream.epoch,
      open: isOpen(stream),
      head: stream.applied,
      applied: stream.applied,
      seal: stream.seal,
      watermarkMs: stream.watermarkMs,
      freshnessMs: this.#nowMs - stream.watermarkMs,
      backlog: isOpen(stream) ? stream.head - stream.applied : 0,
      lag: {
        count: stream.lagCount,
        p50Ms: counted ? oneWayMs + 4 + stream.partition : null,
        p99Ms: counted ? oneWayMs + 21 + 6 * stream.partition + 9 * wave(this.#nowMs, 90_000, stream.partition) : null,
        maxMs: counted ? stream.lagMaxMs : null,
      },
      durableAt: own ? { ...stream.durableAt } : {},
      haltedReason: stream.haltedReason,
      parkedUntilMs: null,
    };
  }

  #linkStatus(link: FakeLink): LinkStatus {
    return {
      peer: link.peer,
      state: link.state,
      reason: link.reason,
      roundTripMs: link.state === 'connected' ? 2 * link.oneWayMs + 1 + 2 * wave(this.#nowMs, 20_000, 1) : null,
      bytesReceived: link.bytesReceived,
      bytesSent: link.bytesSent,
      framesReceived: link.frames,
      changesReceived: link.changes,
      reconnects: link.reconnects,
      sinceMs: link.sinceMs,
    };
  }

  #ingest(ms: number): void {
    const rate = this.#hub === null ? 0 : 9_000 + 2_600 * wave(this.#nowMs, 140_000, 0) + 900 * this.#random();
    const dead = this.#hub !== null && this.#hub === this.#lostHub;
    this.#acceptedRate = this.#hub === this.#options.region ? Math.round(rate) : 0;
    this.#accepted += Math.round((this.#acceptedRate * ms) / 1000);
    if (dead) return;
    const open = this.#streams.filter(isOpen);
    for (const stream of open) stream.head += Math.round((rate * ms) / 1000 / open.length);
  }

  #replicate(ms: number): void {
    for (const stream of this.#streams.filter((candidate) => isOpen(candidate) && candidate.haltedReason === null)) {
      const own = stream.origin === this.#options.region;
      const link = own ? undefined : this.#link(stream.origin);
      if (own || link?.state === 'connected') {
        const step = Math.min(stream.head - stream.applied, Math.ceil((40_000 * ms) / 1000));
        stream.applied += step;
        stream.lagCount += step;
        this.#rows += Math.round(step * 0.19);
        const oneWayMs = link?.oneWayMs ?? 0;
        stream.lagMaxMs = Math.max(stream.lagMaxMs, oneWayMs + 60 * this.#random());
        stream.watermarkMs = this.#nowMs - oneWayMs - 30 - 120 * this.#random();
        if (link !== undefined && step > 0) {
          link.bytesReceived += step * 37;
          link.frames += Math.ceil(step / 400);
          link.changes += step;
        }
      }
      for (const peer of this.#links) {
        if (!own || peer.state !== 'connected') continue;
        const held = stream.durableAt[peer.peer] ?? 0;
        const target = Math.max(held, stream.head - Math.round(peer.oneWayMs * 4));
        peer.bytesSent += (target - held) * 37;
        stream.durableAt[peer.peer] = target;
      }
    }
  }

  #read(ms: number): void {
    this.#requestRate = Math.round(1_450 + 260 * wave(this.#nowMs, 75_000, 2) + 130 * this.#random());
    const requests = Math.round((this.#requestRate * ms) / 1000);
    this.#requests += requests;
    this.#readRows += requests * 8;
  }

  #promote(sinceMs: number): void {
    if (this.#nowMs - sinceMs >= DETECTION_MS && this.#hub !== null) {
      this.#log(
        'warning',
        'lease-lost',
        `The lease of ${this.#hub} for flights has lapsed; epoch ${this.#epoch} is closed.`,
      );
      for (const stream of this.#streams.filter(isOpen)) {
        stream.seal = stream.applied;
        stream.head = stream.applied;
      }
      this.#hub = null;
      this.#log('warning', 'promotion-started', `${this.#successor()} is the most advanced eligible region.`);
    }
    if (this.#nowMs - sinceMs < DETECTION_MS + PROMOTION_MS) return;
    this.#hub = this.#successor();
    this.#epoch += 1;
    this.#promotionMs = null;
    this.#openStreams(this.#hub);
    this.#log(
      'info',
      'promotion-completed',
      `${this.#hub} is hub of flights, epoch ${this.#epoch}; no acknowledged row was lost.`,
    );
  }

  #replay(ms: number): void {
    for (const tail of this.#tails) {
      if (tail.state !== 'replaying') continue;
      tail.replayed = Math.min(TAIL_CHANGES, tail.replayed + Math.round(ms * 0.16));
      if (tail.replayed < TAIL_CHANGES) continue;
      tail.state = 'replayed';
      this.#log('info', 'tail-replayed', `The tail of ${tail.stream} is replayed: ${TAIL_CHANGES} changes.`);
    }
  }

  #successor(): string {
    return this.#options.regions.find((region) => region !== this.#lostHub) ?? this.#options.region;
  }

  #openStreams(origin: string): void {
    this.#incarnations += 1;
    for (let partition = 0; partition < this.#options.partitions; partition += 1) {
      this.#streams.push({
        origin,
        partition,
        incarnation: `${'9f3c2b1a00c4d2e'.slice(this.#incarnations)}${partition}${'7b'.repeat(this.#incarnations)}`
          .slice(0, 16)
          .padEnd(16, '0'),
        epoch: this.#epoch,
        head: 0,
        applied: 0,
        seal: null,
        watermarkMs: this.#nowMs,
        lagCount: 0,
        lagMaxMs: 0,
        haltedReason: null,
        durableAt: {},
      });
    }
  }

  #link(peer: string): FakeLink | undefined {
    return this.#links.find((link) => link.peer === peer);
  }

  #log(severity: RegionEvent['severity'], event: string, message: string): void {
    this.#events.push({ atMs: this.#nowMs, event, severity, message });
  }

  /** Park and Miller's generator: the same numbers in every run. */
  #random(): number {
    this.#seed = (this.#seed * 48_271) % 0x7fffffff;
    return this.#seed / 0x7fffffff;
  }
}

function isOpen(stream: FakeStream): boolean {
  return stream.seal === null;
}

function keyOf(stream: FakeStream): string {
  return `flights/${stream.partition}/${stream.origin}/${stream.incarnation}`;
}

/** Between -1 and 1. */
function wave(nowMs: number, periodMs: number, phase: number): number {
  return Math.sin((2 * Math.PI * nowMs) / periodMs + phase);
}
