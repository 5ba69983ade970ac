import type { OnlineStore } from '#ports/online-store';
import { decodeJsonRecord, SERVING_STATE_KEY, type ServingState, UNDECODABLE_PREFIX } from '#region/apply/records';
import type { ViewRegistry } from '#region/apply/view-registry';

/** The store is behind its logs by more than a moment: emptied (by its engine, or a person), or left in the middle of a rebuild. */
export function isIncomplete(store: OnlineStore): boolean {
  const state = store.record(SERVING_STATE_KEY);
  return state === undefined || decodeJsonRecord<ServingState>(state).state === 'rebuilding';
}

/** Frames that were passed over because nobody could decode them can be decoded now. */
export function decodableNow(store: OnlineStore, views: ViewRegistry): boolean {
  return store.records(UNDECODABLE_PREFIX).some(([key]) => views.version(key.split('/')[1] ?? '') !== undefined);
}
