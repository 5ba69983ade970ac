import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A log larger than this is put aside when its process is started again; one older file is kept. */
const LOG_BYTES_MAX = 32 * 1024 * 1024;

const main = new URL(import.meta.url.endsWith('.ts') ? '../main.ts' : '../main.js', import.meta.url);

/**
 * Starts another process of this very program, with an IPC channel by which it notices the end of this one. Its output
 * goes straight to a file, so that it never waits for a parent that is busy or gone.
 */
export function launch(options: {
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
}): ChildProcess {
  const log = openLog(options.logFile);
  try {
    return fork(fileURLToPath(main), [...options.args], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, ...options.env },
      // The flags of a test runner or a debugger are not for the child.
      execArgv: main.pathname.endsWith('.ts') ? ['--conditions=antipode-source'] : [],
    });
  } finally {
    closeSync(log);
  }
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES_MAX) {
    rmSync(`${file}.1`, { force: true });
    renameSync(file, `${file}.1`);
  }
  return openSync(file, 'a', 0o600);
}
