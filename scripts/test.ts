// Runs the tests by group and adds up their counts.
//
//   npm test                         every group
//   npm test -- unit sim             some groups
//   npm test -- unit src/core        only the files below a path (or one file)
//   npm test -- unit --grep 'stamp'  only tests whose name matches
//   npm test -- --verbose            with everything the tests print, and every file as it ends
//
// The last line is always `N passed, N failed` (and `, N skipped`). Exit code 0 means: something ran, nothing failed,
// and every group that was asked for has test files.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { ReportLine, ResultLine } from './test-reporter.ts';

interface Group {
  readonly name: string;
  /** What its files are called: the suffix names the need. */
  readonly suffix: string;
  readonly concurrency: number;
  /** For the whole group; then it is killed. */
  readonly budgetSeconds: number;
  /** For one test. */
  readonly timeoutSeconds: number;
  /** Programs of the operating system that the group cannot do without. */
  readonly needs: readonly Need[];
}

interface Need {
  /** An environment variable with the path of the program, which wins over `path`. */
  readonly variable: string;
  readonly path: string;
  readonly debianPackage: string;
}

const CHROMIUM: Need = { variable: 'ANTIPODE_CHROMIUM', path: '/usr/bin/chromium', debianPackage: 'chromium' };

/** A test of the long form may take this many times as long. */
const FULL_TIMEOUT_FACTOR = 15;
const OUTPUT_LINES_SHOWN = 30;
const KILL_GRACE_MS = 3000;

const ROOTS = 'src,web,test,examples,bench,scripts';
const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const CORES = Math.max(1, availableParallelism());

const GROUPS: readonly Group[] = [
  group('unit', '', { concurrency: CORES, budgetSeconds: FULL ? 1200 : 240, timeoutSeconds: 60, needs: [] }),
  group('sim', '.sim', { concurrency: CORES, budgetSeconds: FULL ? 5400 : 480, timeoutSeconds: 180, needs: [] }),
  group('processes', '.e2e', { concurrency: 1, budgetSeconds: FULL ? 5400 : 540, timeoutSeconds: 170, needs: [] }),
  group('browser', '.browser', {
    concurrency: 1,
    budgetSeconds: FULL ? 900 : 180,
    timeoutSeconds: 120,
    needs: [CHROMIUM],
  }),
];

function group(name: string, suffix: string, rest: Omit<Group, 'name' | 'suffix'>): Group {
  return { name, suffix: `${suffix}.test.ts`, ...rest };
}

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface Options {
  readonly grep: string | undefined;
  readonly verbose: boolean;
  readonly budgetScale: number;
}

/** The files of a group: those with its suffix and with no longer suffix of another group. */
function filesOf({ suffix }: Group, paths: readonly string[]): string[] {
  const longer = GROUPS.map((other) => other.suffix).filter((other) => other.length > suffix.length);
  return globSync(`{${ROOTS}}/**/*.test.ts`, { exclude: ['**/node_modules/**', '**/dist/**'] })
    .filter((file) => file.endsWith(suffix) && !longer.some((other) => file.endsWith(other)))
    .filter((file) => paths.length === 0 || paths.some((path) => file === path || file.startsWith(`${path}/`)))
    .sort();
}

/** Puts in place what the group needs; the reason when that cannot be done. */
function provide(need: Need, env: NodeJS.ProcessEnv): string | undefined {
  const path = env[need.variable] ?? need.path;
  env[need.variable] = path;
  if (existsSync(path)) return undefined;
  const remedy = `Install the package ${need.debianPackage}, or set ${need.variable} to the program.`;
  if (process.getuid?.() !== 0) return `${path} is missing. ${remedy}`;
  if (!existsSync('/usr/bin/apt-get')) return `${path} is missing and this system has no apt-get. ${remedy}`;
  console.log(`installing ${need.debianPackage}, which is missing, from Debian's packages`);
  const aptEnv = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', need.debianPackage],
  ]) {
    const apt = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...args], {
      env: aptEnv,
      encoding: 'utf8',
      timeout: 600_000,
    });
    if (apt.status !== 0) return `apt-get ${args.join(' ')} failed: ${apt.stderr.trim()} ${remedy}`;
  }
  return existsSync(path) ? undefined : `${need.debianPackage} is installed, yet ${path} is missing. ${remedy}`;
}

/** Ends a whole process group, what its tests started included. False when nothing of it was left. */
function killGroup(child: ChildProcess, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false;
  }
}

