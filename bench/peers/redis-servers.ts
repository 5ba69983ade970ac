import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/support/local-topology.ts';
import { Lines } from '../lib/lines.ts';
import { programOf, Server, versionOf } from '../lib/programs.ts';
import { type Scope, until } from '../lib/scope.ts';
import { RedisSocket } from './redis-socket.ts';

const SYNCED_MS_MAX = 20_000;

export interface RedisOptions {
  readonly replicas: number;
  /** `always`: a write is on disk before its answer, at the primary and at the replica. */
  readonly appendfsync: 'off' | 'always';
}

/** A primary with replicas that reach it through lines, as ours reach each other. */
export class RedisServers {
  readonly primaryPort: number;
  readonly replicaPorts: readonly number[];
  readonly lines: Lines;
  readonly version: string;
  readonly #primary: Server;
  readonly #replicas: readonly Server[];

  private constructor(parts: {
    readonly ports: readonly number[];
    readonly lines: Lines;
    readonly version: string;
    readonly primary: Server;
    readonly replicas: readonly Server[];
  }) {
    this.primaryPort = parts.ports[0] as number;
    this.replicaPorts = parts.ports.slice(1);
    this.lines = parts.lines;
    this.version = parts.version;
    this.#primary = parts.primary;
    this.#replicas = parts.replicas;
  }

  static async start(scope: Scope, options: RedisOptions): Promise<RedisServers> {
    const path = programOf('redis-server', 'redis-server');
    const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-redis-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const ports = await freePorts(options.replicas + 1);
    const lines = new Lines();
    scope.defer(() => lines.end());
    const durable = options.appendfsync === 'always' ? ['yes', '--appendfsync', 'always'] : ['no'];
    const start = (port: number, more: readonly string[]): Promise<Server> =>
      Server.start(scope, {
        path,
        args: [
          ...['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', ...durable],
          ...['--dir', folder, '--appenddirname', `aof-${port}`, '--dbfilename', `${port}.rdb`],
          ...['--repl-backlog-size', '256mb', '--repl-diskless-sync-delay', '0', ...more],
        ],
        port,
        logFile: join(folder, `${port}.log`),
      });
    const primary = await start(ports[0] as number, []);
    const replicas: Server[] = [];
    for (const port of ports.slice(1)) {
      const line = await lines.open(ports[0] as number);
      replicas.push(await start(port, ['--replicaof', '127.0.0.1', String(line)]));
      const socket = await RedisSocket.open(port);
      await until('the Redis replica is in step', SYNCED_MS_MAX, async () =>
        String(await socket.call('INFO', 'replication')).includes('master_link_status:up'),
      );
      socket.close();
    }
    return new RedisServers({ ports, lines, version: versionOf(path), primary, replicas });
  }

  get pids(): number[] {
    return [this.#primary, ...this.#replicas].map((server) => server.pid);
  }
}
