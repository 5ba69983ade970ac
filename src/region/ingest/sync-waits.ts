import { AntipodeError } from '#core/errors';
import { isMet, type Requirement } from '#core/failover/acknowledge';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { Acknowledgement } from '#region/ingest/acknowledgement';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Writes of one namespace that may wait for other regions at the same time; more are refused before they are logged. */
export const SYNC_WAITS_MAX = 65_536;

interface Wait {
  readonly requirement: Requirement;
  readonly deadlineMs: number;
  /** Parts of the write that are not durable in enough regions yet. */
  readonly left: Map<StreamKey, number>;
  ended: boolean;
  readonly resolve: () => void;
  readonly reject: (error: AntipodeError) => void;
}

/** Waits of one requirement for one stream, ordered by position: the first that is not met holds up all behind it. */
interface Queue {
  readonly requirement: Requirement;
  waits: { readonly seq: number; readonly wait: Wait }[];
}

/**
 * Acknowledgements that wait until other regions hold the write durably (P3.1, P4.1). Only participants of the epoch count,
 * each with the log it takes part with, as the control store has confirmed it: what a promotion will ask for is exactly what
 * was counted here. A wait ends at the latest with its time limit, or when this region is holder no more.
 */
export class SyncWaits {
  readonly #log: NamespaceLog;
  readonly #positions: DurablePositions;
  readonly #clock: Clock;
  readonly #withinMs: number;
  readonly #participants: Acknowledgement['participants'];
  readonly #queues = new Map<StreamKey, Map<string, Queue>>();
  /** In the order of their deadlines. */
  readonly #waits = new Set<Wait>();
  #expiring: AbortController | undefined;

