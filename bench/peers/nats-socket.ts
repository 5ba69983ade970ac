import { connect, type Socket } from 'node:net';

/** Of a server that leaves an empty reply in, two spaces. */
const MESSAGE = /^MSG (\S+) +\S+ +(?:\S+ +)?(\d+)$/;
const CRLF = '\r\n';

/** What a subscription of this connection got. */
export type OnMessage = (subject: string, payload: Buffer) => void;

/** A connection to a NATS server that publishes whole buffers, and answers requests one by one: no more than is measured. */
export class NatsSocket {
  readonly #socket: Socket;
  readonly #onMessage: OnMessage;
  #held: Buffer = Buffer.alloc(0);
  #ready: (() => void) | undefined;
  #fail: (error: Error) => void = () => undefined;

  private constructor(socket: Socket, onMessage: OnMessage) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    socket.on('data', (chunk) => this.#take(chunk));
  }

  /** Resolves when the server has answered; `onClosed` is told when the connection ends, however. */
  static open(port: number, onMessage: OnMessage, onClosed: (error: Error) => void): Promise<NatsSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      const nats = new NatsSocket(socket, onMessage);
      nats.#fail = (error) => {
        reject(error);
        onClosed(error);
      };
      nats.#ready = () => resolve(nats);
      socket.once('error', (error) => nats.#fail(error));
      socket.once('close', () => nats.#fail(new Error('NATS closed the connection')));
      socket.write(`CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"1"}${CRLF}PING${CRLF}`);
    });
  }

  subscribe(subject: string): void {
    this.#socket.write(`SUB ${subject} 1${CRLF}`);
  }

  /** Bytes that `publication` made, any number of them. */
  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#fail = () => undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(CRLF, at);
      if (end < 0) break;
      const line = bytes.toString('latin1', at, end);
      const message = MESSAGE.exec(line);
      if (message === null) {
        at = end + CRLF.length;
        this.#control(line);
        continue;
      }
      const from = end + CRLF.length;
      const to = from + Number(message[2]);
      if (bytes.length < to + CRLF.length) break;
      this.#onMessage(message[1] ?? '', bytes.subarray(from, to));
      at = to + CRLF.length;
    }
    this.#held = bytes.subarray(at);
  }

  #control(line: string): void {
    if (line === 'PING') this.#socket.write(`PONG${CRLF}`);
    if (line === 'PONG') this.#ready?.();
    if (line.startsWith('-ERR')) this.#fail(new Error(`NATS: ${line}`));
  }
}

/** The bytes of one message with the subject that its answer shall go to. */
export function publication(subject: string, reply: string, payload: string): string {
  return `PUB ${subject} ${reply} ${Buffer.byteLength(payload)}${CRLF}${payload}${CRLF}`;
}

/** Sends requests one at a time on a connection of its own. */
export class NatsRequests {
  readonly #inbox = `_INBOX.${process.pid}.${Math.random().toString(36).slice(2)}`;
  #socket: NatsSocket | undefined;
  #answer: ((payload: Buffer) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #failed: Error | undefined;

  static async open(port: number): Promise<NatsRequests> {
    const requests = new NatsRequests();
    requests.#socket = await NatsSocket.open(
      port,
      (_subject, payload) => requests.#answer?.(Buffer.from(payload)),
      (error) => {
        requests.#failed = error;
        requests.#reject?.(error);
      },
    );
    requests.#socket.subscribe(requests.#inbox);
    return requests;
  }

  async request(subject: string, payload: unknown): Promise<Record<string, unknown>> {
    if (this.#failed !== undefined) throw this.#failed;
    const answer = await new Promise<Buffer>((resolve, reject) => {
      this.#answer = resolve;
      this.#reject = reject;
      this.#socket?.send(Buffer.from(publication(subject, this.#inbox, JSON.stringify(payload))));
    });
    return JSON.parse(answer.toString()) as Record<string, unknown>;
  }

  close(): void {
    this.#socket?.close();
  }
}
