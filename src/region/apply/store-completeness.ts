import type { StreamKey } from '#core/model/stream';
import type { OnlineStore } from '#ports/online-store';
import { REACH_PREFIX } from '#region/apply/projection';
import {
  decodeJsonRecord,
  encodeJsonRecord,
  parseUndecodableKey,
  SERVING_STATE_KEY,
  type ServingState,
  UNDECODABLE_PREFIX,
} from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';

/** The store is behind its logs by more than a moment: emptied (by its engine, or a person), or left in the middle of a rebuild. */
export function isIncomplete(store: OnlineStore): boolean {
  const state = store.record(SERVING_STATE_KEY);
  return state === undefined || decodeJsonRecord<ServingState>(state).state === 'rebuilding';
}

/**
 * Frames that an earlier release could not decode were passed over in the store; now they can be applied. Their streams go
 * back to where the first of them begins: what is applied twice changes nothing. Retention has kept those frames.
 */
export async function applyDecodableAgain(store: OnlineStore, views: ViewRegistry): Promise<void> {
  const checkpoints = new Map<StreamKey, number>();
  const records = new Map<string, Buffer | null>();
  for (const [key] of store.records(UNDECODABLE_PREFIX)) {
    const { version, stream, from } = parseUndecodableKey(key);
    if (views.version(version) === undefined) continue;
    checkpoints.set(stream, Math.min(from, checkpoints.get(stream) ?? store.checkpoint(stream)));
    records.set(key, null);
  }
  // Up to where they were applied, the rows stay: a seal below that still counts.
  for (const stream of checkpoints.keys())
    records.set(REACH_PREFIX + stream, encodeJsonRecord(store.checkpoint(stream)));
  if (records.size > 0) await store.apply({ rows: [], checkpoints, records }, () => 'keep');
}
