import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { shortReason } from '#adapters/tls-link/tls-errors';
import {
  BEAT,
  type ControlKind,
  controlBytes,
  GOODBYE,
  messageHeader,
  READY,
  WireReader,
} from '#adapters/tls-link/wire';
import { AntipodeError } from '#core/errors';
import { type Channel, MAX_MESSAGE_BYTES } from '#ports/link-transport';

/** Messages kept for a receiver that is not set yet; beyond it the socket is not read. */
const RECEIVE_WINDOW_BYTES = 1024 * 1024;
/** What a kept message costs besides its bytes, so that empty messages are bounded too. */
const MESSAGE_OVERHEAD_BYTES = 64;
/** A caller that goes on sending this much although `send` returns false loses its channel, not the process its memory. */
const OVERRUN_BYTES = 4 * MAX_MESSAGE_BYTES;
/** How long an orderly close waits for the unsent bytes to leave. */
const LINGER_MS = 1000;
/**
 * The bound on silence is divided into this many ticks. A channel ends after two silent ticks less: one, because the last
 * byte may have come right after a tick, and one for timers that fire late.
 */
const TICKS = 10;
const SILENT_TICKS_MAX = TICKS - 2;

export interface TlsChannelOptions {
  readonly peer: string;
  /** The peer's certificate, kept for the day its authority is no longer trusted. */
  readonly certificate: X509Certificate;
  readonly socket: TLSSocket;
  /** The socket underneath, which counts the bytes on the wire. */
  readonly raw: Socket;
  readonly highWaterBytes: number;
  readonly silenceMsMax: number;
}

/**
 * One connection. Invariants: messages reach the receiver in the order they were sent; none reaches it after `closed` is
 * true; `onClose` is called exactly once. Liveness is one-way: each end sends a beat when it sends nothing else, and ends
 * the channel when it hears no byte for `silenceMsMax`. No answer is awaited, so a beat stuck behind megabytes of data
 * proves nothing and harms nothing; silence is counted in ticks of this process, so its own pauses do not count.
 */
export class TlsChannel implements Channel {
  readonly peer: string;
  readonly certificate: X509Certificate;
  /** The socket underneath, which counts the bytes on the wire. */
  readonly raw: Socket;
  /** Resolves when the socket is gone, which after `close` may take up to the linger time. */
  readonly gone: Promise<void>;
  /** Resolves when the peer said that it takes messages; or when the channel ended. */
  readonly ready: Promise<void>;

  readonly #socket: TLSSocket;
  readonly #highWaterBytes: number;
  readonly #silenceMsMax: number;
  readonly #reader: WireReader;
  readonly #ticker: NodeJS.Timeout;
  readonly #settleReady: () => void;

  #receive: ((message: Buffer) => void) | undefined;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #paused = false;
  #corked = false;
  #drainWaiters: (() => void)[] = [];
  #closeListeners: ((reason: string) => void)[] = [];
  #reason: string | undefined;
  /** The peer ended while messages wait for a receiver: they are delivered first, unless silence ends it all. */
  #endAfterKept: string | undefined;
  #error: Error | undefined;
  #heard = false;
  #silentTicks = 0;

