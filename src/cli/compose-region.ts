import { createHash, randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRegionStorage } from '#adapters/lmdb/region-storage';
import type { Project } from '#adapters/project-files/load-project';
import { SystemHost } from '#adapters/system/system-host';
import { SystemRandom } from '#adapters/system/system-random';
import { TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';
import { dialAddress, type NamespaceConfig, type TopologyConfig } from '#core/config/topology';
import { AntipodeError } from '#core/errors';
import type { OnlineReader } from '#ports/online-store';
import { ControlClient } from '#region/control/control-client';
import type { NamespaceSetup } from '#region/namespace-setup';
import { Region } from '#region/region';
import type { RegionConfig } from '#region/region-config';
import { assertSafeBinding } from '#server/access/binding';
import { loadDashboardAssets } from '#server/dashboard/assets';
import { EngineSocketServer } from '#server/engine-socket/engine-socket-server';
import { buildFace } from '#server/face';
import { DEFAULT_LIMITS, type FaceOptions } from '#server/face-options';
import { assertPortFree } from '#server/serving-worker';
import { machineClock } from './process/machine-clock.ts';
import type { NodeLogger } from './process/node-logger.ts';
import type { Node } from './process/own-process.ts';
import { nodeCredentials } from './project/certificates.ts';
import { ProjectPaths, regionOf } from './project/project-paths.ts';
import { serveUrl } from './project/serve-url.ts';
import { readServingTls } from './project/serving-tls.ts';
import { readTokenSet } from './project/tokens.ts';
import { RefusedLinks } from './refused-links.ts';
import { ServingWorkers } from './serving-workers.ts';

/** A control store that does not answer within a third of a lease leaves two more tries before the lease is lost. */
const CONTROL_TRIES_PER_LEASE = 3;
const CONTROL_DEADLINE_MS_MIN = 250;
const CONTROL_DEADLINE_MS_MAX = 3000;
/** Serving processes of a region that was killed give its port free within this time. */
const PORT_WAIT_MS_MAX = 5_000;
const PORT_RETRY_MS = 100;
/** Paths of Unix sockets may have little more than 100 bytes, some of which the server needs for itself. */
const SOCKET_PATH_BYTES_MAX = 85;

/** What the engine of one region needs to know of the topology. */
export function regionConfig(project: Project, region: string): RegionConfig {
  const { config, views } = project;
  const promotable = Object.values(config.regions)
    .filter((each) => each.promotable)
    .sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
    .map((each) => each.name);
  return {
    region,
    place: regionOf(project, region).place,
    peers: Object.keys(config.regions).filter((name) => name !== region),
    namespaces: Object.values(config.namespaces).map((namespace) => namespaceSetup(namespace, promotable)),
    views,
  };
}

function namespaceSetup(namespace: NamespaceConfig, promotable: readonly string[]): NamespaceSetup {
  const { name, partitions } = namespace;
  if (namespace.replication === 'active-active')
    return { namespace: name, replication: namespace.replication, partitions, retention: namespace.retention };
  return {
    namespace: name,
    replication: namespace.replication,
    partitions,
    initialHub: namespace.hub,
    leaseMs: namespace.leaseMs,
    marginMs: namespace.marginMs,
    automatic: namespace.failover === 'automatic',
    promotable,
    tail: namespace.tail,
    acknowledge: namespace.acknowledge,
    acknowledgeWithinMs: namespace.acknowledgeWithinMs,
    lossy: namespace.lossy,
    retention: namespace.retention,
  };
}

/** Where the serving processes of a region meet its engine. */
export function engineSocketPath(dataFolder: string): string {
  const path = join(dataFolder, 'engine.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  const name = createHash('sha256').update(path).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `antipode-${process.getuid?.() ?? 0}`);
  makePrivateFolder(folder);
  return join(folder, `${name}.sock`);
}

/**
 * Makes a folder that is ours alone. Anybody can make one of its name first where everybody may write, and would then own
 * what is put there: such a folder, or a link to one, is refused.
 */
function makePrivateFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const found = lstatSync(folder);
  const mode = found.mode & 0o777;
  if (found.isDirectory() && mode === 0o700 && found.uid === (process.getuid?.() ?? found.uid)) return;
  throw new AntipodeError(
    'UNSAFE_BINDING',
    `the engine's socket would lie in ${folder}, which is not a folder of this user alone`,
    {
      where: folder,
      remedy: `Remove ${folder}, or keep the data of regions under a shorter path, or set TMPDIR to a folder of your own.`,
    },
  );
}

/** What the HTTP face of a region is made of, in whichever process it runs. */
export async function faceOptions(
  project: Project,
  region: string,
  parts: { readonly logger: NodeLogger; readonly reader: OnlineReader },
): Promise<Omit<FaceOptions, 'engine'>> {
  const paths = new ProjectPaths(project);
  const { config } = project;
  const tls = await readServingTls(project, paths);
  const tokens = await readTokenSet(paths);
  assertSafeBinding(regionOf(project, region).serve.host, tls !== undefined, (tokens?.size ?? 0) > 0);
  return {
    region,
    project: config.project,
    reader: parts.reader,
    tokens,
    reads: config.security.reads,
    limits: { ...DEFAULT_LIMITS, ...config.limits },
    logger: parts.logger,
    clock: machineClock(parts.logger),
    dashboard: loadDashboardAssets(),
    ...(tls === undefined ? {} : { tls }),
  };
}

/**
 * Starts a region in this process, with the adapters of one machine: LMDB below its data folder, links over mutual TLS, and
 * its HTTP face in processes of its own, or in this one when it has none. Rejects with what a person can do something about.
 */
export async function startRegion(project: Project, name: string, logger: NodeLogger): Promise<Node> {
  const paths = new ProjectPaths(project);
  const { config } = project;
  const own = regionOf(project, name);
  const dataFolder = paths.data(name);
  mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
  const clock = machineClock(logger);
  const host = new SystemHost({ dataDirectory: dataFolder, logger });
  const credentials = await nodeCredentials(paths, config.name, name);
  const undo: (() => Promise<void> | void)[] = [];
  try {
    const storage = openRegionStorage({
      folder: dataFolder,
      bootId: host.bootId(),
      onStoreDamaged: (error) => host.fatal(error),
    });
    undo.push(() => storage.close());
    if (storage.storeDiscarded !== undefined) logger.warn('store-discarded', { reason: storage.storeDiscarded });
    const face = await faceOptions(project, name, { logger, reader: storage.onlineStore });
    await serveNoOneElse(own.serve);
    const refused = new RefusedLinks({ logger, clock });
    const common = {
      self: name,
      topology: config.name,
      credentials,
      addressOf: (peer: string) => dialAddress(config, name, peer),
    };
    const links = new TlsLinkTransport({ ...common, listen: own.link, onRefused: (refusal) => refused.note(refusal) });
    undo.push(() => links.close());
    const toControl = new TlsLinkTransport(common);
    undo.push(() => toControl.close());
    const region = new Region({
      config: regionConfig(project, name),
      ports: {
        clock,
        host,
        logger,
        random: new SystemRandom(),
        changeLog: storage.changeLog,
        journal: storage.journal,
        store: storage.onlineStore,
        snapshots: storage.snapshots,
        control: new ControlClient({ transport: toControl, clock, deadlineMs: controlDeadlineMs(config) }),
        transport: links,
      },
    });
    undo.push(() => region.stop());
    await region.start();
    refused.report((entry) => region.audit(entry));
    undo.push(() => refused.stop());
    const stopFace = await startFace({ project, name, dataFolder, region, face, logger });
    undo.push(stopFace);
    return { address: serveUrl(config, name), stop: () => unwind(undo) };
  } catch (error) {
    await unwind(undo).catch((caught: unknown) => logger.error('cleanup-failed', { error: caught }));
    throw error;
  }
}

async function startFace(options: {
  readonly project: Project;
  readonly name: string;
  readonly dataFolder: string;
  readonly region: Region;
  readonly face: Omit<FaceOptions, 'engine'>;
  readonly logger: NodeLogger;
}): Promise<() => Promise<void>> {
  const { project, name, dataFolder, region, face, logger } = options;
  const { workers, serve } = regionOf(project, name);
  if (workers === 0) {
    const app = buildFace({ ...face, engine: region });
    await app.listen({ host: serve.host, port: serve.port });
    return () => app.close();
  }
  const socket = new EngineSocketServer(region, engineSocketPath(dataFolder));
  await socket.listen();
  const processes = new ServingWorkers({
    region: name,
    projectFolder: project.folder,
    logFile: new ProjectPaths(project).log(`${name}-serving`),
    count: workers,
    sessionKey: randomBytes(32),
    logger,
  });
  const stop = async (): Promise<void> => {
    await processes.stop();
    await socket.close();
  };
  try {
    await processes.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/**
 * Serving processes share their port, so that they would share it with strangers too: whoever listens there already is
 * found here. Those of an earlier life of this region are about to end, and are waited for.
 */
async function serveNoOneElse(serve: { readonly host: string; readonly port: number }): Promise<void> {
  const deadlineMs = performance.now() + PORT_WAIT_MS_MAX;
  for (;;) {
    try {
      return await assertPortFree(serve.host, serve.port);
    } catch (error) {
      if (!(error instanceof AntipodeError && error.code === 'PORT_IN_USE') || performance.now() > deadlineMs)
        throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PORT_RETRY_MS));
  }
}

function controlDeadlineMs(config: TopologyConfig): number {
  const leases = Object.values(config.namespaces).flatMap((each) => ('leaseMs' in each ? [each.leaseMs] : []));
  const leaseMs = Math.min(CONTROL_DEADLINE_MS_MAX * CONTROL_TRIES_PER_LEASE, ...leases);
  return Math.max(CONTROL_DEADLINE_MS_MIN, Math.floor(leaseMs / CONTROL_TRIES_PER_LEASE));
}

/** Undoes in reverse order; the first failure is thrown when everything was tried. */
async function unwind(undo: readonly (() => Promise<void> | void)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of [...undo].reverse()) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
