import { createServer } from 'node:net';
import type { FastifyInstance, FastifyListenOptions } from 'fastify';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { assertSafeBinding } from '#server/access/binding';
import { EngineSocketClient } from '#server/engine-socket/engine-socket-client';
import { buildFace } from '#server/face';
import type { FaceOptions } from '#server/face-options';

/** How long requests under way may take after the process was told to end, ms. */
const DRAIN_MS = 10_000;
/** The same when it could not begin to serve. */
const FAILED_DRAIN_MS = 2_000;

export interface ServingWorkerOptions extends Omit<FaceOptions, 'engine'> {
  readonly host: string;
  readonly port: number;
  /** Path of the region's engine socket. */
  readonly enginePath: string;
  /** Whether several processes share the port. Off where the system cannot (macOS, Windows): run one process then. */
  readonly reusePort: boolean;
  readonly drainMs?: number;
  /** The process this runs in; another only in tests. */
  readonly process?: WorkerProcess;
}

/** What the worker needs of its process. */
export interface WorkerProcess {
  on(event: 'SIGTERM' | 'SIGINT' | 'disconnect', listener: () => void): unknown;
  /** Absent when the process was not started with an IPC channel. */
  readonly send?: ((message: WorkerMessage, sent: () => void) => unknown) | undefined;
  /** Whether the IPC channel is open: nobody is told of its end who begins to listen after it. */
  readonly connected: boolean;
  readonly exit: (code: number) => void;
}

/** What a worker tells its parent. */
export type WorkerMessage =
  | { readonly type: 'serving'; readonly address: string }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly remedy: string };

/**
 * Runs one serving process of a region: the face on the shared port, reading the region's online store directly, with the
 * engine behind its socket. It ends when its parent tells it to (SIGTERM), letting requests under way finish, and at once
 * when its parent is gone. Resolves when it has ended; the exit code is 0 for both, 1 when it never served.
 */
export async function runServingWorker(options: ServingWorkerOptions): Promise<void> {
  const { host, port, enginePath, reusePort, drainMs = DRAIN_MS, process: own = process, ...face } = options;
  const { logger, reader, region } = face;
  const engine = new EngineSocketClient({ region, path: enginePath });
  let app: FastifyInstance | undefined;
  const ended = Promise.withResolvers<number>();
  endWithParent(own);
  own.on('SIGTERM', () => ended.resolve(drainMs));
  // Ctrl-C reaches all processes of a terminal; the parent decides in which order they stop.
  own.on('SIGINT', () => {});
  let code = 0;
  try {
    assertSafeBinding(host, face.tls !== undefined, (face.tokens?.size ?? 0) > 0);
    app = buildFace({ ...face, engine });
    const address = await listen(app);
    logger.info('serving', { address });
    tell({ type: 'serving', address });
    await closeWithin(await ended.promise);
  } catch (caught) {
    code = 1;
    const { code: name, message, remedy } = toAntipodeError(caught);
    logger.error('serving-failed', { code: name, message });
    tell({ type: 'failed', code: name, message, remedy });
    await closeWithin(FAILED_DRAIN_MS);
  }
  await withDeadline(() => engine.close(), FAILED_DRAIN_MS);
  await reader.close();
  own.exit(code);

  /** A parent that is gone just now needs no message; the callback keeps that from ending the process. */
  function tell(message: WorkerMessage): void {
    own.send?.(message, () => {});
  }

  async function closeWithin(ms: number): Promise<void> {
    if (app !== undefined) await withDeadline(app.close.bind(app), ms);
  }

  async function listen(face: FastifyInstance): Promise<string> {
    // Fastify hands the options to Node's server as they are; its types do not know all of them.
    const listenOptions: FastifyListenOptions & { reusePort: boolean } = { host, port, reusePort };
    try {
      return await face.listen(listenOptions);
    } catch (caught) {
      throw portError(caught, host, port);
    }
  }
}

/**
 * Ends this process at once when its parent is gone, also when it is gone already. The next life of the region needs the
 * port, and may remove the store that is mapped here; without the engine there is nothing to wait for. Call it first of
 * all: a parent may well end while its children are still starting.
 */
export function endWithParent(own: WorkerProcess = process): void {
  own.on('disconnect', () => own.exit(0));
  if (own.send !== undefined && !own.connected) own.exit(0);
}

/**
 * Throws PORT_IN_USE when anybody listens on the port. Processes that share a port do not notice strangers who share it
 * too, so the parent asks once before it starts them.
 */
export async function assertPortFree(host: string, port: number): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (caught) {
    throw portError(caught, host, port);
  }
  await new Promise<void>((resolve) => {
    probe.close(() => resolve());
  });
}

function portError(caught: unknown, host: string, port: number): AntipodeError {
  const taken = (caught as NodeJS.ErrnoException).code === 'EADDRINUSE';
  if (!taken) return toAntipodeError(caught, 'CONFIG_INVALID');
  return new AntipodeError('PORT_IN_USE', `something listens on ${host}:${port} already`, { cause: caught });
}

/** Waits for the end of `task`, but not for ever: whoever still holds on is cut off by the exit that follows. */
async function withDeadline(task: () => PromiseLike<unknown>, ms: number): Promise<void> {
  const deadline = Promise.withResolvers<void>();
  const timer = setTimeout(deadline.resolve, ms);
  try {
    await Promise.race([task(), deadline.promise]);
  } finally {
    clearTimeout(timer);
  }
}
