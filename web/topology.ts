import { greatest } from './history.ts';
import type { LinkStatus, RegionStatus, StreamStatus } from './snapshot.ts';

export type Severity = 'ok' | 'warning' | 'error' | 'none';

/** A reconnect shorter than this is part of normal life and not yet shown as a fault. */
export const RECONNECT_GRACE_MS = 2_000;

export interface RegionNode {
  readonly region: string;
  /** The region that sent the status. */
  readonly self: boolean;
  readonly place: string | null;
  /** Namespaces it is the hub of, with the epoch of each. */
  readonly hubOf: readonly { readonly namespace: string; readonly epoch: number }[];
  readonly severity: Severity;
  /** State in words, as far as it is known from here. */
  readonly state: string;
}

export type LinkHealth = 'connected' | 'connecting' | 'cut' | 'stopped';

/** The link between the serving region and a peer, in both directions as far as the serving region knows. */
export interface PeerLink {
  readonly peer: string;
  readonly health: LinkHealth;
  readonly severity: Severity;
  readonly reason: string | null;
  readonly sinceMs: number;
  readonly roundTripMs: number | null;
  /** Greatest over the peer's open streams; null when none has any. */
  readonly lagP99Ms: number | null;
  readonly freshnessMs: number | null;
  /** Changes the peer announced and this region has not applied. */
  readonly backlogIn: number;
  /** Changes of this region that the peer has not acknowledged as durable; null when there is nothing to acknowledge. */
  readonly backlogOut: number | null;
  readonly status: LinkStatus;
}

export interface Topology {
  readonly self: string;
  /** The serving region first, then by name. */
  readonly nodes: readonly RegionNode[];
  readonly links: readonly PeerLink[];
}

/**
 * The whole topology as one region sees it: itself, the peers it links to, and regions it only knows by name from a lease
 * or a stream. Links between two other regions are not known here.
 */
export function deriveTopology(status: RegionStatus): Topology {
  const links = status.links.map((link) => derivePeerLink(status, link)).sort((a, b) => compareNames(a.peer, b.peer));
  const names = new Set<string>();
  for (const link of status.links) names.add(link.peer);
  for (const namespace of status.namespaces) if (namespace.hub !== null) names.add(namespace.hub);
  for (const stream of status.streams) {
    names.add(stream.origin);
    for (const peer of Object.keys(stream.durableAt)) names.add(peer);
  }
  names.delete(status.region);
  const peers = [...names].sort(compareNames);
  return {
    self: status.region,
    nodes: [status.region, ...peers].map((region) => deriveNode(status, region, links)),
    links,
  };
}

function derivePeerLink(status: RegionStatus, link: LinkStatus): PeerLink {
  const health = linkHealth(link, status.nowMs);
  const pulled = status.streams.filter((stream) => stream.origin === link.peer);
  const open = pulled.filter((stream) => stream.open);
  return {
    peer: link.peer,
    health,
    severity: health === 'connected' ? 'ok' : health === 'connecting' ? 'warning' : 'error',
    reason: link.reason,
    sinceMs: link.sinceMs,
    roundTripMs: link.roundTripMs,
    lagP99Ms: greatest(open.map((stream) => stream.lag.p99Ms)),
    freshnessMs: greatest(open.map((stream) => stream.freshnessMs)),
    backlogIn: pulled.reduce((sum, stream) => sum + stream.backlog, 0),
    backlogOut: backlogAt(status, link.peer),
    status: link,
  };
}

export function linkHealth(link: LinkStatus, nowMs: number): LinkHealth {
  if (link.state === 'connected') return 'connected';
  if (link.state === 'stopped') return 'stopped';
  return link.reason !== null && nowMs - link.sinceMs >= RECONNECT_GRACE_MS ? 'cut' : 'connecting';
}

function backlogAt(status: RegionStatus, peer: string): number | null {
  const own = status.streams.filter((stream) => stream.origin === status.region && stream.open);
  if (own.length === 0) return null;
  return own.reduce((sum, stream) => sum + missingAt(stream, peer), 0);
}

/** Changes of a stream that a peer has not acknowledged as durable; a peer never heard of holds nothing. */
export function missingAt(stream: StreamStatus, peer: string): number {
  return Math.max(0, stream.head - (stream.durableAt[peer] ?? 0));
}

function deriveNode(status: RegionStatus, region: string, links: readonly PeerLink[]): RegionNode {
  const hubOf = status.namespaces
    .filter((namespace) => namespace.hub === region)
    .map(({ namespace, epoch }) => ({ namespace, epoch }));
  if (region === status.region) {
    const severity = status.state === 'serving' ? 'ok' : 'warning';
    return {
      region,
      self: true,
      place: status.place === '' ? null : status.place,
      hubOf,
      severity,
      state: status.state,
    };
  }
  const link = links.find((candidate) => candidate.peer === region);
  const words: Record<LinkHealth, string> = {
    connected: 'connected',
    connecting: 'connecting',
    cut: 'unreachable',
    stopped: 'link stopped',
  };
  return {
    region,
    self: false,
    place: null,
    hubOf,
    severity: link?.severity ?? 'none',
    state: link === undefined ? 'no link from here' : words[link.health],
  };
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
