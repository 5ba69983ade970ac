// The bugs that are put into real regions to see that the checkers notice. None is reachable from the product: a region gets
// one by loading a module of this folder before its own (NODE_OPTIONS=--import=...).

export interface WeakenedEngine {
  readonly name: string;
  readonly bug: string;
  /** Module that puts the bug in. */
  readonly module: string;
  /** Scenario under which it shows. */
  readonly scenario: string;
  /** What becomes of tails in it. */
  readonly tail?: 'keep';
  /** Checkers that have to notice. */
  readonly checkers: readonly string[];
}

function weakened(engine: Omit<WeakenedEngine, 'module'>): WeakenedEngine {
  return { ...engine, module: new URL(`./${engine.name}.ts`, import.meta.url).href };
}

export const WEAKENED: readonly WeakenedEngine[] = [
  weakened({
    name: 'forgets-idempotency',
    bug: 'Idempotency keys are not kept.',
    scenario: 'calm',
    checkers: ['once'],
  }),
  weakened({
    name: 'stale-lease',
    bug: 'A hub never looks at its lease again.',
    scenario: 'halt-hub',
    checkers: ['epochs'],
  }),
  weakened({
    name: 'ignores-seal',
    bug: 'A sealed stream counts as open.',
    scenario: 'isolate-hub',
    tail: 'keep',
    checkers: ['beyond-seal'],
  }),
  weakened({
    name: 'always-fresh',
    bug: 'Freshness is taken from the wall clock.',
    scenario: 'cut-off-replica',
    checkers: ['freshness', 'bounded'],
  }),
  weakened({
    name: 'forgets-rows',
    bug: 'A replica counts some rows as applied without applying them.',
    scenario: 'calm',
    checkers: ['eventual', 'identical'],
  }),
  weakened({
    name: 'forgets-sessions',
    bug: 'What a session has seen is ignored.',
    scenario: 'cut-off-replica',
    checkers: ['session'],
  }),
  weakened({
    name: 'unconfirmed-strong-reads',
    bug: 'A hub answers strong reads without asking the control store.',
    scenario: 'isolate-hub',
    checkers: ['strong'],
  }),
  weakened({
    name: 'acknowledges-early',
    bug: 'A write is acknowledged before the log has it.',
    scenario: 'kill-hub-shortly',
    checkers: ['acknowledged'],
  }),
];

/** The engine of a name; throws with the names there are. */
export function weakenedEngine(name: string): WeakenedEngine {
  const found = WEAKENED.find((engine) => engine.name === name);
  if (found === undefined)
    throw new Error(`no bug is named ${name}; there are ${WEAKENED.map((each) => each.name).join(', ')}`);
  return found;
}
