import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DASHBOARD_HEADERS, loadDashboardAssets } from '#server/dashboard/assets';
import type { RegionStatus } from '../snapshot.ts';
import type { FakeRegion } from './fake-region.ts';

const COOKIE = 'antipode_session=dev';
const REPLAYED_MAX = 300;

export interface DevServerOptions {
  readonly region: FakeRegion;
  /** Wanted by every request for data; null opens them. */
  readonly token: string | null;
}

/** The routes a region's face has for the dashboard, over a fake region whose time passes only in `runFor`. */
export class DevServer {
  readonly region: FakeRegion;
  readonly #token: string | null;
  readonly #http: Server;
  readonly #readers = new Set<ServerResponse>();
  readonly #recent: RegionStatus[] = [];
  #refusing = false;
  #override: ((status: RegionStatus) => RegionStatus) | null = null;

  constructor(options: DevServerOptions) {
    this.region = options.region;
    this.#token = options.token;
    this.#http = createServer((request, response) => this.#answer(request, response));
  }

  /** Resolves to the address of the page, without a slash at its end. */
  async listen(port: number): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Lets seconds pass at the region, sending a status for each. */
  runFor(seconds: number): void {
    for (let second = 0; second < seconds; second += 1) {
      this.region.advance(1000);
      const status = this.#status();
      this.#recent.push(status);
      if (this.#recent.length > REPLAYED_MAX) this.#recent.shift();
      for (const reader of this.#readers) send(reader, status);
    }
  }

  /** Changes what is told from now on; for states the fake region does not reach. */
  override(change: (status: RegionStatus) => RegionStatus): void {
    this.#override = change;
  }

  /** Ends every event stream and refuses new ones, as a region that died; `false` brings it back. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
    if (!refusing) return;
    for (const reader of this.#readers) reader.destroy();
    this.#readers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reader of this.#readers) reader.destroy();
    this.#http.closeAllConnections();
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }

  #status(): RegionStatus {
    const status = this.region.status();
    return this.#override === null ? status : this.#override(status);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    if (path === '/v1/events') this.#events(request, response);
    else if (path === '/v1/login' && request.method === 'POST') this.#login(request, response);
    else this.#file(path, request, response);
  }

  #file(path: string, request: IncomingMessage, response: ServerResponse): void {
    const asset = loadDashboardAssets().get(path);
    if (asset === undefined) {
      response.writeHead(404, DASHBOARD_HEADERS).end();
      return;
    }
    if (request.headers['if-none-match'] === asset.etag) {
      response.writeHead(304, { ...DASHBOARD_HEADERS, etag: asset.etag }).end();
      return;
    }
    response
      .writeHead(200, { ...DASHBOARD_HEADERS, 'content-type': asset.contentType, etag: asset.etag })
      .end(asset.body);
  }

  #events(request: IncomingMessage, response: ServerResponse): void {
    if (this.#refusing) {
      response.destroy();
      return;
    }
    const authorised =
      this.#token === null ||
      request.headers.authorization === `Bearer ${this.#token}` ||
      (request.headers.cookie ?? '').includes(COOKIE);
    if (!authorised) {
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"detail":"a token is needed"}');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    for (const status of this.#recent) send(response, status);
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  #login(request: IncomingMessage, response: ServerResponse): void {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (piece: string) => {
      body += piece;
    });
    request.on('end', () => {
      const ok = body === JSON.stringify({ token: this.#token });
      response
        .writeHead(ok ? 204 : 401, ok ? { 'set-cookie': `${COOKIE}; HttpOnly; SameSite=Strict; Path=/` } : {})
        .end();
    });
  }
}

function send(reader: ServerResponse, status: RegionStatus): void {
  reader.write(`data: ${JSON.stringify(status)}\n\n`);
}
