import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { assert } from '#core/errors';
import type { Logger } from '#ports/host';
import type { Gate, Whence } from '#server/access/gate';
import type { Role } from '#server/access/roles';
import { READ_ROUTE } from '#server/feast/feast-routes';
import type { FeatureReads } from '#server/feast/feature-reads';
import type { OnlineFeaturesAnswer } from '#server/feast/online-features';
import { errorAnswer } from '#server/http-errors';
import { API_HEADERS, JSON_TYPE } from '#server/response-headers';

export interface DirectReadsOptions {
  readonly gate: Gate;
  readonly reads: FeatureReads;
  readonly logger: Logger;
  /** Longer bodies are Fastify's to refuse. */
  readonly bodyBytesMax: number;
}

const ROUTE = `${READ_ROUTE.method} ${READ_ROUTE.url}`;
const API_HEADER_LIST = Object.entries(API_HEADERS).flat();

/**
 * Lets feature reads past Fastify, which costs more than to look up a few rows. A request for them whose length is
 * known and allowed is answered here from Node's own objects: by the same gate, the same reads and the same errors, so that
 * client and counters cannot tell the difference. Everything else is Fastify's, as is every request once the face closes.
 * Call it after the route was added: it declares who may read (I11).
 */
export function readDirectly(app: FastifyInstance, options: DirectReadsOptions): void {
  const { server } = app;
  const [fastify, ...others] = server.listeners('request') as RequestListener[];
  assert(fastify !== undefined && others.length === 0, 'Fastify alone listens to its server');
  const reads = new DirectReads(options);
  app.addHook('preClose', (done) => {
    reads.close();
    done();
  });
  server.removeListener('request', fastify);
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (reads.takes(request)) reads.answer(request, response);
    else fastify.call(server, request, response);
  });
}

class DirectReads {
  readonly #options: DirectReadsOptions;
  readonly #access: Role | 'public';
  #closing = false;

  constructor(options: DirectReadsOptions) {
    this.#options = options;
    const { method, url } = READ_ROUTE;
    const declared = options.gate.routes.find((route) => route.method === method && route.url === url);
    assert(declared !== undefined, `${ROUTE} is declared`);
    this.#access = declared.access;
  }

  /** From now on Fastify turns all requests away; those under way are answered, and their connections end with that. */
  close(): void {
    this.#closing = true;
  }

  takes(request: IncomingMessage): boolean {
    if (request.url !== READ_ROUTE.url || request.method !== READ_ROUTE.method || this.#closing) return false;
    const { headers } = request;
    return (
      headers['transfer-encoding'] === undefined &&
      headers['content-encoding'] === undefined &&
      headers['content-length'] !== undefined &&
      Number(headers['content-length']) <= this.#options.bodyBytesMax
    );
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    try {
      // Before the body is read; one that is refused is left to Node to pass over.
      if (this.#access !== 'public') this.#options.gate.admit(request, this.#access, whenceOf);
    } catch (error) {
      this.#refuse(response, error);
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    // A client that goes away before that is nobody to answer.
    request.on('end', () => this.#read(joined(chunks), request, response));
  }

  #read(body: Buffer, request: IncomingMessage, response: ServerResponse): void {
    try {
      const answer = this.#options.reads.read(body, request.headers);
      if (answer instanceof Promise) this.#later(answer, response);
      else this.#send(response, answer);
    } catch (error) {
      this.#refuse(response, error);
    }
  }

  #later(answer: Promise<OnlineFeaturesAnswer>, response: ServerResponse): void {
    answer.then((settled) => this.#send(response, settled)).catch((error: unknown) => this.#refuse(response, error));
  }

  /**
   * A body that is text goes out in one piece with its head. Where it is known to be ASCII nothing looks at it before: it is
   * written out but once, into the piece that is sent.
   */
  #send(response: ServerResponse, { headers, body, ascii }: OnlineFeaturesAnswer): void {
    const bytes = ascii ? body.length : Buffer.byteLength(body, 'utf8');
    this.#head(response, 200, [...API_HEADER_LIST, ...headers, 'content-type', JSON_TYPE], bytes);
    response.end(body, bytes === body.length ? 'latin1' : 'utf8');
  }

  #refuse(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { status, headers, body } = errorAnswer(this.#options.logger, error, { route: ROUTE, feast: true });
    this.#head(response, status, Object.entries({ ...API_HEADERS, ...headers }).flat(), body.length);
    response.end(body);
  }

  #head(response: ServerResponse, status: number, headers: string[], bytes: number): void {
    if (this.#closing) response.shouldKeepAlive = false;
    headers.push('content-length', String(bytes));
    response.writeHead(status, headers);
  }
}

function whenceOf(request: IncomingMessage): Whence {
  return { route: ROUTE, peer: request.socket.remoteAddress ?? '' };
}

/** Most bodies are one chunk, which is taken as it is: it is read at once and nothing of it is kept. */
function joined(chunks: readonly Buffer[]): Buffer {
  const [first] = chunks;
  return first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks);
}
