import { Parking } from '#region/apply/parking';
import { PeerClocks } from '#region/clocks/peer-clocks';
import { StampGate } from '#region/clocks/stamp-gate';
import type { Mutant } from '#sim/mutants/mutant';
import { forgetful, patch } from '#sim/mutants/patching';

/** Bugs of the hybrid clock, each to be caught by an oracle. */
export const CLOCKS_MUTANTS: readonly Mutant[] = [
  {
    name: 'forget-clock',
    bug: 'The bound of the hybrid clock is not persisted.',
    faults: ['clock-back-at-restart'],
    tune: (knobs) => ({ ...knobs, faults: { ...knobs.faults, intervalMs: 500 } }),
    oracles: ['I8'],
    journal: (inner) => forgetful(inner, 'hlc/'),
  },
  {
    name: 'park-nothing',
    bug: 'A change stamped far ahead is applied at once.',
    faults: ['step-clock', 'clock-back-at-restart'],
    tune: (knobs) => ({
      ...knobs,
      faults: { ...knobs.faults, intervalMs: 500, lengthMs: 3000, clockOffsetMsMax: 400 },
    }),
    oracles: ['I8'],
    install: () => patch(Parking.prototype, 'mustWait', () => false),
  },
  {
    name: 'no-self-fence',
    bug: 'An origin with a wrong clock goes on giving stamps.',
    faults: ['clock-hour-ahead'],
    tune: (knobs) => ({ ...knobs, mode: 'all', faults: { ...knobs.faults, intervalMs: 1000, lengthMs: 3000 } }),
    oracles: ['I14', 'I3', 'I4'],
    install: () => patch(PeerClocks.prototype, 'fence', () => undefined),
  },
  {
    name: 'stamp-ahead-of-own-clock',
    bug: 'A region gives stamps although its wall clock was set back behind them.',
    faults: ['clock-hour-ahead', 'step-clock'],
    tune: (knobs) => ({ ...knobs, faults: { ...knobs.faults, intervalMs: 400, clockOffsetMsMax: 400 } }),
    oracles: ['I8', 'I14'],
    install: () => patch(StampGate.prototype, 'assertOpen', () => undefined),
  },
];
