import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { Logger } from '#ports/host';
import { FeastFault, feastErrorBody, ValidationFault } from '#server/feast/faults';
import { JsonSyntaxError } from '#server/json/read-json';
import { JSON_TYPE } from '#server/response-headers';

/** A refusal by HTTP itself: a method, a content type or an encoding that the route does not take. */
export class HttpFault extends AntipodeError {
  readonly #status: number;

  constructor(status: number, message: string) {
    super('REQUEST_MALFORMED', message);
    this.#status = status;
  }

  override get status(): number {
    return this.#status;
  }
}

/** Seconds after which a refused request is worth repeating. */
const RETRY_AFTER_SECONDS = 1;

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Where an error arose. */
export interface FailedRoute {
  /** Method and pattern, for the log. */
  readonly route: string;
  /** Errors in the shape of Feast's server. */
  readonly feast: boolean;
}

/** Answers an error through Fastify. */
export function sendError(logger: Logger, caught: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { method, routeOptions } = request;
  const route = `${method} ${routeOptions.url ?? 'none'}`;
  const { status, headers, body } = errorAnswer(logger, caught, { route, feast: routeOptions.config.feast === true });
  // Bytes, because Fastify would add a charset to the content type of a string.
  reply.code(status).headers(headers).send(body);
}

/**
 * The answer to an error. Every error has its stable code in `antipode-error`; the body depends on who is meant to read it:
 * FastAPI's `{"detail": [...]}` for a body of the wrong shape, Feast's double-encoded string for its own errors, and
 * `{"detail", "code", "remedy"}` for the rest. A fault of our own is logged and its text kept back.
 */
export function errorAnswer(logger: Logger, caught: unknown, { route, feast }: FailedRoute): ErrorAnswer {
  const error = classify(caught);
  const status = error.status;
  if (status >= 500 && error.code === 'INTERNAL') {
    logger.error('request-failed', {
      route,
      error: error.message,
      stack: error.cause instanceof Error ? error.cause.stack : error.stack,
    });
  }
  const retry = error.disposition === 'retry' && (status === 429 || status === 503);
  return {
    status,
    headers: {
      'content-type': JSON_TYPE,
      'cache-control': 'no-store',
      'antipode-error': error.code,
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...(retry ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {}),
    },
    body: Buffer.from(errorBody(error, feast), 'utf8'),
  };
}

function errorBody(error: AntipodeError, feast: boolean): string {
  if (error instanceof JsonSyntaxError) {
    const detail = {
      type: 'json_invalid',
      loc: ['body', error.position],
      msg: 'JSON decode error',
      input: {},
      ctx: { error: error.message },
    };
    return JSON.stringify({ detail: [detail] });
  }
  if (error instanceof ValidationFault) return JSON.stringify({ detail: error.violations });
  if (error instanceof FeastFault) return feastErrorBody(error.feastClass, error.message);
  if (error.code === 'UNAUTHENTICATED') return JSON.stringify({ detail: error.message });
  if (error.code === 'FORBIDDEN' && feast)
    return feastErrorBody('FeastPermissionError', `Permission error:\n${error.message}`);
  if (error.code === 'INTERNAL')
    return JSON.stringify({ detail: 'Internal error; the log of the region says more', code: error.code });
  const { code, message, remedy, where } = error.toJSON();
  return JSON.stringify({ detail: message, code, remedy, ...(where === undefined ? {} : { where }) });
}

function classify(caught: unknown): AntipodeError {
  if (caught instanceof AntipodeError) return caught;
  const { statusCode, code, message } = caught as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new AntipodeError('REQUEST_TOO_LARGE', 'the body exceeds the limit of this route');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new HttpFault(statusCode, message ?? 'refused');
  return toAntipodeError(caught);
}
