import type { z } from 'zod';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { Channel } from '#ports/link-transport';
import {
  decodeMessage,
  encodeMessage,
  failureBody,
  failureFrom,
  type Message,
  parseBody,
  REQUEST_MESSAGE,
  REQUESTS,
  type RequestAnswer,
  type RequestBody,
  type RequestName,
} from '#region/replicate/wire';

/** Most requests one end may have open towards the other; more are refused with OVERLOADED. */
export const OPEN_REQUESTS_MAX = 256;

export interface Answer<N extends RequestName> {
  readonly answer: RequestAnswer<N>;
  readonly blob?: Uint8Array;
}

/** What a node answers to each request. `peer` is the authenticated name of the asker. */
export type RequestHandlers = {
  readonly [N in RequestName]?: (body: RequestBody<N>, blob: Buffer, peer: string) => Promise<Answer<N>>;
};

interface Waiting {
  readonly name: RequestName;
  readonly settle: (message: Message) => void;
  readonly fail: (error: AntipodeError) => void;
}

/**
 * Requests, answers and one-way messages over one channel. A request whose answer does not come in time, or whose channel
 * ends first, rejects with PEER_TIMEOUT or PEER_UNAVAILABLE: its outcome is then unknown to the caller.
 */
export class RpcEnd {
  readonly channel: Channel;
  readonly #clock: Clock;
  readonly #handlers: RequestHandlers;
  readonly #onOneWay: (message: Message) => void;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #serving = 0;

  constructor(options: {
    channel: Channel;
    clock: Clock;
    handlers?: RequestHandlers;
    onOneWay?: (message: Message) => void;
  }) {
    this.channel = options.channel;
    this.#clock = options.clock;
    this.#handlers = options.handlers ?? {};
    this.#onOneWay = options.onOneWay ?? (() => this.channel.close('unexpected one-way message'));
    this.channel.onClose((reason) => this.#end(reason));
    this.channel.onMessage((bytes) => this.#receive(bytes));
  }

  async request<N extends RequestName>(
    name: N,
    body: RequestBody<N>,
    options: { readonly timeoutMs: number; readonly blob?: Uint8Array },
  ): Promise<{ answer: RequestAnswer<N>; blob: Buffer }> {
    if (this.channel.closed) throw new AntipodeError('PEER_UNAVAILABLE', `${this.channel.peer} is not connected`);
    if (this.#waiting.size >= OPEN_REQUESTS_MAX)
      throw new AntipodeError('OVERLOADED', `too many open requests to ${this.channel.peer}`);
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    const deadline = new AbortController();
    try {
      const message = await new Promise<Message>((resolve, reject) => {
        this.#waiting.set(id, { name, settle: resolve, fail: reject });
        this.channel.send(encodeMessage('request', id, { name, body }, options.blob));
        this.#clock.sleep(options.timeoutMs, deadline.signal).then(
          () =>
            reject(
              new AntipodeError(
                'PEER_TIMEOUT',
                `${this.channel.peer} did not answer ${name} within ${options.timeoutMs} ms`,
              ),
            ),
          () => undefined,
        );
      });
      if (message.kind === 'failure') throw failureFrom(message.body);
      const schema: z.ZodType<unknown> = REQUESTS[name].answer;
      return { answer: parseBody(schema, message.body, name) as RequestAnswer<N>, blob: message.blob };
    } finally {
      this.#waiting.delete(id);
      // A reason of its own would come with a stack that nobody reads.
      deadline.abort(null);
    }
  }

  oneWay(kind: 'frame' | 'heads' | 'credit', id: number, body: unknown, blob?: Uint8Array): boolean {
    return this.channel.send(encodeMessage(kind, id, body, blob));
  }

  #end(reason: string): void {
    const error = new AntipodeError('PEER_UNAVAILABLE', `channel to ${this.channel.peer} ended: ${reason}`);
    for (const waiting of this.#waiting.values()) waiting.fail(error);
    this.#waiting.clear();
  }

  #receive(bytes: Buffer): void {
    try {
      const message = decodeMessage(bytes);
      if (message.kind === 'response' || message.kind === 'failure') this.#waiting.get(message.id)?.settle(message);
      else if (message.kind === 'request') void this.#serve(message);
      else this.#onOneWay(message);
    } catch (caught) {
      this.channel.close(toAntipodeError(caught, 'PROTOCOL_MISMATCH').message);
    }
  }

  async #serve(message: Message): Promise<void> {
    try {
      if (this.#serving >= OPEN_REQUESTS_MAX)
        throw new AntipodeError('OVERLOADED', 'too many requests on this channel');
      this.#serving += 1;
      try {
        const { name, body } = parseBody(REQUEST_MESSAGE, message.body, 'request');
        if (!Object.hasOwn(REQUESTS, name))
          throw new AntipodeError('PROTOCOL_MISMATCH', `request ${name} is not known`);
        const known = name as RequestName;
        const handler = this.#handlers[known] as
          | ((body: unknown, blob: Buffer, peer: string) => Promise<Answer<RequestName>>)
          | undefined;
        if (handler === undefined) throw new AntipodeError('PROTOCOL_MISMATCH', `request ${name} is not served here`);
        const { answer, blob } = await handler(
          parseBody<unknown>(REQUESTS[known].body, body, name),
          message.blob,
          this.channel.peer,
        );
        this.channel.send(encodeMessage('response', message.id, answer, blob));
      } finally {
        this.#serving -= 1;
      }
    } catch (caught) {
      this.channel.send(encodeMessage('failure', message.id, failureBody(toAntipodeError(caught))));
    }
  }
}