/** Command lines of what still runs in a child's process group, where /proc tells. */
function membersOf(child: ChildProcess): string[] {
  return globSync('/proc/[0-9]*/stat').flatMap((path) => {
    try {
      const stat = readFileSync(path, 'utf8');
      // The second field, the command in parentheses, may hold anything; state, parent and group come after it.
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(processGroup) !== child.pid || state === 'Z') return [];
      return [readFileSync(path.replace(/stat$/, 'cmdline'), 'utf8').replaceAll('\0', ' ').trim().slice(0, 200)];
    } catch {
      return [];
    }
  });
}

/** Follows the report of one group: counts, prints failures as they come, knows which files have not ended. */
class GroupReport {
  readonly totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  readonly #options: Options;
  readonly #running = new Set<string>();
  readonly #output = new Map<string, string[]>();
  readonly #failedFiles = new Set<string>();
  readonly #names = new Map<string, string[]>();

  constructor(options: Options) {
    this.#options = options;
  }

  get runningFiles(): string[] {
    return [...this.#running].map(shown);
  }

  take(line: ReportLine): void {
    switch (line.kind) {
      case 'file-start':
        this.#running.add(line.file);
        return;
      case 'file-end':
        this.#running.delete(line.file);
        if (this.#options.verbose) console.log(`  done ${shown(line.file)}`);
        return;
      case 'start':
        this.#path(line.file).splice(line.nesting, Number.POSITIVE_INFINITY, line.name);
        return;
      case 'output':
        if (this.#options.verbose) process.stdout.write(line.text);
        else this.#keep(line.file, line.text);
        return;
      case 'result':
        this.#result(line);
        return;
      default:
        line satisfies never;
    }
  }

  /** What failing files printed, cut to its end. */
  printOutput(): void {
    for (const file of this.#failedFiles) {
      const lines = (this.#output.get(file) ?? []).join('').trimEnd().split('\n');
      if (lines.length === 1 && lines[0] === '') continue;
      const from = Math.max(0, lines.length - OUTPUT_LINES_SHOWN);
      console.log(`\n  printed by ${shown(file)}${from > 0 ? ` (last ${OUTPUT_LINES_SHOWN} lines)` : ''}:`);
      console.log(indent(lines.slice(from).join('\n'), '  | '));
    }
  }

  fail(message: string): void {
    this.totals.failed += 1;
    console.log(`\n✖ ${message}`);
  }

  #result(line: ResultLine): void {
    if (line.container) return;
    if (line.wholeFile) {
      this.#failedFiles.add(line.file);
      if (line.outcome === 'failed') this.fail(`${shown(line.file)} ended before its tests did\n${indent(line.error)}`);
      else if (this.#options.grep === undefined) this.fail(`${shown(line.file)} declares no test`);
      return;
    }
    this.totals[line.outcome] += 1;
    if (line.outcome !== 'failed') return;
    this.#failedFiles.add(line.file);
    const name = [...this.#path(line.file).slice(0, line.nesting), line.name].join(' › ');
    const where = line.declaredIn === line.file ? '' : ` (run by ${shown(line.file)})`;
    console.log(`\n✖ ${name}\n  ${shown(line.declaredIn)}:${line.line}${where}\n${indent(line.error)}`);
  }

  #path(file: string): string[] {
    const names = this.#names.get(file) ?? [];
    this.#names.set(file, names);
    return names;
  }

  #keep(file: string, text: string): void {
    const kept = this.#output.get(file) ?? [];
    this.#output.set(file, kept);
    kept.push(text);
    if (kept.length > OUTPUT_LINES_SHOWN * 4) kept.splice(0, kept.length - OUTPUT_LINES_SHOWN * 2);
  }
}

function shown(file: string): string {
  return relative(process.cwd(), file);
}

function indent(text: string, by = '    '): string {
  return text.replace(/^(?=.)/gm, by);
}

function line(name: string, text: string): void {
  console.log(`${name.padEnd(10)} ${text}`);
}

async function runGroup(it: Group, files: readonly string[], options: Options): Promise<Totals> {
  const report = new GroupReport(options);
  const env: NodeJS.ProcessEnv = { ...process.env };
  delete env['NODE_TEST_CONTEXT'];
  for (const need of it.needs) {
    const problem = provide(need, env);
    if (problem !== undefined) {
      report.fail(`${it.name}: ${problem}`);
      return report.totals;
    }
  }

  const startedAt = performance.now();
  const seconds = (): string => ((performance.now() - startedAt) / 1000).toFixed(1);
  const budgetSeconds = it.budgetSeconds * options.budgetScale;
  const timeoutMs = it.timeoutSeconds * 1000 * options.budgetScale * (FULL ? FULL_TIMEOUT_FACTOR : 1);
  const child = spawn(
    process.execPath,
    [
      '--conditions=antipode-source',
      '--test',
      `--test-concurrency=${it.concurrency}`,
      `--test-timeout=${timeoutMs}`,
      `--test-reporter=${new URL('./test-reporter.ts', import.meta.url).href}`,
      '--test-reporter-destination=stdout',
      ...(options.grep === undefined ? [] : [`--test-name-pattern=${options.grep}`]),
      ...files,
    ],
    // A process group of its own, so that what tests start ends with them.
    { stdio: ['ignore', 'pipe', 'pipe'], env, detached: true },
  );

  let overBudget = false;
  const budget = setTimeout(() => {
    overBudget = true;
    const running = report.runningFiles;
    report.fail(
      `${it.name}: the group's time budget of ${budgetSeconds} s is used up; it was ended` +
        (running.length > 0 ? ` while these ran:\n${indent(running.join('\n'))}` : '.'),
    );
    killGroup(child, 'SIGTERM');
    setTimeout(() => killGroup(child, 'SIGKILL'), KILL_GRACE_MS).unref();
  }, budgetSeconds * 1000);
  const interrupt = (signal: NodeJS.Signals): void => {
    killGroup(child, 'SIGKILL');
    console.log(`\n${it.name}: interrupted by ${signal}`);
    process.exit(130);
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);

  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-4000);
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    if (overBudget) return;
    if (text.startsWith('{"kind":')) report.take(JSON.parse(text) as ReportLine);
    else console.log(text);
  });
  const ended = new Promise<string>((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(signal ?? `exit code ${code}`));
  });

  const how = await ended;
  clearTimeout(budget);
  process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  const left = overBudget ? [] : membersOf(child);
  killGroup(child, 'SIGKILL');
  if (left.length > 0)
    console.log(`\n${it.name}: tests left processes running, ended now:\n${indent(left.join('\n'))}`);
  const { totals } = report;
  if (how !== 'exit code 0' && totals.failed === 0) {
    report.fail(`${it.name}: the test runner ended with ${how}\n${indent(stderr.trim())}`);
  }
  report.printOutput();
  if (totals.failed > 0) console.log('');
  line(it.name, `${sum(totals)}   ${files.length} files, ${seconds()} s of ${budgetSeconds} s`);
  return totals;
}

