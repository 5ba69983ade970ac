/** What `acknowledge` of a namespace asks for: that many promotable regions beside the hub, 0 for none, or regions by name. */
export type AcknowledgeRule = number | readonly string[];

/**
 * What an acknowledgement of one hub waits for: durable in `count` participants, and in each of `regions`, none of which is
 * the hub. Every rule has this one form, so that two of them can be compared.
 */
export interface Requirement {
  readonly count: number;
  readonly regions: readonly string[];
}

export const LOCAL: Requirement = { count: 0, regions: [] };

/**
 * The rule seen from a hub. A hub that is itself among the named regions waits for the others; one that is the only named
 * region waits for one other region, whichever, so that a rule by names never means less than one copy elsewhere.
 */
export function requirementOf(rule: AcknowledgeRule, hub: string): Requirement {
  if (typeof rule === 'number') return { count: rule, regions: [] };
  const regions = [...new Set(rule)].filter((name) => name !== hub).sort();
  return { count: Math.max(1, regions.length), regions };
}

/** The requirement of one request, which asks for more regions and never for fewer. */
export function raised(requirement: Requirement, count: number | undefined): Requirement {
  return count === undefined || count <= requirement.count ? requirement : { ...requirement, count };
}

/** What holds of every acknowledgement given under either of two requirements. */
export function weaker(a: Requirement, b: Requirement): Requirement {
  return { count: Math.min(a.count, b.count), regions: a.regions.filter((name) => b.regions.includes(name)) };
}

/** Whether a change that is durable in these participants may be acknowledged. */
export function isMet(requirement: Requirement, durableIn: readonly string[]): boolean {
  return durableIn.length >= requirement.count && requirement.regions.every((name) => durableIn.includes(name));
}
