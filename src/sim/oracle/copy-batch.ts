import type { ApplyBatch } from '#ports/online-store';

/** The engine says in the same transaction that it copies: from its own snapshot, or from a peer. */
export function isCopy(batch: ApplyBatch): boolean {
  return [...batch.records.keys()].some((key) => key === 'restoring' || key.startsWith('backfill/'));
}

/** The namespace whose rows come from a peer. */
export function backfilled(batch: ApplyBatch): string | undefined {
  const key = [...batch.records.keys()].find((each) => each.startsWith('backfill/'));
  return key?.slice('backfill/'.length);
}
