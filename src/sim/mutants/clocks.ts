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
  {
    name: 'counter-stands-still',
    bug: 'Two readings of one millisecond are equal.',
    faults: ['reset-link'],
    oracles: ['I8'],
    edit: {
      file: 'src/core/time/hlc.ts',
      find: `      this.#counter += 1;
`,
      put: `      this.#counter += 0;
`,
    },
  },
  {
    name: 'counter-starts-over',
    bug: 'The counter begins anew within a millisecond.',
    faults: ['reset-link'],
    oracles: ['I8'],
    edit: { file: 'src/core/time/hlc.ts', find: 'if (wallMs > this.#wallMs) {', put: 'if (wallMs >= this.#wallMs) {' },
  },
  {
    name: 'clock-goes-back',
    bug: 'The hybrid clock follows a wall clock that steps back.',
    faults: ['step-clock', 'clock-back-at-restart', 'drift-clock'],
    oracles: ['I8'],
    edit: { file: 'src/core/time/hlc.ts', find: 'if (wallMs > this.#wallMs) {', put: 'if (wallMs !== this.#wallMs) {' },
  },
  {
    name: 'start-at-the-wall-clock',
    bug: 'A start begins at the wall clock instead of the persisted bound.',
    faults: ['clock-back-at-restart'],
    oracles: ['I8'],
    edit: {
      file: 'src/region/ingest/hlc-service.ts',
      find: 'this.#boundMs = stored === undefined ? 0',
      put: 'this.#boundMs = stored !== undefined ? 0',
    },
  },
  {
    name: 'bound-used-before-durable',
    bug: 'Readings are handed out under a bound that is not on disk yet.',
    faults: ['clock-back-at-restart', 'slow-disk'],
    oracles: ['I8'],
    edit: {
      file: 'src/region/ingest/hlc-service.ts',
      find: '    await this.#journal.write(',
      put: '    void this.#journal.write(',
    },
  },
];
