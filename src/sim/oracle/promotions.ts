import type { PlainLease } from '#sim/oracle/lease-view';
import type { RegionHistory } from '#sim/oracle/region-history';
import type { Violations } from '#sim/oracle/violations';

/**
 * Whoever becomes hub had everything valid on its own disk before (P6.3, P6.5): what a seal counts, and only a peer has, a
 * second loss would take. Asked often enough that the disk cannot have become another one unnoticed.
 */
export class Promotions {
  readonly #histories: readonly RegionHistory[];
  readonly #violations: Violations;
  readonly #judged = new Map<string, number>();

  constructor(histories: readonly RegionHistory[], violations: Violations) {
    this.#histories = histories;
    this.#violations = violations;
  }

  look(namespace: string, lease: PlainLease | undefined, nowMs: number): void {
    if (lease === undefined || this.#judged.get(namespace) === lease.epoch) return;
    this.#judged.set(namespace, lease.epoch);
    const holder = this.#histories.find(({ region }) => region === lease.holder);
    if (holder === undefined) return;
    for (const seals of Object.values(lease.seals))
      for (const [stream, seal] of Object.entries(seals)) {
        const held = holder.held(stream, nowMs);
        if (held < seal)
          this.#violations.add(
            'I2',
            `${lease.holder} took over ${namespace} in epoch ${lease.epoch} with ${stream} up to ${held} of ${seal}`,
          );
      }
  }
}
