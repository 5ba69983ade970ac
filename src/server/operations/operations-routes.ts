import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { RegionEngine } from '#region/engine-api';
import { CHANGE_BATCH_BYTES_MAX, CHANGE_BATCH_CONTENT_TYPE, decodeChangeBatch } from '#server/change-batch';
import { optionalBoolean, requireRecord, requireString } from '#server/feast/online-features-request';
import { requestPart, writeContextOf } from '#server/feast/write-context';
import { sessionAfterWrite } from '#server/feast/writes';
import { HttpFault } from '#server/http-errors';
import type { EventStream } from '#server/operations/event-stream';
import type { FaceMetrics } from '#server/operations/face-metrics';
import { type Query, wholeNumber } from '#server/operations/query';
import { regionMetrics } from '#server/operations/region-metrics';
import type { StatusSource } from '#server/operations/status-source';
import { jsonBody } from '#server/request-body';
import { API_HEADERS } from '#server/response-headers';
import type { ViewCatalog } from '#server/views/view-catalog';

/** Entries of the audit log in one answer. */
export const AUDIT_ENTRIES_MAX = 1000;
const AUDIT_ENTRIES_DEFAULT = 100;
/** Bytes of the small bodies of these routes. */
const COMMAND_BYTES_MAX = 4 * 1024;

export interface OperationsRouteOptions {
  readonly engine: RegionEngine;
  readonly catalog: ViewCatalog;
  readonly source: StatusSource;
  readonly events: EventStream;
  readonly metrics: FaceMetrics;
}

/** The routes of the `antipode` command, the dashboard and monitoring. */
export function addOperationsRoutes(app: FastifyInstance, options: OperationsRouteOptions): void {
  const { engine, catalog, source, events, metrics } = options;

  app.get('/v1/status', { config: { access: 'read' } }, async (_request, reply) =>
    sendJson(reply, await source.status()),
  );

  app.get('/v1/views', { config: { access: 'read' } }, async (_request, reply) =>
    sendJson(reply, { views: await engine.views() }),
  );

  app.get('/v1/events', { config: { access: 'read' } }, (_request, reply) => {
    events.requireRoom();
    reply.hijack();
    events.add(reply.raw, API_HEADERS);
  });

  app.get('/metrics', { config: { access: 'read' } }, async (_request, reply) => {
    const [region, face] = await Promise.all([regionText(), metrics.registry.metrics()]);
    return reply.header('content-type', metrics.registry.contentType).send(`${region}\n${face}`);
  });

  app.post(
    '/v1/ingest/:view',
    { config: { access: 'write' }, bodyLimit: CHANGE_BATCH_BYTES_MAX },
    async (request: FastifyRequest<{ Params: { view: string } }>, reply) => {
      if (request.bodyType !== CHANGE_BATCH_CONTENT_TYPE) {
        throw new HttpFault(415, `send a batch of changes as ${CHANGE_BATCH_CONTENT_TYPE}`);
      }
      const body = request.body instanceof Buffer ? request.body : Buffer.alloc(0);
      const { version, changes } = decodeChangeBatch(body);
      const { view } = request.params;
      const context = writeContextOf(request.headers);
      const result = await engine.ingest({ view, version, changes, ...requestPart(context) });
      const namespace = catalog.current(view)?.view.namespace;
      if (namespace !== undefined) reply.headers(sessionAfterWrite(namespace, result, context.session));
      return sendJson(reply, result);
    },
  );

  app.post('/v1/failover', { config: { access: 'admin' }, bodyLimit: COMMAND_BYTES_MAX }, async (request, reply) => {
    const body = requireRecord(jsonBody(request));
    const namespace = requireString(body, 'namespace');
    const allowLoss = optionalBoolean(body, 'allowLoss', false);
    const actor = request.principal?.name ?? 'unknown';
    return sendJson(reply, await engine.failover({ namespace, actor, allowLoss }));
  });

  for (const order of ['replay', 'discard'] as const)
    app.post(
      `/v1/tails/${order}`,
      { config: { access: 'admin' }, bodyLimit: COMMAND_BYTES_MAX },
      async (request, reply) => {
        const stream = requireString(requireRecord(jsonBody(request)), 'stream');
        const actor = request.principal?.name ?? 'unknown';
        return sendJson(reply, { region: engine.region, tail: await engine.decideTail({ stream, order, actor }) });
      },
    );

  app.get('/v1/audit', { config: { access: 'admin' } }, async (request, reply) => {
    const query = request.query as Query;
    const after = wholeNumber(query, 'after', { absent: -1, min: -1 });
    const limit = Math.min(wholeNumber(query, 'limit', { absent: AUDIT_ENTRIES_DEFAULT, min: 1 }), AUDIT_ENTRIES_MAX);
    return sendJson(reply, { entries: await engine.auditEntries({ after, limit }) });
  });

  app.get('/v1/audit/verify', { config: { access: 'admin' } }, async (_request, reply) =>
    sendJson(reply, await engine.auditVerify()),
  );

  /** A scrape still says what the face itself knows when the engine does not answer. */
  async function regionText(): Promise<string> {
    const help =
      '# HELP antipode_engine_up Whether the engine of the region answers.\n# TYPE antipode_engine_up gauge\n';
    try {
      return `${await regionMetrics(await source.status())}\n${help}antipode_engine_up 1`;
    } catch {
      return `${help}antipode_engine_up 0`;
    }
  }
}

export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(value), 'utf8'));
}
