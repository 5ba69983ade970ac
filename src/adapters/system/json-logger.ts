import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
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

const STDERR = 2;
/** Lines that wait for a reader of standard error who does not read, bytes; beyond it new lines are dropped. */
const PENDING_BYTES_MAX = 1024 * 1024;

/** One JSON object a line: `{"level":"warn","time":"2026-01-31T12:00:00.000Z","node":"eu","event":"link-down","peer":"us"}`. */
export class JsonLogger implements Logger {
  readonly #pino: PinoLogger;

  constructor(options: JsonLoggerOptions = {}) {
    this.#pino = pino(
      {
        level: options.level ?? 'info',
        base: options.base ?? {},
        messageKey: 'event',
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }), log: readable },
      },
      options.stream ?? standardError(),
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
}

/**
 * Standard error, written at once. A pipe is written without blocking, because one that nobody reads must not stop the
 * process that holds a lease; writing in a background thread would lose lines at exit and mix up their order.
 */
function standardError(): DestinationStream {
  const kind = fstatSync(STDERR);
  if (!kind.isFIFO() && !kind.isSocket()) return destination({ dest: STDERR, sync: true });
  const pipe = new Socket({ fd: STDERR, readable: false, writable: true });
  // A reader that died is no reason to stop.
  pipe.on('error', () => undefined);
  pipe.unref();
  return {
    write: (line) => {
      if (!pipe.destroyed && pipe.writableLength < PENDING_BYTES_MAX) pipe.write(line);
    },
  };
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
