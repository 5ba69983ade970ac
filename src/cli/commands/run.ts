import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { OnDamage } from '#adapters/kv/checked-table';
import { openOnlineReader } from '#adapters/lmdb/region-storage';
import { CONTROL } from '#core/config/topology';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { OnlineReader } from '#ports/online-store';
import { endWithParent, runServingWorker } from '#server/serving-worker';
import { type CommonOptions, newCommand, openNamedProject, runCommand, wholeNumber } from '../command.ts';
import { startControl } from '../compose-control.ts';
import { engineSocketPath, faceOptions, startRegion } from '../compose-region.ts';
import { failureMessage } from '../process/messages.ts';
import { NodeLogger } from '../process/node-logger.ts';
import { type Node, runNode, tellParent } from '../process/own-process.ts';
import { regionOf } from '../project/project-paths.ts';
import { SESSION_KEY_VARIABLE } from '../serving-workers.ts';

const STORE_WAIT_MS_MAX = 5_000;
const STORE_RETRY_MS = 50;
/** Damaged rows that the engine is told of at a time: one is enough for it to end. */
const DAMAGED_ROWS_MAX = 16;

/**
 * The processes of a topology. `up` starts them all on one machine; in production `run-region` runs on the machines of each
 * region and `run-control` on a machine of its own, under the system's service manager: they log JSON to standard error,
 * stop in order at SIGTERM, and exit with 70 on an internal fault, after which they may simply be started again.
 */
export function addRunRegionCommand(program: Command): void {
  program.addCommand(
    newCommand('run-region', {
      summary: 'run one region in this process (what `up` does for each)',
      description:
        'Runs one region in the foreground, for the service manager of its machine. Needs the certificates of the region (antipode certs issue) and the tokens file in the project folder. Logs JSON to standard error; SIGTERM stops it in order; exit code 70 is an internal fault.',
      examples: [
        'antipode run-region us-east                        # after antipode certs issue, while up does not run',
        'antipode run-region eu-west --project /etc/antipode',
      ],
    })
      .argument('<region>', 'name of the region in antipode.yaml')
      .action((region: string, options: CommonOptions) =>
        runNodeCommand(options, region, async (logger) => {
          const { project } = await openNamedProject(options);
          return startRegion(project, region, logger);
        }),
      ),
  );
}

export function addRunControlCommand(program: Command): void {
  program.addCommand(
    newCommand('run-control', {
      summary: 'run the control store in this process',
      description:
        'Runs the control store in the foreground: the small process that holds the leases. Run it in a place of its own, apart from the regions. Logs JSON to standard error; SIGTERM stops it in order.',
      examples: ['antipode run-control', 'antipode run-control --project /etc/antipode'],
    }).action((options: CommonOptions) =>
      runNodeCommand(options, CONTROL, async (logger) => {
        const { project } = await openNamedProject(options);
        return startControl(project, logger);
      }),
    ),
  );
}

export function addRunWorkerCommand(program: Command): void {
  program.addCommand(
    newCommand('run-worker', {
      summary: 'run one serving process of a region; started by run-region',
      examples: ['antipode run-worker us-east'],
    })
      .argument('<region>', 'name of the region in antipode.yaml')
      .option('--worker <number>', 'tells the serving processes of a region apart', wholeNumber({ min: 0, max: 63 }), 0)
      .action((region: string, options: CommonOptions & { readonly worker: number }) =>
        runCommand(options, () => runWorker(region, options).catch(failWorker)),
      ),
    { hidden: true },
  );
}

/** Ends the process at the end: what is left open by then (a peer that does not let go) must not hold it. */
function runNodeCommand(
  options: CommonOptions,
  name: string,
  start: (logger: NodeLogger) => Promise<Node>,
): Promise<void> {
  const logger = new NodeLogger({ node: name, host: hostname() });
  return runCommand(options, () => runNode({ logger, start: () => start(logger) })).then(() => process.exit());
}

async function runWorker(region: string, options: CommonOptions & { readonly worker: number }): Promise<undefined> {
  endWithParent();
  const sessionKey = process.env[SESSION_KEY_VARIABLE];
  delete process.env[SESSION_KEY_VARIABLE];
  const { project, paths } = await openNamedProject(options);
  const logger = new NodeLogger({ node: region, worker: String(options.worker) });
  const dataFolder = paths.data(region);
  const damaged = new Set<string>();
  const reader = await openReader(dataFolder, ({ table, key, error }) => {
    if (table !== 'rows' || damaged.size >= DAMAGED_ROWS_MAX || damaged.has(key.toString('hex'))) return;
    damaged.add(key.toString('hex'));
    logger.error('store-damaged', { code: error.code, error });
  });
  const { serve } = regionOf(project, region);
  await runServingWorker({
    ...(await faceOptions(project, region, { logger, reader })),
    ...(sessionKey === undefined ? {} : { sessionKey: Buffer.from(sessionKey, 'hex') }),
    damagedRows: () => {
      const keys = [...damaged];
      damaged.clear();
      return keys;
    },
    worker: String(options.worker),
    host: serve.host,
    port: serve.port,
    enginePath: engineSocketPath(dataFolder),
    reusePort: process.platform === 'linux',
  });
  return undefined;
}

function failWorker(caught: unknown): never {
  const error = toAntipodeError(caught);
  tellParent(failureMessage(error));
  throw error;
}

/** The store is there before the workers are started; only a region that is just being rebuilt takes a moment. */
async function openReader(dataFolder: string, onDamage: OnDamage): Promise<OnlineReader> {
  const deadlineMs = performance.now() + STORE_WAIT_MS_MAX;
  for (;;) {
    try {
      return openOnlineReader(dataFolder, onDamage);
    } catch (error) {
      const notYet = error instanceof AntipodeError && error.code === 'REBUILDING';
      if (!notYet || performance.now() > deadlineMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, STORE_RETRY_MS));
  }
}
