import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { FolderLock } from '#adapters/lmdb/folder-lock';
import { loadProject, type Project } from '#adapters/project-files/load-project';
import { SystemClock } from '#adapters/system/system-clock';
import { TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';
import { formatEndpoint } from '#core/config/endpoint';
import { CONTROL, dialAddress } from '#core/config/topology';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { DISK_RESERVE_BYTES } from '#region/ingest/namespace-writer';
import { RpcEnd } from '#region/replicate/rpc';
import type { RegionStatus } from '#region/status';
import { assertListenerFree, listenersOf } from './listening-ports.ts';
import { portOwner } from './port-owner.ts';
import { certificateReports, nodeCredentials } from './project/certificates.ts';
import { clientsOf } from './project/clients.ts';
import { ProjectPaths } from './project/project-paths.ts';
import { clientTokensWarning, readTokenSet } from './project/tokens.ts';
import { formatBytes, formatMs } from './terminal/format.ts';

export interface Check {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly remedy?: string;
}

const NODE_MAJOR_MIN = 24;
/** Below so many times the reserve, a region will soon refuse writes. */
const DISK_WARNING_FACTOR = 16;
const CONTROL_TIMEOUT_MS = 2_000;
/** Stamps of regions further apart than this are parked or refused. */
const CLOCK_APART_MS_MAX = 500;

type Checks = AsyncGenerator<Check>;

/** All checks, in the order in which one may be the reason for the next. Stops where nothing further can be known. */
export async function* runChecks(folder: string): Checks {
  yield nodeCheck();
  let project: Project;
  try {
    project = await loadProject(folder);
  } catch (caught) {
    yield failed('configuration', caught);
    return;
  }
  const paths = new ProjectPaths(project);
  const { config, views } = project;
  yield ok(
    'configuration',
    `${config.name}: ${Object.keys(config.regions).length} regions, ${views.length} feature views`,
  );
  if (views.length === 0)
    yield warn('feature views', 'none is defined', 'Define one under features/, such as antipode init writes.');
  yield* certificateChecks(project, paths);
  yield await tokensCheck(project, paths);
  const { running, checks } = folderChecks(project, paths);
  yield* checks;
  for (const listener of listenersOf(config)) yield await portCheck(listener, running.has(listener.node));
  yield* diskChecks(project, paths);
  yield await controlCheck(project, paths, running.has(CONTROL));
  yield* regionChecks(project, paths, running);
}

function nodeCheck(): Check {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= NODE_MAJOR_MIN) return ok('node', `${process.version} on ${process.platform} ${process.arch}`);
  return {
    name: 'node',
    result: 'fail',
    message: `${process.version} is too old`,
    remedy: `Install Node ${NODE_MAJOR_MIN}.`,
  };
}

async function* certificateChecks(project: Project, paths: ProjectPaths): Checks {
  if (!existsSync(paths.certificates)) {
    yield warn('certificates', 'none yet', 'antipode up makes them; or: antipode certs issue.');
    return;
  }
  for (const { name, fault, warnings } of await certificateReports(project, paths)) {
    const label = `certificate of ${name}`;
    // The authority's key and certificate may well be kept elsewhere.
    if (fault !== null && name === 'authority') yield ok(label, 'kept elsewhere');
    else if (fault !== null)
      yield {
        name: label,
        result: 'fail',
        message: fault,
        remedy: `antipode certs issue${name === CONTROL || name in project.config.regions ? ` ${name}` : ''}`,
      };
    else if (warnings.length > 0) yield warn(label, warnings.join('; '), 'Renew with antipode certs issue.');
    else yield ok(label, 'valid');
  }
}

async function tokensCheck(project: Project, paths: ProjectPaths): Promise<Check> {
  try {
    const tokens = await readTokenSet(paths);
    if (tokens === null)
      return warn('tokens', `there is no ${paths.tokens}: every write is refused`, 'antipode up makes them.');
    const loose = await clientTokensWarning(paths);
    if (loose !== undefined) return warn('tokens', loose);
    return ok(
      'tokens',
      `${tokens.size} tokens; reads ${project.config.security.reads === 'open' ? 'are open' : 'need one'}`,
    );
  } catch (caught) {
    return failed('tokens', caught);
  }
}

/** Which nodes run on this machine, told by the locks of their data folders. */
function folderChecks(
  project: Project,
  paths: ProjectPaths,
): { running: ReadonlySet<string>; checks: readonly Check[] } {
  const running = new Set<string>();
  const checks: Check[] = [];
  for (const node of [CONTROL, ...Object.keys(project.config.regions)]) {
    const name = `data of ${node}`;
    const folder = paths.data(node);
    if (!existsSync(folder)) {
      checks.push(ok(name, `${folder} is made at the first start`));
      continue;
    }
    try {
      FolderLock.acquire(folder).release();
      checks.push(ok(name, `${folder}, in use by nobody`));
    } catch (caught) {
      if (toAntipodeError(caught).code === 'DATA_IN_USE') {
        running.add(node);
        checks.push(ok(name, `${folder}, in use by the running node`));
      } else checks.push(failed(name, caught));
    }
  }
  return { running, checks };
}

