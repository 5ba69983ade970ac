import type { StreamKey } from '#core/model/stream';
import type { IngestResult } from '#region/engine-api';
import type { NamespaceKnobs } from '#sim/knobs';
import type { PlainLease } from '#sim/oracle/lease-view';
import { type RegionHistory, WORD_MS } from '#sim/oracle/region-history';
import type { Violations } from '#sim/oracle/violations';
import type { WriteRecord } from '#sim/workload/write-record';

interface SyncWrite {
  readonly name: string;
  readonly namespace: string;
  readonly atMs: number;
  /** Since when at the earliest its hub may have said so, ms. */
  readonly sinceMs: number;
  readonly positions: Readonly<Record<StreamKey, number>>;
  /** Regions whose disks held all of it when it was acknowledged. */
  readonly heldIn: readonly string[];
}

/**
 * Writes that were acknowledged only when other regions had them: the disks really held them at that moment, and no
 * promotion that called itself clean left one behind. Knows nothing of how the engine counts.
 */
export class SyncAcknowledged {
  readonly #namespaces: readonly NamespaceKnobs[];
  readonly #histories: readonly RegionHistory[];
  readonly #violations: Violations;
  readonly #writes: SyncWrite[] = [];

  constructor(options: {
    namespaces: readonly NamespaceKnobs[];
    histories: readonly RegionHistory[];
    violations: Violations;
  }) {
    this.#namespaces = options.namespaces;
    this.#histories = options.histories;
    this.#violations = options.violations;
  }

  /** A region tells its client, at this moment: the hub, or one that passed the write on to it and has its answer. */
  acknowledged(
    write: WriteRecord,
    result: IngestResult,
    { atMs, by }: { readonly atMs: number; readonly by: string },
  ): void {
    const namespace = this.#namespaces.find(({ name }) => name === write.namespace);
    const places = Object.entries(result.positions);
    if (namespace === undefined || places.length === 0) return;
    const active = namespace.replication === 'active-active';
    if (active && write.request.acknowledge === undefined) return;
    const rule = active ? 0 : namespace.acknowledge;
    const promotable = active ? this.#histories.map(({ region }) => region) : namespace.promotable;
    const heldIn = this.#histories
      .filter((history) => places.every(([stream, seq]) => history.held(stream, atMs) >= seq))
      .map(({ region }) => region);
    const others = heldIn.filter((region) => region !== result.hub && promotable.includes(region));
    const named = typeof rule === 'number' ? [] : rule.filter((region) => region !== result.hub);
    const count = Math.max(typeof rule === 'number' ? rule : 1, write.request.acknowledge ?? 0);
    // The parts of a write in several streams may lie in different regions, so each is counted by itself.
    for (const [stream, seq] of places) {
      const holding = this.#histories.filter(
        (history) =>
          history.region !== result.hub && promotable.includes(history.region) && history.held(stream, atMs) >= seq,
      );
      const missing = named.filter((region) => !holding.some((history) => history.region === region));
      if (holding.length >= count && missing.length === 0) continue;
      const where = holding.map(({ region }) => region).join(', ') || 'no region';
      this.#violations.add(
        'sync',
        `${result.hub} acknowledges ${write.name} under ${JSON.stringify(rule)}, and beside it ${where} held ${stream} up to ${seq}`,
      );
    }
    const claimed = result.durableIn.filter((region) => region !== result.hub && !others.includes(region));
    if (claimed.length > 0)
      this.#violations.add('sync', `${write.name} is said to be durable in ${claimed.join(', ')}, and is not`);
    const sinceMs = by === result.hub ? atMs : atMs - WORD_MS;
    const { name, namespace: of } = write;
    this.#writes.push({ name, namespace: of, atMs, sinceMs, positions: result.positions, heldIn });
  }

  /** Judges what the records of all promotions say at the end. */
  judgeRecord(namespace: string, lease: PlainLease | undefined): void {
    if (lease === undefined) return;
    const lossy = new Set(lease.lossy.map(({ epoch }) => epoch));
    const lowered = new Set(lease.lossy.flatMap((entry) => Object.keys(entry.lowered)));
    for (const write of this.#writes) {
      if (write.namespace !== namespace) continue;
      // A disk that goes back to an older copy of itself forgets what it said without anybody being able to tell.
      if (
        this.#histories.some(
          ({ region, rolledBackMs }) => write.heldIn.includes(region) && rolledBackMs > write.sinceMs,
        )
      )
        continue;
      for (const [stream, seq] of Object.entries(write.positions)) {
        const closed = Object.entries(lease.seals).find(([, seals]) => seals[stream] !== undefined);
        if (closed === undefined || lowered.has(stream) || lossy.has(Number(closed[0]))) continue;
        const seal = closed[1][stream] as number;
        if (seq > seal)
          this.#violations.add(
            'sync',
            `${write.name}, acknowledged at ${stream} ${seq} with copies in ${write.heldIn.join(', ')}, lies beyond the seal ${seal} of a promotion that called itself clean`,
          );
      }
    }
  }
}
