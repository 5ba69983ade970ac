import type { FastifyInstance } from 'fastify';
import type { FeatureReads } from '#server/feast/feature-reads';
import { writeContextOf } from '#server/feast/write-context';
import type { FeastWrites, WriteHeaders } from '#server/feast/writes';
import { bodyBytes, jsonBody } from '#server/request-body';
import { JSON_TYPE } from '#server/response-headers';
import type { ServingStateCache } from '#server/serving-state';

export interface FeastRouteOptions {
  readonly region: string;
  readonly reads: FeatureReads;
  readonly writes: FeastWrites;
  readonly state: ServingStateCache;
}

/** Where features are read: also taken without Fastify, see `server/direct-reads`. */
export const READ_ROUTE = { method: 'POST', url: '/get-online-features' } as const;

/** The routes that Feast's clients call. */
export function addFeastRoutes(app: FastifyInstance, options: FeastRouteOptions): void {
  const { region, reads, writes, state } = options;

  app.post(READ_ROUTE.url, { config: { access: 'read', feast: true } }, async (request, reply) => {
    const { headers, body } = await reads.read(bodyBytes(request), request.headers);
    for (let i = 0; i < headers.length; i += 2) reply.header(headers[i] as string, headers[i + 1]);
    // Bytes, because Fastify would add a charset to the content type of a string.
    return reply.header('content-type', JSON_TYPE).send(Buffer.from(body, 'utf8'));
  });

  app.post('/push', { config: { access: 'write', feast: true } }, async (request, reply) => {
    const headers = await writes.push(jsonBody(request), writeContextOf(request.headers));
    return reply.headers(withRegion(headers)).send();
  });

  app.post('/write-to-online-store', { config: { access: 'write', feast: true } }, async (request, reply) => {
    const headers = await writes.writeToOnlineStore(jsonBody(request), writeContextOf(request.headers));
    return reply.headers(withRegion(headers)).header('content-type', JSON_TYPE).send(Buffer.from('null'));
  });

  app.post('/delete-from-online-store', { config: { access: 'write', feast: true } }, async (request, reply) => {
    const headers = await writes.deleteFromOnlineStore(jsonBody(request), writeContextOf(request.headers));
    return reply.headers(withRegion(headers)).header('content-type', JSON_TYPE).send(Buffer.from('null'));
  });

  app.get('/health', { config: { access: 'public', feast: true } }, (_request, reply) => {
    state.serving();
    reply.send();
  });

  function withRegion(headers: WriteHeaders): WriteHeaders {
    return { 'antipode-region': region, ...headers };
  }
}
