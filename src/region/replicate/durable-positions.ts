import type { StreamKey } from '#core/model/stream';

/** What each peer acknowledged as durable of this region's streams. */
export class DurablePositions {
  readonly #byStream = new Map<StreamKey, Map<string, number>>();

  /** Positions only grow: an acknowledgement that comes late changes nothing. */
  acknowledge(stream: StreamKey, peer: string, seq: number): void {
    let peers = this.#byStream.get(stream);
    if (peers === undefined) {
      peers = new Map();
      this.#byStream.set(stream, peers);
    }
    peers.set(peer, Math.max(seq, peers.get(peer) ?? 0));
  }

  of(stream: StreamKey): Record<string, number> {
    return Object.fromEntries(this.#byStream.get(stream) ?? []);
  }
}
