import { AntipodeError } from '#core/errors';
import { type Channel, MAX_MESSAGE_BYTES } from '#ports/link-transport';
import type { SimProcess } from '#sim/machine/sim-process';
import { isOneWay, MessageNames, passes } from '#sim/network/message-names';
import type { Route } from '#sim/network/route';

const HEADER_BYTES = 4;

interface InFlight {
  /** Undefined: the end of the channel, with its reason. */
  readonly message: Buffer | undefined;
  readonly reason: string;
  readonly arriveMs: number;
}

/**
 * One end of a channel. What it sends lies in its own queue until it arrives, in order, at the other end. A broken channel
 * loses a suffix of each queue; each end learns of it in its own time.
 */
export class SimChannel implements Channel {
  readonly peer: string;
  readonly process: SimProcess;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #route: Route;
  readonly #highWaterBytes: number;
  readonly #names = new MessageNames();
  #other: SimChannel | undefined;
  #queue: InFlight[] = [];
  #queuedBytes = 0;
  #lastArrivalMs = 0;
  #armed = false;
  /** The head of the queue waits for the end of a cut. */
  #blocked = false;
  /** Nothing sent from now on arrives. */
  #void = false;
  #receive: ((message: Buffer) => void) | undefined;
  #reason: string | undefined;
  #closeListeners: ((reason: string) => void)[] = [];
  #drainWaiters: (() => void)[] = [];

  constructor(options: { process: SimProcess; peer: string; route: Route; highWaterBytes: number }) {
    this.process = options.process;
    this.peer = options.peer;
    this.#route = options.route;
    this.#highWaterBytes = options.highWaterBytes;
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  pair(other: SimChannel): void {
    this.#other = other;
  }

  send(message: Uint8Array): boolean {
    if (message.length > MAX_MESSAGE_BYTES)
      throw new AntipodeError('FRAME_TOO_LARGE', `a message of ${message.length} bytes cannot be sent to ${this.peer}`);
    if (this.closed || !this.process.alive) return false;
    const name = this.#names.sent(message);
    if (passes(this.process.points, `send ${name} before`)) return false;
    this.#queuedBytes += message.length + HEADER_BYTES;
    this.bytesSent += message.length + HEADER_BYTES;
    if (!this.#void) {
      this.#enqueue(Buffer.from(message), '', 0);
      if (isOneWay(name)) this.#perhapsRepeat(Buffer.from(message));
    }
    if (passes(this.process.points, `send ${name} after`)) return false;
    if (this.#queuedBytes <= this.#highWaterBytes) return true;
    this.process.kernel.moment('sender-held-up');
    return false;
  }

  drained(): Promise<void> {
    if (this.closed || this.#queuedBytes < this.#highWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  onMessage(receive: (message: Buffer) => void): void {
    if (this.closed) return;
    this.#receive = receive;
    this.#other?.arm();
  }

  onClose(closed: (reason: string) => void): void {
    if (this.#reason === undefined) this.#closeListeners.push(closed);
    else closed(this.#reason);
  }

  close(reason: string): void {
    if (this.closed) return;
    this.#end(reason);
    if (!this.#void) this.#enqueue(undefined, `closed by the peer: ${reason}`, 0);
    this.#void = true;
  }

  /** Breaks this direction: what is on its way beyond `keep` messages is lost, then the other end learns of the end. */
  breakOff(options: { readonly keep: number; readonly noticeMs: number; readonly reason: string }): void {
    if (this.#void) return;
    this.#queue.splice(options.keep);
    this.#void = true;
    this.#enqueue(undefined, options.reason, options.noticeMs);
  }

  get messagesOnTheirWay(): number {
    return this.#queue.length;
  }

  /** Ends this end alone, at once: its host gave up. */
  giveUp(reason: string): void {
    this.#void = true;
    this.#end(reason);
  }

  /** Looks whether something can arrive. */
  arm(): void {
    const head = this.#queue[0];
    if (this.#armed || this.#blocked || head === undefined) return;
    this.#armed = true;
    const other = this.#other as SimChannel;
    const { kernel } = this.process;
    kernel.schedule(
      head.arriveMs - kernel.nowMs,
      other.process,
      head.message === undefined ? 'close' : 'deliver',
      () => this.#arrive(other),
      head.message?.length ?? 0,
    );
  }

  /** The route lets messages pass again. */
  rearm(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.arm();
  }

  #arrive(other: SimChannel): void {
    this.#armed = false;
    const head = this.#queue[0];
    if (head === undefined) return;
    if (this.#route.cut) {
      this.#blocked = true;
      this.#route.stalled(this);
      return;
    }
    if (other.closed) {
      // The other host knows no such connection any more and says so.
      this.process.after(this.#route.delayMs(), 'reset', () => this.giveUp('reset by the peer'));
      return;
    }
    if (head.message !== undefined && other.#receive === undefined) return;
    this.#queue.shift();
    if (head.message === undefined) {
      other.#void = true;
      other.#end(head.reason);
      return;
    }
    this.#queuedBytes -= head.message.length + HEADER_BYTES;
    other.bytesReceived += head.message.length + HEADER_BYTES;
    if (this.#queuedBytes < this.#highWaterBytes && this.#drainWaiters.length > 0) this.#releaseWaiters();
    this.arm();
    const name = other.#names.received(head.message);
    if (passes(other.process.points, `receive ${name} before`)) return;
    other.#receive?.(head.message);
    passes(other.process.points, `receive ${name} after`);
  }

  #enqueue(message: Buffer | undefined, reason: string, extraMs: number): void {
    const delayMs = this.#route.delayMs() + extraMs;
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.process.kernel.nowMs + delayMs);
    this.#queue.push({ message, reason, arriveMs: this.#lastArrivalMs });
    this.arm();
  }

  /** The same message once more, at once or behind others that are sent until then. */
  #perhapsRepeat(message: Buffer): void {
    const repeatMs = this.#route.repeatMs();
    if (repeatMs === undefined) return;
    this.process.after(repeatMs, 'repeat', () => {
      if (this.closed || this.#void) return;
      this.process.kernel.moment('message-repeated');
      this.#queuedBytes += message.length + HEADER_BYTES;
      this.#enqueue(message, '', 0);
    });
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#receive = undefined;
    for (const resolve of this.#drainWaiters) resolve();
    this.#drainWaiters = [];
    const listeners = this.#closeListeners;
    this.#closeListeners = [];
    for (const closed of listeners) closed(reason);
  }

  #releaseWaiters(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    this.process.after(0.01, 'drained', () => {
      for (const resolve of waiters) resolve();
    });
  }
}
