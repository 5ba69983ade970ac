import { AntipodeError, toAntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { CompareAndSetOutcome, ControlRecord, ControlStore } from '#ports/control-store';
import type { LinkTransport } from '#ports/link-transport';
import { RpcEnd } from '#region/replicate/rpc';

/** Name of the embedded control store as a node of the topology. */
export const CONTROL_NODE = 'control';

/**
 * The embedded control store seen from a region. One channel, opened when needed; a call that gets no answer within its
 * deadline drops the channel, so that the next call meets a fresh one.
 */
export class ControlClient implements ControlStore {
  readonly #transport: LinkTransport;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  #end: Promise<RpcEnd> | undefined;
  #closed = false;
  #observeClock: (wallMs: number, roundTripMs: number) => void = () => undefined;

  constructor(options: { transport: LinkTransport; clock: Clock; deadlineMs: number }) {
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#deadlineMs = options.deadlineMs;
  }

  async get(key: string): Promise<ControlRecord> {
    try {
      const { answer, blob } = await this.#call((end) =>
        end.request('controlGet', { key }, { timeoutMs: this.#deadlineMs }),
      );
      return { revision: answer.revision, value: blob };
    } catch (cause) {
      throw new AntipodeError('CONTROL_UNAVAILABLE', `control store: ${toAntipodeError(cause).message}`, { cause });
    }
  }

  async compareAndSet(key: string, expectedRevision: number, value: Uint8Array): Promise<CompareAndSetOutcome> {
    try {
      const { answer, blob } = await this.#call((end) =>
        end.request('controlCompareAndSet', { key, expectedRevision }, { timeoutMs: this.#deadlineMs, blob: value }),
      );
      if (answer.ok) return { kind: 'ok', revision: answer.revision };
      return { kind: 'refused', current: { revision: answer.revision, value: blob } };
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  watchClock(observer: (wallMs: number, roundTripMs: number) => void): void {
    this.#observeClock = observer;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const end = await this.#end?.catch(() => undefined);
    end?.channel.close('region stops');
  }

  async #call<T extends { readonly answer: { readonly wallMs: number } }>(
    send: (end: RpcEnd) => Promise<T>,
  ): Promise<T> {
    const end = await this.#connected();
    const sentMs = this.#clock.monotonicMs();
    try {
      const answered = await send(end);
      this.#observeClock(answered.answer.wallMs, this.#clock.monotonicMs() - sentMs);
      return answered;
    } catch (caught) {
      if (toAntipodeError(caught).code === 'PEER_TIMEOUT') end.channel.close('no answer in time');
      throw caught;
    }
  }

  async #connected(): Promise<RpcEnd> {
    if (this.#closed) throw new AntipodeError('CONTROL_UNAVAILABLE', 'the client is closed');
    this.#end ??= this.#open();
    const awaited = this.#end;
    try {
      const end = await awaited;
      if (!end.channel.closed) return end;
    } catch {
      // The attempt failed; a new one is made below, once per call.
    }
    if (this.#closed) throw new AntipodeError('CONTROL_UNAVAILABLE', 'the client is closed');
    // Of the calls that waited for the same channel the first opens the next one, and the others share it.
    if (this.#end === awaited) this.#end = this.#open();
    return this.#end;
  }

  async #open(): Promise<RpcEnd> {
    const deadline = new AbortController();
    const late = this.#clock.sleep(this.#deadlineMs, deadline.signal).then(() => {
      throw new AntipodeError('PEER_TIMEOUT', `no connection to the control store within ${this.#deadlineMs} ms`);
    });
    late.catch(() => undefined);
    const connecting = this.#transport.connect(CONTROL_NODE, deadline.signal);
    connecting.catch(() => undefined);
    try {
      const channel = await Promise.race([connecting, late]);
      return new RpcEnd({ channel, clock: this.#clock });
    } finally {
      deadline.abort();
    }
  }
}
