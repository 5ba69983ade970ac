import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AntipodeError } from '#core/errors';
import { readJson } from '#server/json/read-json';

declare module 'fastify' {
  interface FastifyRequest {
    /** Media type of the body as sent, lower case, without parameters; empty when absent. */
    bodyType: string;
  }
}

const EMPTY = Buffer.alloc(0);

/**
 * Bodies arrive as bytes whatever their content type: Feast's documentation shows requests without one, and a wrong one
 * says nothing about the bytes. The header is put aside before Fastify judges it.
 */
export function installBodyReader(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.decorateRequest('bodyType', '');
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request;
    const type = headers['content-type'];
    if (type !== undefined) {
      request.bodyType = (type.split(';', 1)[0] ?? '').trim().toLowerCase();
      delete headers['content-type'];
    }
    const encoding = headers['content-encoding'];
    if (encoding === undefined || encoding === 'identity') return done();
    done(new AntipodeError('REQUEST_MALFORMED', 'bodies are taken without content encoding'));
  });
}

/** The body as it came; empty when there is none. */
export function bodyBytes(request: FastifyRequest): Buffer {
  const body = request.body;
  return body instanceof Buffer ? body : EMPTY;
}

/** The body as JSON; undefined when there is none. */
export function jsonBody(request: FastifyRequest): unknown {
  const body = bodyBytes(request);
  return body.length > 0 ? readJson(body) : undefined;
}
