import type { FastifyInstance } from 'fastify';
import type { Clock } from '#ports/clock';
import type { OnlineFeatures } from '#server/feast/online-features';
import { askedConsistency } from '#server/feast/read-demand';
import { writeContextOf } from '#server/feast/write-context';
import type { FeastWrites, WriteHeaders } from '#server/feast/writes';
import type { FaceMetrics } from '#server/operations/face-metrics';
import type { ReadMeter } from '#server/read-counters';
import { jsonBody } from '#server/request-body';
import type { ServingStateCache } from '#server/serving-state';

export interface FeastRouteOptions {
  readonly region: string;
  readonly onlineFeatures: OnlineFeatures;
  readonly writes: FeastWrites;
  readonly state: ServingStateCache;
  readonly meter: ReadMeter;
  readonly metrics: FaceMetrics;
  readonly clock: Clock;
}

const JSON_TYPE = 'application/json';

/** The routes that Feast's clients call. */
export function addFeastRoutes(app: FastifyInstance, options: FeastRouteOptions): void {
  const { region, onlineFeatures, writes, state, meter, metrics, clock } = options;

  app.post('/get-online-features', { config: { access: 'read', feast: true } }, async (request, reply) => {
    const startMs = clock.monotonicMs();
    try {
      const answer = await onlineFeatures.answer(jsonBody(request), askedConsistency(request.headers));
      meter.answered(answer.rows);
      metrics.corruptRows(answer.corrupt);
      reply.headers(answer.headers).header('content-type', JSON_TYPE);
      // Bytes, because Fastify would add a charset to the content type of a string.
      reply.send(answer.body);
    } catch (error) {
      if (!isCallersFault(error)) meter.failed();
      throw error;
    } finally {
      metrics.readDuration(clock.monotonicMs() - startMs);
    }
    return reply;
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

function isCallersFault(error: unknown): boolean {
  const status = (error as { readonly status?: unknown }).status;
  return typeof status === 'number' && status < 500;
}
