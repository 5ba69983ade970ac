/** A system to explore: its first state, all next states of a state, and what must hold in every one. */
export interface Model<S> {
  readonly first: S;
  /** Every step that is possible; `label` names it in a counter-example. */
  next(state: S): readonly { readonly label: string; readonly state: S }[];
  /** Equal for equal states, and for no others. */
  key(state: S): string;
  /** What is wrong with a state; undefined when nothing is. */
  broken(state: S): string | undefined;
  /** Rare things that are true of a state: an exploration that reaches none of them shows nothing. */
  reached(state: S): readonly string[];
}

export interface Exploration {
  readonly states: number;
  /** Longest of the shortest ways to a state. */
  readonly depth: number;
  readonly reached: ReadonlyMap<string, number>;
  readonly counterExample: { readonly reason: string; readonly steps: readonly string[] } | undefined;
}

/**
 * Visits every reachable state once, nearest first, so that a counter-example is as short as any. Throws when there are more
 * than `statesMax`: a bound that was met proves nothing.
 */
export function explore<S>(model: Model<S>, statesMax: number): Exploration {
  const seen = new Map<string, number>([[model.key(model.first), 0]]);
  const states: (S | undefined)[] = [model.first];
  const parents: number[] = [-1];
  const labels: string[] = ['start'];
  const depths: number[] = [0];
  const reached = new Map<string, number>();
  const wayTo = (index: number): string[] => {
    const steps: string[] = [];
    for (let at = index; at > 0; at = parents[at] as number) steps.push(labels[at] as string);
    return steps.reverse();
  };
  for (let index = 0; index < states.length; index++) {
    const state = states[index] as S;
    states[index] = undefined;
    for (const name of model.reached(state)) reached.set(name, (reached.get(name) ?? 0) + 1);
    const reason = model.broken(state);
    const depth = depths[index] as number;
    if (reason !== undefined)
      return { states: states.length, depth, reached, counterExample: { reason, steps: wayTo(index) } };
    for (const { label, state: next } of model.next(state)) {
      const key = model.key(next);
      if (seen.has(key)) continue;
      if (states.length >= statesMax) throw new Error(`more than ${statesMax} states`);
      seen.set(key, states.length);
      states.push(next);
      parents.push(index);
      labels.push(label);
      depths.push(depth + 1);
    }
  }
  return { states: states.length, depth: depths[depths.length - 1] as number, reached, counterExample: undefined };
}
