import type { IncomingHttpHeaders } from 'node:http';
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

/** What the gate looks at of a request. */
export interface GateRequest {
  readonly method?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Where a refused request came in, for the record of refusals. */
export interface Whence {
  /** Method and pattern of the route. */
  readonly route: string;
  /** Address of the peer. */
  readonly peer: string;
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

/** Headers whose principal is remembered. A token can be presented in several spellings; beyond so many all are forgotten. */
const REMEMBERED_MAX = 1024;

/**
 * Stands before every route (I11): each declares who may call it, what declares nothing cannot be registered, and a
 * request is let in before its body is read or not at all. Returns the gate, whose list of routes grows as they are added.
 */
export function installGate(app: FastifyInstance, options: GateOptions): Gate {
  const gate = new Gate(options);
  app.decorateRequest('principal', null);
  app.addHook('onRoute', (route: RouteOptions) => {
    const access = route.config?.access;
    for (const method of [route.method].flat()) {
      if (!isAccess(access)) {
        throw new AntipodeError('INTERNAL', `route ${method} ${route.url} does not declare who may call it`);
      }
      gate.routes.push({ method, url: route.url, access });
    }
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const access = request.routeOptions.config.access;
    // Requests without a route are answered with 404, which gives nothing away.
    if (access === undefined || access === 'public') return done();
    try {
      request.principal = gate.admit(request, access, whenceOf);
      done();
    } catch (error) {
      done(error as Error);
    }
  });
  return gate;
}

function whenceOf(request: FastifyRequest): Whence {
  return { route: `${request.method} ${request.routeOptions.url ?? ''}`, peer: request.ip };
}

/** Decides who is let in. There is one for all routes, whichever way a request comes in. */
export class Gate {
  readonly routes: DeclaredRoute[] = [];
  readonly #options: GateOptions;
  /**
   * Principals by the header that proved them, so that its token need not be hashed each time. Only what was proved is in
   * it: the time of a lookup tells whether a guess is a whole valid header, which its answer tells anyway.
   */
  readonly #remembered = new Map<string, Principal>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Who the request comes from, if that is enough for the route; throws UNAUTHENTICATED or FORBIDDEN otherwise. */
  admit<Request extends GateRequest>(request: Request, needed: Role, whence: (request: Request) => Whence): Principal {
    const found = this.#identify(request);
    if (typeof found !== 'string' && roleAllows(found.role, needed)) return found;
    const { reads, refusals } = this.#options;
    if (needed === 'read' && reads === 'open') return { name: 'anyone', role: 'read', via: 'open' };
    const reason = typeof found === 'string' ? found : 'insufficient-role';
    refusals.note({ reason, ...whence(request), principal: typeof found === 'string' ? null : found.name });
    if (typeof found !== 'string') {
      throw new AntipodeError(
        'FORBIDDEN',
        `The token ${found.name} has the role ${found.role}; this request needs ${needed}`,
      );
    }
    throw new AntipodeError(reason === 'cross-origin' ? 'FORBIDDEN' : 'UNAUTHENTICATED', MESSAGES[reason]);
  }

  #identify(request: GateRequest): Principal | RefusalReason {
    const { headers } = request;
    if (headers.authorization !== undefined) return this.#bearer(headers.authorization) ?? 'invalid-token';
    const { region, sessions, clock } = this.#options;
    const cookie = sessionFromCookies(region, headers.cookie);
    if (cookie === undefined) return 'missing-token';
    const principal = sessions.principal(cookie, clock.wallMs());
    if (principal === undefined) return 'invalid-token';
    return request.method === 'GET' || sameOrigin(headers) ? principal : 'cross-origin';
  }

  #bearer(authorization: string): Principal | undefined {
    const remembered = this.#remembered.get(authorization);
    if (remembered !== undefined) return remembered;
    const token = BEARER.exec(authorization)?.[1];
    const record = token === undefined ? undefined : this.#options.tokens?.authenticate(token);
    if (record === undefined) return undefined;
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    const principal: Principal = { name: record.name, role: record.role, via: 'token' };
    this.#remembered.set(authorization, principal);
    return principal;
  }
}

/**
 * Whether a browser says that the request comes from a page of this very address. SameSite=Strict keeps other sites out,
 * but to it all ports of one host are the same site.
 */
function sameOrigin(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return headers['sec-fetch-site'] === 'same-origin';
  return URL.canParse(origin) && host !== undefined && new URL(origin).host === host.toLowerCase();
}
