import { READ_LEVELS } from '#core/model/read-policy';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { ReadLevel } from '#sim/oracle/history/types';

/** Clients with sessions. */
export interface SessionKnobs {
  /** Clients that read and write one after the other; none when 0. */
  readonly count: number;
  /** Mean time between two operations of one client, ms. */
  readonly intervalMs: number;
  /** Rows that all of them share. */
  readonly keys: number;
  readonly writeShare: number;
  readonly deleteShare: number;
  /** Event times are whole multiples of this, ms. */
  readonly eventTimeStepMs: number;
  readonly levels: readonly ReadLevel[];
  readonly maxStalenessMs: number;
  readonly budgetMs: number;
}

export function drawSessions(random: SeededRandom): SessionKnobs {
  return {
    count: random.pick([0, 2, 4, 8]),
    intervalMs: random.logBetween(20, 300),
    keys: random.pick([1, 2, 6]),
    writeShare: random.pick([0.2, 0.5]),
    deleteShare: random.pick([0, 0, 0.1]),
    eventTimeStepMs: random.pick([1, 1000, 60_000]),
    levels: random.pick<readonly ReadLevel[]>([
      READ_LEVELS,
      READ_LEVELS,
      ['session'],
      ['strong', 'session'],
      ['bounded'],
    ]),
    maxStalenessMs: random.pick([0, 600, 1500, 5000]),
    budgetMs: random.pick([0, 200, 1000]),
  };
}
