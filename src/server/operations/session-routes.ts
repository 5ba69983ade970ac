import type { FastifyInstance } from 'fastify';
import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { RefusalLog } from '#server/access/refusals';
import { type Sessions, sessionCookie } from '#server/access/sessions';
import { requireRecord, requireString } from '#server/feast/online-features-request';
import { sendJson } from '#server/operations/operations-routes';
import { jsonBody } from '#server/request-body';

/** Bytes of a login. */
const LOGIN_BYTES_MAX = 4 * 1024;

export interface SessionRouteOptions {
  readonly region: string;
  readonly sessions: Sessions;
  readonly refusals: RefusalLog;
  readonly clock: Clock;
  /** Whether the face speaks TLS, so that the cookie may be bound to it. */
  readonly secure: boolean;
}

/** Signing a browser in with a token, and out again. The token itself is not kept in the browser. */
export function addSessionRoutes(app: FastifyInstance, options: SessionRouteOptions): void {
  const { region, sessions, refusals, clock, secure } = options;

  app.post('/v1/login', { config: { access: 'public' }, bodyLimit: LOGIN_BYTES_MAX }, (request, reply) => {
    const token = requireString(requireRecord(jsonBody(request)), 'token');
    const session = sessions.open(token, clock.wallMs());
    if (session === undefined) {
      refusals.note({ reason: 'invalid-token', route: 'POST /v1/login', peer: request.ip, principal: null });
      throw new AntipodeError('UNAUTHENTICATED', 'Invalid or expired access token');
    }
    reply.header('set-cookie', sessionCookie(region, session.value, secure));
    const { name, role } = session.principal;
    sendJson(reply, { name, role });
  });

  app.post('/v1/logout', { config: { access: 'public' }, bodyLimit: LOGIN_BYTES_MAX }, (_request, reply) => {
    reply.header('set-cookie', sessionCookie(region, '', secure)).send();
  });
}
