import { durationMs } from '#core/config/units';
import { READ_FALLBACKS, READ_LEVELS } from '#core/model/read-policy';
import { UsageError } from './exit-codes.ts';

/** What `antipode get` takes about consistency. */
export interface ConsistencyOptions {
  readonly consistency?: string;
  /** True: begins a session. */
  readonly session?: string | true;
  readonly maxStaleness?: string;
  readonly fallback?: string;
  readonly latencyBudget?: string;
}

/** The request headers of the options; UsageError for a value that is none. */
export function consistencyHeaders(options: ConsistencyOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  if (options.consistency !== undefined)
    headers['antipode-consistency'] = oneOf('--consistency', options.consistency, READ_LEVELS);
  if (options.session !== undefined) headers['antipode-session'] = options.session === true ? '' : options.session;
  if (options.maxStaleness !== undefined)
    headers['antipode-max-staleness-ms'] = milliseconds('--max-staleness', options.maxStaleness);
  if (options.fallback !== undefined)
    headers['antipode-fallback'] = oneOf('--fallback', options.fallback, READ_FALLBACKS);
  if (options.latencyBudget !== undefined)
    headers['antipode-latency-budget-ms'] = milliseconds('--latency-budget', options.latencyBudget);
  return headers;
}

function oneOf(option: string, value: string, values: readonly string[]): string {
  if (values.includes(value)) return value;
  throw new UsageError(`${option} ${JSON.stringify(value)} is not known`, `Use ${values.join(', ')}.`);
}

function milliseconds(option: string, value: string): string {
  const ms = durationMs(value);
  if (ms !== undefined) return String(ms);
  throw new UsageError(`${option} ${JSON.stringify(value)} is no duration`, 'Write it as 500ms, 2s or 1m.');
}
