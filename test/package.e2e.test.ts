// The package as a user gets it: packed, installed into an empty folder, and run there, compiled and without this checkout.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { defer, freePorts } from './support/local-topology.ts';

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
/** What a build needs, and no more: a checkout may hold data folders and whatever else is ignored. */
const COPIED = ['bin', 'docs', 'schemas', 'scripts', 'src', 'web', 'examples'];
const STEP_MS_MAX = 60_000;

test('packed and installed elsewhere, the command runs compiled', { timeout: 110_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-package-'));
  defer(t, () => rmSync(folder, { recursive: true, force: true }));
  const [copy, user] = [join(folder, 'copy'), join(folder, 'user')];
  mkdirSync(user);
  copyRepository(copy);
  const packed = run(t, copy, 'npm', 'pack', '--json', '--pack-destination', folder);
  const [{ filename, files }] = JSON.parse(packed.slice(packed.indexOf('[\n'))) as [Packed];
  const paths = files.map(({ path }) => path);
  const unwanted = paths.filter((path) => /\.ts$|(^|\/)(sim|testing|testdata)\//.test(path));
  assert.deepEqual(unwanted, [], 'neither source nor tests');

  writeFileSync(join(user, 'package.json'), '{ "private": true }\n');
  const tarball = join(folder, filename);
  run(t, user, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball);
  const installed = join(user, 'node_modules', 'antipode');
  assert.equal(existsSync(join(installed, 'src')), false);
  assert.deepEqual(globSync(join(user, 'node_modules', 'node-linux-*')), [], 'no Node is brought along');

  // Type stripping is off: whatever runs from here on is compiled.
  process.env['NODE_OPTIONS'] = '--no-strip-types';
  const antipode = (cwd: string, ...args: string[]): string => run(t, cwd, 'npx', '--no', '--', 'antipode', ...args);
  assert.match(antipode(user, '--version'), /^\d+\.\d+\.\d+\n$/);
  assert.match(antipode(user, '--help'), /^ {2}doctor/m);
  const [base] = (await freePorts(1)) as [number];
  antipode(user, 'init', 'shop', '--base-port', String(base));
  const { checks } = JSON.parse(antipode(join(user, 'shop'), 'doctor', '--json')) as { checks: readonly unknown[] };
  assert.ok(checks.length > 3);
});

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** A copy to build in, so that the `dist` of a checkout that somebody works in stays as it is. */
function copyRepository(to: string): void {
  mkdirSync(to);
  const tops = globSync('{*.json,*.md,LICENSE,.npmrc}', { cwd: REPOSITORY });
  for (const name of [...COPIED, ...tops])
    cpSync(join(REPOSITORY, name), join(to, name), {
      recursive: true,
      filter: (path) => !/(^|\/)(node_modules|dist|\.antipode)(\/|$)/.test(relative(REPOSITORY, path)),
    });
  symlinkSync(join(REPOSITORY, 'node_modules'), join(to, 'node_modules'));
}

/** Runs a program to its end with the Node of this test first in the path; what it printed. */
function run(t: TestContext, cwd: string, command: string, ...args: readonly string[]): string {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' };
  // What the npm that started the tests says of this package must not reach the one that is tested.
  for (const name of Object.keys(env))
    if (/^(npm_(package|lifecycle)_|npm_config_local_prefix$|NODE_TEST)/.test(name)) delete env[name];
  env['PATH'] = `${dirname(process.execPath)}:${env['PATH'] ?? ''}`;
  const startedAtMs = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: STEP_MS_MAX,
  });
  t.diagnostic(`${[command, ...args].join(' ').slice(0, 80)}: ${Math.round(performance.now() - startedAtMs)} ms`);
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${error?.message ?? ''}${stdout}${stderr}`);
  return stdout;
}
