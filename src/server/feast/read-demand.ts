import { AntipodeError } from '#core/errors';
import {
  LATENCY_BUDGET_MS_MAX,
  MAX_STALENESS_MS_MAX,
  READ_FALLBACKS,
  READ_LEVELS,
  type ReadFallback,
  type ReadLevel,
  type ReadPolicy,
} from '#core/model/read-policy';
import { decodeToken, type SessionToken } from '#core/model/session-token';

/** Headers of a request by lower-case name, as Node gives them. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a request's headers say of consistency; absent is what the views' own policy decides. */
export interface AskedConsistency {
  readonly level?: ReadLevel;
  readonly maxStalenessMs?: number;
  readonly fallback?: ReadFallback;
  readonly budgetMs?: number;
  /** Empty when the header is there and empty: the client begins a session. */
  readonly token?: SessionToken | 'new';
}

/** What one read asks for. */
export interface ReadDemand {
  readonly level: ReadLevel;
  readonly maxStalenessMs: number;
  readonly fallback: ReadFallback;
  readonly budgetMs: number;
  readonly token: SessionToken | undefined;
  /** The answer carries a token: a session goes on, or could begin. */
  readonly session: boolean;
}

/** The request leaves everything to its views. */
export const NOTHING_ASKED: AskedConsistency = {};

/** Throws REQUEST_MALFORMED at a header that is not one of its values. */
export function askedConsistency(headers: RequestHeaders): AskedConsistency {
  const level = oneOf(headers, 'antipode-consistency', READ_LEVELS);
  const maxStalenessMs = milliseconds(headers, 'antipode-max-staleness-ms', MAX_STALENESS_MS_MAX);
  const fallback = oneOf(headers, 'antipode-fallback', READ_FALLBACKS);
  const budgetMs = milliseconds(headers, 'antipode-latency-budget-ms', LATENCY_BUDGET_MS_MAX);
  const token = sessionOf(headers);
  if ((level ?? maxStalenessMs ?? fallback ?? budgetMs ?? token) === undefined) return NOTHING_ASKED;
  return {
    ...(level === undefined ? {} : { level }),
    ...(maxStalenessMs === undefined ? {} : { maxStalenessMs }),
    ...(fallback === undefined ? {} : { fallback }),
    ...(budgetMs === undefined ? {} : { budgetMs }),
    ...(token === undefined ? {} : { token }),
  };
}

/** The session that a request goes on with; `new` when it begins one, undefined when it has none. */
export function sessionOf(headers: RequestHeaders): SessionToken | 'new' | undefined {
  const text = single(headers, 'antipode-session');
  if (text === undefined) return undefined;
  return text === '' ? 'new' : decodeToken(text);
}

/**
 * A bound in the headers asks for bounded consistency and a session for session consistency, unless a level is named: by
 * the request, or by the views.
 */
export function demandOf(policy: ReadPolicy, asked: AskedConsistency): ReadDemand {
  const implied = asked.maxStalenessMs !== undefined ? 'bounded' : asked.token !== undefined ? 'session' : 'eventual';
  const level = asked.level ?? (policy.consistency === 'eventual' ? implied : policy.consistency);
  return {
    level,
    maxStalenessMs: asked.maxStalenessMs ?? policy.maxStalenessMs,
    fallback: asked.fallback ?? policy.fallback,
    budgetMs: asked.budgetMs ?? policy.latencyBudgetMs,
    token: asked.token === 'new' ? undefined : asked.token,
    session: asked.token !== undefined || level !== 'eventual',
  };
}

function single(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined || typeof value === 'string') return value;
  throw new AntipodeError('REQUEST_MALFORMED', `the ${name} header is there ${value.length} times`);
}

function oneOf<T extends string>(headers: RequestHeaders, name: string, values: readonly T[]): T | undefined {
  const value = single(headers, name);
  if (value === undefined) return undefined;
  const known = values.find((each) => each === value);
  if (known !== undefined) return known;
  throw new AntipodeError('REQUEST_MALFORMED', `the ${name} header is none of ${values.join(', ')}`);
}

function milliseconds(headers: RequestHeaders, name: string, max: number): number | undefined {
  const value = single(headers, name);
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value) && Number(value) <= max) return Number(value);
  throw new AntipodeError('REQUEST_MALFORMED', `the ${name} header is no whole number of milliseconds up to ${max}`);
}
