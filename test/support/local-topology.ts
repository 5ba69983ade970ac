// A project in a temporary folder with ports of its own, and its topology as real processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadProject, type Project } from '#adapters/project-files/load-project';
import { Topology, type TopologyOptions } from '#cli/topology';

/** Below the ports that Linux gives to outgoing connections, which could otherwise take one in between. */
const PORT_FIRST = 20_000;
const PORT_LAST = 32_000;

export const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
export const LEASE_MS = 2_000;
export const MARGIN_MS = 300;

const ANTIPODE = fileURLToPath(new URL('../../bin/antipode.js', import.meta.url));
const FEATURES = `
entities:
  - name: sensor
    joinKeys: [{ name: sensor_id, type: int64 }]
featureViews:
  - name: readings
    namespace: default
    entities: [sensor]
    features:
      - { name: reading, type: int64 }
      - { name: note, type: string }
    sources: [{ name: readings_csv, path: readings.csv }]
    sql: SELECT sensor_id, reading, note, event_timestamp FROM readings_csv ORDER BY event_timestamp
`;

/** What a test is to those who help it: whose end they clean up after, and whom they tell what happens. */
export interface TestScope {
  after(work: () => Promise<void>): void;
  diagnostic(message: string): void;
}

const deferred = new WeakMap<TestScope, (() => Promise<unknown> | unknown)[]>();

/** Runs `work` when the test has ended: what was deferred last comes first, and each whatever became of the others. */
export function defer(test: TestScope, work: () => Promise<unknown> | unknown): void {
  const known = deferred.get(test);
  if (known !== undefined) {
    known.push(work);
    return;
  }
  const stack = [work];
  deferred.set(test, stack);
  test.after(async () => {
    const failures: unknown[] = [];
    for (const each of stack.toReversed())
      await Promise.resolve(each()).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  });
}

export interface ProjectOptions {
  readonly regions?: readonly string[];
  /** Further YAML of each region, by name. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The `links` of the configuration: another address for a direction. */
  readonly links?: readonly { readonly from: string; readonly to: string; readonly address: string }[];
  readonly control?: number;
  /** Ports of links by region, where they must be known before; others are free ones. */
  readonly linkPorts?: ReadonlyMap<string, number>;
  readonly failover?: 'automatic' | 'manual';
  readonly tail?: 'replay' | 'keep';
  /** Definitions instead of the view of readings. */
  readonly features?: string;
}

/** Writes a project into a temporary folder, which is removed with the test. */
export async function newProject(test: TestScope, options: ProjectOptions = {}): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), 'antipode-e2e-'));
  defer(test, () => rm(folder, { recursive: true, force: true }));
  const regions = options.regions ?? ['ap', 'eu', 'us'];
  const taken = [...(options.linkPorts?.values() ?? []), options.control];
  const ports = await freePorts(regions.length * 2 + 1, taken);
  const regionText = regions.map(
    (name, at) =>
      `  ${name}: { place: ${name}, link: '127.0.0.1:${options.linkPorts?.get(name) ?? ports[at * 2 + 1]}', serve: '127.0.0.1:${ports[at * 2 + 2]}'${options.settings?.[name] ?? ''} }`,
  );
  const linkText = (options.links ?? []).map((link) => `  - ${JSON.stringify(link)}`);
  await writeFile(
    join(folder, 'antipode.yaml'),
    `version: 1
name: e2e
regions:
${regionText.join('\n')}
control: { link: '127.0.0.1:${options.control ?? ports[0]}' }
${linkText.length === 0 ? '' : `links:\n${linkText.join('\n')}`}
namespaces:
  default: { hub: ${regions[0]}, lease: ${LEASE_MS}ms, margin: ${MARGIN_MS}ms, failover: ${options.failover ?? 'automatic'}, tail: ${options.tail ?? 'replay'} }
`,
  );
  await mkdir(join(folder, 'features'));
  await writeFile(join(folder, 'features', 'readings.yaml'), options.features ?? FEATURES);
  return loadProject(folder);
}

/** Starts the topology of a project; it is stopped with the test. */
export async function startTopology(
  test: TestScope,
  project: Project,
  options: Pick<TopologyOptions, 'autoRestart' | 'env'> = {},
): Promise<Topology> {
  const topology = new Topology({
    ...options,
    project,
    autoRestart: options.autoRestart ?? false,
    onEvent: (event) => {
      if (event.type === 'log' || event.type === 'ended') test.diagnostic(`${event.node}: ${JSON.stringify(event)}`);
    },
  });
  defer(test, () => topology.stop());
  await topology.start();
  await topology.waitForHub('default', { timeoutMs: 20_000 });
  return topology;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the command as a user would; it is killed with the test if it still runs. */
export function startCommand(test: TestScope, args: readonly string[], cwd: string): ChildProcess {
  const child = spawn(process.execPath, [ANTIPODE, ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ANTIPODE_TOKEN: '' },
  });
  defer(test, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await exitOf(child);
  });
  return child;
}

export async function runCommand(test: TestScope, args: readonly string[], cwd: string): Promise<CommandResult> {
  const child = startCommand(test, args, cwd);
  const [stdout, stderr] = [collect(child, 'stdout'), collect(child, 'stderr')];
  const code = await exitOf(child);
  return { code, stdout: stdout(), stderr: stderr() };
}

/** Collects what a command prints; call the result for what there is by now. */
export function collect(child: ChildProcess, stream: 'stdout' | 'stderr'): () => string {
  const chunks: Buffer[] = [];
  child[stream]?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

export function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('close', (code) => resolve(code)));
}

/** Command lines of every process that was started for a project. */
export function processesOf(folder: string): string[] {
  return globSync('/proc/[0-9]*/cmdline').flatMap((path) => {
    try {
      const command = readFileSync(path, 'utf8').replaceAll('\0', ' ').trim();
      return command.includes(folder) ? [`${path.split('/')[2]}: ${command}`] : [];
    } catch {
      return [];
    }
  });
}

/** Polls until the condition holds; throws with `what` when it does not in time. */
export async function until(what: string, timeoutMs: number, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(50);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ports of 127.0.0.1 that nobody listens on, and that are not among those taken already. */
export async function freePorts(count: number, taken: readonly (number | undefined)[] = []): Promise<number[]> {
  const found: number[] = [];
  let port = PORT_FIRST + Math.floor(Math.random() * (PORT_LAST - PORT_FIRST - 10 * count));
  while (found.length < count) {
    port += 1;
    if (!taken.includes(port) && (await isFree(port))) found.push(port);
  }
  return found;
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