async function portCheck(listener: ReturnType<typeof listenersOf>[number], running: boolean): Promise<Check> {
  const name = `port of ${listener.what.replace(/^the /, '')}`;
  const address = formatEndpoint(listener.at);
  try {
    await assertListenerFree(listener);
    if (running)
      return warn(name, `${address} is free although the node runs`, 'It may be starting or stopping: look again.');
    return ok(name, `${address} is free`);
  } catch (caught) {
    if (!running || toAntipodeError(caught).code !== 'PORT_IN_USE') return failed(name, caught);
    const owner = portOwner(listener.at.port);
    return ok(name, `${address} is used by the running node${owner === undefined ? '' : `, process ${owner.pid}`}`);
  }
}

function* diskChecks(project: Project, paths: ProjectPaths): Generator<Check> {
  for (const node of [CONTROL, ...Object.keys(project.config.regions)]) {
    const name = `disk of ${node}`;
    const { bavail, bsize } = statfsSync(existingFolder(paths.data(node)));
    const free = bavail * bsize;
    const text = `${formatBytes(free)} free`;
    if (free < DISK_RESERVE_BYTES) {
      const remedy = 'Free or add space; writes are refused until then.';
      yield {
        name,
        result: 'fail',
        message: `${text}, below the reserve of ${formatBytes(DISK_RESERVE_BYTES)}`,
        remedy,
      };
    } else if (free < DISK_RESERVE_BYTES * DISK_WARNING_FACTOR) {
      yield warn(name, `${text}; below ${formatBytes(DISK_RESERVE_BYTES)} writes are refused`, 'Free or add space.');
    } else yield ok(name, text);
  }
}

function existingFolder(folder: string): string {
  return existsSync(folder) ? folder : existingFolder(dirname(folder));
}

/** Dials the control store as the first region that has credentials here would. */
async function controlCheck(project: Project, paths: ProjectPaths, running: boolean): Promise<Check> {
  const name = 'control store';
  const { config } = project;
  const self = Object.keys(config.regions)[0] as string;
  const clock = new SystemClock();
  let transport: TlsLinkTransport | undefined;
  try {
    const credentials = await nodeCredentials(paths, config.name, self);
    transport = new TlsLinkTransport({
      self,
      topology: config.name,
      credentials,
      addressOf: (peer) => dialAddress(config, self, peer),
      handshakeMsMax: CONTROL_TIMEOUT_MS,
    });
    const startedAtMs = performance.now();
    const channel = await transport.connect(CONTROL);
    const end = new RpcEnd({ channel, clock });
    await end.request('ping', {}, { timeoutMs: CONTROL_TIMEOUT_MS });
    return ok(name, `answers after ${formatMs(performance.now() - startedAtMs)}`);
  } catch (caught) {
    if (running) return failed(name, caught);
    return warn(name, `${toAntipodeError(caught).message}`, 'Start it: antipode up, or antipode run-control.');
  } finally {
    await transport?.close();
  }
}

async function* regionChecks(project: Project, paths: ProjectPaths, running: ReadonlySet<string>): Checks {
  const offsets: number[] = [];
  for (const client of await clientsOf(project, paths, 'read')) {
    const name = `region ${client.region}`;
    try {
      const askedAtMs = Date.now();
      const status = await client.status();
      offsets.push(status.nowMs - (askedAtMs + Date.now()) / 2);
      yield regionCheck(name, status);
    } catch (caught) {
      if (running.has(client.region)) yield failed(name, caught);
      else yield warn(name, 'does not answer', 'Start it: antipode up, or antipode run-region.');
    }
  }
  if (offsets.length === 0) return;
  const apartMs = Math.max(0, ...offsets) - Math.min(0, ...offsets);
  if (apartMs <= CLOCK_APART_MS_MAX) yield ok('clocks', `within ${formatMs(apartMs)} of each other`);
  else
    yield warn(
      'clocks',
      `${formatMs(apartMs)} apart`,
      `Keep them within ${CLOCK_APART_MS_MAX} ms, with NTP: event times are the order of writes.`,
    );
}

function regionCheck(name: string, status: RegionStatus): Check {
  const lost = status.links.filter((link) => link.state !== 'connected');
  if (status.state !== 'serving') return warn(name, `is ${status.state}`);
  if (!status.control.reachable) return warn(name, 'cannot reach the control store', 'Check its link to it.');
  const [first] = lost;
  if (first !== undefined) return warn(name, `has no link from ${first.peer}: ${first.reason ?? first.state}`);
  const joining = status.namespaces.find(({ role }) => role === 'joining');
  if (joining !== undefined)
    return warn(name, `accepts no writes of ${joining.namespace} yet: ${joining.waitsFor ?? 'it starts'}`);
  const hubless = status.namespaces.find(({ hub, replication }) => hub === null && replication === 'active-passive');
  if (hubless !== undefined) return warn(name, `knows no hub of ${hubless.namespace}`);
  return ok(name, 'serves, and all its links are up');
}

function ok(name: string, message: string): Check {
  return { name, result: 'ok', message };
}

function warn(name: string, message: string, remedy?: string): Check {
  return { name, result: 'warn', message, ...(remedy === undefined ? {} : { remedy }) };
}

function failed(name: string, caught: unknown): Check {
  const error = toAntipodeError(caught);
  const where = error instanceof AntipodeError && error.where !== undefined ? ` (${error.where})` : '';
  return { name, result: 'fail', message: `${error.code}: ${error.message}${where}`, remedy: error.remedy };
}
