import { type Endpoint, formatEndpoint, isLoopback, isWildcard } from '#core/config/endpoint';
import { type ConfigIssue, didYouMean, quote, type Validated, validate } from '#core/config/issue';
import { type TopologyDocument, topologySchema } from '#core/config/topology-document';
import { formatDuration } from '#core/config/units';
import type { AcknowledgeRule } from '#core/failover/acknowledge';

/** A lease shorter than this many margins would be lost to ordinary jitter (P6.2). */
const LEASE_MARGINS_MIN = 3;

export interface RegionConfig {
  readonly name: string;
  readonly place: string;
  readonly link: Endpoint;
  readonly serve: Endpoint;
  readonly workers: number;
  /** Relative to the project folder unless absolute. */
  readonly data: string;
  readonly promotable: boolean;
  readonly priority: number;
}

/** How long changes stay in the log of a region. */
export interface RetentionConfig {
  readonly ageMs: number;
  readonly bytes: number;
}

/** A namespace with a hub, which accepts all its writes. */
export interface ActivePassiveConfig {
  readonly name: string;
  readonly replication: 'active-passive';
  readonly hub: string;
  readonly partitions: number;
  readonly failover: 'automatic' | 'manual';
  readonly leaseMs: number;
  readonly marginMs: number;
  readonly tail: 'replay' | 'keep';
  /** Promotable regions beside the hub that a write waits for: how many (0: none), or which. */
  readonly acknowledge: AcknowledgeRule;
  readonly acknowledgeWithinMs: number;
  readonly lossy: 'allow' | 'refuse';
  readonly retention: RetentionConfig;
}

/** A namespace of which every region accepts writes. */
export interface ActiveActiveConfig {
  readonly name: string;
  readonly replication: 'active-active';
  readonly partitions: number;
  readonly retention: RetentionConfig;
}

export type NamespaceConfig = ActivePassiveConfig | ActiveActiveConfig;

/** The name under which links address the control store. */
export const CONTROL = 'control';

export interface LinkOverride {
  readonly from: string;
  /** A region, or `control`. */
  readonly to: string;
  readonly address: Endpoint;
}

/** A validated antipode.yaml with all defaults in place. Paths are as written: relative to the project folder. */
export interface TopologyConfig {
  readonly version: 1;
  readonly name: string;
  /** Feast project name. */
  readonly project: string;
  readonly regions: Readonly<Record<string, RegionConfig>>;
  readonly control: { readonly link: Endpoint; readonly data: string; readonly place: string | null };
  readonly links: readonly LinkOverride[];
  readonly namespaces: Readonly<Record<string, NamespaceConfig>>;
  readonly engines: { readonly log: 'lmdb'; readonly online: 'lmdb'; readonly offline: 'duckdb' };
  readonly security: {
    readonly reads: 'token' | 'open';
    readonly tokens: string;
    readonly certificates: string;
    readonly serving: { readonly tls: { readonly cert: string; readonly key: string } | null };
  };
  readonly limits: { readonly bodyBytes: number; readonly entitiesPerRequest: number };
}

/** Validates the content of antipode.yaml: first its shape, then what its parts demand of each other. */
export function parseTopology(raw: unknown): Validated<TopologyConfig> {
  const parsed = validate(topologySchema, raw);
  if (!parsed.ok) return parsed;
  const misplaced = replicationFaults(parsed.value);
  if (misplaced.length > 0) return { ok: false, issues: misplaced };
  const config = withDefaults(parsed.value);
  const issues = [
    ...regionFaults(config),
    ...listenerFaults(config),
    ...folderFaults(config),
    ...linkFaults(config),
    ...namespaceFaults(config),
    ...bindingFaults(config),
  ];
  return issues.length === 0 ? { ok: true, value: config } : { ok: false, issues };
}

/** Where `from` dials `to` (a region or `control`): the override of that direction, else the listening address. */
export function dialAddress(config: TopologyConfig, from: string, to: string): Endpoint {
  const override = config.links.find((link) => link.from === from && link.to === to);
  if (override !== undefined) return override.address;
  return to === CONTROL ? config.control.link : (config.regions[to] as RegionConfig).link;
}

function withDefaults(document: TopologyDocument): TopologyConfig {
  return {
    version: 1,
    name: document.name,
    project: document.project ?? document.name,
    regions: mapRecord(document.regions, (name, region) => ({
      ...region,
      name,
      data: region.data ?? `.antipode/data/${name}`,
    })),
    control: {
      link: document.control.link,
      data: document.control.data ?? '.antipode/data/control',
      place: document.control.place ?? null,
    },
    links: document.links,
    namespaces: mapRecord(document.namespaces, namespaceWithDefaults),
    engines: document.engines,
    security: { ...document.security, serving: { tls: document.security.serving.tls ?? null } },
    limits: document.limits,
  };
}

type NamespaceDocument = TopologyDocument['namespaces'][string];

