import type { Lease } from '#core/failover/lease';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { StampGate } from '#region/clocks/stamp-gate';
import { type OwnLog, type OwnLogSurroundings, VOUCH_WAIT_MS } from '#region/failover/incarnation';
import type { Shortfall } from '#region/failover/readiness';
import type { HlcService } from '#region/ingest/hlc-service';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { recall } from '#region/replicate/recall';

/** What a holder has around it when it enters an epoch. */
export interface HolderSurroundings extends OwnLogSurroundings {
  readonly applier: Applier;
  readonly hlc: HlcService;
  readonly stamps: StampGate;
  /** Whether a peer has opened a link to this process: nothing sent by an earlier one is on its way there any more. */
  readonly attached: (peer: string) => boolean;
}

/**
 * Streams of its epoch that a holder extends no more, because it lost a part of them or may have. What peers hold of them
 * is valid, and comes back before anything is accepted that might repeat it: a retry whose key only they know, or a row
 * written over one that is not here. A holder that knows it lost something waits for the word of every peer, for as long
 * as that takes or until a person moves the hub; one that merely was not vouched for has waited already.
 */
export class EarlierLife {
  readonly #earlier: readonly StreamKey[];
  readonly #log: NamespaceLog;
  readonly #applier: Pick<Applier, 'announcedHead'>;
  readonly #peers: Peers;
  readonly #attached: (peer: string) => boolean;
  readonly #clock: Clock;
  readonly #onWord: () => void;
  readonly #patienceMs: number;
  readonly #startedMs: number;
  /** How far each peer that answered holds each stream of this region, as it last said. */
  readonly #words = new Map<string, Readonly<Record<StreamKey, number>>>();
  readonly #asking = new Set<string>();

  constructor(
    options: Pick<HolderSurroundings, 'log' | 'logId' | 'peers' | 'attached' | 'clock'> & {
      readonly applier: Pick<Applier, 'announcedHead'>;
      readonly lease: Lease;
      /** Streams that this holder extends. */
      readonly streams: readonly StreamKey[];
      /** What was found of its log before it entered the record. */
      readonly ownLog: OwnLog;
      /** Called when a peer has answered for the first time. */
      readonly onWord: () => void;
    },
  ) {
    const { lease, streams, log, clock } = options;
    this.#earlier = lease.record.streams.filter((stream) => !streams.includes(stream));
    this.#log = log;
    this.#applier = options.applier;
    this.#peers = options.peers;
    this.#attached = options.attached;
    this.#clock = clock;
    this.#onWord = options.onWord;
    this.#patienceMs = this.#patience(options);
    this.#startedMs = clock.monotonicMs();
  }

  /** What peers hold, or may hold, of the earlier streams and is not here; undefined when nothing. Asks who has not said. */
  shortfall(): Shortfall | undefined {
    if (this.#earlier.length === 0) return undefined;
    const waitedMs = this.#clock.monotonicMs() - this.#startedMs;
    for (const stream of this.#earlier) {
      const head = this.#log.head(stream).seq;
      const held = Math.max(this.#applier.announcedHead(stream), ...this.#saidOf(stream));
      if (held <= head) continue;
      this.#ask(this.#peers.names);
      return { kind: 'hole', reason: `it holds ${stream} up to ${head}, others up to ${held}` };
    }
    const silent = this.#peers.names.filter((peer) => !this.#words.has(peer));
    if (silent.length === 0 || waitedMs > this.#patienceMs) return undefined;
    this.#ask(silent);
    return {
      kind: waitedMs > VOUCH_WAIT_MS ? 'hole' : 'applying',
      reason: `its log lost a part of this epoch, and ${silent.join(', ')} did not say yet what they hold of it`,
    };
  }

  #patience({ lease, streams, ownLog, log, logId }: ConstructorParameters<typeof EarlierLife>[0]): number {
    // It waited before it began these streams, in this life or an earlier one.
    if (streams.some((stream) => log.head(stream).seq > 0)) return Number.NEGATIVE_INFINITY;
    const { holderLog, reported } = lease.record;
    const lost = this.#earlier.some((stream) => (reported[stream] ?? 0) > log.head(stream).seq);
    if (lost || ownLog === 'behind' || holderLog !== logId) return Number.POSITIVE_INFINITY;
    return ownLog === 'unvouched' ? Number.NEGATIVE_INFINITY : VOUCH_WAIT_MS;
  }

  #saidOf(stream: StreamKey): number[] {
    return [...this.#words.values()].map((heads) => heads[stream] ?? 0);
  }

  #ask(peers: readonly string[]): void {
    for (const peer of peers) {
      if (this.#asking.has(peer)) continue;
      this.#asking.add(peer);
      void recall(peer, { log: this.#log, peers: this.#peers, attached: this.#attached }).then(({ word, heads }) => {
        this.#asking.delete(peer);
        if (word === 'silent') return;
        const first = !this.#words.has(peer);
        this.#words.set(peer, heads);
        if (first) this.#onWord();
      });
    }
  }
}
