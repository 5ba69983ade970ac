import type { Host } from '#ports/host';
import type { Journal } from '#ports/journal';

/**
 * The region's journal, whose failed writes end the process whoever made them (P3.2): what is on disk is then unknown, and
 * a caller that caught the failure would go on as if it were a refusal. A full disk is one: it throws at once, and passes.
 */
export function vitalJournal(journal: Journal, host: Host): Journal {
  return {
    get: (key) => journal.get(key),
    list: (prefix, options) => journal.list(prefix, options),
    write: (operations) => journal.write(operations).catch((error: unknown) => host.fatal(error)),
  };
}
