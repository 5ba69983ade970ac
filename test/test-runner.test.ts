// The runner decides whether a change passes, so what it says is tested too: on small trees of its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const RUNNER = fileURLToPath(new URL('../scripts/test.ts', import.meta.url));
const HEAD = "import { suite, test } from 'node:test';\n";

interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly lastLine: string;
}

function run(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Run & { dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'antipode-runner-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  const env = { ...process.env };
  delete env['NODE_TEST_CONTEXT'];
  delete env['ANTIPODE_VERIFY'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUNNER, ...args], {
    cwd: dir,
    env,
    encoding: 'utf8',
  });
  const output = `${stdout}${stderr}`;
  return { dir, code: status, output, lastLine: stdout.trimEnd().split('\n').at(-1) ?? '' };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

suite('test runner', () => {
  test('adds up the groups', (t) => {
    const { code, lastLine, output } = run(
      t,
      {
        'src/a.test.ts': `${HEAD}test('one', () => {}); suite('s', () => { test('two', () => {}); test.skip('three', () => {}); });`,
        'src/a.sim.test.ts': `${HEAD}test('four', () => {});`,
        'test/b.e2e.test.ts': `${HEAD}test('five', async (t) => { await t.test('six', () => {}); });`,
      },
      'unit',
      'sim',
      'processes',
    );
    assert.equal(lastLine, '5 passed, 0 failed, 1 skipped');
    assert.equal(code, 0);
    assert.match(output, /^unit {7}2 passed, 0 failed, 1 skipped/m);
    assert.match(output, /^sim {8}1 passed, 0 failed/m);
    assert.match(output, /^processes {2}2 passed, 0 failed/m);
  });

  test('a group without test files fails, unless only a path was asked for', (t) => {
    const files = {
      'src/a.test.ts': `${HEAD}test('one', () => {});`,
      'src/a.e2e.test.ts': `${HEAD}test('two', () => {});`,
      'src/a.browser.test.ts': `${HEAD}test.skip('three', () => {});`,
    };
    const asked = run(t, files, 'unit', 'sim');
    assert.equal(asked.code, 1);
    assert.equal(asked.lastLine, '1 passed, 1 failed');
    assert.match(asked.output, /^sim {8}no test files: nothing in .* ends in \.sim\.test\.ts$/m);
    assert.equal(run(t, files, 'src').code, 0);
  });

  test('runs the groups, paths and names that were asked for', (t) => {
    const files = {
      'src/a/a.test.ts': `${HEAD}test('apple', () => {}); test('pear', () => {});`,
      'src/b/b.test.ts': `${HEAD}test('apple', () => {});`,
      'src/b/b.sim.test.ts': `${HEAD}test('apple', () => {});`,
    };
    assert.equal(run(t, files, 'unit').lastLine, '3 passed, 0 failed');
    assert.equal(run(t, files, 'src/b').lastLine, '2 passed, 0 failed');
    assert.equal(run(t, files, 'unit', '--grep', 'apple').lastLine, '2 passed, 0 failed');
    assert.equal(run(t, files, 'unti').code, 2);
  });

  test('a failure is shown once, with where it stands and what its file printed', (t) => {
    const { code, lastLine, output } = run(
      t,
      {
        'src/a.test.ts': `${HEAD}console.log('a hint');\nsuite('outer', () => { test('inner', () => { throw new Error('broken'); }); });`,
      },
      'unit',
    );
    assert.equal(lastLine, '0 passed, 1 failed');
    assert.equal(code, 1);
    assert.match(output, /✖ outer › inner\n {2}src\/a\.test\.ts:3\n {4}Error: broken/);
    assert.match(output, /\| a hint/);
  });

  test('a crash, a failing hook and a file without tests all fail', (t) => {
    const crash = run(t, { 'src/a.test.ts': "throw new Error('at once');" }, 'unit');
    assert.equal(crash.code, 1);
    assert.match(crash.output, /a\.test\.ts ended before its tests did/);
    const hook = run(
      t,
      {
        'src/a.test.ts': `${HEAD}suite('s', async () => { (await import('node:test')).before(() => { throw new Error('hook'); }); test('x', () => {}); });`,
      },
      'unit',
    );
    assert.equal(hook.code, 1);
    const empty = run(t, { 'src/a.test.ts': 'export {};' }, 'unit');
    assert.equal(empty.lastLine, '0 passed, 1 failed');
    assert.match(empty.output, /declares no test/);
  });

  test('nothing to run is no success', (t) => {
    const { code, lastLine } = run(t, {});
    assert.equal(lastLine, '0 passed, 4 failed');
    assert.equal(code, 1);
  });

  test('a group over its budget is ended with all it started, and says what was running', async (t) => {
    const { code, output, lastLine, dir } = run(
      t,
      {
        'src/a.test.ts': `${HEAD}import { spawn } from 'node:child_process';
          import { writeFileSync } from 'node:fs';
          test('hangs', { timeout: 60_000 }, async () => {
            const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
            writeFileSync('child.pid', String(child.pid));
            setInterval(() => {}, 1000);
            await new Promise(() => {});
          });`,
      },
      'unit',
      '--budget-scale',
      '0.01',
    );
    assert.equal(code, 1);
    assert.match(lastLine, /^0 passed, 1 failed$/);
    assert.match(output, /time budget of 2\.4 s is used up; it was ended while these ran:\n {4}src\/a\.test\.ts/);
    const pid = Number(readFileSync(join(dir, 'child.pid'), 'utf8'));
    // Killed at once, but it stays in the table until its new parent has taken note.
    for (let i = 0; i < 50 && isAlive(pid); i++) await sleep(100);
    assert.equal(isAlive(pid), false);
  });
});
