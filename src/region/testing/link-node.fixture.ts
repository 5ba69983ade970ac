import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { KvJournal } from '#adapters/kv/kv-journal';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import type { MemoryNetwork } from '#adapters/memory-link/memory-network';
import { type EncodedFrame, encodeFrame, type FrameKind, FULL_CLASS } from '#core/codec/frame';
import type { LeaseRecord } from '#core/failover/lease';
import { ZERO_HASH } from '#core/hash';
import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import { AuditLog } from '#region/audit/audit-log';
import { PeerClocks } from '#region/clocks/peer-clocks';
import { EventList } from '#region/observe/events';
import { DurablePositions } from '#region/replicate/durable-positions';
import { Links } from '#region/replicate/links';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { QUIET, REAL_CLOCK, TEST_HOST } from '#region/testing/in-process.fixture';

/** Real time that passes so many times faster: pauses of a minute end in seconds. */
const SPEED = 20;
const FAST_CLOCK: Clock = {
  wallMs: () => 1_000_000 + performance.now() * SPEED,
  monotonicMs: () => performance.now() * SPEED,
  sleep: (ms, signal) => REAL_CLOCK.sleep(ms / SPEED, signal),
  every: (ms, task) => REAL_CLOCK.every(ms / SPEED, task),
  yield: () => REAL_CLOCK.yield(),
};

export interface ChainedFrame extends EncodedFrame {
  readonly previousHash: Uint8Array;
  readonly epoch: number;
}

/** `count` frames of 100 changes each, from the start of a stream; the first may be an epoch marker of one change. */
export function chainOf(stream: StreamKey, count: number, marker?: Uint8Array): ChainedFrame[] {
  const frames: ChainedFrame[] = [];
  let from = 0;
  let previousHash: Uint8Array = ZERO_HASH;
  const add = (kind: FrameKind, changes: number, payload: Uint8Array): void => {
    const encoded = encodeFrame({
      stream,
      epoch: 1,
      from,
      to: from + changes,
      kind,
      viewVersion: kind === 'epoch' ? '' : '00112233445566778899aabbccddeeff',
      previousHash,
      hlc: { wallMs: 1, counter: 0 },
      watermarkMs: 1,
      applied: [],
      egressClass: FULL_CLASS,
      omitted: [],
      idempotency: [],
      replay: null,
      payload,
    });
    frames.push({ ...encoded, previousHash, epoch: 1 });
    from = encoded.to;
    previousHash = encoded.hash;
  };
  if (marker !== undefined) add('epoch', 1, marker);
  for (let i = 0; i < count; i++) add('rows', 100, Buffer.from('rows'));
  return frames;
}

/** A change log whose disk gives back other bytes for some frames than were written. */
class RottenChangeLog extends KvChangeLog {
  /** Ends of frames that read with a flipped bit. */
  readonly rotten = new Set<number>();
  reads = 0;

  override read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[] {
    return super.read(stream, afterSeq, maxBytes).map((frame) => {
      if (!this.rotten.has(frame.to)) return frame;
      this.reads += 1;
      const bytes = Buffer.from(frame.bytes);
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
      return { ...frame, bytes };
    });
  }
}

/** Links of one region over its own log of the namespace `flights`, without applier and authority. */
export class LinkNode {
  readonly region: string;
  readonly changeLog: RottenChangeLog;
  readonly log: NamespaceLog;
  readonly events: EventList;
  readonly audit: AuditLog;
  readonly links: Links;
  readonly positions = new DurablePositions();
  /** Streams this region extends. */
  readonly extended = new Set<StreamKey>();
  mayAppend = false;
  /** What was announced to the applier, newest last. */
  readonly announced: { stream: StreamKey; head: number; watermarkMs: number | null }[] = [];
  onEpochMarker: (payload: Uint8Array) => void = () => undefined;

  constructor(network: MemoryNetwork, region: string, peers: readonly string[]) {
    this.region = region;
    const kv = new MemoryKv(new MemoryDisk());
    const journal = new KvJournal(kv);
    const clock = FAST_CLOCK;
    this.changeLog = new RottenChangeLog(kv);
    this.log = new NamespaceLog({ namespace: 'flights', log: this.changeLog, journal, host: TEST_HOST, clock });
    this.events = new EventList({ clock, log: QUIET });
    this.audit = new AuditLog({ journal, clock, host: TEST_HOST });
    const applier: Pick<Applier, 'announce'> = {
      announce: (stream, head, watermarkMs) => void this.announced.push({ stream, head, watermarkMs }),
    };
    this.links = new Links({
      region,
      log: `log of ${region}`,
      peers,
      transport: network.transport(region),
      clock,
      random: { next: () => 0.5, hex: () => '00' },
      namespaces: new Map([['flights', this.log]]),
      applier: applier as unknown as Applier,
      events: this.events,
      audit: this.audit,
      positions: this.positions,
      clocks: new PeerClocks({ region, peers, clock, events: this.events, audit: this.audit }),
    });
  }

  start(): Promise<void> {
    return this.links.start({
      handlers: {},
      extendsItself: (stream) => this.extended.has(stream),
      mayAppend: () => this.mayAppend,
      onNewerLease: () => undefined,
      onEpochMarker: (_, payload) => this.onEpochMarker(payload),
    });
  }

  adopt(record: LeaseRecord, revision = 1): void {
    this.log.adopt({ record, revision });
    this.links.reconcile();
  }

  /** Puts frames into the log as they would have come long ago. */
  async hold(stream: StreamKey, frames: readonly ChainedFrame[]): Promise<void> {
    for (const frame of frames) await this.log.mirror(stream, frame, { forPromotion: true });
  }

  head(stream: StreamKey): number {
    return this.log.head(stream).seq;
  }

  audited(action: string): number {
    return this.audit.entries({ after: -1, limit: 1000 }).filter((entry) => entry.action === action).length;
  }

  link(peer: string): ReturnType<Links['status']>[number] {
    const status = this.links.status().find((link) => link.peer === peer);
    if (status === undefined) throw new Error(`no link to ${peer}`);
    return status;
  }
}

/** Three regions, all linked, that take part until `body` has ended. */
export async function linked(
  network: MemoryNetwork,
  body: (nodes: { us: LinkNode; eu: LinkNode; ap: LinkNode }) => Promise<void>,
): Promise<void> {
  const names = ['us-east', 'eu-west', 'ap-south'];
  const [us, eu, ap] = names.map(
    (name) =>
      new LinkNode(
        network,
        name,
        names.filter((other) => other !== name),
      ),
  ) as [LinkNode, LinkNode, LinkNode];
  try {
    await body({ us, eu, ap });
  } finally {
    for (const node of [us, eu, ap]) await node.links.stop();
  }
}

export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const endMs = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${ms} ms: ${condition}`);
    await REAL_CLOCK.sleep(5);
  }
}

/** Lets `ms` of the nodes' time pass. */
export async function pass(ms: number): Promise<void> {
  await FAST_CLOCK.sleep(ms);
}