  constructor(options: TlsChannelOptions) {
    this.peer = options.peer;
    this.certificate = options.certificate;
    this.#socket = options.socket;
    this.raw = options.raw;
    this.#highWaterBytes = options.highWaterBytes;
    this.#silenceMsMax = options.silenceMsMax;
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#settleReady = ready.resolve;
    this.#reader = new WireReader({
      message: (bytes) => this.#deliver(bytes),
      control: (kind, body) => this.#control(kind, body),
    });
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    this.#socket.on('data', this.#onData);
    this.#socket.on('error', (error) => {
      this.#error = error;
    });
    this.#socket.once('end', () => this.#endByPeer('the peer ended the connection'));
    this.#socket.once('close', () => {
      this.#endByPeer(this.#error === undefined ? 'the connection was lost' : shortReason(this.#error));
      gone.resolve();
    });
    this.#ticker = setInterval(() => this.#tick(), Math.max(1, Math.floor(this.#silenceMsMax / TICKS)));
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  get bytesSent(): number {
    return this.raw.bytesWritten;
  }

  get bytesReceived(): number {
    return this.raw.bytesRead;
  }

  /** The server's word that it has checked this client. */
  sendReady(): void {
    if (!this.closed) this.#socket.write(controlBytes(READY));
  }

  /** As the port says. The bytes must not change until they are sent; FRAME_TOO_LARGE beyond MAX_MESSAGE_BYTES. */
  send(message: Uint8Array): boolean {
    if (message.length > MAX_MESSAGE_BYTES) {
      throw new AntipodeError('FRAME_TOO_LARGE', `a message of ${message.length} bytes cannot be sent to ${this.peer}`);
    }
    if (this.closed) return false;
    if (!this.#corked) this.#cork();
    this.#socket.write(messageHeader(message.length));
    this.#socket.write(message, this.#onWritten);
    const unsentBytes = this.#socket.writableLength;
    if (unsentBytes <= this.#highWaterBytes) return true;
    if (unsentBytes > this.#highWaterBytes + OVERRUN_BYTES) this.#end(`${unsentBytes} bytes are unsent`, 'now');
    return false;
  }

  drained(): Promise<void> {
    if (this.closed || this.#socket.writableLength < this.#highWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  onMessage(receive: (message: Buffer) => void): void {
    if (this.closed) return;
    this.#receive = receive;
    if (this.#kept.length > 0) process.nextTick(() => this.#deliverKept());
  }

  onClose(closed: (reason: string) => void): void {
    if (this.#reason === undefined) this.#closeListeners.push(closed);
    else closed(this.#reason);
  }

  /** Ends the channel here at once; what was sent before still leaves, and the peer learns the reason. */
  close(reason: string): void {
    this.#end(reason, 'after sending');
  }

  /** Ends the channel at once and drops what is unsent: the peer may not have it any more. */
  abort(reason: string): void {
    this.#end(reason, 'now');
  }

  readonly #onWritten = (): void => {
    if (this.#drainWaiters.length > 0 && this.#socket.writableLength < this.#highWaterBytes) this.#releaseWaiters();
  };

  readonly #onData = (chunk: Buffer): void => {
    if (this.closed) return;
    this.#heard = true;
    const reason = this.#reader.push(chunk);
    if (reason !== undefined) this.#end(`protocol violated: ${reason}`, 'after sending');
  };

  /** Everything sent in one turn of the event loop leaves in one write. */
  #cork(): void {
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #deliver(message: Buffer): boolean {
    if (this.#receive !== undefined && this.#kept.length === 0) {
      this.#receive(message);
      return !this.closed;
    }
    this.#kept.push(message);
    this.#keptBytes += message.length + MESSAGE_OVERHEAD_BYTES;
    if (this.#keptBytes > RECEIVE_WINDOW_BYTES && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
    return true;
  }

  #deliverKept(): void {
    const kept = this.#kept;
    for (let i = 0; i < kept.length && !this.closed; i++) this.#receive?.(kept[i] as Buffer);
    this.#kept = [];
    this.#keptBytes = 0;
    if (this.#endAfterKept !== undefined) this.#end(this.#endAfterKept, 'now');
    if (this.#paused && !this.closed) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  #control(kind: ControlKind, body: Buffer): boolean {
    switch (kind) {
      case READY:
        this.#settleReady();
        break;
      case BEAT:
        break;
      case GOODBYE:
        this.#endByPeer(`closed by the peer: ${printable(body)}`);
        break;
    }
    return !this.closed && this.#endAfterKept === undefined;
  }

  #tick(): void {
    const silent = !this.#heard && (!this.#paused || this.#endAfterKept !== undefined);
    this.#heard = false;
    this.#silentTicks = silent ? this.#silentTicks + 1 : 0;
    if (this.#silentTicks >= SILENT_TICKS_MAX) {
      this.#end(`no sign of life within ${this.#silenceMsMax} ms`, 'now');
    } else if (this.#socket.writableLength === 0) {
      this.#socket.write(controlBytes(BEAT));
    }
  }

  #endByPeer(reason: string): void {
    if (this.#kept.length === 0) this.#end(reason, 'now');
    else this.#endAfterKept ??= reason;
  }

  #end(reason: string, how: 'now' | 'after sending'): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearInterval(this.#ticker);
    this.#receive = undefined;
    this.#kept = [];
    if (how === 'now') this.#socket.destroy();
    else this.#endAfterSending(reason);
    this.#settleReady();
    this.#releaseWaiters();
    const listeners = this.#closeListeners;
    this.#closeListeners = [];
    for (const closed of listeners) closed(reason);
  }

  #endAfterSending(reason: string): void {
    this.#socket.end(controlBytes(GOODBYE, reason));
    // Read on, into nothing, to see the peer's end.
    this.#socket.resume();
    const linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once('close', () => clearTimeout(linger));
  }

  #releaseWaiters(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** A peer's words go to logs: control characters do not. */
function printable(body: Buffer): string {
  return body.toString('utf8').replaceAll(/[^\x20-\x7e]/g, '?');
}