function sum({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    grep: { type: 'string', short: 'g' },
    verbose: { type: 'boolean', short: 'v', default: false },
    'budget-scale': { type: 'string', default: '1' },
  },
});
const options: Options = {
  grep: values.grep,
  verbose: values.verbose,
  budgetScale: Number(values['budget-scale']),
};
if (!(options.budgetScale > 0)) {
  console.error('--budget-scale takes a number above 0.');
  process.exit(2);
}

const names = GROUPS.map((it) => it.name);
const paths = positionals.filter((arg) => !names.includes(arg)).map((arg) => relative(process.cwd(), resolve(arg)));
const missing = paths.filter((path) => !existsSync(path));
if (missing.length > 0) {
  console.error(`Neither a group (${names.join(', ')}) nor a path: ${missing.join(', ')}`);
  process.exit(2);
}
const asked = GROUPS.filter((it) => positionals.includes(it.name));

const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
for (const it of asked.length > 0 ? asked : GROUPS) {
  const files = filesOf(it, paths);
  if (files.length === 0) {
    // Below a path a group may well have none. Without one, somebody lost the tests, or they were never written.
    if (paths.length > 0) continue;
    totals.failed += 1;
    line(it.name, `no test files: nothing in ${ROOTS} ends in ${it.suffix}`);
    continue;
  }
  const result = await runGroup(it, files, options);
  totals.passed += result.passed;
  totals.failed += result.failed;
  totals.skipped += result.skipped;
}

const ran = totals.passed + totals.failed > 0;
if (!ran) console.log('\nNo test ran.');
console.log(`\n${sum(totals)}`);
process.exitCode = ran && totals.failed === 0 ? 0 : 1;
