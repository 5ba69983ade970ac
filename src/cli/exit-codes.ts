import { AntipodeError, type ErrorCode } from '#core/errors';

/** What the command's exit code tells a script. Part of the public interface: a number never changes its meaning. */
export const EXIT = {
  ok: 0,
  /** It was tried and failed. */
  failure: 1,
  /** Wrong arguments, or a configuration that cannot be used: running it again is useless until somebody changes it. */
  usage: 2,
  /** Somebody does not answer, or cannot do it now: the same command may succeed later. */
  unavailable: 3,
} as const;

export const EXIT_CODES_HELP = `
Exit codes: 0 ok, 1 failed, 2 wrong arguments or configuration, 3 unavailable now (the same command may succeed later).`;

const USAGE_CODES: ReadonlySet<ErrorCode> = new Set([
  'CONFIG_INVALID',
  'DEFINITION_INVALID',
  'UNSAFE_BINDING',
  'CERTIFICATE_INVALID',
  'REQUEST_MALFORMED',
  'VIEW_NOT_FOUND',
  'FEATURE_NOT_FOUND',
]);

/** A command that was called in a way it does not understand. */
export class UsageError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.name = 'UsageError';
    this.remedy = remedy;
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof AntipodeError)) return EXIT.failure;
  if (USAGE_CODES.has(error.code)) return EXIT.usage;
  return error.disposition === 'retry' || error.disposition === 'unknown' ? EXIT.unavailable : EXIT.failure;
}
