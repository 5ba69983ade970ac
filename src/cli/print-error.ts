import { AntipodeError, type ErrorCode, toAntipodeError } from '#core/errors';
import { UsageError } from './exit-codes.ts';
import { paintError } from './terminal/style.ts';

interface PrintedError {
  readonly code: ErrorCode | 'USAGE';
  readonly message: string;
  readonly where?: string;
  readonly remedy: string;
}

/**
 * The one form of errors, on standard error:
 *
 *   error CODE: what was wrong
 *     where: file:line:column
 *     remedy: what to do
 *
 * or with --json `{"error": {code, message, where, remedy}}`. Stack traces only with --verbose.
 */
export function printError(error: unknown, options: { readonly json: boolean; readonly verbose: boolean }): void {
  const described = describe(error);
  if (options.json) process.stderr.write(`${JSON.stringify({ error: described })}\n`);
  else process.stderr.write(errorLines(described).join('\n').concat('\n'));
  if (options.verbose && error instanceof Error) process.stderr.write(`${stackOf(error)}\n`);
}

export function describe(error: unknown): PrintedError {
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message, remedy: error.remedy };
  return toAntipodeError(error).toJSON();
}

function errorLines({ code, message, where, remedy }: PrintedError): string[] {
  return [
    `${paintError('red', `error ${code}`)}: ${message}`,
    ...(where === undefined ? [] : [`  where: ${where}`]),
    `  remedy: ${remedy}`,
  ];
}

/** The stack with those of its causes. */
function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  const cause = error instanceof AntipodeError || error.cause instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? `${own}\ncaused by ${stackOf(cause)}` : own;
}
