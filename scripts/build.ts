// Builds what `npm pack` ships: src and web as JavaScript under dist/.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const NOT_SHIPPED = /(\.ts$|\.md$|(^|\/)(testing|testdata|sim)\/)/;

function run(what: string, command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (status === 0) return;
  console.error(`build: ${what} failed${error === undefined ? '' : `: ${error.message}`}`);
  process.exit(1);
}

/** Copies what src holds beside its modules, for instance a schema that is read at run time. */
function copyAssets(): void {
  for (const entry of globSync('src/**/*', { withFileTypes: true })) {
    const from = join(entry.parentPath, entry.name);
    const path = relative('src', from);
    if (!entry.isFile() || NOT_SHIPPED.test(path)) continue;
    const to = join('dist', path);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to);
  }
}

rmSync('dist', { recursive: true, force: true });
run('compiling src', join('node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json']);
copyAssets();
if (existsSync('web/dev/build.ts')) {
  run('the dashboard', process.execPath, ['--conditions=antipode-source', 'web/dev/build.ts']);
}
console.log(`built dist: ${globSync('dist/**/*.js').length} modules`);
