import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProject } from '#adapters/project-files/load-project';
import { freePorts } from '../../test/support/local-topology.ts';
import type { SuiteRun } from '../lib/bench.ts';
import { programOf, Server, versionOf } from '../lib/programs.ts';
import { featureNames, NARROW_VIEWS, RowMaker, viewNamed, WIDE_VIEW } from '../lib/rows.ts';
import type { Scope } from '../lib/scope.ts';
import { redisKey } from '../load/read-system.ts';
import type { ReadTarget } from '../load/serve.ts';
import { FEAST, FeastServer } from '../peers/feast-server.ts';
import { command, RedisSocket } from '../peers/redis-socket.ts';

const SUITE = 'serve';
const ROWS_AT_ONCE = 1_000;
const VIEWS = [NARROW_VIEWS[0], WIDE_VIEW] as const;

/** Something that answers reads, and what its processes cost. */
export interface Contestant {
  readonly name: string;
  readonly target: ReadTarget;
  readonly pids: () => number[];
  readonly keys: (view: string) => number;
}

async function makersOf(run: SuiteRun): Promise<RowMaker[]> {
  const { views } = await loadProject(run.projectFolder);
  return VIEWS.map((name) => new RowMaker(viewNamed(views, name), run.pool));
}

/** Feast's Python server, filled; undefined, with the reason in the report, when it cannot be had. */
export async function startFeast(
  run: SuiteRun,
  scope: Scope,
  store: 'redis' | 'sqlite',
  keys: number,
): Promise<Contestant | undefined> {
  const name = `feast ${FEAST}, ${store}`;
  try {
    run.progress(`filling ${name}`);
    const server = await FeastServer.start(scope, { store, makers: await makersOf(run), keys });
    run.results.versions['feast'] = FEAST;
    const endpoint = { region: name, host: '127.0.0.1', port: server.port, token: '' };
    return { name, target: { kind: 'feast-form', endpoint }, pids: () => server.pids, keys: () => keys };
  } catch (error) {
    return skipped(run, name, error);
  }
}

/** A Redis of its own with the rows as hashes. */
export async function startRedis(run: SuiteRun, scope: Scope, keys: number): Promise<Contestant | undefined> {
  const name = 'redis, pipelined HMGET';
  try {
    const path = programOf('redis-server', 'redis-server');
    const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-redis-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const [port = 0] = await freePorts(1);
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
    const server = await Server.start(scope, { path, args, port, logFile: join(folder, 'redis.log') });
    run.results.versions['redis'] = versionOf(path);
    const socket = await RedisSocket.open(port);
    for (const maker of await makersOf(run)) await fillRedis(socket, maker, keys);
    socket.close();
    return { name, target: { kind: 'redis', port }, pids: () => [server.pid], keys: () => keys };
  } catch (error) {
    return skipped(run, name, error);
  }
}

async function fillRedis(socket: RedisSocket, maker: RowMaker, keys: number): Promise<void> {
  const { name } = maker.codec.view;
  const names = featureNames(name);
  for (let from = 0; from < keys; from += ROWS_AT_ONCE) {
    const count = Math.min(ROWS_AT_ONCE, keys - from);
    const commands = Array.from({ length: count }, (_, at) => {
      const row = maker.values(from + at, 1);
      const fields = names.flatMap((feature, place) => [feature, String(row[place])]);
      return command(['HSET', redisKey(name, from + at), ...fields]);
    });
    await socket.send(commands.join(''), count);
  }
}

function skipped(run: SuiteRun, what: string, error: unknown): undefined {
  if (!(error instanceof Error)) throw error;
  run.results.skip({ suite: SUITE, what, reason: error.message });
}
