// Everything that can be said about the source without running it. `npm run check` is what CI runs.
import { spawn } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Outcome {
  readonly step: Step;
  readonly ok: boolean;
  readonly output: string;
  readonly ms: number;
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');

function steps(): Step[] {
  const list: Step[] = [{ name: 'types', command: 'tsc', args: ['-p', 'tsconfig.json'] }];
  // The compiler calls a project without files an error, so these two run only when there is something to check.
  if (globSync('{src,web,test,examples}/**/*.browser.test.ts').length > 0) {
    list.push({ name: 'types of browser tests', command: 'tsc', args: ['-p', 'tsconfig.browser.json'] });
  }
  if (globSync('web/**/*.ts').some((path) => !isTest(path))) {
    list.push({ name: 'types of web', command: 'tsc', args: ['-p', 'web/tsconfig.json'] });
  }
  list.push({
    name: 'lint and format',
    command: 'biome',
    args: ['ci', '--colors=off', '--error-on-warnings', '--max-diagnostics=50', '.'],
  });
  const roots = ['src', 'web', 'examples', 'bench', 'scripts', 'test'].filter((root) => existsSync(root));
  list.push({
    name: 'layers',
    command: 'depcruise',
    args: ['--config', '.dependency-cruiser.mjs', '--output-type', 'err-long', ...roots],
  });
  list.push({ name: 'lockfile', command: process.execPath, args: ['scripts/lockfile.ts', '--check'] });
  list.push({
    name: 'house rules',
    command: process.execPath,
    args: ['--conditions=antipode-source', '--test', '--test-reporter=dot', 'test/house-rules.test.ts'],
  });
  return list;
}

function run(step: Step): Promise<Outcome> {
  const startedAt = performance.now();
  // The tools start through `env node`: let that be this Node.
  const path = [dirname(process.execPath), join('node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter);
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, PATH: path };
  return new Promise((resolve) => {
    const child = spawn(step.command, step.args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const finish = (ok: boolean): void => resolve({ step, ok, output, ms: performance.now() - startedAt });
    child.on('error', (error) => {
      output += `${error.message}; run \`npm ci\` first.\n`;
      finish(false);
    });
    child.on('close', (code) => finish(code === 0));
  });
}

const outcomes = await Promise.all(steps().map(run));
for (const { step, ok, output, ms } of outcomes) {
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${step.name.padEnd(22)} ${(ms / 1000).toFixed(1)} s`);
  if (!ok) console.log(`\n$ ${step.command} ${step.args.join(' ')}\n${output.trim()}\n`);
}
const failed = outcomes.filter((outcome) => !outcome.ok);
if (failed.length > 0) {
  console.log(
    `check: ${failed.map((outcome) => outcome.step.name).join(', ')} failed. \`npm run format\` mends most of lint.`,
  );
  process.exitCode = 1;
}
