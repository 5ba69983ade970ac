import type { PeerLog } from '#core/failover/participants';
import type { StreamKey } from '#core/model/stream';

interface PeerState {
  readonly log: string;
  readonly durable: Map<StreamKey, number>;
  /** As `durable`, but never less again under the same log. */
  readonly peak: Map<StreamKey, number>;
}

/**
 * What each peer holds durably, as far as it said so: of open streams what it acknowledged, of sealed ones what it announced
 * up to the seal. What is known belongs to one log of the peer (P6.4): with another log everything before is forgotten.
 */
export class DurablePositions {
  readonly #peers = new Map<string, PeerState>();
  readonly #watchers = new Set<(stream: StreamKey) => void>();
  readonly #logWatchers = new Set<(peer: string) => void>();

  /** A peer said with which log it is there. */
  met(peer: string, log: string): void {
    if (this.#peers.get(peer)?.log === log) return;
    this.#peers.set(peer, { log, durable: new Map(), peak: new Map() });
    for (const watcher of this.#logWatchers) watcher(peer);
  }

  /** Positions only grow: an acknowledgement that comes late changes nothing, nor does one that speaks for another log. */
  acknowledge(stream: StreamKey, peer: { readonly name: string; readonly log: string }, seq: number): void {
    const state = this.#peers.get(peer.name);
    if (state === undefined || state.log !== peer.log || seq <= (state.durable.get(stream) ?? 0)) return;
    state.durable.set(stream, seq);
    state.peak.set(stream, Math.max(seq, state.peak.get(stream) ?? 0));
    for (const watcher of this.#watchers) watcher(stream);
  }

  /** The peer asks for a stream from `after` on: it holds no more of it, whatever it acknowledged before. */
  asksAfter(stream: StreamKey, peer: { readonly name: string; readonly log: string }, after: number): void {
    const state = this.#peers.get(peer.name);
    if (state?.log === peer.log && after < (state.durable.get(stream) ?? 0)) state.durable.set(stream, after);
  }

  /** Called after a position grew. */
  onGrown(watcher: (stream: StreamKey) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Called after a peer came with a log that it was not known by. */
  onLog(watcher: (peer: string) => void): () => void {
    this.#logWatchers.add(watcher);
    return () => this.#logWatchers.delete(watcher);
  }

  /** Position of a peer in a stream, if that peer is there with this log. */
  at(stream: StreamKey, peer: string, log: string): number {
    const state = this.#peers.get(peer);
    return state?.log === log ? (state.durable.get(stream) ?? 0) : 0;
  }

  of(stream: StreamKey): Record<string, number> {
    const positions: Record<string, number> = {};
    for (const [peer, { durable }] of this.#peers) {
      const seq = durable.get(stream);
      if (seq !== undefined) positions[peer] = seq;
    }
    return positions;
  }

  /** Logs of those peers that are known to have one. */
  logs(peers: readonly string[]): Map<string, PeerLog> {
    const logs = new Map<string, PeerLog>();
    for (const peer of peers) {
      const state = this.#peers.get(peer);
      if (state === undefined) continue;
      const { log, durable, peak } = state;
      logs.set(peer, { log, durable: Object.fromEntries(durable), peak: Object.fromEntries(peak) });
    }
    return logs;
  }
}
