import { Authority } from '#region/failover/authority';
import { Tails } from '#region/failover/tails';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Mutant } from '#sim/mutants/mutant';
import { patch, underLease, withApply, withoutRecords } from '#sim/mutants/patching';

/** Bugs of leases, seals, promises and acknowledgements, each to be caught by an oracle. */
export const CORE_MUTANTS: readonly Mutant[] = [
  {
    name: 'forget-idempotency',
    bug: 'Idempotency keys are not kept.',
    faults: ['crash-hub', 'isolate-hub'],
    oracles: ['once'],
    hiddenStore: (inner) =>
      withApply(inner, (batch, merge, after) => inner.apply(withoutRecords(batch, 'idempotency/'), merge, after)),
  },
  {
    name: 'ignore-seal',
    bug: 'A sealed stream counts as open.',
    faults: ['isolate-hub-with-one', 'isolate-hub'],
    tune: underLease,
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
    firstSeeds: [2],
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
      withApply(inner, (batch, merge, after) => {
        try {
          Date.now();
        } catch {
          // The trap has told; this bug goes on as a real one would.
        }
        return inner.apply(batch, merge, after);
      }),
  },
];
