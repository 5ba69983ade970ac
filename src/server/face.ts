import { randomBytes } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import { AntipodeError } from '#core/errors';
import { type DeclaredRoute, installGate } from '#server/access/gate';
import { RefusalLog } from '#server/access/refusals';
import { Sessions } from '#server/access/sessions';
import { readDirectly } from '#server/direct-reads';
import type { FaceOptions, TlsMaterial } from '#server/face-options';
import { addFeastRoutes } from '#server/feast/feast-routes';
import { FeatureReads } from '#server/feast/feature-reads';
import { OnlineFeatures } from '#server/feast/online-features';
import { FeastWrites } from '#server/feast/writes';
import { HttpFault, sendError } from '#server/http-errors';
import { addConflictRoutes } from '#server/operations/conflict-routes';
import { addDashboardRoutes } from '#server/operations/dashboard-routes';
import { EventStream } from '#server/operations/event-stream';
import { FaceMetrics } from '#server/operations/face-metrics';
import { addOperationsRoutes } from '#server/operations/operations-routes';
import { addSessionRoutes } from '#server/operations/session-routes';
import { StatusSource } from '#server/operations/status-source';
import { ReadMeter } from '#server/read-counters';
import { installBodyReader } from '#server/request-body';
import { API_HEADERS } from '#server/response-headers';
import { ServingStateCache } from '#server/serving-state';
import { ViewCatalog } from '#server/views/view-catalog';

/** How long a client may take to send one request: slow ones must not hold a process's connections. */
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
/** Connections of one process. */
const CONNECTIONS_MAX = 4096;
const SESSION_KEY_BYTES = 32;

const declaredRoutes = new WeakMap<FastifyInstance, readonly DeclaredRoute[]>();

/**
 * The HTTP face of a region: Feast's routes, the region's own, metrics and the dashboard. Pure composition: it neither
 * listens nor knows in which process it runs. Close it with `close()`; it ends its timers and its watchers' connections.
 */
export function buildFace(options: FaceOptions): FastifyInstance {
  const { region, project, engine, reader, tokens, limits, logger, clock } = options;
  const app = createServer(options);
  app.setErrorHandler((error, request, reply) => sendError(logger, error, request, reply));
  answerUnknownPaths(app);
  installBodyReader(app);
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(API_HEADERS);
    done();
  });

  const sessions = new Sessions(options.sessionKey ?? randomBytes(SESSION_KEY_BYTES), tokens);
  const refusals = new RefusalLog({ engine, clock, logger });
  const gate = installGate(app, { region, tokens, sessions, reads: options.reads, refusals, clock });
  declaredRoutes.set(app, gate.routes);

  const catalog = new ViewCatalog({ engine, clock, logger });
  const state = new ServingStateCache({ reader, clock, region });
  const meter = new ReadMeter({ engine, clock, damaged: options.damagedRows });
  const metrics = new FaceMetrics({ region, worker: options.worker ?? '0', refusals });
  const source = new StatusSource({ engine, clock });
  const events = new EventStream({ source, clock, logger });
  const onlineFeatures = new OnlineFeatures({ project, catalog, reader, state, limits, clock, logger, engine });
  const reads = new FeatureReads({ onlineFeatures, meter, metrics, clock });
  const writes = new FeastWrites({ engine, catalog, limits, clock });

  addFeastRoutes(app, { region, reads, writes, state });
  addOperationsRoutes(app, { engine, catalog, source, events, metrics });
  addConflictRoutes(app, { engine, catalog, project });
  addSessionRoutes(app, { region, sessions, refusals, clock, secure: options.tls !== undefined });
  if (options.dashboard !== null) addDashboardRoutes(app, options.dashboard);

  readDirectly(app, { gate, reads, logger, bodyBytesMax: limits.bodyBytes });

  catalog.start();
  app.addHook('preClose', (done) => {
    // Before the server waits for its connections: watchers would never leave by themselves.
    events.close();
    done();
  });
  app.addHook('onClose', (_app, done) => {
    catalog.stop();
    meter.stop();
    refusals.stop();
    done();
  });
  return app;
}

/** Every route of a face with who may call it. */
export function routesOf(app: FastifyInstance): readonly DeclaredRoute[] {
  return declaredRoutes.get(app) ?? [];
}

function createServer(options: FaceOptions): FastifyInstance {
  const app = options.tls === undefined ? fastify(serverOptions(options)) : createTlsServer(options, options.tls);
  app.server.maxConnections = CONNECTIONS_MAX;
  return app;
}

function createTlsServer(options: FaceOptions, { cert, key }: TlsMaterial): FastifyInstance {
  try {
    const server = fastify({ ...serverOptions(options), https: { cert, key, minVersion: 'TLSv1.2' } });
    // The type differs in the server's class only, which nothing here depends on.
    return server as unknown as FastifyInstance;
  } catch (cause) {
    throw new AntipodeError('CERTIFICATE_INVALID', 'the certificate or key of the HTTP face cannot be used', { cause });
  }
}

function serverOptions({ limits, logger }: FaceOptions) {
  return {
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    frameworkErrors: (error: Error, request: Parameters<typeof sendError>[2], reply: Parameters<typeof sendError>[3]) =>
      sendError(logger, error, request, reply),
  } as const;
}

/** 404 in FastAPI's words, or 405 where the path exists for another method. */
function answerUnknownPaths(app: FastifyInstance): void {
  app.setNotFoundHandler((request) => {
    const url = request.url.split('?', 1)[0] ?? '';
    const others = (['GET', 'POST'] as const).filter(
      (method) => method !== request.method && app.hasRoute({ method, url }),
    );
    throw others.length > 0 ? new HttpFault(405, 'Method Not Allowed') : new HttpFault(404, 'Not Found');
  });
}
