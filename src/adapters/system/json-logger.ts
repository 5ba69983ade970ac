import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { Logger } from '#ports/host';

export type LogLevel = 'info' | 'warn' | 'error' | 'silent';

export interface JsonLoggerOptions {
  /** On every line, such as `{ node: 'eu-west' }`. */
  readonly base?: Readonly<Record<string, unknown>>;
  /** Lines below it are dropped. Default `info`. */
  readonly level?: LogLevel;
  /** Default: standard error. */
  readonly stream?: DestinationStream;
}

/** Lines waiting for a reader of standard error that does not read, bytes; beyond it new lines are dropped. */
const PENDING_BYTES_MAX = 1024 * 1024;

/**
 * One JSON object a line: `{"level":"warn","time":"2026-01-31T12:00:00.000Z","node":"eu","event":"link-down","peer":"us"}`.
 * Written in the background, because a pipe that nobody reads must not stop the process that holds a lease. What is
 * pending is written before the process exits in any way but a kill.
 */
export class JsonLogger implements Logger {
  readonly #pino: PinoLogger;
  readonly #flush: () => void;

  constructor(options: JsonLoggerOptions = {}) {
    let stream = options.stream;
    this.#flush = () => undefined;
    if (stream === undefined) {
      const stderr = destination({ dest: 2, sync: false, maxLength: PENDING_BYTES_MAX });
      // A closed standard error (its reader died) is no reason to stop.
      stderr.on('error', () => undefined);
      this.#flush = () => {
        try {
          stderr.flushSync();
        } catch {
          // Nobody is left to be told.
        }
      };
      process.on('exit', this.#flush);
      stream = stderr;
    }
    this.#pino = pino(
      {
        level: options.level ?? 'info',
        base: options.base ?? {},
        messageKey: 'event',
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }), log: readable },
      },
      stream,
    );
  }

  info(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#pino.info(fields, event);
  }

  warn(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#pino.warn(fields, event);
  }

  error(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#pino.error(fields, event);
  }

  /** Writes what is pending, now. */
  flush(): void {
    this.#flush();
  }
}

/** JSON leaves nothing of an Error and throws at a BigInt; a log line shows both. */
function readable(fields: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value instanceof Error) result[key] = describeError(value);
    else result[key] = typeof value === 'bigint' ? value.toString() : value;
  }
  return result;
}

const CAUSES_MAX = 5;

function describeError(error: Error, depth = 0): Record<string, unknown> {
  const { name, message, stack } = error;
  const described: Record<string, unknown> = { name, message };
  if ('code' in error) described['code'] = error.code;
  if ('where' in error && error.where !== undefined) described['where'] = error.where;
  described['stack'] = stack;
  if (error.cause instanceof Error && depth < CAUSES_MAX) described['cause'] = describeError(error.cause, depth + 1);
  else if (error.cause !== undefined) described['cause'] = String(error.cause);
  return described;
}
