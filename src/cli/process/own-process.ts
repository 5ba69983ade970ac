import { FATAL_EXIT_CODE } from '#adapters/system/system-host';
import { type AntipodeError, toAntipodeError } from '#core/errors';
import type { Logger } from '#ports/host';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { failureMessage, type ProcessMessage } from './messages.ts';

/** How long an orderly stop may take; then the process ends as it is, which its logs survive. */
const STOP_MS_MAX = 10_000;

/** A long-lived part of a topology: a region, the control store. */
export interface Node {
  /** Where it serves, for people. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Tells the process that started this one something; nothing when there is none. */
export function tellParent(message: ProcessMessage): void {
  // Without a callback a parent that is gone just now would end this process with an error.
  if (process.connected) process.send?.(message, () => undefined);
}

/** Whether this process was started by another one of Antipode, and ends with it. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/**
 * Runs a node until it is told to stop: by SIGTERM, by SIGINT when a person started it, or by the end of the process that
 * started it, also while it starts. Resolves with the exit code: 0 after an orderly stop, 1 when that took too long, else
 * what the failure means.
 */
export async function runNode(options: {
  readonly logger: Logger;
  readonly start: () => Promise<Node>;
}): Promise<number> {
  const { logger } = options;
  endOnBrokenPromises(logger);
  const stop = untilStopped();
  let node: Node;
  try {
    const starting = options.start();
    const told = await Promise.race([starting.then(() => undefined), stop]);
    if (told !== undefined && !(await within(STOP_MS_MAX, starting))) {
      logger.warn('stop-incomplete', { reason: told, afterMs: STOP_MS_MAX });
      return EXIT.failure;
    }
    node = await starting;
  } catch (caught) {
    const error = toAntipodeError(caught);
    logger.error('start-failed', { code: error.code, where: error.where, error });
    tellParent(failureMessage(error));
    await delivered();
    if (!isSupervised()) throw error;
    return exitCodeOf(error);
  }
  logger.info('ready', { address: node.address });
  tellParent({ type: 'serving', address: node.address });
  const reason = await stop;
  logger.info('stopping', { reason });
  const inTime = await within(STOP_MS_MAX, node.stop()).catch((caught: unknown) => {
    const error: AntipodeError = toAntipodeError(caught);
    logger.error('stop-failed', { code: error.code, error });
    return false;
  });
  if (!inTime) logger.warn('stop-incomplete', { afterMs: STOP_MS_MAX });
  logger.info('stopped');
  return inTime ? EXIT.ok : EXIT.failure;
}

function untilStopped(): Promise<string> {
  const supervised = isSupervised();
  return new Promise((resolve) => {
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('SIGHUP', () => resolve('SIGHUP'));
    const gone = 'the process that started this one is gone';
    process.on('disconnect', () => resolve(gone));
    // Nobody is told of an end that came before.
    if (supervised && !process.connected) resolve(gone);
    // Ctrl-C reaches every process of a terminal; a supervised one waits for its parent's word.
    process.on('SIGINT', () => {
      if (!supervised) resolve('SIGINT');
    });
  });
}

/** A promise that nobody handles is a fault of the program: the state is not understood any more. */
function endOnBrokenPromises(logger: Logger): void {
  const end = (event: string) => (caught: unknown) => {
    logger.error(event, { error: toAntipodeError(caught) });
    process.exit(FATAL_EXIT_CODE);
  };
  process.on('uncaughtException', end('uncaught-exception'));
  process.on('unhandledRejection', end('unhandled-rejection'));
}

/** True when the work ended within the time. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Gives a message to the parent a moment to leave before the process ends. */
function delivered(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
