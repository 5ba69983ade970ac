import { formatDuration, formatQuantity, joinWords, streamLabel } from './format.ts';
import type { NamespaceStatus, RegionStatus } from './snapshot.ts';
import type { PeerLink, Severity, Topology } from './topology.ts';

/** Beyond these a number is marked. Views may allow less or more; this is only where an eye should rest. */
export const FRESHNESS_WARNING_MS = 5_000;
export const FRESHNESS_ERROR_MS = 30_000;

/** How many namespaces the sentence names before it only counts them. */
const NAMESPACES_NAMED_MAX = 3;

export interface Problem {
  /** Stable while the problem lasts. */
  readonly key: string;
  readonly severity: 'warning' | 'error';
  readonly title: string;
  readonly detail: string | null;
  readonly sinceMs: number | null;
}

export interface Assessment {
  readonly severity: 'ok' | 'warning' | 'error';
  /** Who is hub and how the links are, in words. It has no running numbers, so that it is read aloud only when it changes. */
  readonly sentence: string;
  /** Errors first. */
  readonly problems: readonly Problem[];
}

/** What a person has to know first. */
export function assess(status: RegionStatus, topology: Topology): Assessment {
  const problems = [
    ...regionProblems(status),
    ...status.namespaces.flatMap((namespace) => namespaceProblems(status, namespace)),
    ...haltProblems(status),
    ...topology.links.flatMap(linkProblems),
    ...freshnessProblems(status, topology),
    ...tailProblems(status),
  ];
  const errors = problems.filter((problem) => problem.severity === 'error');
  const warnings = problems.filter((problem) => problem.severity === 'warning');
  return {
    severity: errors.length > 0 ? 'error' : warnings.length > 0 ? 'warning' : 'ok',
    sentence: `${hubSentence(status.namespaces)}; ${linkSentence(topology.links)}.`,
    problems: [...errors, ...warnings],
  };
}

export function freshnessSeverity(freshnessMs: number | null): Severity {
  if (freshnessMs === null) return 'none';
  if (freshnessMs >= FRESHNESS_ERROR_MS) return 'error';
  return freshnessMs >= FRESHNESS_WARNING_MS ? 'warning' : 'ok';
}

function hubSentence(namespaces: readonly NamespaceStatus[]): string {
  if (namespaces.length === 0) return 'No namespace is defined yet';
  if (namespaces.length > NAMESPACES_NAMED_MAX) {
    const without = namespaces.filter(hasNoHub).length;
    const all = formatQuantity(namespaces.length, 'namespace');
    return without === 0 ? `All ${all} have a region that accepts writes` : `${without} of ${all} have no hub`;
  }
  return joinWords(
    namespaces.map(({ namespace, replication, hub, epoch }) => {
      if (replication === 'active-active') return `every region accepts writes of ${namespace}`;
      return hub === null
        ? `${namespace} has no hub, last epoch ${epoch}`
        : `${hub} is hub of ${namespace}, epoch ${epoch}`;
    }),
  );
}

/** A namespace that should have a hub and has none. */
export function hasNoHub({ replication, hub }: NamespaceStatus): boolean {
  return replication !== 'active-active' && hub === null;
}

function linkSentence(links: readonly PeerLink[]): string {
  if (links.length === 0) return 'no links';
  const cut = links.filter((link) => link.health === 'cut').map((link) => link.peer);
  const stopped = links.filter((link) => link.health === 'stopped').map((link) => link.peer);
  const connecting = links.filter((link) => link.health === 'connecting').map((link) => link.peer);
  if (cut.length + stopped.length + connecting.length === 0)
    return links.length === 1 ? 'its only link is connected' : 'all links connected';
  if (cut.length === links.length && links.length > 1) return 'all links are cut';
  return [linkPhrase(cut, 'cut'), linkPhrase(stopped, 'stopped'), linkPhrase(connecting, 'connecting')]
    .filter((phrase) => phrase !== '')
    .join(', ');
}

function linkPhrase(peers: readonly string[], state: string): string {
  if (peers.length === 0) return '';
  return peers.length === 1
    ? `the link to ${joinWords(peers)} is ${state}`
    : `the links to ${joinWords(peers)} are ${state}`;
}

function regionProblems(status: RegionStatus): Problem[] {
  const problems: Problem[] = [];
  if (status.state !== 'serving') {
    problems.push({
      key: 'region',
      severity: 'warning',
      title: `${status.region} is ${status.state}`,
      detail: null,
      sinceMs: null,
    });
  }
  if (!status.control.reachable) {
    const age = status.control.lastAnswerAgeMs;
    const held = status.namespaces
      .filter((namespace) => namespace.role === 'holder')
      .map((namespace) => namespace.namespace);
    problems.push({
      key: 'control',
      severity: 'error',
      title: 'The control store is unreachable',
      detail: [
        age === null
          ? 'It has not answered since this region started.'
          : `Its last answer came ${formatDuration(age)} ago.`,
        held.length > 0
          ? `Without it the lease of ${joinWords(held)} lapses and writes stop.`
          : status.namespaces.every(({ replication }) => replication === 'active-active')
            ? 'Writes go on in every region; one that restarts may have to wait before it accepts.'
            : 'Without it no region can become hub.',
      ].join(' '),
      sinceMs: age === null ? null : status.nowMs - age,
    });
  }
  return problems;
}

