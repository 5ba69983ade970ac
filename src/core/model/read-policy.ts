/** How much a read asks of the answer, the least first; see docs/serving.md for what each promises. */
export const READ_LEVELS = ['eventual', 'session', 'bounded', 'strong'] as const;
export type ReadLevel = (typeof READ_LEVELS)[number];

/**
 * What becomes of a read that this region cannot answer at its level. What passes soon is waited for within the latency
 * budget (what a session has seen, a lease under way); `forward` and `stale` ask another region. What then is not met is refused (`forward`, `refuse`), or answered from here and
 * said to be stale (`stale`).
 */
export const READ_FALLBACKS = ['forward', 'stale', 'refuse'] as const;
export type ReadFallback = (typeof READ_FALLBACKS)[number];

/** What reads of a view ask for unless the request says otherwise. No part of the view's version. */
export interface ReadPolicy {
  readonly consistency: ReadLevel;
  /** Bound of a bounded read, ms. */
  readonly maxStalenessMs: number;
  readonly fallback: ReadFallback;
  /** How long a read may take for the sake of its level, ms: waiting here, asking elsewhere. */
  readonly latencyBudgetMs: number;
}

export const DEFAULT_READ_POLICY: ReadPolicy = {
  consistency: 'eventual',
  maxStalenessMs: 10_000,
  fallback: 'forward',
  latencyBudgetMs: 200,
};

export const MAX_STALENESS_MS_MAX = 24 * 3600 * 1000;
export const LATENCY_BUDGET_MS_MAX = 30_000;

/** One policy that asks for at least as much as each: for a request that reads several views. */
export function strictestPolicy(policies: readonly ReadPolicy[]): ReadPolicy {
  const [first, ...rest] = policies;
  return rest.reduce(
    (a, b) => ({
      consistency:
        READ_LEVELS.indexOf(a.consistency) >= READ_LEVELS.indexOf(b.consistency) ? a.consistency : b.consistency,
      maxStalenessMs: Math.min(a.maxStalenessMs, b.maxStalenessMs),
      fallback: strictestFallback(a.fallback, b.fallback),
      latencyBudgetMs: Math.min(a.latencyBudgetMs, b.latencyBudgetMs),
    }),
    first ?? DEFAULT_READ_POLICY,
  );
}

/** A stale answer only where every view puts up with one; no forwarding where one forbids it. */
function strictestFallback(a: ReadFallback, b: ReadFallback): ReadFallback {
  if (a === 'refuse' || b === 'refuse') return 'refuse';
  return a === 'stale' && b === 'stale' ? 'stale' : 'forward';
}
