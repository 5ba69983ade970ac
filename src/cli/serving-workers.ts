import { toAntipodeError } from '#core/errors';
import { launch } from './process/launch.ts';
import type { NodeLogger } from './process/node-logger.ts';
import { tellParent } from './process/own-process.ts';
import { Supervised } from './process/supervised.ts';

/** Environment variable with the key that signs browser sessions, as hexadecimal: the same for all workers of a region. */
export const SESSION_KEY_VARIABLE = 'ANTIPODE_SESSION_KEY';

const READY_MS_MAX = 20_000;
/** How long requests under way may take when the region stops, ms. */
const DRAIN_MS = 3_000;

/** The serving processes of a region, which share its port: started together, restarted one by one when they die. */
export class ServingWorkers {
  readonly #workers: readonly Supervised[];

  constructor(options: {
    readonly region: string;
    readonly projectFolder: string;
    readonly logFile: string;
    readonly count: number;
    readonly sessionKey: Buffer;
    readonly logger: NodeLogger;
  }) {
    const { region, projectFolder, logFile, count, sessionKey, logger } = options;
    this.#workers = Array.from({ length: count }, (_, index) => {
      const name = `${region} worker ${index}`;
      return new Supervised({
        name,
        autoRestart: true,
        readyMsMax: READY_MS_MAX,
        launch: () =>
          launch({
            args: ['run-worker', region, '--project', projectFolder, '--worker', String(index)],
            logFile,
            env: { [SESSION_KEY_VARIABLE]: sessionKey.toString('hex') },
          }),
        onEvent: (event) => {
          if (event.type === 'ended' && !event.expected)
            logger.warn('worker-died', {
              message: `${name} (process ${event.pid}) ended: ${event.reason}${event.restartInMs === null ? '' : `; started again in ${event.restartInMs} ms`}`,
            });
          if (event.type === 'log') logger[event.level](event.event, { message: event.text, worker: index });
          if (event.type !== 'log') this.#report();
        },
      });
    });
  }

  /** Resolves when every worker serves; ends those that do when one cannot. */
  async start(): Promise<void> {
    const results = await Promise.allSettled(this.#workers.map((worker) => worker.start()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return;
    await this.stop();
    throw toAntipodeError(failed.reason);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop(DRAIN_MS)));
  }

  #report(): void {
    const pids = this.#workers.map((worker) => worker.pid).filter((pid) => pid !== undefined);
    tellParent({ type: 'workers', pids });
  }
}
