import type { MergeDecision } from '#core/merge/decision';

/**
 * Last writer wins by (event time, HLC, origin), P9.2. A stored row begins with its stamp in a byte form that orders as
 * the stamp does and delimits itself, so comparing the stored bytes as a whole compares stamps first. Two values of one
 * stamp can only differ by a fault; the greater bytes then win everywhere, so that regions still agree.
 *
 * Lengths are given explicitly: an engine may hand over a shared buffer that is longer than the value.
 */
export function lastWriterWins(stored: Buffer, incoming: Buffer): MergeDecision {
  return stored.compare(incoming, 0, incoming.length, 0, stored.length) < 0 ? 'replace' : 'keep';
}
