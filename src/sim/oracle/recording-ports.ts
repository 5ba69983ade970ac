import type { ChangeLog } from '#ports/change-log';
import type { ControlStore } from '#ports/control-store';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import { type PlainLease, parseLease } from '#sim/oracle/lease-view';
import type { RegionHistory } from '#sim/oracle/region-history';

const LEASE_PREFIX = 'lease/';
const TOTALS_KEY = 'conflict-totals';

/** The region's log, with the history looking on. */
export function recordChangeLog(log: ChangeLog, history: RegionHistory): ChangeLog {
  return {
    streams: () => log.streams(),
    head: (stream) => log.head(stream),
    start: (stream) => log.start(stream),
    size: (stream) => log.size(stream),
    hashAt: (stream, seq) => log.hashAt(stream, seq),
    endAfter: (stream, afterSeq) => log.endAfter(stream, afterSeq),
    truncate: (stream, upTo) => {
      history.truncating(stream, upTo);
      return log.truncate(stream, upTo);
    },
    reset: (stream, head) => log.reset(stream, head).then(() => history.reset(stream, head.seq)),
    repair: (stream, frame) => log.repair(stream, frame),
    read: (stream, afterSeq, maxBytes) => log.read(stream, afterSeq, maxBytes),
    bytes: () => log.bytes(),
    close: () => log.close(),
    append: (stream, frames) => {
      const written = log.append(stream, frames);
      history.appending(stream, frames);
      return written.then(() => history.durable(stream, frames));
    },
  };
}

/** The region's store, with the history looking on; a transaction takes `delay`. */
export function recordStore(
  store: OnlineStore,
  options: { history: RegionHistory; log: ChangeLog; process: { readonly alive: boolean }; delay: () => Promise<void> },
): OnlineStore {
  const { history, log, process, delay } = options;
  return {
    row: (key) => store.row(key),
    record: (key) => store.record(key),
    records: (prefix, page) => store.records(prefix, page),
    scan: (prefix, after, limit) => store.scan(prefix, after, limit),
    close: () => store.close(),
    checkpoint: (stream) => store.checkpoint(stream),
    checkpoints: () => store.checkpoints(),
    sync: () => store.sync(),
    rowCount: () => store.rowCount(),
    bytes: () => store.bytes(),
    apply: async (batch, merge, after) => {
      const watched = history.conflicts.watch(batch, merge);
      const held = history.toApply(batch, log);
      const applied = store.apply(batch, watched.decide, after);
      applied.catch(() => undefined);
      const outcome = await applied;
      // What a machine did that died with its disk unsynced has no place in its history.
      if (process.alive || !history.untrusted) {
        history.applying(batch, held);
        watched.applied();
      }
      await delay();
      return outcome;
    },
    wipe: async () => {
      history.wiped();
      await store.wipe();
      await delay();
    },
  };
}

/** The control store as a region sees it: what it answers, the region knows. */
export function recordControl(control: ControlStore, history: RegionHistory): ControlStore {
  const learn = (key: string, revision: number, value: Uint8Array): void => {
    const lease = key.startsWith(LEASE_PREFIX) ? parseLease(revision, value) : undefined;
    if (lease !== undefined) history.learned(key.slice(LEASE_PREFIX.length), lease);
  };
  return {
    get: async (key) => {
      const record = await control.get(key);
      learn(key, record.revision, record.value);
      return record;
    },
    compareAndSet: async (key, expected, value) => {
      const outcome = await control.compareAndSet(key, expected, value);
      if (outcome.kind === 'ok') learn(key, outcome.revision, value);
      if (outcome.kind === 'refused') learn(key, outcome.current.revision, outcome.current.value);
      return outcome;
    },
    watchClock: (observer) => control.watchClock?.(observer),
    close: () => control.close(),
  };
}

/** Leases that a region finds in its journal when it starts. */
export function leasesInJournal(journal: Journal): Map<string, PlainLease> {
  const leases = new Map<string, PlainLease>();
  for (const [key, bytes] of journal.list(LEASE_PREFIX)) {
    const { revision, record } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
      revision: number;
      record: Omit<PlainLease, 'revision'>;
    };
    leases.set(key.slice(LEASE_PREFIX.length), { ...record, revision });
  }
  return leases;
}

/** The journal: a lease that the region writes down, it knows. */
export function recordJournal(journal: Journal, history: RegionHistory): Journal {
  return {
    get: (key) => journal.get(key),
    list: (prefix, options) => journal.list(prefix, options),
    write: (operations) => {
      const saved = operations.flatMap((operation) =>
        operation.kind === 'put' && operation.key === TOTALS_KEY ? [history.conflicts.saving(operation.value)] : [],
      );
      for (const operation of operations) {
        if (operation.kind !== 'put' || !operation.key.startsWith(LEASE_PREFIX)) continue;
        const { revision, record } = JSON.parse(Buffer.from(operation.value).toString('utf8')) as {
          revision: number;
          record: Omit<PlainLease, 'revision'>;
        };
        history.learned(operation.key.slice(LEASE_PREFIX.length), { ...record, revision });
      }
      return journal.write(operations).then(() => {
        for (const durable of saved) durable();
      });
    },
  };
}
