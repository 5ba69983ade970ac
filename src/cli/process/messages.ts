import { AntipodeError, ERROR_CODES, type ErrorCode } from '#core/errors';
import type { WorkerMessage } from '#server/serving-worker';

/** What a process of a topology tells the process that started it, over its IPC channel. Serving processes send the first two. */
export type ProcessMessage =
  | WorkerMessage
  | {
      readonly type: 'log';
      readonly level: 'warn' | 'error';
      readonly event: string;
      /** One sentence for a person. */
      readonly text: string;
    }
  /** The serving processes of a region as they are now. */
  | { readonly type: 'workers'; readonly pids: readonly number[] };

const TYPES: ReadonlySet<unknown> = new Set(['serving', 'failed', 'log', 'workers'] satisfies ProcessMessage['type'][]);

/** Both ends are one release, started one by the other, so that only the kind needs a look. */
export function isProcessMessage(message: unknown): message is ProcessMessage {
  return typeof message === 'object' && message !== null && 'type' in message && TYPES.has(message.type);
}

export function failureMessage(error: AntipodeError): Extract<ProcessMessage, { type: 'failed' }> {
  const { code, message, remedy, where } = error;
  return { type: 'failed', code, message: where === undefined ? message : `${message} (${where})`, remedy };
}

export function failureError(message: Extract<ProcessMessage, { type: 'failed' }>): AntipodeError {
  const code = (Object.hasOwn(ERROR_CODES, message.code) ? message.code : 'INTERNAL') as ErrorCode;
  return new AntipodeError(code, message.message, { remedy: message.remedy });
}
