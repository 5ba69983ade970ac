import { Applier } from '#region/apply/applier';
import { ActiveMember } from '#region/membership/active-member';
import { FirstAppend } from '#region/membership/first-append';
import { MemberWatch } from '#region/membership/member-watch';
import { Links } from '#region/replicate/links';
import { LiveStreams } from '#region/replicate/live-streams';
import type { FaultKind, Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch } from '#sim/mutants/patching';

const DISKS: readonly FaultKind[] = ['copy-disks', 'roll-back-disks', 'wipe-disks', 'crash-region'];
const PARTINGS: readonly FaultKind[] = ['isolate', 'cut-both-ways', 'crash-region'];

/** Every namespace is written in every region, and all faults end. */
function everywhere(knobs: Knobs): Knobs {
  return {
    ...knobs,
    mode: 'all',
    namespaces: knobs.namespaces.map((namespace) => ({ ...namespace, replication: 'active-active' })),
    faults: { ...knobs.faults, intervalMs: Math.min(knobs.faults.intervalMs, 1500) },
  };
}

/** Disks are replaced only while others hold all that is on them: little is on its way, and copies are soon old. */
function oftenReplaced(knobs: Knobs): Knobs {
  return {
    ...everywhere(knobs),
    network: { ...knobs.network, oneWayMsMin: 0.5, oneWayMsMax: 2, jitterMs: 0.1, spikeChance: 0 },
    disk: { ...knobs.disk, fsyncMs: 0.2, applyMs: 0.1 },
    workload: { ...knobs.workload, intervalMs: 60 },
    faults: { ...knobs.faults, intervalMs: 500, downMs: 100, clockOffsetMsMax: 20 },
  };
}

/** Members restart while others are away for longer than they wait, and what was missed takes a while to be applied. */
function longAway(knobs: Knobs): Knobs {
  return {
    ...everywhere(knobs),
    disk: { ...knobs.disk, fsyncMs: 1, applyMs: 15 },
    workload: { ...knobs.workload, intervalMs: 10, changesMax: 3 },
    faults: { ...knobs.faults, intervalMs: 1000, lengthMs: 5000, downMs: 100 },
  };
}

/** Puts several bugs in at once; returns how to take them all out again. */
function all(...installed: readonly (() => void)[]): () => void {
  return () => {
    for (const remove of installed) remove();
  };
}

const nothingRecalled = (): (() => void) => {
  const real = Links.prototype.request;
  return patch(Links.prototype, 'request', async function (this: Links, peer, name, body, options) {
    const answered = await real.call(this, peer, name, body, options);
    return (name === 'recall' ? { answer: { streams: {} }, blob: answered.blob } : answered) as never;
  });
};

/** Bugs of active-active namespaces, each to be caught by an oracle. */
export const ACTIVE_MUTANTS: readonly Mutant[] = [
  {
    name: 'incarnation-never-vouched',
    bug: 'A member goes on with the incarnation in its journal, whatever peers and control store saw of it.',
    faults: DISKS,
    tune: oftenReplaced,
    oracles: ['I5'],
    install: () =>
      all(
        nothingRecalled(),
        patch(MemberWatch.prototype, 'read', async () => ({ revision: 0, record: undefined })),
        patch(MemberWatch.prototype, 'write', async () => true),
      ),
  },
  {
    name: 'own-stream-from-peers',
    bug: 'A member mirrors the stream that it extends from peers, and vouches for none.',
    firstSeeds: [1],
    faults: DISKS,
    tune: everywhere,
    oracles: ['I5', 'I14', 'health'],
    install: () => patch(ActiveMember.prototype, 'extends', () => false),
  },
  {
    name: 'dead-incarnations-stay-live',
    bug: 'The streams of an earlier incarnation still count for freshness when its origin has begun another.',
    faults: DISKS,
    tune: oftenReplaced,
    oracles: ['I14'],
    install: () => {
      const real = LiveStreams.prototype.set;
      return patch(LiveStreams.prototype, 'set', function (this: LiveStreams, member, streams) {
        real.call(this, member, [...new Set([...this.of(member), ...streams])]);
      });
    },
  },
  {
    name: 'dead-incarnations-forgotten',
    bug: 'Freshness does not ask what is missing of earlier incarnations.',
    faults: PARTINGS,
    tune: longAway,
    oracles: ['fresh'],
    install: () => patch(Links.prototype, 'announcedHead', () => 0),
  },
  {
    name: 'dead-incarnations-invalid',
    bug: 'Only the streams that members extend now count; what is held of earlier ones is not applied.',
    faults: DISKS,
    tune: everywhere,
    oracles: ['I14', 'I3', 'I4', 'I1'],
    install: () => {
      const real = LiveStreams.prototype.standing;
      return patch(LiveStreams.prototype, 'standing', function (this: LiveStreams, stream) {
        return this.includes(stream) ? real.call(this, stream) : { kind: 'unknown' };
      });
    },
  },
  {
    name: 'dead-incarnations-sealed',
    bug: 'A stream that its origin extends no more counts as sealed at its beginning.',
    faults: DISKS,
    tune: everywhere,
    oracles: ['I14', 'I3', 'I4', 'I1', 'health'],
    install: () => {
      const real = LiveStreams.prototype.standing;
      return patch(LiveStreams.prototype, 'standing', function (this: LiveStreams, stream) {
        return this.includes(stream) ? real.call(this, stream) : { kind: 'sealed', epoch: 1, seal: 0 };
      });
    },
  },
  {
    name: 'watermark-before-its-head',
    bug: 'A watermark counts as soon as it is heard, not when what it stands for is applied.',
    faults: ['clog', 'slow-disk', 'cut-both-ways'],
    tune: everywhere,
    oracles: ['fresh'],
    install: () => {
      const real = Applier.prototype.announce;
      return patch(Applier.prototype, 'announce', function (this: Applier, stream, _head, watermarkMs) {
        real.call(this, stream, 0, watermarkMs);
      });
    },
  },
  {
    name: 'append-before-own-history',
    firstSeeds: [6],
    bug: 'A member accepts before it has fetched and applied what peers hold of its earlier streams.',
    faults: DISKS,
    tune: (knobs) => ({
      ...everywhere(knobs),
      workload: { ...knobs.workload, intervalMs: 15, retries: 8, repeatShare: 0.3, keylessShare: 0 },
    }),
    oracles: ['once', 'I8', 'I9', 'sync'],
    install: () => patch(FirstAppend.prototype, 'missing', () => undefined),
  },
];
