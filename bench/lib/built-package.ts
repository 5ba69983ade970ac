import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Scope } from './scope.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** What a build needs. */
const COPIED = ['bin', 'schemas', 'scripts', 'src', 'web'];
const LEFT_OUT = /(^|\/)(node_modules|dist|\.antipode)(\/|$)/;

/** Builds the package in a temporary folder, which goes with the scope; the path of its command, which runs compiled. */
export function builtCommand(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-bench-built-'));
  scope.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of [...COPIED, ...globSync('*.json', { cwd: REPOSITORY })]) {
    cpSync(join(REPOSITORY, name), join(folder, name), {
      recursive: true,
      filter: (path) => !LEFT_OUT.test(relative(REPOSITORY, path)),
    });
  }
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  const built = spawnSync(process.execPath, ['scripts/build.ts'], { cwd: folder, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the package does not build: ${built.stdout}${built.stderr}`);
  // With it the command would run the sources.
  rmSync(join(folder, 'src'), { recursive: true });
  return join(folder, 'bin', 'antipode.js');
}
