// What regions cost while nobody uses them, and how long they take to be there.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SuiteRun } from '../lib/bench.ts';
import { builtCommand } from '../lib/built-package.ts';
import { cpuSeconds, descendants, memoryOf } from '../lib/process-usage.ts';
import { Scope, sleep } from '../lib/scope.ts';
import { newProject } from '../lib/stage.ts';
import { type Sample, sample } from '../lib/stats.ts';

const SUITE = 'footprint';
const ROUNDS = 5;
/** The command of the checkout, which strips types as it starts. */
const FROM_SOURCE = fileURLToPath(new URL('../../bin/antipode.js', import.meta.url));
const REGIONS = 3;
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const MIB = 1024 * 1024;
const GOALS = { cores: 0.02, mebibytes: 150, readySeconds: 3 } as const;

/** What `antipode up --json` writes when every region serves and the hub accepts writes. */
interface Announcement {
  readonly control: { readonly pid: number };
  readonly regions: readonly { readonly region: string; readonly pid: number }[];
}

interface Round {
  readonly firstSeconds: number;
  readonly againSeconds: number;
  /** Of the region that costs most. */
  readonly cores: number;
  readonly residentMib: number;
  readonly anonymousMib: number;
}

export async function footprint(run: SuiteRun): Promise<void> {
  const idleMs = run.quick ? 1_000 : 20_000;
  const settleMs = run.quick ? 500 : 5_000;
  run.results.settings[SUITE] = { regions: REGIONS, idleSeconds: idleMs / 1000 };
  const rounds: Round[] = [];
  const scope = new Scope();
  try {
    if (!run.quick) run.progress('building the package');
    const command = run.quick ? FROM_SOURCE : builtCommand(scope);
    for (let round = 0; round < run.rounds(ROUNDS); round++) {
      run.progress(`round ${round + 1}`);
      rounds.push(await oneRound({ command, idleMs, settleMs }));
    }
  } finally {
    await scope.end();
  }
  report(run, rounds);
}

function report(run: SuiteRun, rounds: readonly Round[]): void {
  const of = (field: keyof Round): Sample => sample(rounds.map((each) => each[field]));
  const cell = (what: string, metric: string, unit: string, value: Sample): void =>
    run.results.cell({ suite: SUITE, case: what, contender: 'antipode', metric, unit, better: 'lower', value });
  const up = `up, ${REGIONS} regions`;
  cell(`${up}, certificates made`, 'ready', 's', of('firstSeconds'));
  cell(`${up}, certificates there`, 'ready', 's', of('againSeconds'));
  const idle = 'idle, the region that takes most, 1 worker';
  cell(idle, 'processor time', 'cores', of('cores'));
  cell(idle, 'resident', 'MiB', of('residentMib'));
  cell(idle, 'resident, of no file', 'MiB', of('anonymousMib'));
  const goal = (name: string, limit: number, unit: string, value: Sample): void =>
    run.results.goal({ suite: SUITE, name, sign: '<=', limit, unit, value });
  goal('idle processor time of a region', GOALS.cores, 'cores', of('cores'));
  goal('idle memory of a region', GOALS.mebibytes, 'MiB', of('residentMib'));
  goal('antipode up is ready', GOALS.readySeconds, 's', of('againSeconds'));
}

async function oneRound(options: {
  readonly command: string;
  readonly idleMs: number;
  readonly settleMs: number;
}): Promise<Round> {
  const { command, idleMs, settleMs } = options;
  const scope = new Scope();
  try {
    const folder = await newProject(scope, { regions: REGIONS });
    const first = await Up.start(scope, command, folder);
    await first.stop();
    const again = await Up.start(scope, command, folder);
    await sleep(settleMs);
    const regions = again.announced.regions.map(({ pid }) => [pid, ...descendants(pid)]);
    const before = regions.map(cpuSeconds);
    const beganMs = performance.now();
    await sleep(idleMs);
    const seconds = (performance.now() - beganMs) / 1000;
    const memory = regions.map(memoryOf);
    return {
      firstSeconds: first.seconds,
      againSeconds: again.seconds,
      cores: Math.max(...regions.map((pids, at) => (cpuSeconds(pids) - (before[at] ?? 0)) / seconds)),
      residentMib: Math.max(...memory.map(({ resident }) => resident)) / MIB,
      anonymousMib: Math.max(...memory.map(({ anonymous }) => anonymous)) / MIB,
    };
  } finally {
    await scope.end();
  }
}

/** `antipode up` as a user starts it. */
class Up {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly announced: Announcement;
  readonly seconds: number;

  private constructor(child: ChildProcess, ended: Promise<unknown>, announced: Announcement, seconds: number) {
    this.#process = child;
    this.#ended = ended;
    this.announced = announced;
    this.seconds = seconds;
  }

  /** Resolves when it says that all is up. */
  static async start(scope: Scope, command: string, folder: string): Promise<Up> {
    const beganMs = performance.now();
    const flags = command === FROM_SOURCE ? ['--conditions=antipode-source'] : [];
    const child = spawn(process.execPath, [...flags, command, 'up', '--json'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'ignore'],
      // As for whoever starts it the first time.
      env: { ...process.env, NODE_COMPILE_CACHE: undefined },
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    const line = await new Promise<string>((resolve, reject) => {
      let text = '';
      const timer = setTimeout(() => reject(new Error(`not up within ${READY_MS_MAX} ms`)), READY_MS_MAX);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`antipode up ended with ${code}`)));
      child.stdout?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (!text.includes('\n')) return;
        clearTimeout(timer);
        resolve(text);
      });
    }).catch((error: unknown) => {
      child.kill('SIGKILL');
      throw error;
    });
    const up = new Up(child, ended, JSON.parse(line) as Announcement, (performance.now() - beganMs) / 1000);
    scope.defer(() => up.stop());
    return up;
  }

  async stop(): Promise<void> {
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS_MAX);
    this.#process.kill('SIGTERM');
    await this.#ended;
    clearTimeout(timer);
  }
}
