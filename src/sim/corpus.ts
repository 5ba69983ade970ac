import type { CrashTarget } from '#sim/crash/crash-points';
import type { FaultKind } from '#sim/knobs';

/** A run that once failed, kept for ever. */
export interface PastFailure {
  /** What it showed. */
  readonly showed: string;
  readonly seeds: readonly number[];
  /**
   * Kinds of faults that led there. What a seed means moves with the engine and with the knobs; faults and points do not, so
   * they are kept beside it, and the case stays near the place where the failure was.
   */
  readonly kinds: readonly FaultKind[];
  readonly crashAt?: CrashTarget;
}

/** Past failures of the engine or of the simulator. Never shortened; a new failure is added with its seed and its faults. */
export const CORPUS: readonly PastFailure[] = [
  {
    showed: 'the bound of the clock was not written again after a full disk had refused it once',
    seeds: [12, 31],
    kinds: ['full-log', 'step-clock'],
  },
  {
    showed: 'a store too full for its serving state ended the region',
    seeds: [12, 8],
    kinds: ['full-store'],
  },
  {
    showed: 'a failed write of the journal was taken for a refusal by one of its callers',
    seeds: [3, 12],
    kinds: ['failed-fsync', 'isolate-hub'],
  },
  {
    showed: 'a holder whose epoch had ended while it waited for its clock wrote its marker',
    seeds: [6, 15],
    kinds: ['isolate-hub', 'step-clock', 'chase-hub'],
  },
  {
    showed: 'a key on its way was looked for in one step and taken in another, and a write was accepted twice',
    seeds: [19, 24],
    kinds: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one'],
  },
  {
    showed: 'a hub accepted before it had applied all sealed history',
    seeds: [2, 22],
    kinds: ['chase-hub', 'crash-machine'],
  },
  {
    showed: 'one start after another moved the persisted bound of the clock away from the wall clock',
    seeds: [12, 27],
    kinds: ['clock-back-at-restart', 'crash-region'],
  },
  {
    showed: 'the simulator lost store writes that had been synced, of a machine that had been stopped in order',
    seeds: [2],
    kinds: ['stop-region', 'power-loss', 'slow-disk', 'pause-region', 'isolate-hub'],
    crashAt: { role: 'hub', label: 'journal put store-mark before', nth: 2, kind: 'machine' },
  },
  {
    showed: 'the simulator noted appends of a process that had died in the middle of a step',
    seeds: [5],
    kinds: ['chase-hub', 'crash-machine', 'reset-link'],
    crashAt: { role: 'replica', label: 'receive frame after', nth: 12, kind: 'machine' },
  },
  {
    showed: 'a core of regions was asked to acknowledge in regions that were away',
    seeds: [10, 12],
    kinds: ['pause-hub', 'pause-region', 'flap-hub', 'cut-hub-from-control', 'failed-control-fsync'],
  },
  {
    showed: 'the simulator did not count frames as held whose fsync had outlived the process that waited for it',
    seeds: [13, 29],
    kinds: ['crash-region', 'crash-hub', 'chase-hub'],
  },
  {
    showed: 'a region waited for ever for changes beyond a seal, where its log began',
    seeds: [34],
    kinds: ['crash-hub', 'failed-fsync', 'roll-back-disks', 'wipe-disks', 'flip-log-bit'],
  },
  {
    showed: 'a damaged frame without a copy stayed in the log for a minute, and kept from a backfill who waited for it',
    seeds: [68],
    kinds: ['crash-hub', 'failed-fsync', 'roll-back-disks', 'wipe-disks', 'flip-log-bit'],
  },
  {
    showed: 'the simulator forgot what a disk had held as soon as a second one followed it',
    seeds: [72],
    kinds: ['crash-hub', 'failed-fsync', 'roll-back-disks', 'wipe-disks', 'flip-log-bit'],
  },
  {
    showed:
      'a region became hub whose store was filled beyond its log: its own seal emptied it, and nothing could fill it',
    seeds: [25],
    kinds: ['crash-hub', 'failed-fsync', 'roll-back-disks', 'wipe-disks', 'flip-log-bit'],
  },
  {
    showed: 'two regions that had just lost their disks, cut off from the hub, sealed its epoch at nothing',
    seeds: [140],
    kinds: ['crash-control', 'wipe-disks', 'step-clock', 'chase-hub', 'flap-hub', 'pause-hub', 'isolate-hub-with-one'],
  },
  {
    showed: 'the simulator left a clock wrong for ever when two of its faults overlapped',
    seeds: [166],
    kinds: [
      'isolate-hub',
      'flap-hub',
      'full-store',
      'step-clock',
      'clock-back-at-restart',
      'pause-hub',
      'flap-hub',
      'isolate-hub',
      'pause-hub',
    ],
  },
  {
    showed: 'every second look of the simulator met an expiry cut on its way',
    seeds: [4],
    kinds: ['crash-hub', 'failed-fsync', 'roll-back-disks', 'wipe-disks', 'flip-log-bit'],
  },
  {
    showed:
      'a hub that had lost its disk within its epoch accepted retries before it had heard what peers hold of the epoch',
    seeds: [118],
    kinds: [
      'bridge',
      'chase-hub',
      'clock-back-at-restart',
      'clog',
      'crash-at-point',
      'crash-control',
      'crash-hub',
      'crash-region',
      'cut-both-ways',
      'cut-hub-from-control',
      'failed-fsync',
      'flap-hub',
      'full-log',
      'full-store',
      'half-open-link',
      'isolate-hub',
      'isolate-hub-with-one',
      'mute',
      'orphan-channels',
      'pause-control',
      'pause-hub',
      'reset-link',
      'slow-control-disk',
      'step-clock',
      'wipe-disks',
    ],
  },
  {
    showed:
      'the simulator held a hub to positions that only its replaced disk, no other log and not the control store, knew',
    seeds: [6],
    kinds: ['crash-hub', 'cut-both-ways', 'chase-hub', 'copy-disks', 'roll-back-disks', 'wipe-disks'],
  },
  {
    showed: 'a hub went on accepting while its store was emptied for the sake of another namespace',
    seeds: [75],
    kinds: ['chase-hub', 'flap-hub', 'isolate', 'pause-hub', 'crash-hub', 'full-control', 'swizzle-clog'],
  },
  {
    showed:
      'a candidate sealed an epoch below what it had fetched, applied and cut its log at, because the rest could not be had',
    seeds: [214],
    kinds: [
      'chase-hub',
      'clog',
      'copy-disks',
      'cut-hub-from-control',
      'cut-one-way',
      'failed-control-fsync',
      'failed-fsync',
      'full-control',
      'half-open-link',
      'isolate-hub',
      'isolate-hub-with-one',
    ],
  },
  {
    showed: 'a relay whose log had let go of what came next was followed for ever, although another held it',
    seeds: [200],
    kinds: [
      'chase-hub',
      'crash-at-point',
      'crash-hub',
      'crash-machine',
      'flip-log-bit',
      'full-control',
      'isolate-hub',
      'lose-store',
      'mute',
      'pause-hub',
      'planned-failover',
      'stop-region',
      'wipe-disks',
    ],
  },
  {
    showed: 'a stream halted at a damaged frame was not applied at all any more once the store had been emptied',
    seeds: [357],
    kinds: [
      'bridge',
      'crash-hub',
      'crash-machine',
      'crash-region',
      'cut-hub-from-control',
      'flip-log-bit',
      'full-control',
      'full-log',
      'half-open-link',
      'isolate-hub',
      'lossy-link',
      'orphan-channels',
      'pause-hub',
      'reorder-link',
      'swizzle-clog',
    ],
  },
  {
    showed: 'two regions an hour ahead bore each other out, and everybody waited for the stamps of one of them',
    seeds: [450],
    kinds: [
      'chase-hub',
      'clock-hour-ahead',
      'drift-clock',
      'full-store',
      'isolate',
      'isolate-hub',
      'lose-store',
      'pause-hub',
      'slow-control-disk',
    ],
  },
  {
    showed:
      'the marker of an epoch was stamped an hour ahead, by a clock set while the bound of its stamps was written',
    seeds: [172, 9],
    kinds: ['clock-hour-ahead', 'flap-hub', 'isolate-hub-with-one', 'crash-hub'],
  },
  {
    showed:
      'a damaged frame that only its log and its store held stayed in the log, and who waited for it waited for ever',
    seeds: [779],
    kinds: [
      'crash-hub',
      'drift-clock',
      'failed-fsync',
      'flap-hub',
      'flip-log-bit',
      'lossy-link',
      'mute',
      'no-free-space',
      'reorder-link',
      'wipe-disks',
    ],
  },
  {
    showed:
      'two regions of which each lacked what only the store of the other held fell silent to each other in turn, for ever',
    seeds: [362],
    kinds: [
      'clock-back-at-restart',
      'clock-hour-ahead',
      'crash-hub',
      'crash-machine',
      'flap-hub',
      'full-store',
      'half-open-link',
      'mute',
      'orphan-channels',
      'pause-hub',
    ],
  },
];
