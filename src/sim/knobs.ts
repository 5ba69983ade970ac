import type { AcknowledgeRule } from '#core/failover/acknowledge';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import { drawMergeStyles, type MergeStyle } from '#sim/workload/merge-styles';
import { drawSessions, type SessionKnobs } from '#sim/workload/session-knobs';

export interface NetworkKnobs {
  readonly oneWayMsMin: number;
  readonly oneWayMsMax: number;
  readonly jitterMs: number;
  readonly spikeChance: number;
  /** Unsent bytes of a channel above which a sender should wait. */
  readonly highWaterBytes: number;
  /** How long a host waits on a silent connection before it gives up, ms. */
  readonly giveUpMs: number;
}

export interface DiskKnobs {
  /** Mean time of an fsync, ms. */
  readonly fsyncMs: number;
  /** Mean time of a transaction of the store, ms. */
  readonly applyMs: number;
}

export interface NamespaceKnobs {
  readonly name: string;
  /** Without a hub what follows about one means nothing. */
  readonly replication: 'active-passive' | 'active-active';
  readonly partitions: number;
  readonly initialHub: string;
  readonly leaseMs: number;
  readonly marginMs: number;
  readonly promotable: readonly string[];
  readonly tail: 'replay' | 'keep';
  readonly acknowledge: AcknowledgeRule;
  readonly lossy: 'allow' | 'refuse';
  readonly views: number;
  /** How each of them merges. */
  readonly merges: readonly MergeStyle[];
  /** Time to live of their rows; null: for ever. Rows that have expired go away without a write. */
  readonly ttlSeconds: number | null;
  readonly retention: { readonly ageMs: number; readonly bytes: number };
}

export interface WorkloadKnobs {
  /** Mean time between two writes of all clients together, ms. */
  readonly intervalMs: number;
  /** Share of moments at which not one write begins but `BURST_WRITES` at once. */
  readonly burstShare: number;
  readonly keys: number;
  /** Share of writes that go to a handful of keys. */
  readonly hotShare: number;
  readonly changesMax: number;
  readonly deleteShare: number;
  /** Event times are whole multiples of this, ms: a large one makes many equal ones. */
  readonly eventTimeStepMs: number;
  readonly eventTimeSpreadMs: number;
  readonly clientTimeoutMs: number;
  readonly retries: number;
  readonly repeatShare: number;
  /** Share of requests that are sent twice at once. */
  readonly hedgeShare: number;
  /** Share of writes without an idempotency key. */
  readonly keylessShare: number;
  /** Share of writes that ask for one region beside the hub, whatever the namespace demands. */
  readonly raiseShare: number;
  readonly rowBytesMax: number;
}

