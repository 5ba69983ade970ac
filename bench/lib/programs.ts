import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Scope } from './scope.ts';
import { until } from './scope.ts';

const READY_MS_MAX = 20_000;
const STOP_MS_MAX = 5_000;
const APT_MS_MAX = 600_000;

let installing = true;

/** From now on what is missing is left out: the short form runs in places where nothing may be changed. */
export function installNothing(): void {
  installing = false;
}

/** Path of a program, installed from Debian's packages when it is missing and this user may; else the reason as an error. */
export function programOf(program: string, debianPackage: string): string {
  const found = search(program);
  if (found !== undefined) return found;
  const remedy = `install the package ${debianPackage}`;
  if (!installing || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    throw new Error(`no ${program} here: ${remedy}`);
  console.log(`  installing ${debianPackage}, which is missing, from Debian's packages`);
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', debianPackage],
  ]) {
    const apt = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      encoding: 'utf8',
      timeout: APT_MS_MAX,
    });
    if (apt.status !== 0) throw new Error(`apt-get ${args.join(' ')} failed (${apt.stderr.trim()}): ${remedy}`);
  }
  const installed = search(program);
  if (installed === undefined) throw new Error(`${debianPackage} is installed, yet there is no ${program}`);
  return installed;
}

function search(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin'];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** The first line that a program prints about its version. */
export function versionOf(path: string, argument = '--version'): string {
  const { stdout, stderr } = spawnSync(path, [argument], { encoding: 'utf8' });
  return `${stdout}${stderr}`.trim().split('\n')[0] ?? '';
}

const running = new Set<ChildProcess>();
// Whatever ends this process, an interrupt included: nobody else would end them.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A server of somebody else, started for a suite and ended with it. */
export class Server {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#process = child;
    running.add(child);
    this.#ended = new Promise((resolve) => {
      child.once('close', () => {
        running.delete(child);
        resolve();
      });
    });
  }

  /** Resolves when it accepts connections on the port. */
  static async start(
    scope: Scope,
    options: {
      readonly path: string;
      readonly args: readonly string[];
      readonly port: number;
      readonly logFile: string;
      readonly cwd?: string;
      readonly env?: Readonly<Record<string, string>>;
      readonly readyMsMax?: number;
    },
  ): Promise<Server> {
    const log = openSync(options.logFile, 'a');
    const child = spawn(options.path, [...options.args], {
      stdio: ['ignore', log, log],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    closeSync(log);
    let failure: string | undefined;
    child.once('error', (error) => {
      failure = error.message;
    });
    child.once('exit', (code, signal) => {
      failure ??= `it ended with ${signal ?? code}, see ${options.logFile}`;
    });
    const server = new Server(child);
    scope.defer(() => server.stop());
    await until(`${options.path} accepts connections`, options.readyMsMax ?? READY_MS_MAX, async () => {
      if (failure !== undefined) throw new Error(`${options.path}: ${failure}`);
      return accepts(options.port);
    });
    return server;
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error('the server did not start');
    return this.#process.pid;
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  async stop(): Promise<void> {
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS_MAX);
    this.#process.kill('SIGTERM');
    await this.#ended;
    clearTimeout(timer);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
