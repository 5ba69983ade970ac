import { AntipodeError } from '#core/errors';
import { type Channel, MAX_MESSAGE_BYTES } from '#ports/link-transport';

/** What a message costs on the wire besides its bytes, as over a socket. */
const HEADER_BYTES = 4;
/** Messages delivered in one turn of the event loop. */
const BATCH = 64;

export interface MemoryChannelOptions {
  readonly self: string;
  readonly peer: string;
  readonly highWaterBytes: number;
  /** Whether bytes pass from this end to the other now. */
  readonly passes: () => boolean;
}

/** One end of an in-process channel. It holds what it has sent until the other end has a receiver and the network lets it pass. */
export class MemoryChannel implements Channel {
  readonly self: string;
  readonly peer: string;
  bytesSent = 0;
  bytesReceived = 0;

  readonly #highWaterBytes: number;
  readonly #passes: () => boolean;
  #other: MemoryChannel | undefined;
  #receive: ((message: Buffer) => void) | undefined;
  /** Sent, not yet delivered. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  #scheduled = false;
  #drainWaiters: (() => void)[] = [];
  #closeListeners: ((reason: string) => void)[] = [];
  #reason: string | undefined;
  /** This end has closed; the other learns it after it has what was sent before. */
  #farewell: string | undefined;

  constructor(options: MemoryChannelOptions) {
    this.self = options.self;
    this.peer = options.peer;
    this.#highWaterBytes = options.highWaterBytes;
    this.#passes = options.passes;
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  pair(other: MemoryChannel): void {
    this.#other = other;
  }

  send(message: Uint8Array): boolean {
    if (message.length > MAX_MESSAGE_BYTES) {
      throw new AntipodeError('FRAME_TOO_LARGE', `a message of ${message.length} bytes cannot be sent to ${this.peer}`);
    }
    if (this.closed) return false;
    this.#unsent.push(Buffer.from(message));
    this.#unsentBytes += message.length + HEADER_BYTES;
    this.wake();
    return this.#unsentBytes <= this.#highWaterBytes;
  }

  drained(): Promise<void> {
    if (this.closed || this.#unsentBytes < this.#highWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  onMessage(receive: (message: Buffer) => void): void {
    if (this.closed) return;
    this.#receive = receive;
    this.#other?.wake();
  }

  onClose(closed: (reason: string) => void): void {
    if (this.#reason === undefined) this.#closeListeners.push(closed);
    else closed(this.#reason);
  }

  close(reason: string): void {
    if (this.closed) return;
    this.#farewell = reason;
    this.#end(reason);
    this.wake();
  }

  /** Ends both ends at once; what was not delivered is lost. */
  lose(reason: string): void {
    this.#unsent = [];
    this.#end(reason);
    if (this.#other !== undefined && !this.#other.closed) this.#other.lose(reason);
  }

  /** The network may let pass what it did not before. */
  healed(): void {
    this.wake();
    this.#other?.wake();
  }

  /** Delivers in a later turn what can be delivered now. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const other = this.#other;
    if (other === undefined || other.closed || !this.#passes()) return;
    for (let i = 0; i < BATCH && other.receiving; i++) {
      const message = this.#unsent.shift();
      if (message === undefined) break;
      this.#unsentBytes -= message.length + HEADER_BYTES;
      this.bytesSent += message.length + HEADER_BYTES;
      other.take(message);
    }
    if (this.#unsent.length > 0 && !other.receiving) return;
    if (this.#unsentBytes < this.#highWaterBytes) this.#releaseWaiters();
    if (this.#unsent.length > 0) this.wake();
    else if (this.#farewell !== undefined) other.endedByPeer(this.#farewell);
  }

  /** There is a receiver, and the channel is open. */
  get receiving(): boolean {
    return this.#receive !== undefined;
  }

  /** Called by the other end. */
  take(message: Buffer): void {
    this.bytesReceived += message.length + HEADER_BYTES;
    this.#receive?.(message);
  }

  endedByPeer(reason: string): void {
    this.#unsent = [];
    this.#end(`closed by the peer: ${reason}`);
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#receive = undefined;
    this.#releaseWaiters();
    const listeners = this.#closeListeners;
    this.#closeListeners = [];
    for (const closed of listeners) closed(reason);
  }

  #releaseWaiters(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
