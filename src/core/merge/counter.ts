import { isLive, payloadStart } from '#core/codec/cell';
import { mergeStates } from '#core/codec/counter-state';
import { byStamp, type CellSpan, compareGenerations, isWhole } from '#core/merge/cell-order';
import type { MergeDecision } from '#core/merge/decision';

/**
 * Merges two counter cells (P9.3). The greater generation wins whole; within one, a value outranks a tombstone, and two
 * values are joined: the greater head (stamp and change id) before the components of both, one for each producer.
 */
export function mergeCounters(stored: Buffer, incoming: Buffer): MergeDecision {
  const a: CellSpan = { bytes: stored, start: 0, end: stored.length };
  const b: CellSpan = { bytes: incoming, start: 0, end: incoming.length };
  const order = compareGenerations(a, b);
  if (order !== 0) return order < 0 ? 'replace' : 'keep';
  if (!isWhole(a) || !isLive(stored)) return byStamp(a, b) < 0 ? 'replace' : 'keep';
  const stateA = payloadStart(stored, 0, true);
  const stateB = payloadStart(incoming, 0, true);
  const state = mergeStates(
    { from: stored, start: stateA, end: stored.length },
    { from: incoming, start: stateB, end: incoming.length },
  );
  if (state === undefined) return byStamp(a, b) < 0 ? 'replace' : 'keep';
  const head =
    stored.compare(incoming, 0, stateB, 0, stateA) < 0 ? incoming.subarray(0, stateB) : stored.subarray(0, stateA);
  const merged = Buffer.concat([head, ...state.map(({ from, start, end }) => from.subarray(start, end))]);
  if (merged.equals(stored)) return 'keep';
  return merged.equals(incoming) ? 'replace' : merged;
}
