import { connect, type Socket } from 'node:net';

export interface HttpReply {
  readonly status: number;
  readonly body: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const CONTENT_LENGTH = /^content-length:[ \t]*(\d+)/im;

/**
 * One keep-alive connection that carries one request at a time and reads no more of an answer than it needs: a client that
 * costs a tenth of the servers it measures. Every answer must have a Content-Length.
 */
export class HttpSocket {
  readonly #socket: Socket;
  #resolve: ((reply: HttpReply) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #failed: Error | undefined;
  #received: Buffer[] = [];
  #bytes = 0;
  #bodyStart = 0;
  #total = -1;
  #status = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static open(host: string, port: number): Promise<HttpSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new HttpSocket(socket));
      });
    });
  }

  /** Sends a whole request, as `postBytes` makes them. Rejects when the connection breaks. */
  request(bytes: Buffer): Promise<HttpReply> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed);
        return;
      }
      this.#resolve = resolve;
      this.#reject = reject;
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#bytes += chunk.length;
    if (this.#total < 0 && !this.#readHead()) return;
    if (this.#bytes < this.#total) return;
    const whole = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received);
    const reply = { status: this.#status, body: whole.subarray(this.#bodyStart, this.#total) };
    this.#received = [];
    this.#bytes = 0;
    this.#total = -1;
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve?.(reply);
  }

  #readHead(): boolean {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)];
    const held = this.#received[0] as Buffer;
    const end = held.indexOf(HEAD_END);
    if (end < 0) return false;
    const head = held.toString('latin1', 0, end);
    const length = CONTENT_LENGTH.exec(head)?.[1];
    if (length === undefined) {
      this.#fail(new Error(`an answer without Content-Length: ${head.slice(0, 200)}`));
      return false;
    }
    this.#status = Number(head.slice(9, 12));
    this.#bodyStart = end + HEAD_END.length;
    this.#total = this.#bodyStart + Number(length);
    return true;
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    this.#resolve = undefined;
    this.#reject?.(this.#failed);
    this.#reject = undefined;
    this.#socket.destroy();
  }
}

/** The bytes of a POST. */
export function postBytes(options: {
  readonly host: string;
  readonly path: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}): Buffer {
  const body = Buffer.from(options.body);
  const headers = {
    host: options.host,
    'content-type': 'application/json',
    ...options.headers,
    'content-length': String(body.length),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${options.path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), body]);
}

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
