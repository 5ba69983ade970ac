import { type AcknowledgeRule, LOCAL, type Requirement } from '#core/failover/acknowledge';
import { EpochAcknowledgements } from '#region/failover/epoch-acknowledgements';
import { LeaseWatch } from '#region/failover/lease-watch';
import { AcknowledgedWrites } from '#region/ingest/acknowledged-writes';
import { SyncWaits } from '#region/ingest/sync-waits';
import { DurablePositions } from '#region/replicate/durable-positions';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { override } from '#sim/crash/override';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch } from '#sim/mutants/patching';

/** What leaves a hub with one other region for a time, while the rest takes over. */
const IN_PARTS: readonly FaultKind[] = ['isolate-hub-with-one'];

/** What leaves a hub alone with its newest writes, and takes it away. */
const APART: readonly FaultKind[] = ['isolate-hub', 'isolate-hub-with-one', 'crash-hub', 'cut-both-ways', 'slow-disk'];

interface Wish {
  readonly acknowledge: AcknowledgeRule | ((promotable: readonly string[]) => AcknowledgeRule);
  readonly promotable?: (regions: readonly string[]) => readonly string[];
  readonly mode?: Knobs['mode'];
  readonly more?: (knobs: Knobs) => Knobs;
}

/** Three regions whose writes wait as wished, with a policy that lets promotions happen. */
function waiting(wish: Wish): (knobs: Knobs) => Knobs {
  return (drawn) => {
    const knobs = wish.more?.(drawn) ?? drawn;
    const regions = knobs.regions.slice(0, 3);
    const promotable = wish.promotable?.(regions) ?? regions;
    const { acknowledge } = wish;
    return {
      ...knobs,
      mode: wish.mode ?? 'all',
      regions,
      workload: { ...knobs.workload, intervalMs: Math.min(knobs.workload.intervalMs, 30) },
      namespaces: knobs.namespaces.slice(0, 1).map((namespace) => ({
        ...namespace,
        replication: 'active-passive',
        promotable,
        initialHub: promotable[0] as string,
        acknowledge: typeof acknowledge === 'function' ? acknowledge(promotable) : acknowledge,
        lossy: 'allow',
      })),
    };
  };
}

/** Cuts that are long enough for the others to take over, with time between them. */
function oneByOne(knobs: Knobs): Knobs {
  return {
    ...knobs,
    faultsMs: 40_000,
    controlDeadlineMs: 300,
    network: { ...knobs.network, oneWayMsMin: 2, oneWayMsMax: 10, jitterMs: 1, spikeChance: 0 },
    faults: { ...knobs.faults, intervalMs: 4000, lengthMs: 2500 },
    namespaces: knobs.namespaces.map((namespace) => ({ ...namespace, leaseMs: 600, marginMs: 100 })),
  };
}

type Until = SyncWaits['until'];

function patchUntil(change: (real: Until) => Until): () => void {
  const real = SyncWaits.prototype.until;
  return patch(SyncWaits.prototype, 'until', change(real));
}

function asking(change: (requirement: Requirement) => Requirement): () => void {
  return patchUntil(
    (real) =>
      function (this: SyncWaits, requirement, positions) {
        return real.call(this, change(requirement), positions);
      },
  );
}

function patchInForce(change: (record: ReturnType<EpochAcknowledgements['inForce']>) => typeof record): () => void {
  const real = EpochAcknowledgements.prototype.inForce;
  return patch(EpochAcknowledgements.prototype, 'inForce', function (this: EpochAcknowledgements, record) {
    return change(real.call(this, record));
  });
}

