import type { Project } from '#adapters/project-files/load-project';
import { CONTROL } from '#core/config/topology';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { RegionStatus } from '#region/status';
import { assertListenersFree } from './listening-ports.ts';
import { launch } from './process/launch.ts';
import { Supervised, type SupervisedEvent, type SupervisedState } from './process/supervised.ts';
import { ensureCertificates } from './project/certificates.ts';
import { ProjectPaths, regionOf } from './project/project-paths.ts';
import { serveUrl } from './project/serve-url.ts';
import { clientToken, ensureTokens } from './project/tokens.ts';
import { RegionClient } from './region-client.ts';
import { TopologyLock } from './topology-lock.ts';

/** How long a node may take until it serves, ms: a rebuild of a large store goes on after that. */
const READY_MS_MAX = 60_000;
/** How long a node may take to stop before it is killed, ms; a little more than it allows itself. */
const STOP_MS_MAX = 12_000;
const HUB_POLL_MS = 50;
/** How long a region may take to tell how it stands, ms. */
const STATUS_MS_MAX = 1_000;

export type KillSignal = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT';

export interface NodeProcess {
  readonly name: string;
  readonly kind: 'control' | 'region';
  readonly state: SupervisedState;
  readonly pid: number | undefined;
  /** Serving processes of a region. */
  readonly workers: readonly number[];
}

export type TopologyEvent =
  | { readonly type: 'prepared'; readonly certificates: readonly string[]; readonly tokens: boolean }
  | (SupervisedEvent & { readonly node: string });

export interface TopologyOptions {
  readonly project: Project;
  /** Start a node again when it ends unexpectedly. Default true. */
  readonly autoRestart?: boolean;
  readonly onEvent?: (event: TopologyEvent) => void;
  /** Further environment of a node, asked for each time it is started. */
  readonly env?: (node: string) => Readonly<Record<string, string>>;
}

/**
 * A whole topology on this machine: the control store and every region as a process of its own, so that killing one is the
 * real thing. What `antipode up` runs; tests and demonstrations use it to bring disasters about.
 */
