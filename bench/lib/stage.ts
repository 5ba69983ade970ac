import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadProject, type Project } from '#adapters/project-files/load-project';
import { ProjectPaths } from '#cli/project/project-paths';
import { clientToken } from '#cli/project/tokens';
import { Topology } from '#cli/topology';
import { freePorts } from '../../test/support/local-topology.ts';
import { Lines } from './lines.ts';
import { featuresYaml } from './rows.ts';
import type { Scope } from './scope.ts';

const HUB_MS_MAX = 30_000;

export interface StageOptions {
  readonly regions: number;
  /** Serving processes of each region. */
  readonly workers?: number;
  /** Lines to other regions go through proxies. */
  readonly lines?: boolean;
  readonly acknowledge?: 'local' | number;
  readonly leaseMs?: number;
  readonly marginMs?: number;
}

let profileFolder: string | undefined;

/** From now on the processes of stages write CPU profiles when they end, into a folder for each node. */
export function profileInto(folder: string): void {
  profileFolder = resolve(folder);
}

/** Where a process finds what it needs of a stage. */
export interface Endpoint {
  readonly region: string;
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/**
 * Writes a project of regions r1, r2, … with free ports into a temporary folder, which goes with the scope. The first one
 * is the hub. Lines, where they are given, are opened to the ports of links.
 */
export async function newProject(scope: Scope, options: StageOptions, lines?: Lines): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-'));
  scope.defer(() => rm(folder, { recursive: true, force: true }));
  const names = Array.from({ length: options.regions }, (_, at) => `r${at + 1}`);
  const ports = await freePorts(names.length * 2 + 1);
  const links: string[] = [];
  for (const from of names) {
    for (const [at, to] of names.entries()) {
      if (lines === undefined || from === to) continue;
      const address = `127.0.0.1:${await lines.open(ports[at * 2 + 1] as number)}`;
      links.push(`  - { from: ${from}, to: ${to}, address: '${address}' }\n`);
    }
  }
  const regions = names.map(
    (name, at) =>
      `  ${name}: { place: ${name}, link: '127.0.0.1:${ports[at * 2 + 1]}', serve: '127.0.0.1:${ports[at * 2 + 2]}', workers: ${options.workers ?? 1} }\n`,
  );
  const policy = [
    'hub: r1',
    `acknowledge: ${options.acknowledge ?? 'local'}`,
    ...(names.length === 1 ? ['failover: manual'] : []),
    ...(options.leaseMs === undefined ? [] : [`lease: ${options.leaseMs}ms`]),
    ...(options.marginMs === undefined ? [] : [`margin: ${options.marginMs}ms`]),
  ];
  await mkdir(join(folder, 'features'));
  await writeFile(join(folder, 'features', 'routes.yaml'), featuresYaml());
  await writeFile(
    join(folder, 'antipode.yaml'),
    `version: 1
name: bench
regions:
${regions.join('')}control: { place: witness, link: '127.0.0.1:${ports[0]}' }
${links.length === 0 ? '' : `links:\n${links.join('')}`}namespaces:
  default: { ${policy.join(', ')} }
`,
  );
  return folder;
}

function environmentOf(node: string): Readonly<Record<string, string>> {
  if (profileFolder === undefined) return {};
  return { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${join(profileFolder, node)}` };
}

/** Regions of ours on this machine, as `antipode up` runs them: processes, mutual TLS, fsync, tokens. */
export class Stage {
  readonly topology: Topology;
  readonly project: Project;
  readonly lines: Lines | undefined;
  readonly startedMs: number;

  private constructor(topology: Topology, lines: Lines | undefined, startedMs: number) {
    this.topology = topology;
    this.project = topology.project;
    this.lines = lines;
    this.startedMs = startedMs;
  }

  /** The first region is the hub. */
  static async start(scope: Scope, options: StageOptions): Promise<Stage> {
    const lines = options.lines === true ? new Lines() : undefined;
    if (lines !== undefined) scope.defer(() => lines.end());
    const folder = await newProject(scope, options, lines);
    const topology = new Topology({ project: await loadProject(folder), autoRestart: false, env: environmentOf });
    scope.defer(() => topology.stop());
    const beganMs = performance.now();
    await topology.start();
    await topology.waitForHub('default', { timeoutMs: HUB_MS_MAX });
    return new Stage(topology, lines, performance.now() - beganMs);
  }

  get hub(): string {
    return this.topology.regions[0] as string;
  }

  get replicas(): readonly string[] {
    return this.topology.regions.slice(1);
  }

  async endpoint(region: string, role: 'read' | 'write'): Promise<Endpoint> {
    const { host, port } = this.project.config.regions[region]?.serve ?? { host: '', port: 0 };
    const token = (await clientToken(new ProjectPaths(this.project), role)) ?? '';
    return { region, host, port, token };
  }

  /** The engine of a region and its serving processes. */
  pids(region: string): number[] {
    const node = this.topology.processes().find((each) => each.name === region);
    return node?.pid === undefined ? [] : [node.pid, ...node.workers];
  }
}