function namespaceProblems(status: RegionStatus, namespace: NamespaceStatus): Problem[] {
  const key = `namespace/${namespace.namespace}`;
  if (namespace.role === 'promoting') {
    const title = `${status.region} is being promoted to hub of ${namespace.namespace}`;
    return [{ key, severity: 'warning', title, detail: 'Writes wait until the promotion is complete.', sinceMs: null }];
  }
  if (namespace.replication === 'active-active') return memberProblems(status, namespace);
  if (namespace.hub === null) {
    const detail = 'No region accepts writes; reads go on everywhere.';
    return [{ key, severity: 'error', title: `${namespace.namespace} has no hub`, detail, sinceMs: null }];
  }
  if (namespace.role === 'holder' && !namespace.accepting) {
    const title = `${status.region} holds the lease of ${namespace.namespace} but does not accept writes`;
    return [{ key, severity: 'error', title, detail: null, sinceMs: null }];
  }
  if (namespace.promisedEpoch !== null) {
    const title = `A failover of ${namespace.namespace} is under way`;
    const detail = `${status.region} mirrors no more of epoch ${namespace.promisedEpoch} until its seal is known.`;
    return [{ key, severity: 'warning', title, detail, sinceMs: null }];
  }
  return [];
}

/** A member that does not accept yet, and members of which nothing was heard; stale streams are told of as such. */
function memberProblems(status: RegionStatus, namespace: NamespaceStatus): Problem[] {
  const problems: Problem[] = [];
  const key = `namespace/${namespace.namespace}`;
  if (!namespace.accepting) {
    const title = `${status.region} accepts no writes of ${namespace.namespace} yet`;
    problems.push({ key, severity: 'warning', title, detail: namespace.waitsFor, sinceMs: null });
  }
  for (const { region, freshnessMs } of namespace.members ?? []) {
    if (freshnessMs !== null || region === status.region) continue;
    const title = `Nothing was heard of ${region} for ${namespace.namespace}`;
    const detail = 'How fresh this region is cannot be said until it is.';
    problems.push({ key: `${key}/${region}`, severity: 'warning', title, detail, sinceMs: null });
  }
  return problems;
}

function linkProblems(link: PeerLink): Problem[] {
  if (link.health === 'connected') return [];
  const words = { cut: 'is cut', stopped: 'is stopped', connecting: 'is connecting' } as const;
  return [
    {
      key: `link/${link.peer}`,
      severity: link.severity === 'error' ? 'error' : 'warning',
      title: `The link to ${link.peer} ${words[link.health]}`,
      detail: link.reason,
      sinceMs: link.sinceMs,
    },
  ];
}

function haltProblems(status: RegionStatus): Problem[] {
  return status.streams
    .filter((stream) => typeof stream.haltedReason === 'string')
    .map((stream) => ({
      key: `halt/${stream.stream}`,
      severity: 'error',
      title: `${streamLabel(stream)} is not applied any further`,
      detail: stream.haltedReason,
      sinceMs: null,
    }));
}

/** Stale streams whose link is connected: a cut link or a halt is already named, and explains its streams. */
function freshnessProblems(status: RegionStatus, topology: Topology): Problem[] {
  const explained = new Set(topology.links.filter((link) => link.health !== 'connected').map((link) => link.peer));
  const problems = new Map<string, Problem>();
  for (const stream of status.streams) {
    const severity = freshnessSeverity(stream.freshnessMs);
    if (
      !stream.open ||
      stream.haltedReason !== null ||
      explained.has(stream.origin) ||
      (severity !== 'warning' && severity !== 'error')
    )
      continue;
    const key = `freshness/${stream.origin}`;
    if (problems.get(key)?.severity === 'error') continue;
    problems.set(key, {
      key,
      severity,
      title: `Data from ${stream.origin} is ${formatDuration(stream.freshnessMs)} old`,
      detail: `${formatQuantity(stream.backlog, 'change')} of ${stream.namespace}/${stream.partition} not applied yet.`,
      sinceMs: null,
    });
  }
  return [...problems.values()];
}

function tailProblems(status: RegionStatus): Problem[] {
  return status.tails
    .filter((tail) => tail.state === 'kept' || tail.state === 'replaying')
    .map((tail) => {
      const changes = tail.to - tail.from;
      return {
        key: `tail/${tail.stream}`,
        severity: 'warning',
        title:
          tail.state === 'kept'
            ? `A tail of ${formatQuantity(changes, 'change')} is kept`
            : `A tail of ${formatQuantity(changes, 'change')} is being replayed`,
        detail:
          tail.state === 'kept'
            ? `${tail.namespace}: accepted beyond the seal, in no region's store until somebody decides.`
            : `${tail.namespace}: ${formatQuantity(tail.replayed, 'change')} taken over by the hub so far.`,
        sinceMs: null,
      };
    });
}
