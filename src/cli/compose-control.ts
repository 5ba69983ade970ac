import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import { FolderLock } from '#adapters/lmdb/folder-lock';
import { LmdbKv } from '#adapters/lmdb/lmdb-kv';
import type { Project } from '#adapters/project-files/load-project';
import { SystemHost } from '#adapters/system/system-host';
import { TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';
import { formatEndpoint } from '#core/config/endpoint';
import { CONTROL } from '#core/config/topology';
import { AntipodeError } from '#core/errors';
import { ControlServer } from '#region/control/control-server';
import { machineClock } from './process/machine-clock.ts';
import type { NodeLogger } from './process/node-logger.ts';
import type { Node } from './process/own-process.ts';
import { nodeCredentials } from './project/certificates.ts';
import { ProjectPaths } from './project/project-paths.ts';
import { RefusedLinks } from './refused-links.ts';

/** Leases, seals and audit anchors: kilobytes. */
const MAP_BYTES = 1024 ** 3;
const RESERVE_BYTES = 4 * 1024 ** 2;

/** Starts the control store of a project in this process. */
export async function startControl(project: Project, logger: NodeLogger): Promise<Node> {
  const paths = new ProjectPaths(project);
  const { config } = project;
  const folder = paths.data(CONTROL);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const credentials = await nodeCredentials(paths, config.name, CONTROL);
  const lock = FolderLock.acquire(folder);
  const kv = LmdbKv.open({
    folder: join(folder, 'log'),
    tables: JOURNAL_TABLES,
    durability: 'fsync',
    mapBytes: MAP_BYTES,
    reserveBytes: RESERVE_BYTES,
  });
  const host = new SystemHost({ dataDirectory: folder, logger });
  const clock = machineClock(logger);
  const refused = new RefusedLinks({ logger, clock });
  // The control store keeps no audit log; its own log tells.
  refused.report(() => Promise.resolve());
  const transport = new TlsLinkTransport({
    self: CONTROL,
    topology: config.name,
    credentials,
    listen: config.control.link,
    addressOf: (peer) => {
      throw new AntipodeError('INTERNAL', `the control store dials nobody, and was asked to dial ${peer}`);
    },
    onRefused: (refusal) => refused.note(refusal),
  });
  const server = new ControlServer({
    journal: new KvJournal(kv),
    transport,
    clock,
    host,
    log: logger,
    members: Object.keys(config.regions),
  });
  const close = async (): Promise<void> => {
    refused.stop();
    await server.stop();
    await kv.close();
    lock.release();
  };
  try {
    await server.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { address: formatEndpoint(config.control.link), stop: close };
}
