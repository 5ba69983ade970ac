import type { Journal } from '#ports/journal';
import type { Random } from '#ports/random';

const KEY = 'log-id';
const ID_BYTES = 8;

/**
 * The id of this region's log, made with the log and kept in the journal beside it: a region that comes back with an empty
 * disk comes back with another id, so that nobody takes what it promises now for what it acknowledged before (P6.4).
 * Resolves when the id is durable.
 */
export async function openLogIdentity(journal: Journal, random: Random): Promise<string> {
  const stored = journal.get(KEY);
  if (stored !== undefined) return Buffer.from(stored).toString('utf8');
  const id = random.hex(ID_BYTES);
  await journal.write([{ kind: 'put', key: KEY, value: Buffer.from(id, 'utf8') }]);
  return id;
}
