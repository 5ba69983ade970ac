import type { Merge } from '#core/merge/merge-of';

/** What a store holds after a merge. */
export function merged(merge: Merge, stored: Buffer, incoming: Buffer): Buffer {
  if (stored.equals(incoming)) return stored;
  const decision = merge(stored, incoming);
  return decision === 'keep' ? stored : decision === 'replace' ? incoming : decision;
}

/** The same bytes in the middle of a larger, shared buffer, as an engine hands them over. */
function elsewhere(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(5, 0xaa), bytes, Buffer.alloc(3, 0x55)]).subarray(5, 5 + bytes.length);
}

/** The first law of P9.1 that a merge breaks for three values; undefined when it keeps them all. */
export function brokenLaw(merge: Merge, a: Buffer, b: Buffer, c: Buffer): string | undefined {
  const join = (x: Buffer, y: Buffer): Buffer => merged(merge, x, y);
  const before = Buffer.concat([a, b, c]).toString('hex');
  const ab = join(a, b);
  if (!join(b, a).equals(ab)) return 'commutative';
  if (!join(ab, c).equals(join(a, join(b, c)))) return 'associative';
  if (merge(a, Buffer.from(a)) !== 'keep') return 'idempotent';
  // What came in once may come in again, after anything else.
  if (merge(ab, elsewhere(a)) !== 'keep' && !join(ab, a).equals(ab)) return 'idempotent';
  if (!join(join(ab, c), b).equals(join(ab, c))) return 'idempotent';
  if (!join(elsewhere(a), elsewhere(b)).equals(ab)) return 'byte-deterministic';
  const decision = merge(a, b);
  if (typeof decision !== 'string' && (decision.equals(a) || decision.equals(b))) return 'says what it did';
  if (Buffer.concat([a, b, c]).toString('hex') !== before) return 'pure';
  return undefined;
}
