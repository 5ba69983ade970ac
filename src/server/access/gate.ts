import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { RefusalLog, RefusalReason } from '#server/access/refusals';
import { type Access, isAccess, type Principal, type Role, roleAllows } from '#server/access/roles';
import { type Sessions, sessionFromCookies } from '#server/access/sessions';
import type { TokenSet } from '#server/access/tokens';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. Required: a route without it is refused when the face is built. */
    access?: Access;
    /** Errors in the shape of Feast's server. */
    feast?: boolean;
  }
  interface FastifyRequest {
    /** Who the request comes from; null on public routes. */
    principal: Principal | null;
  }
}

export interface DeclaredRoute {
  readonly method: string;
  readonly url: string;
  readonly access: Access;
}

export interface GateOptions {
  readonly region: string;
  readonly tokens: TokenSet | null;
  readonly sessions: Sessions;
  readonly reads: 'token' | 'open';
  readonly refusals: RefusalLog;
  readonly clock: Clock;
}

/** The texts Feast's server uses; its clients show them. */
const MESSAGES: Record<RefusalReason, string> = {
  'missing-token': 'Missing authentication token',
  'invalid-token': 'Invalid or expired access token',
  'insufficient-role': 'The token does not carry the right this request needs',
  'cross-origin': 'The session may only be used by pages of this region',
};

/** Longest `Authorization` header that is looked at. */
const BEARER = /^Bearer +(\S{1,512})$/i;

/**
 * Stands before every route (I11): each declares who may call it, what declares nothing cannot be registered, and a
 * request is let in before its body is read or not at all. Returns the list of routes, which grows as they are added.
 */
export function installGate(app: FastifyInstance, options: GateOptions): readonly DeclaredRoute[] {
  const routes: DeclaredRoute[] = [];
  app.decorateRequest('principal', null);
  app.addHook('onRoute', (route: RouteOptions) => {
    const access = route.config?.access;
    for (const method of [route.method].flat()) {
      if (!isAccess(access)) {
        throw new AntipodeError('INTERNAL', `route ${method} ${route.url} does not declare who may call it`);
      }
      routes.push({ method, url: route.url, access });
    }
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const access = request.routeOptions.config.access;
    // Requests without a route are answered with 404, which gives nothing away.
    if (access === undefined || access === 'public') return done();
    try {
      request.principal = admit(request, access, options);
      done();
    } catch (error) {
      done(error as Error);
    }
  });
  return routes;
}

/** Who the request comes from, if that is enough for the route; throws UNAUTHENTICATED or FORBIDDEN otherwise. */
function admit(request: FastifyRequest, needed: Role, options: GateOptions): Principal {
  const found = identify(request, options);
  if (typeof found !== 'string' && roleAllows(found.role, needed)) return found;
  if (needed === 'read' && options.reads === 'open') return { name: 'anyone', role: 'read', via: 'open' };
  const reason = typeof found === 'string' ? found : 'insufficient-role';
  options.refusals.note({
    reason,
    route: `${request.method} ${request.routeOptions.url ?? ''}`,
    peer: request.ip,
    principal: typeof found === 'string' ? null : found.name,
  });
  if (typeof found !== 'string') {
    throw new AntipodeError(
      'FORBIDDEN',
      `The token ${found.name} has the role ${found.role}; this request needs ${needed}`,
    );
  }
  throw new AntipodeError(reason === 'cross-origin' ? 'FORBIDDEN' : 'UNAUTHENTICATED', MESSAGES[reason]);
}

function identify(request: FastifyRequest, options: GateOptions): Principal | RefusalReason {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const token = BEARER.exec(authorization)?.[1];
    const record = token === undefined ? undefined : options.tokens?.authenticate(token);
    return record === undefined ? 'invalid-token' : { name: record.name, role: record.role, via: 'token' };
  }
  const cookie = sessionFromCookies(options.region, request.headers.cookie);
  if (cookie === undefined) return 'missing-token';
  const principal = options.sessions.principal(cookie, options.clock.wallMs());
  if (principal === undefined) return 'invalid-token';
  return request.method === 'GET' || sameOrigin(request) ? principal : 'cross-origin';
}

/**
 * Whether a browser says that the request comes from a page of this very address. SameSite=Strict keeps other sites out,
 * but to it all ports of one host are the same site.
 */
function sameOrigin(request: FastifyRequest): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return request.headers['sec-fetch-site'] === 'same-origin';
  return URL.canParse(origin) && host !== undefined && new URL(origin).host === host.toLowerCase();
}
