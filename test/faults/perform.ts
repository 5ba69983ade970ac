import type { TestScope } from '../support/local-topology.ts';
import type { History } from './history.ts';
import type { Scenario } from './scenarios.ts';
import { Stage, type StageOptions } from './stage.ts';

const CONVERGE_MS_MAX = 45_000;
const WEAKENED_CONVERGE_MS_MAX = 6_000;

/** Runs scenarios one after the other on one set of regions and writes their history; the verdict is the caller's. */
export async function perform(
  scope: TestScope,
  options: {
    readonly scenario: Scenario | readonly Scenario[];
    readonly seed: number;
    readonly history: History;
    readonly weakened?: NonNullable<StageOptions['weakened']>;
    readonly clients?: number;
    readonly tail?: 'replay' | 'keep' | undefined;
  },
): Promise<void> {
  const { seed, history, weakened = [], clients, tail } = options;
  const scenarios = [options.scenario].flat() as Scenario[];
  const stage = await Stage.open(scope, {
    scenario: scenarios.map(({ name }) => name).join('+'),
    seed,
    history,
    weakened,
    ...(clients === undefined ? {} : { clients }),
    ...(tail === undefined ? {} : { tail }),
    ...Object.assign({}, ...scenarios.map(({ setup }) => setup?.(scope) ?? {})),
  });
  for (const scenario of scenarios) await scenario.run(stage);
  // Regions with a bug need not agree in the end; that they do not is for the checkers to tell.
  await stage.conclude({
    convergeMsMax: weakened.length === 0 ? CONVERGE_MS_MAX : WEAKENED_CONVERGE_MS_MAX,
    tolerant: weakened.length > 0,
  });
}
