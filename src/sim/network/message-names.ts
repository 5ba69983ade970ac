import type { CrashPoints } from '#sim/crash/crash-points';

const KINDS = ['request', 'response', 'failure', 'frame', 'heads', 'credit'];
/** Messages to which there is no answer. */
const ONE_WAY: readonly string[] = ['frame', 'heads', 'credit'];
const HEADER_BYTES = 9;
/** Enough of a request to read its name: `{"name":"controlCompareAndSet"`. */
const NAME_BYTES = 48;

/**
 * What the messages of one end of a channel are, by the bytes alone: requests by their name, answers by the request they
 * answer. For labels only.
 */
export class MessageNames {
  /** Requests received here that are not answered yet. */
  readonly #asked = new Map<number, string>();

  received(message: Buffer): string {
    const kind = KINDS[message[0] as number] ?? 'unknown';
    if (kind !== 'request') return kind;
    const name = /^\{"name":"(\w+)"/.exec(message.toString('latin1', HEADER_BYTES, HEADER_BYTES + NAME_BYTES))?.[1];
    this.#asked.set(message.readUInt32BE(1), name ?? 'unknown');
    return `request ${name}`;
  }

  sent(message: Uint8Array): string {
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
    const kind = KINDS[bytes[0] as number] ?? 'unknown';
    if (kind === 'request') {
      const name = /^\{"name":"(\w+)"/.exec(bytes.toString('latin1', HEADER_BYTES, HEADER_BYTES + NAME_BYTES))?.[1];
      return `request ${name}`;
    }
    if (kind !== 'response' && kind !== 'failure') return kind;
    const id = bytes.readUInt32BE(1);
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return `${kind} ${asked}`;
  }
}

/** Whether a message, by its name, expects no answer and is none. */
export function isOneWay(name: string): boolean {
  return ONE_WAY.includes(name);
}

/** A message passes: true when its process died at it. */
export function passes(points: CrashPoints | undefined, label: string): boolean {
  return points?.hit(label) === true;
}
