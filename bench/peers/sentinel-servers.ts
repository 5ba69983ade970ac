import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/support/local-topology.ts';
import { programOf, Server } from '../lib/programs.ts';
import { type Scope, until } from '../lib/scope.ts';
import { RedisSocket } from './redis-socket.ts';

const REPLICAS = 2;
const SENTINELS = 3;
const QUORUM = 2;
const READY_MS_MAX = 30_000;

/** A Redis primary with two replicas and three sentinels that watch it. */
export class SentinelServers {
  readonly primaryPort: number;
  readonly sentinelPorts: readonly number[];
  readonly #primary: Server;

  private constructor(primaryPort: number, sentinelPorts: readonly number[], primary: Server) {
    this.primaryPort = primaryPort;
    this.sentinelPorts = sentinelPorts;
    this.#primary = primary;
  }

  static async start(scope: Scope, options: { readonly downAfterMs: number }): Promise<SentinelServers> {
    const path = programOf('redis-server', 'redis-server');
    const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-sentinel-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const ports = await freePorts(1 + REPLICAS + SENTINELS);
    const [primaryPort = 0] = ports;
    const replicaPorts = ports.slice(1, 1 + REPLICAS);
    const sentinelPorts = ports.slice(1 + REPLICAS);
    const start = (port: number, args: readonly string[]): Promise<Server> =>
      Server.start(scope, { path, args, port, logFile: join(folder, `${port}.log`) });
    const plain = ['--bind', '127.0.0.1', '--save', '', '--repl-diskless-sync-delay', '0', '--dir', folder];
    const primary = await start(primaryPort, ['--port', String(primaryPort), ...plain]);
    for (const port of replicaPorts) {
      const file = ['--dbfilename', `${port}.rdb`, '--replicaof', '127.0.0.1', String(primaryPort)];
      await start(port, ['--port', String(port), ...plain, ...file]);
    }
    for (const port of sentinelPorts) {
      // A sentinel writes what it learns into its configuration.
      const file = join(folder, `sentinel-${port}.conf`);
      await writeFile(
        file,
        `port ${port}
bind 127.0.0.1
dir ${folder}
sentinel monitor bench 127.0.0.1 ${primaryPort} ${QUORUM}
sentinel down-after-milliseconds bench ${options.downAfterMs}
sentinel failover-timeout bench 10000
sentinel parallel-syncs bench 2
`,
      );
      await start(port, [file, '--sentinel']);
    }
    const servers = new SentinelServers(primaryPort, sentinelPorts, primary);
    await until('every sentinel knows all', READY_MS_MAX, () => servers.#knowEachOther());
    return servers;
  }

  async killPrimary(): Promise<void> {
    await this.#primary.kill();
  }

  async #knowEachOther(): Promise<boolean> {
    for (const port of this.sentinelPorts) {
      const socket = await RedisSocket.open(port);
      const info = await socket.call('SENTINEL', 'MASTER', 'bench');
      socket.close();
      const fields = Array.isArray(info) ? info.map(String) : [];
      const of = (name: string): number => Number(fields[fields.indexOf(name) + 1]);
      if (of('num-slaves') !== REPLICAS || of('num-other-sentinels') !== SENTINELS - 1) return false;
    }
    return true;
  }
}
