import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../test/support/local-topology.ts';
import { descendants } from '../lib/process-usage.ts';
import { programOf, Server } from '../lib/programs.ts';
import { featureNames, JOIN_KEY, keyOf, type RowMaker } from '../lib/rows.ts';
import { type Scope, until } from '../lib/scope.ts';

export const FEAST = '0.66.0';
const INSTALL_MS_MAX = 900_000;
const FILL_MS_MAX = 300_000;
const READY_MS_MAX = 60_000;
const FILL = fileURLToPath(new URL('feast-fill.py', import.meta.url));

/** Feast's Python feature server over an online store, filled with rows of generation 1. */
export class FeastServer {
  readonly port: number;
  readonly #server: Server;
  readonly #store: Server | undefined;

  private constructor(port: number, server: Server, store: Server | undefined) {
    this.port = port;
    this.#server = server;
    this.#store = store;
  }

  /** Rejects with the reason when Feast cannot be installed. */
  static async start(
    scope: Scope,
    options: { readonly store: 'redis' | 'sqlite'; readonly makers: readonly RowMaker[]; readonly keys: number },
  ): Promise<FeastServer> {
    const bin = await installed();
    const folder = await mkdtemp(join(tmpdir(), 'antipode-bench-feast-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const [port = 0, redisPort = 0] = await freePorts(2);
    const store =
      options.store === 'sqlite'
        ? undefined
        : await Server.start(scope, {
            path: programOf('redis-server', 'redis-server'),
            args: ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
            port: redisPort,
            logFile: join(folder, 'redis.log'),
          });
    const online =
      options.store === 'sqlite'
        ? '{ type: sqlite, path: online.db }'
        : `{ type: redis, connection_string: "127.0.0.1:${redisPort}" }`;
    await writeFile(
      join(folder, 'feature_store.yaml'),
      `project: bench
provider: local
registry: registry.db
online_store: ${online}
offline_store: { type: file }
entity_key_serialization_version: 3
`,
    );
    const rows = join(folder, 'rows.json');
    await writeFile(rows, JSON.stringify(rowsFor(options.makers, options.keys)));
    const env = { ...process.env, FEAST_USAGE: 'False', PYTHONWARNINGS: 'ignore' };
    const filled = spawnSync(join(bin, 'python'), [FILL, folder, rows], {
      env,
      encoding: 'utf8',
      timeout: FILL_MS_MAX,
    });
    if (filled.status !== 0) throw new Error(`feast-fill.py failed: ${filled.stderr.trim().slice(-500)}`);
    const server = await Server.start(scope, {
      path: join(bin, 'feast'),
      // By default a worker starts anew after a thousand requests and resets its connections: that would be measured.
      args: [
        ...['--chdir', folder, 'serve', '--host', '127.0.0.1', '--port', String(port), '--no-access-log'],
        ...['--max-requests', '0', '--max-requests-jitter', '0'],
      ],
      port,
      logFile: join(folder, 'serve.log'),
      cwd: folder,
      env: { FEAST_USAGE: 'False' },
      readyMsMax: READY_MS_MAX,
    });
    // Its master listens before there is a worker that answers.
    await until('Feast answers', READY_MS_MAX, () => answers(`http://127.0.0.1:${port}/health`), 100);
    return new FeastServer(port, server, store);
  }

  /** The server with its workers, and its Redis. */
  get pids(): number[] {
    const roots = [this.#server.pid, ...(this.#store === undefined ? [] : [this.#store.pid])];
    return roots.flatMap((pid) => [pid, ...descendants(pid)]);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(READY_MS_MAX) })).ok;
  } catch {
    return false;
  }
}

/** Folder of programs of a virtual environment that holds Feast, beside and not in the repository. */
async function installed(): Promise<string> {
  const venv = join(homedir(), '.cache', 'antipode-bench', `feast-${FEAST}`);
  const bin = join(venv, 'bin');
  if (existsSync(join(bin, 'feast'))) return bin;
  console.log(`  installing Feast ${FEAST} into ${venv}`);
  await mkdir(venv, { recursive: true });
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', venv],
    [join(bin, 'python'), '-m', 'pip', 'install', '--quiet', '--only-binary=:all:', `feast[redis]==${FEAST}`],
  ] as const) {
    const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: INSTALL_MS_MAX });
    if (status === 0) continue;
    await rm(venv, { recursive: true, force: true });
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim().slice(-300)}`);
  }
  return bin;
}

function rowsFor(makers: readonly RowMaker[], keys: number): unknown {
  const numbers = Array.from({ length: keys }, (_, key) => key);
  const views = makers.map((maker) => {
    const { name, features } = maker.codec.view;
    const names = featureNames(name);
    const rows = numbers.map((key) => maker.values(key, 1));
    const columns = names.map((feature, at) => [feature, rows.map((row) => row[at])] as const);
    return [
      name,
      {
        features: Object.fromEntries(features.map((feature) => [feature.name, feature.type.scalar])),
        columns: Object.fromEntries([[JOIN_KEY, numbers.map(keyOf)], ...columns]),
      },
    ] as const;
  });
  return { join_key: JOIN_KEY, views: Object.fromEntries(views) };
}
