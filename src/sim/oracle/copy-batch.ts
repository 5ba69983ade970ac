import type { ApplyBatch } from '#ports/online-store';

/** The engine says in the same transaction that it copies: from its own snapshot, or from a peer. */
export function isCopy(batch: ApplyBatch): boolean {
  return [...batch.records.keys()].some((key) => key === 'restoring' || key.startsWith('backfill/'));
}
