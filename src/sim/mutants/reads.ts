import { StampGate } from '#region/clocks/stamp-gate';
import { type Confirmed, EpochConfirmation } from '#region/serve/epoch-confirmation';
import { RowReads } from '#region/serve/row-reads';
import type { Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { patch } from '#sim/mutants/patching';

/** Many readers of few rows, at one level. */
function readers(knobs: Knobs, sessions: Partial<Knobs['sessions']>): Knobs {
  return {
    ...knobs,
    sessions: {
      ...knobs.sessions,
      count: 4,
      intervalMs: 50,
      keys: 1,
      writeShare: 0.4,
      deleteShare: 0,
      eventTimeStepMs: 1,
      budgetMs: 1000,
      ...sessions,
    },
  };
}

/** A hub that is cut off for long enough to be replaced, and clients that do not wait for it for long. */
function replacedHub(knobs: Knobs): Knobs {
  const leaseMs = 500;
  const tuned = readers(knobs, { levels: ['strong'], budgetMs: 200 });
  return {
    ...tuned,
    mode: 'safety',
    faultsMs: 15_000,
    namespaces: tuned.namespaces.map((namespace) => ({
      ...namespace,
      replication: 'active-passive',
      leaseMs,
      marginMs: 80,
      acknowledge: 0,
      lossy: 'allow',
    })),
    workload: { ...tuned.workload, intervalMs: 150, clientTimeoutMs: 1000 },
    faults: { ...tuned.faults, intervalMs: 2000, lengthMs: 3000, clockOffsetMsMax: 0 },
  };
}

/** Bugs of reads, each to be caught by an oracle. */
export const READS_MUTANTS: readonly Mutant[] = [
  {
    name: 'ignore-session',
    bug: 'What a session has seen is not looked at.',
    faults: ['cut-one-way', 'clog'],
    tune: (knobs) => readers(knobs, { levels: ['session'] }),
    oracles: ['I6'],
    install: () => {
      const real = RowReads.prototype.read;
      return patch(RowReads.prototype, 'read', function (this: RowReads, request) {
        return real.call(this, { ...request, seen: undefined });
      });
    },
  },
  {
    name: 'token-without-reads',
    bug: 'The token of an answer does not cover what was read.',
    faults: ['cut-one-way', 'clog'],
    tune: (knobs) => readers(knobs, { levels: ['session'] }),
    oracles: ['I6'],
    install: () => {
      const real = RowReads.prototype.read;
      return patch(RowReads.prototype, 'read', async function (this: RowReads, request) {
        return { ...(await real.call(this, request)), seen: request.seen ?? { epoch: 0, streams: {} } };
      });
    },
  },
  {
    name: 'fresh-by-the-last-look',
    bug: 'A region counts as fresh as of the moment it looks, whatever it has heard.',
    faults: ['cut-one-way', 'cut-both-ways', 'isolate'],
    tune: (knobs) => readers(knobs, { levels: ['bounded'], maxStalenessMs: 600 }),
    oracles: ['bounded'],
    install: () => {
      const real = RowReads.prototype.read;
      return patch(RowReads.prototype, 'read', function (this: RowReads, request) {
        return real.call(this, request.level === 'bounded' ? { ...request, level: 'session' } : request);
      });
    },
  },
  {
    name: 'strong-anywhere',
    bug: 'A strong read is answered by whichever region is asked.',
    faults: ['cut-one-way', 'slow-disk'],
    tune: (knobs) => readers(knobs, { levels: ['strong'] }),
    oracles: ['strong'],
    install: () => {
      const real = RowReads.prototype.read;
      return patch(RowReads.prototype, 'read', function (this: RowReads, request) {
        return real.call(this, request.level === 'strong' ? { ...request, level: 'session' } : request);
      });
    },
  },
  {
    name: 'clock-not-in-token',
    bug: 'A write does not take over the clock reading of its session.',
    faults: ['planned-failover', 'step-clock'],
    tune: (knobs) => {
      const tuned = readers(knobs, { levels: ['session'], writeShare: 0.7 });
      return { ...tuned, faults: { ...tuned.faults, intervalMs: 500, clockOffsetMsMax: 400 } };
    },
    oracles: ['I6'],
    install: () => patch(StampGate.prototype, 'observe', () => undefined),
  },
  {
    name: 'strong-by-belief',
    bug: 'A region that takes itself for the hub answers strong reads without asking anybody.',
    faults: ['isolate-hub'],
    tune: replacedHub,
    oracles: ['strong'],
    install: () => {
      const confirm = patch(EpochConfirmation.prototype, 'confirm', async () => undefined);
      const speaks = patch(RowReads.prototype, 'speaksFor', () => true);
      return () => {
        confirm();
        speaks();
      };
    },
  },
  {
    name: 'strong-on-an-earlier-word',
    firstSeeds: [6],
    bug: 'A strong read goes by what the control store answered before it came.',
    faults: ['isolate-hub'],
    tune: replacedHub,
    oracles: ['strong'],
    install: () => {
      const heard = new WeakMap<EpochConfirmation, Confirmed | undefined>();
      const real = EpochConfirmation.prototype.confirm;
      const confirm = patch(EpochConfirmation.prototype, 'confirm', async function (this: EpochConfirmation) {
        if (!heard.has(this)) heard.set(this, await real.call(this));
        return heard.get(this);
      });
      const speaks = patch(RowReads.prototype, 'speaksFor', (_gate, confirmed) => confirmed !== undefined);
      return () => {
        confirm();
        speaks();
      };
    },
  },
];
