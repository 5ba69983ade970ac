import { decodeFrame } from '#core/codec/frame';
import { toAntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { Applier } from '#region/apply/applier';
import type { AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';
import type { Links } from '#region/replicate/links';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { unpackFrames } from '#region/replicate/wire';

const FETCH_TIMEOUT_MS = 5000;
const RETRY_MS = 500;

/**
 * Replaces frames of one namespace that the disk gives back changed by the copies of peers: a frame is the same bytes
 * everywhere, and its place in the chain of hashes tells whether a copy is the right one.
 */
export class LogRepair {
  readonly #region: string;
  readonly #log: NamespaceLog;
  readonly #applier: Applier;
  readonly #links: Links;
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  #nextMs = 0;
  #running = false;

  constructor(options: {
    region: string;
    log: NamespaceLog;
    applier: Applier;
    links: Links;
    clock: Clock;
    events: EventList;
    audit: AuditLog;
  }) {
    this.#region = options.region;
    this.#log = options.log;
    this.#applier = options.applier;
    this.#links = options.links;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#audit = options.audit;
  }

  /** Tries what is damaged now. Called regularly. */
  tend(): void {
    if (this.#running || this.#clock.monotonicMs() < this.#nextMs) return;
    const damaged = [...this.#applier.halted.damaged()].filter(([stream]) =>
      stream.startsWith(`${this.#log.namespace}/`),
    );
    if (damaged.length === 0) return;
    this.#running = true;
    void this.#repairAll(damaged).finally(() => {
      this.#running = false;
      this.#nextMs = this.#clock.monotonicMs() + RETRY_MS;
    });
  }

  async #repairAll(damaged: readonly (readonly [StreamKey, number])[]): Promise<void> {
    for (const [stream, after] of damaged) {
      try {
        await this.#repair(stream, after);
      } catch (caught) {
        const error = toAntipodeError(caught);
        this.#events.add('repair-failed', 'warning', `${stream} after ${after}: ${error.message}`, { stream });
      }
    }
  }

  async #repair(stream: StreamKey, after: number): Promise<void> {
    const to = this.#log.endAfter(stream, after);
    // Gone meanwhile: retention has cut it off, or a backfill has begun the stream anew.
    if (to === undefined) return this.#applier.repaired(stream);
    const connected = this.#links.names.filter((peer) => this.#links.connected(peer));
    for (const peer of connected) {
      const copy = await this.#fetch(peer, stream, after, to);
      if (copy === undefined) continue;
      await this.#log.repair(stream, copy);
      this.#applier.repaired(stream);
      const message = `the damaged frame (${after}, ${to}] of ${stream} was replaced by the copy of ${peer}`;
      this.#events.add('frame-repaired', 'warning', message, { stream, peer });
      this.#audit.note(this.#region, 'frame-repaired', { stream, from: after, to, peer });
      return;
    }
    if (connected.length > 0) this.#applier.halted.noCopy(stream);
  }

  /** The peer's copy of the frame, when it has one that fits between its neighbours here. */
  async #fetch(peer: string, stream: StreamKey, after: number, to: number): Promise<LoggedFrame | undefined> {
    try {
      const { blob } = await this.#links.request(
        peer,
        'fetch',
        { stream, after, upTo: to },
        { timeoutMs: FETCH_TIMEOUT_MS },
      );
      const [bytes] = unpackFrames(blob);
      if (bytes === undefined) return undefined;
      const { frame, hash } = decodeFrame(bytes);
      if (frame.stream !== stream || frame.from !== after || frame.to !== to) return undefined;
      const before = this.#log.hashAt(stream, after);
      if (before === undefined || Buffer.compare(before, frame.previousHash) !== 0) return undefined;
      const next = this.#hashBeforeNext(stream, to);
      if (next !== undefined && Buffer.compare(next, hash) !== 0) return undefined;
      return { from: after, to, hash, bytes: Buffer.from(bytes) };
    } catch {
      return undefined;
    }
  }

  /** The hash that the following frame names as its predecessor's; undefined when there is none that is readable. */
  #hashBeforeNext(stream: StreamKey, to: number): Uint8Array | undefined {
    try {
      const [next] = this.#log.read(stream, to, 1);
      return next === undefined ? undefined : decodeFrame(next.bytes).frame.previousHash;
    } catch {
      return undefined;
    }
  }
}
