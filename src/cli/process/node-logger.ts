import { JsonLogger } from '#adapters/system/json-logger';
import type { Logger } from '#ports/host';
import { tellParent } from './own-process.ts';

/** Longest text passed on to a person, characters. */
const TEXT_MAX = 500;

/** The log of a node: JSON lines on standard error; warnings and errors also go to the process that started it. */
export class NodeLogger implements Logger {
  readonly #json: JsonLogger;

  constructor(base: Readonly<Record<string, string>>) {
    this.#json = new JsonLogger({ base: { ...base, pid: process.pid } });
  }

  info(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#json.info(event, fields);
  }

  warn(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#json.warn(event, fields);
    tellParent({ type: 'log', level: 'warn', event, text: textOf(fields) });
  }

  error(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#json.error(event, fields);
    tellParent({ type: 'log', level: 'error', event, text: textOf(fields) });
  }
}

function textOf(fields: Readonly<Record<string, unknown>>): string {
  const { message, error, reason } = fields;
  const text = typeof message === 'string' ? message : error instanceof Error ? error.message : (reason ?? error ?? '');
  return String(text).slice(0, TEXT_MAX);
}