/** What only a namespace with a hub has. */
const HUB_FIELDS = [
  'hub',
  'failover',
  'lease',
  'margin',
  'tail',
  'acknowledge',
  'acknowledgeWithin',
  'lossy',
] as const satisfies (keyof NamespaceDocument)[];

/** An active-passive namespace names its first hub; an active-active one has nothing that a hub would need. */
function replicationFaults(document: TopologyDocument): ConfigIssue[] {
  return Object.entries(document.namespaces).flatMap(([name, namespace]) => {
    const path = ['namespaces', name];
    if (namespace.replication === 'active-passive') {
      if (namespace.hub !== undefined) return [];
      const remedy = 'Name the region that accepts writes first, or set replication: active-active.';
      return [{ path, message: 'hub is missing', remedy }];
    }
    return HUB_FIELDS.filter((field) => namespace[field] !== undefined).map((field) => ({
      path: [...path, field],
      message: `an active-active namespace has no ${field}: every region accepts its writes, and none takes over from another`,
      remedy: `Remove ${field}, or set replication: active-passive.`,
    }));
  });
}

function namespaceWithDefaults(name: string, document: NamespaceDocument): NamespaceConfig {
  const { replication, partitions } = document;
  const retention = { ageMs: document.retention.age, bytes: document.retention.bytes };
  if (replication === 'active-active') return { name, replication, partitions, retention };
  const acknowledge = document.acknowledge === 'local' ? 0 : (document.acknowledge ?? 0);
  return {
    name,
    replication,
    hub: document.hub ?? '',
    partitions,
    failover: document.failover ?? 'automatic',
    leaseMs: document.lease ?? 3000,
    marginMs: document.margin ?? 500,
    tail: document.tail ?? 'replay',
    acknowledge,
    acknowledgeWithinMs: document.acknowledgeWithin ?? 5000,
    lossy: document.lossy ?? (acknowledge === 0 ? 'allow' : 'refuse'),
    retention,
  };
}

function mapRecord<In, Out>(
  record: Readonly<Record<string, In>>,
  change: (name: string, value: In) => Out,
): Record<string, Out> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(name, value)]));
}

function regionFaults(config: TopologyConfig): ConfigIssue[] {
  const hubs = Object.values(config.namespaces).some(({ replication }) => replication === 'active-passive');
  if (!hubs || Object.values(config.regions).some((region) => region.promotable)) return [];
  return [
    {
      path: ['regions'],
      message: 'no region is promotable: nobody could ever be hub',
      remedy: 'Set promotable: true for a region.',
    },
  ];
}

interface Listener {
  readonly path: readonly string[];
  readonly what: string;
  readonly at: Endpoint;
}

function listeners(config: TopologyConfig): Listener[] {
  return [
    { path: ['control', 'link'], what: 'the control store', at: config.control.link },
    ...Object.values(config.regions).flatMap((region) => [
      { path: ['regions', region.name, 'link'], what: `the link of ${region.name}`, at: region.link },
      { path: ['regions', region.name, 'serve'], what: `the serving face of ${region.name}`, at: region.serve },
    ]),
  ];
}

function listenerFaults(config: TopologyConfig): ConfigIssue[] {
  const all = listeners(config);
  return all.flatMap((listener, index) => {
    const other = all.slice(0, index).find((earlier) => collide(earlier.at, listener.at));
    if (other === undefined) return [];
    const message = `${formatEndpoint(listener.at)} is taken by ${other.what}`;
    return [{ path: listener.path, message, remedy: 'Give every face a port of its own.' }];
  });
}

function collide(a: Endpoint, b: Endpoint): boolean {
  const host = (endpoint: Endpoint) => (isLoopback(endpoint.host) ? 'loopback' : endpoint.host.toLowerCase());
  return a.port === b.port && (host(a) === host(b) || isWildcard(a.host) || isWildcard(b.host));
}

function folderFaults(config: TopologyConfig): ConfigIssue[] {
  const taken = new Map([[config.control.data, 'the control store']]);
  return Object.values(config.regions).flatMap((region) => {
    const owner = taken.get(region.data);
    taken.set(region.data, region.name);
    if (owner === undefined) return [];
    return [
      {
        path: ['regions', region.name, 'data'],
        message: `the folder ${quote(region.data)} is used by ${owner} already`,
      },
    ];
  });
}

function linkFaults(config: TopologyConfig): ConfigIssue[] {
  const seen = new Set<string>();
  const targets = [...Object.keys(config.regions), CONTROL];
  return config.links.flatMap((link, index) => {
    const faults = [
      ...unknownRegion(['links', index, 'from'], link.from, Object.keys(config.regions)),
      ...unknownRegion(['links', index, 'to'], link.to, targets),
    ];
    if (link.from === link.to)
      faults.push({ path: ['links', index], message: `a link leads from ${link.from} to itself` });
    const direction = `${link.from}>${link.to}`;
    if (seen.has(direction))
      faults.push({ path: ['links', index], message: `the way from ${link.from} to ${link.to} is given twice` });
    seen.add(direction);
    return faults;
  });
}

