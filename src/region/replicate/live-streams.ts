import type { StreamStanding } from '#core/failover/lease';
import { parseStreamKey, type StreamKey } from '#core/model/stream';

/** The one epoch of a namespace without a lease. */
export const ACTIVE_EPOCH = 1;

/**
 * The streams of an active-active namespace. Those of every member are open for ever, of earlier incarnations too: what
 * anybody holds of them is valid. *Live* are those that their origin said it extends now, as far as this process has heard.
 */
export class LiveStreams {
  /** Regions whose streams count, this one included. */
  readonly members: readonly string[];
  readonly #byMember = new Map<string, readonly StreamKey[]>();

  constructor(members: readonly string[]) {
    this.members = members;
  }

  /** The member extends exactly these streams now. */
  set(member: string, streams: readonly StreamKey[]): void {
    if (this.members.includes(member)) this.#byMember.set(member, streams);
  }

  /** Empty until the member was heard. */
  of(member: string): readonly StreamKey[] {
    return this.#byMember.get(member) ?? [];
  }

  all(): StreamKey[] {
    return [...this.#byMember.values()].flat();
  }

  includes(stream: StreamKey): boolean {
    return this.of(parseStreamKey(stream)?.origin ?? '').includes(stream);
  }

  standing(stream: StreamKey): StreamStanding {
    const origin = parseStreamKey(stream)?.origin;
    if (origin === undefined || !this.members.includes(origin)) return { kind: 'unknown' };
    return { kind: 'open', epoch: ACTIVE_EPOCH };
  }
}
