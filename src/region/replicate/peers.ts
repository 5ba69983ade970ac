import type { RequestAnswer, RequestBody, RequestName } from '#region/replicate/wire';

/** The other regions, as the rest of a region talks to them. */
export interface Peers {
  /** Names of the other regions of the topology. */
  readonly names: readonly string[];
  connected(peer: string): boolean;
  /** Rejects PEER_UNAVAILABLE when not connected, PEER_TIMEOUT when no answer came. */
  request<N extends RequestName>(
    peer: string,
    name: N,
    body: RequestBody<N>,
    options: { readonly timeoutMs: number; readonly blob?: Uint8Array },
  ): Promise<{ answer: RequestAnswer<N>; blob: Buffer }>;
}