  constructor(options: {
    log: NamespaceLog;
    positions: DurablePositions;
    clock: Clock;
    withinMs: number;
    participants: Acknowledgement['participants'];
  }) {
    this.#participants = options.participants;
    this.#log = options.log;
    this.#positions = options.positions;
    this.#clock = options.clock;
    this.#withinMs = options.withinMs;
    options.positions.onGrown((stream) => {
      if (parseStreamKey(stream)?.namespace === this.#log.namespace) this.#lookAt(stream);
    });
  }

  get size(): number {
    return this.#waits.size;
  }

  /** Throws OVERLOADED when one more could not wait: to be asked before the write is logged. */
  assertRoom(): void {
    if (this.#waits.size < SYNC_WAITS_MAX) return;
    throw new AntipodeError(
      'OVERLOADED',
      `${this.#waits.size} writes of ${this.#log.namespace} wait to be durable in other regions`,
    );
  }

  /**
   * Resolves when every position is durable as required, with the regions that hold all of them. Rejects OUTCOME_UNKNOWN:
   * the write is logged here and may well become durable there.
   */
  async until(requirement: Requirement, positions: Readonly<Record<StreamKey, number>>): Promise<string[]> {
    if (requirement.count > 0) await this.#until(requirement, positions);
    return this.#holdersOfAll(positions);
  }

  /** Looks at all waits: the participants changed, or this region learned of a seal. */
  look(): void {
    for (const stream of [...this.#queues.keys()]) this.#lookAt(stream);
    for (const wait of [...this.#waits]) {
      const beyond = [...wait.left].find(([stream, seq]) => this.#isBeyondSeal(stream, seq));
      if (beyond !== undefined) this.#fail(wait, `${beyond[0]} was sealed below ${beyond[1]}`);
    }
  }

  /** Ends all waits: this region is holder no more. */
  giveUp(reason: string): void {
    for (const wait of [...this.#waits]) this.#fail(wait, reason);
    this.#queues.clear();
    this.#expiring?.abort(new AntipodeError('OUTCOME_UNKNOWN', reason));
    this.#expiring = undefined;
  }

  #until(requirement: Requirement, positions: Readonly<Record<StreamKey, number>>): Promise<void> {
    return new Promise((resolve, reject) => {
      const left = new Map(
        Object.entries(positions).filter(([stream, seq]) => !isMet(requirement, this.#holders(stream, seq))),
      );
      if (left.size === 0) {
        resolve();
        return;
      }
      const deadlineMs = this.#clock.monotonicMs() + this.#withinMs;
      const wait: Wait = { requirement, deadlineMs, left, ended: false, resolve, reject };
      this.#waits.add(wait);
      for (const [stream, seq] of left) this.#enqueue(stream, seq, wait);
      if (this.#expiring === undefined) void this.#expire();
    });
  }

  #enqueue(stream: StreamKey, seq: number, wait: Wait): void {
    const queues = this.#queues.get(stream) ?? new Map<string, Queue>();
    this.#queues.set(stream, queues);
    const name = JSON.stringify(wait.requirement);
    const queue = queues.get(name) ?? { requirement: wait.requirement, waits: [] };
    queues.set(name, queue);
    let at = queue.waits.length;
    while (at > 0 && (queue.waits[at - 1]?.seq ?? 0) > seq) at -= 1;
    queue.waits.splice(at, 0, { seq, wait });
  }

  #lookAt(stream: StreamKey): void {
    const queues = this.#queues.get(stream);
    if (queues === undefined) return;
    for (const [name, queue] of queues) {
      let met = 0;
      for (const { seq, wait } of queue.waits) {
        if (!wait.ended && !isMet(queue.requirement, this.#holders(stream, seq))) break;
        met += 1;
        this.#arrived(wait, stream);
      }
      queue.waits.splice(0, met);
      if (queue.waits.length === 0) queues.delete(name);
    }
    if (queues.size === 0) this.#queues.delete(stream);
  }

  #arrived(wait: Wait, stream: StreamKey): void {
    wait.left.delete(stream);
    if (wait.ended || wait.left.size > 0) return;
    wait.ended = true;
    this.#waits.delete(wait);
    wait.resolve();
  }

  #fail(wait: Wait, reason: string): void {
    if (wait.ended) return;
    wait.ended = true;
    this.#waits.delete(wait);
    wait.reject(
      new AntipodeError('OUTCOME_UNKNOWN', `the write is logged, and not known to be durable elsewhere: ${reason}`),
    );
  }

  async #expire(): Promise<void> {
    const stop = new AbortController();
    this.#expiring = stop;
    while (!stop.signal.aborted) {
      const [oldest] = this.#waits;
      if (oldest === undefined) break;
      const leftMs = oldest.deadlineMs - this.#clock.monotonicMs();
      if (leftMs > 0) await this.#clock.sleep(leftMs, stop.signal).catch(() => undefined);
      else {
        this.#fail(oldest, `fewer regions than asked for confirmed it within ${this.#withinMs} ms`);
        this.#forgetEnded();
      }
    }
    if (this.#expiring === stop) this.#expiring = undefined;
  }

  /** What has ended lies behind what still waits, until it is taken out. */
  #forgetEnded(): void {
    const [next] = this.#waits;
    if (next !== undefined && next.deadlineMs <= this.#clock.monotonicMs()) return;
    for (const [stream, queues] of this.#queues) {
      for (const [name, queue] of queues) {
        queue.waits = queue.waits.filter(({ wait }) => !wait.ended);
        if (queue.waits.length === 0) queues.delete(name);
      }
      if (queues.size === 0) this.#queues.delete(stream);
    }
  }

  /** Participants in which a stream is durable up to a position. */
  #holders(stream: StreamKey, seq: number): string[] {
    return Object.entries(this.#participants())
      .filter(([region, { log }]) => this.#positions.at(stream, region, log) >= seq)
      .map(([region]) => region);
  }

  #holdersOfAll(positions: Readonly<Record<StreamKey, number>>): string[] {
    const [first, ...others] = Object.entries(positions).map(([stream, seq]) => this.#holders(stream, seq));
    return (first ?? []).filter((region) => others.every((regions) => regions.includes(region))).sort();
  }

  #isBeyondSeal(stream: StreamKey, seq: number): boolean {
    const standing = this.#log.standing(stream);
    return standing.kind === 'sealed' && seq > standing.seal;
  }
}
