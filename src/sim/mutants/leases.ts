import type { Mutant } from '#sim/mutants/mutant';
import { underLease, underLongLease, underTightLease, waitingForOne } from '#sim/mutants/patching';

/** Bugs of the path from lease to lease: renewal, promise, seal, promotion, tails. Changes of the source, one place each. */
export const LEASES_MUTANTS: readonly Mutant[] = [
  {
    name: 'append-after-promise',
    firstSeeds: [5],
    bug: 'A holder that promised its epoch away goes on appending and renewing.',
    faults: ['planned-failover', 'planned-failover', 'lossy-link', 'reset-link', 'half-open-link', 'orphan-channels'],
    oracles: ['I1', 'I2', 'I5', 'I14', 'sync'],
    tune: underLease,
    edit: [
      {
        file: 'src/region/replicate/namespace-log.ts',
        find: 'return mayExtend(this.#promise, epoch);',
        put: 'return true || mayExtend(this.#promise, epoch);',
      },
      {
        file: 'src/region/failover/authority.ts',
        find: `this.#role.epoch !== epoch) return;
    this.#stepDown();`,
        put: 'this.#role.epoch !== epoch) return;',
      },
    ],
  },
  {
    name: 'apply-beyond-seal',
    bug: 'Frames beyond a known seal are applied.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one'],
    oracles: ['I2', 'I3', 'I4'],
    tune: underLease,
    edit: {
      file: 'src/region/apply/applier.ts',
      find: `const limit = standing.kind === 'sealed' ? standing.seal : Number.MAX_SAFE_INTEGER;`,
      put: 'const limit = Number.MAX_SAFE_INTEGER;',
    },
  },
  {
    name: 'apply-up-to-before-seal',
    bug: 'The last frame before a seal is not applied.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one'],
    oracles: ['I14', 'I3', 'I4'],
    tune: underLease,
    edit: {
      file: 'src/region/apply/applier.ts',
      find: '.filter((frame) => frame.to <= limit);',
      put: '.filter((frame) => frame.to < limit);',
    },
  },
  {
    name: 'keep-store-beyond-seal',
    bug: 'What was applied beyond a seal stays in the store.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'isolate-hub-with-one'],
    oracles: ['I2', 'I3', 'I4', 'I14'],
    tune: underLease,
    edit: {
      file: 'src/region/apply/projection.ts',
      find: "if (standing.kind === 'sealed' && applied > standing.seal) return",
      put: "if (standing.kind === 'sealed' && applied < 0) return",
    },
  },
  {
    name: 'promise-never-lapses',
    firstSeeds: [14],
    bug: 'A promise stands although its promotion cannot succeed any more.',
    faults: ['isolate-hub', 'cut-hub-from-control', 'flap-hub', 'planned-failover'],
    oracles: ['I14'],
    tune: underLease,
    edit: {
      file: 'src/core/failover/promise.ts',
      find: 'return lease.record.epoch > promise.epoch || lease.revision > promise.revision;',
      put: 'return lease.record.epoch > promise.epoch;',
    },
  },
  {
    name: 'promise-not-durable',
    bug: 'A promise is given before it is on disk.',
    faults: ['suspend-hub', 'suspend-hub', 'crash-region', 'crash-machine'],
    oracles: ['I1', 'I2'],
    tune: waitingForOne,
    explained:
      'The lease keeps a hub from acknowledging what the promise bars; the promise alone matters where monotonic time is wrong. src/sim/model explores that exhaustively.',
    edit: {
      file: 'src/region/replicate/namespace-log.ts',
      find: 'await Promise.all([written, ...this.#inFlight]);',
      put: 'await Promise.all([...this.#inFlight].filter((write) => write !== written));',
    },
  },
  {
    name: 'stale-lease-after-pause',
    bug: 'A holder does not look at the clock before it appends and acknowledges.',
    faults: ['pause-hub', 'isolate-hub'],
    oracles: ['I2'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/authority.ts',
      find: 'return now < leaseUntilMs - this.#config.marginMs &&',
      put: 'return now < leaseUntilMs * 2 ||',
    },
  },
  {
    name: 'renewal-counted-from-answer',
    firstSeeds: [19],
    bug: 'A renewal counts from when its answer came.',
    faults: ['clog', 'cut-hub-from-control', 'lossy-link', 'pause-hub', 'swizzle-clog'],
    oracles: ['I2'],
    tune: underTightLease,
    explained:
      'It shows only when an answer is late by two margins and its hub is cut off right then: too rare a meeting.',
    edit: {
      file: 'src/region/failover/authority.ts',
      find: 'role.leaseUntilMs = outcome.sentMs + this.#config.leaseMs;',
      put: 'role.leaseUntilMs = this.#clock.monotonicMs() + this.#config.leaseMs;',
    },
  },
  {
    name: 'take-over-early',
    bug: 'A lease counts as lapsed after a part of its time.',
    faults: ['isolate-hub', 'isolate-hub-with-one'],
    oracles: ['I2'],
    tune: underLongLease,
    edit: {
      file: 'src/region/failover/lease-watch.ts',
      find: 'return this.#clock.monotonicMs() - this.#stillSinceMs > this.#stillMs;',
      put: 'return this.#clock.monotonicMs() - this.#stillSinceMs > this.#stillMs / 3;',
    },
  },
  {
    name: 'unknown-counts-as-ok',
    bug: 'A change of the lease whose outcome is unknown counts as done.',
    faults: ['mute', 'deafen', 'cut-hub-from-control', 'cut-control', 'pause-control', 'crash-control'],
    oracles: ['I2', 'I5', 'I14', 'health'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/lease-watch.ts',
      find: `if (outcome.kind === 'unknown') {`,
      put: `if (outcome.kind === 'unknown') return { kind: 'ok', revision: expected + 1, sentMs };
    if (outcome.kind === 'unknown') {`,
    },
  },
  {
    name: 'control-ignores-revision',
    bug: 'The control store changes a record whatever its revision.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'flap-hub', 'chase-hub'],
    oracles: ['I2', 'I5', 'I14', 'health'],
    tune: underLease,
    edit: {
      file: 'src/region/control/control-server.ts',
      find: 'if ((current?.revision ?? 0) !== expectedRevision) {',
      put: 'if ((current?.revision ?? 0) > expectedRevision + 1_000_000) {',
    },
  },
  {
    name: 'control-answers-before-durable',
    bug: 'The control store answers before a change is on its disk.',
    faults: ['crash-control', 'slow-control-disk'],
    oracles: ['I2', 'I5', 'I14', 'I1', 'health'],
    tune: underLease,
    edit: {
      file: 'src/region/control/control-server.ts',
      find: `    await this.#durable;
  }
}`,
      put: `  }
}`,
    },
  },
  {
    name: 'epoch-not-raised',
    bug: 'A promotion keeps the number of the epoch.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one'],
    oracles: ['I2', 'I5', 'I14', 'health'],
    tune: underLease,
    edit: { file: 'src/core/failover/lease.ts', find: 'epoch: previous.epoch + 1,', put: 'epoch: previous.epoch,' },
  },
  {
    name: 'lowest-promise-is-the-seal',
    firstSeeds: [20],
    bug: 'The seal is the least position promised instead of the greatest.',
    faults: ['crash-hub', 'isolate-hub', 'slow-disk', 'clog'],
    oracles: ['sync', 'I1', 'I2', 'I14'],
    tune: waitingForOne,
    edit: {
      file: 'src/core/failover/lease.ts',
      find: 'seal[stream] = Math.max(0, ...promises.map((promise) => promise.heads[stream] ?? 0));',
      put: 'seal[stream] = Math.min(...promises.map((promise) => promise.heads[stream] ?? 0));',
    },
  },
  {
    name: 'candidate-does-not-fetch',
    firstSeeds: [112],
    bug: 'A candidate takes the lease without the frames up to the seal.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub', 'wipe-disks'],
    oracles: ['I2', 'I5', 'I14'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/promotion.ts',
      find: 'const failed = await fetchUpTo({ seal, sources: counted, region, log, peers });',
      put: 'const failed = undefined as string | undefined;',
    },
  },
  {
    name: 'marker-missing',
    bug: 'A new hub appends no epoch marker.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one'],
    oracles: ['I2', 'I14', 'fresh'],
    tune: underLease,
    explained:
      'The marker tells the seal to regions that cannot reach the control store; those wait, and learn it later.',
    edit: {
      file: 'src/region/failover/authority.ts',
      find: 'await this.#appendMarker({ epoch: role.epoch, streams: role.streams }, encodeLease({ record, revision }));',
      put: 'void encodeLease({ record, revision });',
    },
  },
  {
    name: 'accept-before-caught-up',
    bug: 'A new hub accepts before it has applied what was sealed.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub', 'slow-disk'],
    oracles: ['I2', 'once', 'I4', 'I8'],
    tune: (knobs) => ({ ...underLease(knobs), disk: { fsyncMs: 2, applyMs: 900 } }),
    edit: {
      file: 'src/region/failover/acceptance.ts',
      find: 'this.#waitsFor = this.#missing() ?? this.#clockWait();',
      put: 'this.#waitsFor = this.#clockWait();',
    },
  },
  {
    name: 'replay-twice',
    firstSeeds: [7],
    bug: 'A hub does not remember which tails it took over.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub'],
    oracles: ['once', 'I14'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/tails.ts',
      find: 'const record = this.#store.record(replayedKey(stream));',
      put: 'const record = undefined as Buffer | undefined;',
    },
  },
  {
    name: 'replay-under-new-ids',
    firstSeeds: [77],
    bug: 'A tail that was itself a replay is taken over under new change ids.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub'],
    oracles: ['once', 'I4'],
    tune: underLease,
    edit: { file: 'src/region/failover/tails.ts', find: 'const source = frame.replay ?? {', put: 'const source = {' },
  },
  {
    name: 'replay-without-keys',
    firstSeeds: [7],
    bug: 'A replayed write loses its idempotency key.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub'],
    oracles: ['once'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/tails.ts',
      find: 'if (dropped < count) carried.push(',
      put: 'if (dropped < 0) carried.push(',
    },
  },
  {
    name: 'replay-over-a-retry',
    firstSeeds: [19],
    bug: 'A tail is taken over although its client tried again elsewhere.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub'],
    oracles: ['once'],
    tune: underLease,
    edit: {
      file: 'src/region/failover/tails.ts',
      find: 'const dropped = Math.min(count, Math.max(0, held - entry.first));',
      put: 'const dropped = Math.min(0, count, held);',
    },
  },
  {
    name: 'gap-accepted',
    bug: 'A frame that does not continue its stream is appended.',
    faults: ['reset-link', 'half-open-link', 'crash-machine', 'lossy-link', 'orphan-channels'],
    oracles: ['health', 'I5'],
    tune: underLease,
    edit: {
      file: 'src/region/replicate/namespace-log.ts',
      find: `if (frame.from !== head.seq)
`,
      put: `if (frame.from < head.seq)
`,
    },
  },
];
