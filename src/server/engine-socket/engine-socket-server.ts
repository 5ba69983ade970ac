import { chmodSync, mkdtempSync, renameSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { ConflictQuery, ReadCounters, RegionEngine } from '#region/engine-api';
import {
  decodeIngest,
  decodeReadRows,
  ENGINE_BODY_BYTES_MAX,
  type EngineMethod,
  isEngineMethod,
  packRowsResult,
} from '#server/engine-socket/wire';

/** Requests worked on at a time; beyond it a caller gets OVERLOADED. */
const REQUESTS_MAX = 1024;
/** Longest path of a Unix socket that every system takes, in bytes. */
const SOCKET_PATH_BYTES_MAX = 103;

/**
 * Lets the region's serving processes use its engine over a Unix socket. The socket file is the authorisation: it comes
 * into being with mode 0600, in a private folder, and is then moved to its place, so that nobody else can connect even for
 * a moment and a file left by a dead process is replaced.
 */
export class EngineSocketServer {
  readonly #engine: RegionEngine;
  readonly #path: string;
  readonly #server: Server;
  #requests = 0;
  #inode: number | undefined;
  #closing = false;

  constructor(engine: RegionEngine, path: string) {
    this.#engine = engine;
    this.#path = path;
    this.#server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
      void this.#serve(request, response);
    });
  }

  async listen(): Promise<void> {
    const folder = mkdtempSync(join(dirname(this.#path), '.s-'));
    const first = join(folder, basename(this.#path));
    try {
      if (Buffer.byteLength(first) > SOCKET_PATH_BYTES_MAX) {
        throw new AntipodeError('CONFIG_INVALID', `the path of a socket is too long: ${this.#path}`, {
          remedy: `Use a data folder with a shorter path; a socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes.`,
        });
      }
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(first, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
      chmodSync(first, 0o600);
      this.#inode = statSync(first).ino;
      renameSync(first, this.#path);
    } catch (error) {
      this.#server.close();
      throw error;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Takes no new requests and waits for those under way. */
  async close(): Promise<void> {
    this.#closing = true;
    // A later process may have put its own socket in this place.
    if (this.#inode !== undefined && statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) {
      unlinkSync(this.#path);
    }
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeIdleConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#requests += 1;
    try {
      if (this.#requests > REQUESTS_MAX)
        throw new AntipodeError('OVERLOADED', 'the engine has too many requests waiting');
      const method = (request.url ?? '/').slice(1);
      if (!isEngineMethod(method)) throw new AntipodeError('PROTOCOL_MISMATCH', 'the engine has no such method');
      const answer = await call(this.#engine, method, await readBody(request));
      this.#send(response, 200, JSON.stringify(answer ?? null));
    } catch (caught) {
      const error = toAntipodeError(caught);
      this.#send(response, error.status, JSON.stringify(error.toJSON()));
    } finally {
      this.#requests -= 1;
    }
  }

  #send(response: ServerResponse, status: number, text: string): void {
    const body = Buffer.from(text, 'utf8');
    // A kept connection would hold the server open after its last answer.
    if (this.#closing) response.setHeader('connection', 'close');
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
    response.end(body);
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ENGINE_BODY_BYTES_MAX)
      throw new AntipodeError('REQUEST_TOO_LARGE', 'a message to the engine is too large');
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

async function call(engine: RegionEngine, method: EngineMethod, body: Buffer): Promise<unknown> {
  switch (method) {
    case 'status':
      return engine.status();
    case 'ingest':
      return engine.ingest(decodeIngest(body));
    case 'readRows':
      return packRowsResult(await engine.readRows(decodeReadRows(json(body))));
    case 'views':
      return engine.views();
    case 'failover':
      return engine.failover(json(body) as Parameters<RegionEngine['failover']>[0]);
    case 'decideTail':
      return engine.decideTail(json(body) as Parameters<RegionEngine['decideTail']>[0]);
    case 'conflicts':
      return engine.conflicts(json(body) as ConflictQuery);
    case 'conflictCounts':
      return engine.conflictCounts();
    case 'auditEntries':
      return engine.auditEntries(json(body) as Parameters<RegionEngine['auditEntries']>[0]);
    case 'auditVerify':
      return engine.auditVerify();
    case 'audit':
      return engine.audit(json(body) as Parameters<RegionEngine['audit']>[0]);
    case 'reportReads':
      return engine.reportReads(json(body) as ReadCounters);
  }
}

function json(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch (cause) {
    throw new AntipodeError('PROTOCOL_MISMATCH', 'a message to the engine is not JSON', { cause });
  }
}