/** Bugs of writes that several regions acknowledge, each to be caught by an oracle. */
export const SYNC_MUTANTS: readonly Mutant[] = [
  {
    name: 'sync-without-waiting',
    bug: 'A write that should wait for another region is acknowledged at once.',
    faults: APART,
    tune: waiting({ acknowledge: 1 }),
    oracles: ['sync'],
    install: () => asking(() => LOCAL),
  },
  {
    name: 'hub-counts-itself',
    bug: 'Of the regions that an acknowledgement waits for, the hub counts as one.',
    faults: APART,
    tune: waiting({ acknowledge: 2 }),
    oracles: ['sync'],
    install: () => asking((requirement) => ({ ...requirement, count: requirement.count - 1 })),
  },
  {
    name: 'named-as-number',
    bug: 'An acknowledgement that should wait for regions by name waits for as many, whichever they are.',
    faults: APART,
    tune: waiting({ acknowledge: (promotable) => [promotable[2] as string] }),
    oracles: ['sync'],
    install: () => asking(({ count }) => ({ count, regions: [] })),
  },
  {
    name: 'count-any-region',
    bug: 'Regions that are not promotable, and will be asked in no promotion, count for acknowledgements.',
    faults: APART,
    tune: waiting({ acknowledge: 1, promotable: (regions) => regions.slice(0, 2) }),
    oracles: ['sync'],
    install: () => {
      const real = DurablePositions.prototype.logs;
      return patch(DurablePositions.prototype, 'logs', function (this: DurablePositions) {
        return real.call(this, ['ap-south', 'eu-west', 'us-east', 'af', 'south-america']);
      });
    },
  },
  {
    name: 'mirror-before-fsync',
    bug: 'A region acknowledges frames to their origin when they are on their way to disk.',
    faults: APART,
    tune: waiting({
      acknowledge: 1,
      more: (knobs) => ({
        ...knobs,
        disk: { ...knobs.disk, fsyncMs: 40 },
        network: { ...knobs.network, oneWayMsMin: 1, oneWayMsMax: 2, jitterMs: 0.1 },
      }),
    }),
    oracles: ['sync'],
    install: () => {
      const real = NamespaceLog.prototype.mirror;
      return patch(NamespaceLog.prototype, 'mirror', async function (this: NamespaceLog, stream, frame, options) {
        const before = this.queuedHead(stream).seq;
        const mirrored = real.call(this, stream, frame, options);
        if (options.forPromotion || this.queuedHead(stream).seq === before) return mirrored;
        return 'appended';
      });
    },
  },
  {
    name: 'one-promise-too-few',
    firstSeeds: [5],
    bug: 'A promotion counts as clean with one promise fewer than every acknowledged write needs.',
    faults: IN_PARTS,
    tune: waiting({ acknowledge: 1, mode: 'safety', more: oneByOne }),
    oracles: ['sync'],
    install: () =>
      patchInForce((record) => ({
        ...record,
        acknowledge: { ...record.acknowledge, count: record.acknowledge.count + 1 },
      })),
  },
  {
    name: 'promise-of-another-log',
    firstSeeds: [6],
    bug: 'A region that lost its disk promises as if it still held what it acknowledged.',
    faults: ['wipe-disks', 'wipe-disks', 'isolate-hub', 'crash-hub', 'cut-both-ways'],
    tune: waiting({
      acknowledge: 1,
      mode: 'safety',
      more: (knobs) => ({ ...knobs, faults: { ...knobs.faults, downMs: 100 } }),
    }),
    oracles: ['sync'],
    journal: (inner) =>
      override(inner, { get: (key) => (key === 'log-id' ? Buffer.from('the one log') : inner.get(key)) }),
    install: () =>
      patchInForce((record) => ({
        ...record,
        participants: Object.fromEntries(
          Object.entries(record.participants).map(([region, { log }]) => [region, { log, held: 0 }]),
        ),
      })),
  },
  {
    name: 'loss-not-recorded',
    firstSeeds: [5],
    bug: 'A promotion that could not prove that nothing is left behind does not say so.',
    faults: IN_PARTS,
    tune: waiting({ acknowledge: 1, mode: 'safety', more: oneByOne }),
    oracles: ['sync'],
    install: () => {
      const real = LeaseWatch.prototype.compareAndSet;
      return patch(LeaseWatch.prototype, 'compareAndSet', function (this: LeaseWatch, expected, record) {
        return real.call(this, expected, { ...record, lossy: [] });
      });
    },
  },
  {
    name: 'remember-a-lost-log',
    firstSeeds: [5],
    bug: 'What a region acknowledged before it lost its disk still counts.',
    faults: ['wipe-disks', 'wipe-disks', 'slow-disk', 'isolate-hub', 'crash-hub'],
    tune: waiting({
      acknowledge: 2,
      mode: 'safety',
      more: (knobs) => ({ ...knobs, faults: { ...knobs.faults, downMs: 100 } }),
    }),
    oracles: ['sync'],
    install: () => {
      const real = DurablePositions.prototype.acknowledge;
      return patch(DurablePositions.prototype, 'acknowledge', function (this: DurablePositions, stream, peer, seq) {
        const most = Math.max(seq, ...Object.values(this.of(stream)));
        return real.call(this, stream, peer, most);
      });
    },
  },
  {
    name: 'retry-does-not-wait',
    bug: 'A retry of a write that is applied here is answered although other regions do not have it yet.',
    faults: APART,
    tune: waiting({
      acknowledge: 2,
      more: (knobs) => ({
        ...knobs,
        workload: { ...knobs.workload, retries: 8, clientTimeoutMs: 1000, keylessShare: 0, hedgeShare: 0.5 },
      }),
    }),
    oracles: ['sync'],
    install: () => {
      const real = AcknowledgedWrites.prototype.write;
      const knownKeys = new WeakMap<AcknowledgedWrites, Set<string>>();
      return patch(AcknowledgedWrites.prototype, 'write', function (this: AcknowledgedWrites, codec, changes, options) {
        const known = knownKeys.get(this) ?? new Set<string>();
        knownKeys.set(this, known);
        const { key } = options;
        const again = key !== null && known.has(key);
        if (key !== null) known.add(key);
        return real.call(this, codec, changes, again ? { ...options, requirement: LOCAL } : options);
      });
    },
  },
  {
    name: 'late-counts-as-done',
    firstSeeds: [11],
    bug: 'A write that other regions did not confirm in time is acknowledged.',
    faults: APART,
    tune: waiting({ acknowledge: 2 }),
    oracles: ['sync'],
    install: () =>
      patchUntil(
        (real) =>
          function (this: SyncWaits, requirement, positions) {
            return real.call(this, requirement, positions).catch(() => []);
          },
      ),
  },
  {
    name: 'mirror-after-promise',
    bug: 'A region that promised an epoch away goes on mirroring and acknowledging it.',
    faults: ['isolate-hub-with-one', 'cut-hub-from-control'],
    tune: waiting({ acknowledge: 1, more: oneByOne }),
    oracles: ['sync', 'I1', 'I2'],
    install: () => {
      const real = NamespaceLog.prototype.mirror;
      return patch(NamespaceLog.prototype, 'mirror', function (this: NamespaceLog, stream, frame) {
        return real.call(this, stream, frame, { forPromotion: true });
      });
    },
  },
];
