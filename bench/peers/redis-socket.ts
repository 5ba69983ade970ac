import { connect, type Socket } from 'node:net';

export type RedisReply = string | number | null | Error | readonly RedisReply[];

const CR = 13;
const PLUS = 43;
const MINUS = 45;
const COLON = 58;
const DOLLAR = 36;
const STAR = 42;

/** A connection that pipelines: whole buffers of commands go out, and their replies come back together. */
export class RedisSocket {
  readonly #socket: Socket;
  readonly #waiting: { left: number; replies: RedisReply[]; resolve: (replies: RedisReply[]) => void }[] = [];
  #rejects: ((error: Error) => void)[] = [];
  #failed: Error | undefined;
  #held: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('Redis closed the connection')));
  }

  static open(port: number): Promise<RedisSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RedisSocket(socket));
      });
    });
  }

  /** Sends bytes that hold `count` commands; resolves with as many replies. */
  send(bytes: Buffer | string, count: number): Promise<RedisReply[]> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed);
        return;
      }
      this.#waiting.push({ left: count, replies: [], resolve });
      this.#rejects.push(reject);
      this.#socket.write(bytes);
    });
  }

  /** One command; rejects when Redis refuses it. */
  async call(...words: readonly string[]): Promise<RedisReply> {
    const [reply] = await this.send(command(words), 1);
    if (reply instanceof Error) throw reply;
    return reply ?? null;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const place = { at: 0 };
    for (;;) {
      const begin = place.at;
      const reply = readReply(bytes, place);
      if (reply === undefined) {
        place.at = begin;
        break;
      }
      const first = this.#waiting[0];
      if (first === undefined) break;
      first.replies.push(reply);
      first.left -= 1;
      if (first.left > 0) continue;
      this.#waiting.shift();
      this.#rejects.shift();
      first.resolve(first.replies);
    }
    this.#held = bytes.subarray(place.at);
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    for (const reject of this.#rejects) reject(this.#failed);
    this.#rejects = [];
    this.#waiting.length = 0;
    this.#socket.destroy();
  }
}

/** A command as bytes of the protocol. */
export function command(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

/** One whole reply from `place.at` on; undefined when the rest of it has not come. */
function readReply(bytes: Buffer, place: { at: number }): RedisReply | undefined {
  const end = bytes.indexOf(CR, place.at);
  if (end < 0 || end + 1 >= bytes.length) return undefined;
  const kind = bytes[place.at];
  const line = bytes.toString('latin1', place.at + 1, end);
  place.at = end + 2;
  if (kind === COLON) return Number(line);
  if (kind === PLUS) return line;
  if (kind === MINUS) return new Error(line);
  const length = Number(line);
  if (kind === DOLLAR) {
    if (length < 0) return null;
    if (bytes.length < place.at + length + 2) return undefined;
    const text = bytes.toString('utf8', place.at, place.at + length);
    place.at += length + 2;
    return text;
  }
  if (kind !== STAR) throw new Error(`Redis sent what is no reply: ${line}`);
  const list: RedisReply[] = [];
  for (let item = 0; item < length; item++) {
    const reply = readReply(bytes, place);
    if (reply === undefined) return undefined;
    list.push(reply);
  }
  return list;
}
