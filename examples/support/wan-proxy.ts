import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy that behaves like a line between two regions: one-way delay, bandwidth, a window of bytes in flight, and
 * cuts. It forwards bytes as they are, so TLS passes through it. It models neither loss nor reordering nor slow start;
 * `windowBytes` stands in for the congestion window. Delays are exact to a millisecond or two.
 */
export interface WanProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  /** Port on 127.0.0.1; 0 takes a free one. Default 0. */
  readonly port?: number;
}

export interface WanShape {
  /** One way; a round trip takes twice as long. */
  readonly delayMs: number;
  /** Of each direction, shared by all connections; Infinity for none. */
  readonly bytesPerSecond: number;
  /** Bytes in flight of one connection and direction; Infinity for what the kernel allows and 64 MiB more. */
  readonly windowBytes: number;
}

/**
 * `refuse`: connections are reset, new ones too. `blackhole`: connections stay and nothing arrives, new ones are accepted
 * by nobody; after `heal` everything held arrives.
 */
export type WanCut = 'refuse' | 'blackhole';
export type WanDirection = 'to-target' | 'to-client';

const DIRECTIONS: readonly WanDirection[] = ['to-target', 'to-client'];
/** Bytes paced at a time, so that a slow line trickles instead of stalling. */
const PACE_BYTES = 16 * 1024;
const WINDOW_BYTES_MAX = 64 * 1024 * 1024;

export class WanProxy {
  /** Bytes that came out of the line, in each direction, since the start. */
  readonly delivered: Record<WanDirection, number> = { 'to-target': 0, 'to-client': 0 };
  /** Connections accepted since the start. */
  connections = 0;

  readonly #options: WanProxyOptions;
  #shape: WanShape = { delayMs: 0, bytesPerSecond: Infinity, windowBytes: Infinity };
  #refusing = false;
  readonly #blackholes = new Set<WanDirection>();
  /** When the line of each direction has sent all it was given, on the monotonic clock. */
  readonly #lineFreeAt: Record<WanDirection, number> = { 'to-target': 0, 'to-client': 0 };
  readonly #pipes = new Set<Pipe>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: WanProxyOptions) {
    this.#options = options;
  }

  /** Resolves with the port it listens on. */
  async start(): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#connected(client));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#options.port ?? 0, '127.0.0.1', resolve);
    });
    return this.port;
  }

  get port(): number {
    const address = this.#server?.address() as AddressInfo | null | undefined;
    if (address === null || address === undefined) throw new Error('the proxy does not listen');
    return address.port;
  }

  /** Connections open now. */
  get open(): number {
    return this.#pipes.size / 2;
  }

  /** Changes the line; bytes already in flight keep the delay they set out with. */
  shape(shape: Partial<WanShape>): void {
    this.#shape = { ...this.#shape, ...shape };
  }

  /** Cuts the line until `heal`. A blackhole may hold one direction only; a refusal always ends both. */
  cut(cut: WanCut, direction?: WanDirection): void {
    if (cut === 'refuse') {
      this.#refusing = true;
      for (const socket of this.#sockets) socket.resetAndDestroy();
      for (const each of DIRECTIONS) this.#lineFreeAt[each] = 0;
      return;
    }
    for (const each of direction === undefined ? DIRECTIONS : [direction]) this.#blackholes.add(each);
  }

  heal(): void {
    this.#refusing = false;
    this.#blackholes.clear();
    for (const pipe of this.#pipes) pipe.wake();
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #connected(client: Socket): void {
    this.#hold(client);
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    this.connections++;
    const target = connect({ ...this.#options.target, allowHalfOpen: true, noDelay: true });
    this.#hold(target);
    this.#pipe(client, target, 'to-target');
    this.#pipe(target, client, 'to-client');
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
  }

  #pipe(from: Socket, to: Socket, direction: WanDirection): void {
    const pipe = new Pipe(from, to, {
      shape: () => this.#shape,
      open: () => !this.#blackholes.has(direction),
      sendAt: (bytes) => {
        const startsAt = Math.max(performance.now(), this.#lineFreeAt[direction]);
        this.#lineFreeAt[direction] = startsAt + (bytes * 1000) / this.#shape.bytesPerSecond;
        return this.#lineFreeAt[direction];
      },
      delivered: (bytes) => {
        this.delivered[direction] += bytes;
      },
    });
    this.#pipes.add(pipe);
    to.once('close', () => this.#pipes.delete(pipe));
  }
}

interface Line {
  readonly shape: () => WanShape;
  /** Whether anything arrives now. */
  readonly open: () => boolean;
  /** Gives the line so many bytes; returns when the last has left. */
  readonly sendAt: (bytes: number) => number;
  readonly delivered: (bytes: number) => void;
}

/** Bytes on their way, or the end of the connection: 'end' as it ended, 'reset' when it broke. */
interface InFlight {
  readonly arrivesAt: number;
  readonly what: Buffer | 'end' | 'reset';
}

/** One direction of one connection. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #line: Line;
  readonly #inFlight: InFlight[] = [];
  #bytesInFlight = 0;
  #ended = false;
  #blocked = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, line: Line) {
    this.#from = from;
    this.#to = to;
    this.#line = line;
    from.on('data', (chunk) => this.#take(chunk));
    from.once('end', () => this.#leave('end'));
    from.once('close', () => this.#leave('reset'));
    to.on('drain', () => {
      this.#blocked = false;
      this.wake();
    });
    to.once('close', () => clearTimeout(this.#timer));
  }

  /** Delivers what has arrived, and sets the timer for the rest. */
  wake(): void {
    clearTimeout(this.#timer);
    if (this.#to.destroyed || !this.#line.open()) return;
    const now = performance.now();
    while (!this.#blocked) {
      const first = this.#inFlight[0];
      if (first === undefined) break;
      if (first.arrivesAt > now) {
        this.#timer = setTimeout(() => this.wake(), first.arrivesAt - now);
        break;
      }
      this.#inFlight.shift();
      this.#deliver(first.what);
    }
    if (this.#bytesInFlight < this.#windowBytes()) this.#from.resume();
  }

  #take(chunk: Buffer): void {
    const paceBytes = this.#line.shape().bytesPerSecond === Infinity ? chunk.length : PACE_BYTES;
    for (let at = 0; at < chunk.length; at += paceBytes) {
      const piece = chunk.subarray(at, at + paceBytes);
      this.#bytesInFlight += piece.length;
      this.#inFlight.push({ arrivesAt: this.#line.sendAt(piece.length) + this.#line.shape().delayMs, what: piece });
    }
    if (this.#bytesInFlight >= this.#windowBytes()) this.#from.pause();
    this.wake();
  }

  #leave(what: 'end' | 'reset'): void {
    if (this.#ended) return;
    this.#ended = true;
    // An orderly close is an end that came before.
    this.#inFlight.push({ arrivesAt: this.#line.sendAt(0) + this.#line.shape().delayMs, what });
    this.wake();
  }

  #deliver(what: InFlight['what']): void {
    if (what === 'end') this.#to.end();
    else if (what === 'reset') this.#to.resetAndDestroy();
    else {
      this.#bytesInFlight -= what.length;
      this.#line.delivered(what.length);
      this.#blocked = !this.#to.write(what);
    }
  }

  #windowBytes(): number {
    return Math.min(this.#line.shape().windowBytes, WINDOW_BYTES_MAX);
  }
}