function unknownRegion(path: ConfigIssue['path'], name: string, known: readonly string[]): ConfigIssue[] {
  if (known.includes(name)) return [];
  return [
    {
      path,
      message: `no region is named ${quote(name)}${didYouMean(name, known)}`,
      remedy: `Regions: ${known.join(', ')}.`,
    },
  ];
}

function namespaceFaults(config: TopologyConfig): ConfigIssue[] {
  return Object.values(config.namespaces).flatMap((namespace) => {
    if (namespace.replication === 'active-active') return [];
    const path = ['namespaces', namespace.name];
    const faults = unknownRegion([...path, 'hub'], namespace.hub, Object.keys(config.regions));
    if (faults.length === 0 && config.regions[namespace.hub]?.promotable === false) {
      faults.push({
        path: [...path, 'hub'],
        message: `the region ${namespace.hub} is not promotable and cannot be hub`,
      });
    }
    if (namespace.leaseMs <= LEASE_MARGINS_MIN * namespace.marginMs) {
      faults.push({
        path: [...path, 'lease'],
        message: `the lease of ${formatDuration(namespace.leaseMs)} is not longer than ${LEASE_MARGINS_MIN} margins of ${formatDuration(namespace.marginMs)}`,
        remedy: `Use a lease above ${formatDuration(LEASE_MARGINS_MIN * namespace.marginMs)}, or a smaller margin.`,
      });
    }
    return [...faults, ...failoverFaults(config, namespace, path), ...acknowledgeFaults(config, namespace, path)];
  });
}

/** Writes may wait only for regions that a promotion can ask: the promotable ones beside the hub, whichever that is. */
function acknowledgeFaults(
  config: TopologyConfig,
  namespace: ActivePassiveConfig,
  at: readonly string[],
): ConfigIssue[] {
  const path = [...at, 'acknowledge'];
  const { acknowledge: rule } = namespace;
  const promotable = Object.values(config.regions)
    .filter((region) => region.promotable)
    .map(({ name }) => name);
  const others = promotable.length - 1;
  if (typeof rule === 'number') {
    if (rule <= others) return [];
    const message = `writes would wait for ${rule} regions beside the hub, and there are ${Math.max(0, others)} promotable ones`;
    return [{ path, message, remedy: 'Use a smaller number, or make more regions promotable.' }];
  }
  const faults: ConfigIssue[] = rule.flatMap((name, index) => {
    const unknown = unknownRegion([...path, index], name, Object.keys(config.regions));
    if (unknown.length > 0) return unknown;
    if (rule.indexOf(name) < index) return [{ path: [...path, index], message: `${name} is named twice` }];
    if (promotable.includes(name)) return [];
    const message = `${name} is not promotable: it could not say in a promotion what it holds`;
    return [{ path: [...path, index], message, remedy: `Set promotable: true for ${name}, or name another region.` }];
  });
  if (rule.length === 1 && rule[0] === namespace.hub) {
    const message = `${namespace.hub} is the hub and holds every write anyway`;
    faults.push({ path, message, remedy: 'Name the regions that shall hold it too.' });
  }
  if (faults.length === 0 && others < 1)
    faults.push({ path, message: 'there is no promotable region beside the hub to wait for' });
  return faults;
}

/** With two regions only a witness in a third place can tell a dead hub from a cut link (P6.8): the control store is it. */
function failoverFaults(
  config: TopologyConfig,
  namespace: ActivePassiveConfig,
  path: readonly string[],
): ConfigIssue[] {
  const regions = Object.values(config.regions);
  if (namespace.failover !== 'automatic' || regions.length >= 3) return [];
  const base = { path: [...path, 'failover'] };
  const promotable = regions.filter((region) => region.promotable).length;
  if (promotable < 2) {
    return [
      {
        ...base,
        message: 'automatic failover needs a second promotable region',
        remedy: 'Add a region, or set failover: manual.',
      },
    ];
  }
  const { place } = config.control;
  if (place !== null && regions.every((region) => region.place !== place)) return [];
  return [
    {
      ...base,
      message: 'automatic failover with two regions needs the control store in a third place as witness',
      remedy:
        "Set control.place to a place that is not one of the regions', add a third region, or set failover: manual.",
    },
  ];
}

function bindingFaults(config: TopologyConfig): ConfigIssue[] {
  if (config.security.serving.tls !== null) return [];
  return Object.values(config.regions)
    .filter((region) => !isLoopback(region.serve.host))
    .map((region) => ({
      path: ['regions', region.name, 'serve'],
      code: 'UNSAFE_BINDING' as const,
      message: `${region.name} would serve on ${formatEndpoint(region.serve)}, beyond loopback, without TLS`,
      remedy: 'Set security.serving.tls with cert and key, or bind to 127.0.0.1.',
    }));
}
