import { readEventTimeUs } from '#core/model/stamp';
import type { Journal } from '#ports/journal';
import type { ApplyBatch, OnlineStore } from '#ports/online-store';
import { Authority } from '#region/failover/authority';
import { Tails } from '#region/failover/tails';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Mutant } from '#sim/mutant';

type Apply = OnlineStore['apply'];

/** The store with another `apply`. */
function withApply(inner: OnlineStore, apply: Apply): OnlineStore {
  return {
    row: (key) => inner.row(key),
    record: (key) => inner.record(key),
    records: (prefix) => inner.records(prefix),
    scan: (prefix, after, limit) => inner.scan(prefix, after, limit),
    close: () => inner.close(),
    checkpoint: (stream) => inner.checkpoint(stream),
    checkpoints: () => inner.checkpoints(),
    wipe: () => inner.wipe(),
    sync: () => inner.sync(),
    rowCount: () => inner.rowCount(),
    bytes: () => inner.bytes(),
    apply,
  };
}

function withoutRecords(batch: ApplyBatch, prefix: string): ApplyBatch {
  return { ...batch, records: new Map([...batch.records].filter(([key]) => !key.startsWith(prefix))) };
}

/** The journal without the writes of keys that begin with `prefix`. */
function forgetful(inner: Journal, prefix: string): Journal {
  return {
    get: (key) => inner.get(key),
    list: (start, options) => inner.list(start, options),
    write: (operations) => inner.write(operations.filter(({ key }) => !key.startsWith(prefix))),
  };
}

/** Puts another method into a class; returns how to put the old one back. */
function patch<T extends object, K extends keyof T>(prototype: T, name: K, method: T[K]): () => void {
  const before = prototype[name];
  prototype[name] = method;
  return () => {
    prototype[name] = before;
  };
}

/** Bugs that past systems had, each to be caught by an oracle. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fsync',
    bug: 'The disk says that the log is durable before it is.',
    faults: ['crash-hub', 'crash-region'],
    oracles: ['I1', 'I5', 'I8'],
    lyingDisk: true,
  },
  {
    name: 'apply-twice',
    bug: 'A batch is now and then applied a second time.',
    faults: ['reset-link'],
    oracles: ['I5'],
    store: (inner, random) =>
      withApply(inner, async (batch, merge) => {
        const outcome = await inner.apply(batch, merge);
        if (batch.checkpoints.size > 0 && random.chance(0.05)) await inner.apply(batch, merge);
        return outcome;
      }),
  },
  {
    name: 'checkpoint-without-rows',
    bug: 'A row of a batch is now and then left out while the checkpoint moves on.',
    faults: ['reset-link'],
    oracles: ['I3', 'I4'],
    hiddenStore: (inner, random) =>
      withApply(inner, (batch, merge) =>
        inner.apply({ ...batch, rows: batch.rows.filter(() => !random.chance(0.01)) }, merge),
      ),
  },
  {
    name: 'keep-first',
    bug: 'The merge keeps what is stored.',
    faults: ['reset-link'],
    oracles: ['I4'],
    hiddenStore: (inner) => withApply(inner, (batch) => inner.apply(batch, () => 'keep')),
  },
  {
    name: 'tie-by-arrival',
    bug: 'The merge compares event times alone; of equals the later to arrive wins.',
    faults: ['isolate-hub', 'crash-hub'],
    firstSeeds: [55, 35, 57, 40, 34],
    tune: (knobs) => ({
      ...knobs,
      workload: {
        ...knobs.workload,
        intervalMs: 15,
        keys: 2,
        deleteShare: 0,
        eventTimeStepMs: 60_000,
        eventTimeSpreadMs: 10,
      },
    }),
    oracles: ['I3', 'I4'],
    hiddenStore: (inner) =>
      withApply(inner, (batch) =>
        inner.apply(batch, (stored, incoming) =>
          readEventTimeUs(incoming) >= readEventTimeUs(stored) ? 'replace' : 'keep',
        ),
      ),
  },
  {
    name: 'forget-idempotency',
    bug: 'Idempotency keys are not kept.',
    faults: ['crash-hub', 'isolate-hub'],
    oracles: ['once'],
    hiddenStore: (inner) =>
      withApply(inner, (batch, merge) => inner.apply(withoutRecords(batch, 'idempotency/'), merge)),
  },
  {
    name: 'forget-clock',
    bug: 'The bound of the hybrid clock is not persisted.',
    faults: ['clock-back-at-restart'],
    tune: (knobs) => ({ ...knobs, faults: { ...knobs.faults, intervalMs: 500 } }),
    oracles: ['I8'],
    journal: (inner) => forgetful(inner, 'hlc/'),
  },
  {
    name: 'ignore-seal',
    bug: 'A sealed stream counts as open.',
    faults: ['isolate-hub-with-one', 'isolate-hub'],
    firstSeeds: [26, 38, 53, 21, 36],
    oracles: ['I2'],
    install: () => {
      const real = NamespaceLog.prototype.standing;
      return patch(NamespaceLog.prototype, 'standing', function (this: NamespaceLog, stream) {
        const standing = real.call(this, stream);
        return standing.kind === 'sealed' ? { kind: 'open', epoch: standing.epoch } : standing;
      });
    },
  },
  {
    name: 'forget-tails',
    firstSeeds: [35, 55, 54, 33, 25],
    bug: 'What lies beyond a seal is never looked for.',
    faults: ['isolate-hub', 'crash-hub'],
    oracles: ['I1'],
    install: () => patch(Tails.prototype, 'tend', async () => undefined),
  },
  {
    name: 'acknowledge-without-lease',
    bug: 'The lease is not checked again before the acknowledgement.',
    faults: ['pause-hub'],
    tune: (knobs) => ({
      ...knobs,
      disk: { ...knobs.disk, fsyncMs: 50 },
      faults: { ...knobs.faults, lengthMs: (knobs.namespaces[0]?.leaseMs ?? 1000) * 3 },
    }),
    oracles: ['I2'],
    install: () => patch(Authority.prototype, 'acknowledgeable', () => true),
  },
  {
    name: 'read-the-real-clock',
    bug: 'Something looks at the real clock.',
    faults: ['reset-link'],
    oracles: ['ports'],
    store: (inner) =>
      withApply(inner, (batch, merge) => {
        try {
          Date.now();
        } catch {
          // The trap has told; this bug goes on as a real one would.
        }
        return inner.apply(batch, merge);
      }),
  },
];