export class Topology {
  readonly project: Project;
  readonly paths: ProjectPaths;
  readonly #onEvent: (event: TopologyEvent) => void;
  readonly #nodes = new Map<string, Supervised>();
  #lock: TopologyLock | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: TopologyOptions) {
    this.project = options.project;
    this.paths = new ProjectPaths(options.project);
    this.#onEvent = options.onEvent ?? (() => undefined);
    for (const name of [CONTROL, ...this.regions]) {
      const folder = this.project.folder;
      const args = name === CONTROL ? ['run-control', '--project', folder] : ['run-region', name, '--project', folder];
      const node = new Supervised({
        name,
        autoRestart: options.autoRestart ?? true,
        readyMsMax: READY_MS_MAX,
        launch: () => launch({ args, logFile: this.paths.log(name), env: options.env?.(name) ?? {} }),
        onEvent: (event) => this.#onEvent({ ...event, node: name }),
      });
      this.#nodes.set(name, node);
    }
  }

  get regions(): readonly string[] {
    return Object.keys(this.project.config.regions);
  }

  /**
   * Makes certificates and tokens where there are none, then starts the control store and all regions and waits until
   * they serve. Throws DATA_IN_USE, PORT_IN_USE or the reason of the node that did not start; nothing runs then.
   */
  async start(): Promise<void> {
    this.#lock = TopologyLock.acquire(this.paths.lock);
    try {
      await assertListenersFree(this.project.config);
      const tokens = await ensureTokens(this.paths);
      const certificates = await ensureCertificates(this.project, this.paths);
      this.#onEvent({ type: 'prepared', certificates, tokens });
      await this.startControl();
      const started = await Promise.allSettled(this.regions.map((name) => this.startRegion(name)));
      const failed = started.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Starts a region that does not run; resolves when it serves. */
  startRegion(name: string): Promise<void> {
    regionOf(this.project, name);
    return this.#start(name);
  }

  startControl(): Promise<void> {
    return this.#start(CONTROL);
  }

  /**
   * Sends a signal to a region as a whole: its engine and its serving processes. After SIGKILL resolves when the engine is
   * gone; it comes back by itself with `autoRestart`, else by `startRegion`.
   */
  async killRegion(name: string, signal: KillSignal = 'SIGKILL'): Promise<void> {
    regionOf(this.project, name);
    await this.#signal(name, signal);
  }

  async killControl(signal: KillSignal = 'SIGKILL'): Promise<void> {
    await this.#signal(CONTROL, signal);
  }

  /** All nodes as they are now. */
  processes(): NodeProcess[] {
    return [...this.#nodes.values()].map(({ name, state, pid, workers }) => ({
      name,
      kind: name === CONTROL ? 'control' : 'region',
      state,
      pid,
      workers,
    }));
  }

  /** Where a region serves. */
  url(region: string): string {
    return serveUrl(this.project.config, region);
  }

  /** A client of a region with this machine's token for the role. */
  async client(region: string, role: 'read' | 'write' | 'admin' = 'admin'): Promise<RegionClient> {
    const token = await clientToken(this.paths, role);
    return new RegionClient({ region, url: this.url(region), token });
  }

  /** Status of every region that answers in time. */
  async statuses(): Promise<ReadonlyMap<string, RegionStatus>> {
    const found = new Map<string, RegionStatus>();
    await Promise.all(
      this.regions.map(async (region) => {
        const status = await this.#statusOf(region);
        if (status !== undefined) found.set(region, status);
      }),
    );
    return found;
  }

  /** Waits until some region (other than `not`) accepts writes of the namespace; its name. NO_HUB when none does in time. */
  async waitForHub(namespace: string, options: { readonly timeoutMs: number; readonly not?: string }): Promise<string> {
    const deadlineMs = performance.now() + options.timeoutMs;
    const candidates = this.regions.filter((region) => region !== options.not);
    let found: string | undefined;
    // Each is asked at its own pace: one that hangs must not hold up the answer of another.
    const asking = candidates.map(async (region) => {
      while (found === undefined && performance.now() < deadlineMs) {
        const status = await this.#statusOf(region);
        if (status?.namespaces.some((each) => each.namespace === namespace && each.accepting) === true) {
          found ??= region;
          return region;
        }
        await new Promise((resolve) => setTimeout(resolve, HUB_POLL_MS));
      }
      throw new AntipodeError('NO_HUB', `no region accepts writes of ${namespace} after ${options.timeoutMs} ms`);
    });
    try {
      return await Promise.any(asking);
    } catch {
      throw new AntipodeError('NO_HUB', `no region accepts writes of ${namespace} after ${options.timeoutMs} ms`);
    }
  }

  /** Waits until every region accepts writes of an active-active namespace. NO_HUB when one does not in time. */
  async waitForMembers(namespace: string, options: { readonly timeoutMs: number }): Promise<void> {
    const deadlineMs = performance.now() + options.timeoutMs;
    await Promise.all(
      this.regions.map(async (region) => {
        for (;;) {
          const found = (await this.#statusOf(region))?.namespaces.find((each) => each.namespace === namespace);
          if (found?.accepting === true) return;
          if (performance.now() > deadlineMs) {
            const reason = found?.waitsFor ?? 'it does not answer';
            throw new AntipodeError('NO_HUB', `${region} does not accept writes of ${namespace}: ${reason}`);
          }
          await new Promise((resolve) => setTimeout(resolve, HUB_POLL_MS));
        }
      }),
    );
  }

  async #statusOf(region: string): Promise<RegionStatus | undefined> {
    try {
      const client = await this.client(region, 'read');
      return await client.status(AbortSignal.timeout(STATUS_MS_MAX));
    } catch {
      // A region that does not answer has no status.
      return undefined;
    }
  }

  /** Stops everything in order, within a bound; what does not stop is killed. Safe to call again, and during `start`. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  /** Kills every process at once, as the machine's death would. */
  killAll(): void {
    for (const node of this.#nodes.values()) {
      node.abandon();
      for (const pid of node.workers) killQuietly(pid, 'SIGKILL');
      node.signal('SIGKILL');
    }
  }

  async #start(name: string): Promise<void> {
    try {
      await this.#node(name).start();
    } catch (caught) {
      const error = toAntipodeError(caught);
      throw new AntipodeError(error.code, `${name}: ${error.message}`, {
        where: error.where ?? this.paths.log(name),
        remedy: error.remedy,
        cause: error,
      });
    }
  }

  async #signal(name: string, signal: KillSignal): Promise<void> {
    const node = this.#node(name);
    const { workers } = node;
    node.signal(signal);
    if (signal !== 'SIGTERM') for (const pid of workers) killQuietly(pid, signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await node.ended();
  }

  /** Regions first, so that they can still leave word at the control store. */
  async #stop(): Promise<void> {
    await Promise.all(this.regions.map((name) => this.#node(name).stop(STOP_MS_MAX)));
    await this.#node(CONTROL).stop(STOP_MS_MAX);
    this.#lock?.release();
    this.#lock = undefined;
  }

  #node(name: string): Supervised {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new AntipodeError('CONFIG_INVALID', `no node is named ${JSON.stringify(name)}`);
    return node;
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended by itself.
  }
}
