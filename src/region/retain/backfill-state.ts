import { z } from 'zod';
import type { OnlineReader } from '#ports/online-store';

/** Record of the store, by namespace: there while a backfill is under way, gone with the store it belongs to. */
export const BACKFILL_PREFIX = 'backfill/';

const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const STATE = z.strictObject({
  peer: z.string(),
  /** Identity of the peer's store. */
  storeId: z.string(),
  /** What the peer had applied when the copy began, with the hash of its log there: where the streams go on from. */
  from: z.record(z.string(), z.strictObject({ seq, hash: z.string() })),
  /** `copying`: chunk by chunk. `securing`: all rows are here, and a durable snapshot of them is not yet. */
  phase: z.enum(['copying', 'securing']),
  /** What an earlier copy brought is in the store, and not durable either. */
  unsecured: z.boolean(),
  /** What is merged already; null before the first chunk. */
  cursor: z.strictObject({ section: z.string(), after: z.string().nullable() }).nullable(),
  chunks: seq,
  rows: seq,
  bytes: seq,
  /** Rows of the peer's whole store when the copy began: at most so many come. */
  rowsExpected: seq,
  startedMs: z.number(),
  reason: z.string(),
});

/**
 * How far a backfill is. Written in the same transaction as the rows it tells of, so a crash loses neither or both, and a
 * store that is emptied forgets it.
 */
export type BackfillState = z.infer<typeof STATE>;

export function readBackfill(store: Pick<OnlineReader, 'record'>, namespace: string): BackfillState | undefined {
  const bytes = store.record(BACKFILL_PREFIX + namespace);
  if (bytes === undefined) return undefined;
  return STATE.parse(JSON.parse(bytes.toString('utf8')));
}

export function encodeBackfill(state: BackfillState): Buffer {
  return Buffer.from(JSON.stringify(state), 'utf8');
}