export const FAULT_KINDS = [
  'crash-region',
  'crash-hub',
  'crash-machine',
  'crash-at-point',
  'power-loss',
  'stop-region',
  'pause-region',
  'pause-hub',
  'suspend-hub',
  'crash-control',
  'pause-control',
  'cut-one-way',
  'cut-both-ways',
  'isolate',
  'isolate-hub',
  'isolate-hub-with-one',
  'chase-hub',
  'cut-control',
  'cut-hub-from-control',
  'deafen',
  'mute',
  'bridge',
  'swizzle-clog',
  'flap-hub',
  'clog',
  'lossy-link',
  'reorder-link',
  'orphan-channels',
  'reset-link',
  'half-open-link',
  'repeat-messages',
  'slow-disk',
  'slow-control-disk',
  'failed-fsync',
  'failed-control-fsync',
  'full-store',
  'full-log',
  'full-control',
  'no-free-space',
  'copy-disks',
  'roll-back-disks',
  'wipe-disks',
  'lose-store',
  'flip-log-bit',
  'step-clock',
  'drift-clock',
  'clock-back-at-restart',
  'clock-hour-ahead',
  'planned-failover',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What most often leads to another hub. */
const HUB_FAULTS: readonly FaultKind[] = [
  'crash-hub',
  'pause-hub',
  'isolate-hub',
  'isolate-hub-with-one',
  'chase-hub',
  'flap-hub',
];

/** Kinds that the engine has no answer to yet: asked for by name they happen, drawn they are not. */
export const UNANSWERED_FAULTS: ReadonlySet<FaultKind> = new Set(['suspend-hub']);

/** Kinds whose chance is drawn apart. */
const LATER_FAULTS: ReadonlySet<FaultKind> = new Set(['repeat-messages']);

/**
 * How a run ends. `all`: every fault ends and all must agree. `core`: first a few regions alone must agree, then all.
 * `safety`: faults know no limit and never end; only what must hold at every moment is judged.
 */
export type HealMode = 'all' | 'core' | 'safety';

export interface FaultKnobs {
  /** Mean time between two faults, ms. */
  readonly intervalMs: number;
  /** Mean length of a fault that lasts, ms. */
  readonly lengthMs: number;
  /** How long a crashed process stays down on average, ms. */
  readonly downMs: number;
  /** Kinds that happen in this run; a kind may stand in it several times. */
  readonly kinds: readonly FaultKind[];
  readonly clockOffsetMsMax: number;
}

/** Everything a run draws from its seed. */
export interface Knobs {
  readonly mode: HealMode;
  readonly regions: readonly string[];
  readonly namespaces: readonly NamespaceKnobs[];
  readonly network: NetworkKnobs;
  readonly disk: DiskKnobs;
  readonly workload: WorkloadKnobs;
  readonly sessions: SessionKnobs;
  readonly faults: FaultKnobs;
  /** Bytes of one chunk of a copy of a store. */
  readonly copyChunkBytes: number;
  readonly controlDeadlineMs: number;
  readonly clockResolutionMs: number;
  /** Length of the phase with faults, ms. */
  readonly faultsMs: number;
  /** Time after the heal within which all must agree, ms. */
  readonly healMsMax: number;
}

/** Faults in closer succession leave the clients nothing to do, ms. */
const FAULT_INTERVAL_MS_MIN = 200;

/** Writes that begin at once in a burst. */
export const BURST_WRITES = 20;
/** About as many writes a run begins at the most: twice as many changes of one key cost the oracles more than two runs. */
const WRITES_MAX = 3300;

/** Names of different lengths: the order of origins among equal stamps is by length first. */
const REGIONS = ['ap-south', 'eu-west', 'us-east', 'af', 'south-america'];

/** Half of the runs are asynchronous; the others wait for one region, for all, or for some by name. */
function drawAcknowledge(
  random: SeededRandom,
  promotable: readonly string[],
): Pick<NamespaceKnobs, 'acknowledge' | 'lossy'> {
  const others = promotable.length - 1;
  const acknowledge = random.pick<AcknowledgeRule>([0, 0, 0, 1, 1, others, [random.pick(promotable)], promotable]);
  return { acknowledge, lossy: random.chance(acknowledge === 0 ? 0.9 : 0.3) ? 'allow' : 'refuse' };
}

/** Half of the runs let go of frames soon, some for the sake of space even where a member lacks them. */
function drawRetention(random: SeededRandom): NamespaceKnobs['retention'] {
  if (random.chance(0.5)) return { ageMs: 7 * 24 * 3_600_000, bytes: 1e9 };
  return { ageMs: random.logBetween(300, 10_000), bytes: random.pick([3000, 30_000, 1e9]) };
}

export function drawKnobs(random: SeededRandom): Knobs {
  const regions = REGIONS.slice(0, random.pick([3, 3, 3, 3, 3, 4, 5])).sort();
  const leaseMs = random.logBetween(400, 3000);
  const retention = drawRetention(random.fork('gaps'));
  const namespaces = Array.from({ length: random.chance(0.25) ? 2 : 1 }, (_, index): NamespaceKnobs => {
    const barred = random.chance(0.2) ? random.pick(regions) : undefined;
    const promotable = regions.filter((name) => name !== barred);
    const name = ['flights', 'weather'][index] as string;
    const drawn: Omit<NamespaceKnobs, 'merges' | 'ttlSeconds'> = {
      name,
      replication: random.fork(`replication ${index}`).chance(0.25) ? 'active-active' : 'active-passive',
      partitions: random.pick([1, 1, 1, 2, 4]),
      initialHub: random.pick(promotable),
      leaseMs,
      marginMs: leaseMs * random.between(0.08, 0.3),
      promotable,
      tail: random.chance(0.85) ? 'replay' : 'keep',
      ...drawAcknowledge(random, promotable),
      views: random.pick([1, 1, 2]),
      retention,
    };
    return {
      ...drawn,
      merges: drawMergeStyles(random.fork(`merges of ${name}`), drawn.views),
      ttlSeconds: random.fork(`expiry of ${name}`).pick([null, null, null, 3, 20]),
    };
  });
  const oneWayMsMax = random.logBetween(1, 150);
  // Few kinds in one run go deeper, many meet each other.
  const share = random.pick([0.1, 0.25, 0.6]);
  // Kinds that came later draw from a fork: they leave the histories of seeds without them as they are.
  const chanceOf = (kind: FaultKind): SeededRandom => (LATER_FAULTS.has(kind) ? random.fork(kind) : random);
  const kinds = FAULT_KINDS.filter((kind) => chanceOf(kind).chance(share) && !UNANSWERED_FAULTS.has(kind));
  const more = random.chance(0.85) ? Math.max(4, Math.ceil(kinds.length / 2)) : 0;
  for (let i = 0; i < more; i++) kinds.push(random.pick(HUB_FAULTS));
  const faultsMs = random.fork('length').logBetween(10_000, 36_000);
  const burstShare = random.pick([0.02, 0.1, 0.3]);
  const atOnce = 1 + burstShare * (BURST_WRITES - 1);
  return {
    mode: random.pick(['all', 'all', 'all', 'core', 'core', 'safety']),
    regions,
    namespaces,
    network: {
      oneWayMsMin: oneWayMsMax * random.between(0.05, 1),
      oneWayMsMax,
      jitterMs: random.logBetween(0.05, 20),
      spikeChance: random.pick([0, 0, 0.001, 0.02]),
      highWaterBytes: random.pick([1000, 64 * 1024, 8 * 1024 * 1024]),
      giveUpMs: random.logBetween(2000, 30_000),
    },
    disk: { fsyncMs: random.logBetween(0.05, 20), applyMs: random.logBetween(0.01, 3) },
    workload: {
      intervalMs: Math.max(random.logBetween(9, 70), (faultsMs * atOnce) / WRITES_MAX),
      burstShare,
      keys: random.pick([1, 3, 20, 20, 200]),
      hotShare: random.pick([0, 0.3, 0.9]),
      changesMax: random.pick([1, 1, 3, 10]),
      deleteShare: random.pick([0, 0.05, 0.3]),
      eventTimeStepMs: random.pick([1, 100, 1000, 60_000]),
      eventTimeSpreadMs: random.pick([10, 1000, 60_000]),
      clientTimeoutMs: random.logBetween(1000, 20_000),
      retries: random.pick([0, 4, 8, 8]),
      hedgeShare: random.pick([0, 0, 0.1]),
      keylessShare: random.pick([0, 0.1, 0.5]),
      raiseShare: random.pick([0, 0, 0.1]),
      repeatShare: random.pick([0, 0.05, 0.3]),
      rowBytesMax: random.pick([20, 20, 200, 2000]),
    },
    sessions: drawSessions(random.fork('sessions')),
    faults: {
      intervalMs: Math.max(FAULT_INTERVAL_MS_MIN, leaseMs * random.logBetween(0.1, 1)),
      lengthMs: leaseMs * random.logBetween(0.1, 3),
      downMs: leaseMs * random.logBetween(0.1, 3),
      kinds: kinds.length === 0 ? FAULT_KINDS : kinds,
      clockOffsetMsMax: random.pick([0, 20, 200, 400]),
    },
    copyChunkBytes: random.fork('gaps').pick([4000, 16_000, 64_000]),
    controlDeadlineMs: random.between(0.3, 0.8) * leaseMs + 4 * oneWayMsMax,
    clockResolutionMs: random.pick([0.001, 1, 1, 15]),
    faultsMs,
    healMsMax: 60_000 + 15 * leaseMs,
  };
}
