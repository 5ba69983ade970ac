import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { toAntipodeError } from '#core/errors';
import type { Host, Logger } from '#ports/host';

export interface SystemHostOptions {
  /** An existing folder on the disk where the region keeps its data. */
  readonly dataDirectory: string;
  readonly logger: Logger;
}

/** EX_SOFTWARE of sysexits.h: an internal fault. A supervisor may start the process again. */
export const FATAL_EXIT_CODE = 70;

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

export class SystemHost implements Host {
  readonly #options: SystemHostOptions;
  readonly #bootId: string;

  constructor(options: SystemHostOptions) {
    this.#options = options;
    this.#bootId = readBootId();
  }

  bootId(): string {
    return this.#bootId;
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#options.dataDirectory);
    return bavail * bsize;
  }

  fatal(caught: unknown): never {
    try {
      const error = toAntipodeError(caught);
      this.#options.logger.error('fatal', { code: error.code, remedy: error.remedy, error });
    } finally {
      process.exit(FATAL_EXIT_CODE);
    }
  }
}

/**
 * Linux and macOS say which boot this is. Where nobody does, every start of a process counts as a new boot: rebuilding a
 * projection in vain costs time, trusting one that lost writes costs the truth.
 */
function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim();
  } catch {
    // Not Linux, or /proc is not mounted.
  }
  try {
    return execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return `unknown-${randomUUID()}`;
  }
}
