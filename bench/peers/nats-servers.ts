import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/support/local-topology.ts';
import { Lines } from '../lib/lines.ts';
import { programOf, Server, versionOf } from '../lib/programs.ts';
import { type Scope, until } from '../lib/scope.ts';
import { NatsRequests } from './nats-socket.ts';

export const STREAM = 'ROWS';
export const MIRROR = 'ROWS_MIRROR';
export const SUBJECTS = 'rows';
const READY_MS_MAX = 30_000;

/** A JetStream stream that keeps the last message of each subject, and a mirror of it on another server behind a line. */
export class NatsServers {
  readonly hubPort: number;
  readonly replicaPort: number;
  readonly lines: Lines;
  readonly version: string;
  readonly #servers: readonly Server[];

  private constructor(parts: {
    readonly hubPort: number;
    readonly replicaPort: number;
    readonly lines: Lines;
    readonly version: string;
    readonly servers: readonly Server[];
  }) {
    this.hubPort = parts.hubPort;
    this.replicaPort = parts.replicaPort;
    this.lines = parts.lines;
    this.version = parts.version;
    this.#servers = parts.servers;
  }

  static async start(scope: Scope): Promise<NatsServers> {
    const path = programOf('nats-server', 'nats-server');
    const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-nats-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const [hubPort = 0, replicaPort = 0, leafPort = 0] = await freePorts(3);
    const lines = new Lines();
    scope.defer(() => lines.end());
    const line = await lines.open(leafPort);
    const start = async (name: string, port: number, leaf: string): Promise<Server> => {
      const file = join(folder, `${name}.conf`);
      await writeFile(
        file,
        `server_name: ${name}
host: 127.0.0.1
port: ${port}
jetstream { store_dir: "${join(folder, name)}", domain: ${name} }
leafnodes { ${leaf} }
`,
      );
      return Server.start(scope, { path, args: ['-c', file], port, logFile: join(folder, `${name}.log`) });
    };
    // What is advertised is where the leaf connects after a cut: without it, it would go round the line.
    const hub = await start('hub', hubPort, `host: 127.0.0.1, port: ${leafPort}, advertise: "127.0.0.1:${line}"`);
    const remote = `remotes: [{ url: "nats-leaf://127.0.0.1:${line}" }], reconnect: 1`;
    const replica = await start('replica', replicaPort, remote);
    await createStreams(hubPort, replicaPort);
    return new NatsServers({ hubPort, replicaPort, lines, version: versionOf(path, '-v'), servers: [hub, replica] });
  }

  get pids(): number[] {
    return this.#servers.map((server) => server.pid);
  }
}

async function createStreams(hubPort: number, replicaPort: number): Promise<void> {
  const common = { storage: 'file', retention: 'limits', discard: 'old', num_replicas: 1, max_msgs_per_subject: 1 };
  await create(hubPort, { ...common, name: STREAM, subjects: [`${SUBJECTS}.>`] });
  await create(replicaPort, {
    ...common,
    name: MIRROR,
    mirror: { name: STREAM, external: { api: '$JS.hub.API', deliver: '' } },
  });
}

async function create(port: number, config: Readonly<Record<string, unknown>>): Promise<void> {
  const requests = await NatsRequests.open(port);
  try {
    await until(`stream ${config['name']}`, READY_MS_MAX, async () => {
      const answer = await requests.request(`$JS.API.STREAM.CREATE.${config['name']}`, config);
      if (answer['error'] !== undefined)
        throw new Error(`stream ${config['name']}: ${JSON.stringify(answer['error'])}`);
      return true;
    });
  } finally {
    requests.close();
  }
}
