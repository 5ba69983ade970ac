import { Counter, Gauge, Registry } from 'prom-client';
import type { ConflictCount, LinkStatus, NamespaceStatus, RegionStatus, StreamStatus } from '#region/status';

const STREAM_LABELS = ['source_region', 'target_region', 'namespace'] as const;
const LINK_LABELS = ['source_region', 'target_region'] as const;

/** Quantiles that a status carries, as Prometheus writes them; 1 is the greatest seen. */
const LAG_QUANTILES = [
  ['0.5', 'p50Ms'],
  ['0.99', 'p99Ms'],
  ['1', 'maxMs'],
] as const;

/**
 * The region's status as Prometheus metrics, for one scrape. Everything is computed from the same snapshot that status and
 * the dashboard show, so that no two of them disagree. Units are seconds and bytes; counters are since the start of the
 * region's process.
 */
export async function regionMetrics(status: RegionStatus): Promise<string> {
  const registry = new Registry();
  const gauge = gaugeMaker(registry);
  const counter = counterMaker(registry);
  const { region } = status;
  gauge(
    'antipode_region_info',
    'Always 1; tells place and state of the region.',
    { region, place: status.place, state: status.state },
    1,
  );
  gauge(
    'antipode_start_timestamp_seconds',
    'When the process of the region started.',
    { region },
    status.startedAtMs / 1000,
  );
  gauge(
    'antipode_control_reachable',
    'Whether the control store answers.',
    { region },
    Number(status.control.reachable),
  );
  gauge('antipode_store_rows', 'Rows in the online store.', { region }, status.store.rows);
  gauge('antipode_store_bytes', 'Size of the online store.', { region }, status.store.bytes);
  gauge('antipode_log_bytes', 'Size of the log that holds all streams.', { region }, status.log.bytes);
  gauge(
    'antipode_snapshot_timestamp_seconds',
    'When the newest copy of the store beside the log was taken; 0 when there is none.',
    { region },
    (status.log.snapshot?.atMs ?? 0) / 1000,
  );
  gauge('antipode_snapshot_bytes', 'Size of that copy.', { region }, status.log.snapshot?.bytes ?? 0);
  gauge(
    'antipode_backfilling',
    'Namespaces that lack what no log can give them: 1 from when it is found until all of it is here and durable.',
    { region },
    status.namespaces.filter(({ backfill }) => backfill !== null).length,
  );
  counter('antipode_backfill_completed_total', 'Backfills that filled a gap.', { region }, status.backfills.completed);
  counter('antipode_backfill_rows_total', 'Rows that came by backfills.', { region }, status.backfills.rows);
  counter('antipode_backfill_bytes_total', 'Bytes that came by backfills.', { region }, status.backfills.bytes);
  gauge(
    'antipode_tails',
    'Tails that are kept or being replayed.',
    { region },
    status.tails.filter(({ state }) => state === 'kept' || state === 'replaying').length,
  );
  gauge(
    'antipode_streams_halted',
    'Streams that are not applied any further; status tells why.',
    { region },
    status.streams.filter((stream) => stream.haltedReason !== null).length,
  );
  gauge(
    'antipode_streams_parked',
    'Streams that wait because their next change is stamped too far ahead of the clock here.',
    { region },
    status.streams.filter((stream) => stream.parkedUntilMs !== null).length,
  );
  gauge(
    'antipode_clock_fenced',
    'Whether no writes are accepted because the wall clock is off those of most peers.',
    { region },
    Number(status.clock.fenced !== null),
  );
  for (const { peer, offsetMs, uncertaintyMs } of status.clock.offsets) {
    gauge('antipode_clock_offset_seconds', "Peer's wall clock less this one's.", { region, peer }, offsetMs / 1000);
    gauge(
      'antipode_clock_offset_uncertainty_seconds',
      'How far the offset may be off: half a round trip.',
      { region, peer },
      uncertaintyMs / 1000,
    );
  }
  counter(
    'antipode_read_requests_total',
    'Feature reads answered by all serving processes.',
    { region },
    status.reads.requests,
  );
  counter('antipode_read_rows_total', 'Rows looked up by feature reads.', { region }, status.reads.rows);
  counter(
    'antipode_read_errors_total',
    'Feature reads that failed through no fault of the caller.',
    { region },
    status.reads.errors,
  );
  counter(
    'antipode_ingest_accepted_changes_total',
    'Changes accepted here.',
    { region },
    status.ingest.acceptedChanges,
  );
  counter('antipode_ingest_refused_changes_total', 'Changes refused.', { region }, status.ingest.refusedChanges);
  counter(
    'antipode_ingest_quarantined_changes_total',
    'Changes held back in quarantine.',
    { region },
    status.ingest.quarantinedChanges,
  );
  counter(
    'antipode_ingest_duplicate_requests_total',
    'Requests whose idempotency key was known.',
    { region },
    status.ingest.duplicateRequests,
  );
  counter(
    'antipode_ingest_forwarded_requests_total',
    'Requests forwarded to the hub.',
    { region },
    status.ingest.forwardedRequests,
  );
  conflictMetrics(counter, region, status.conflicts);
  for (const namespace of status.namespaces) namespaceMetrics(gauge, region, namespace);
  for (const stream of openStreams(status.streams)) streamMetrics(gauge, counter, region, stream);
  for (const link of status.links) linkMetrics(gauge, counter, region, link);
  return registry.metrics();
}

type Labels = Readonly<Record<string, string>>;
type SetMetric = (name: string, help: string, labels: Labels, value: number | null) => void;

function gaugeMaker(registry: Registry): SetMetric {
  const made = new Map<string, Gauge>();
  return (name, help, labels, value) => {
    if (value === null) return;
    const gauge = made.get(name) ?? new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] });
    made.set(name, gauge);
    gauge.set(labels, value);
  };
}

function counterMaker(registry: Registry): SetMetric {
  const made = new Map<string, Counter>();
  return (name, help, labels, value) => {
    if (value === null) return;
    const counter =
      made.get(name) ?? new Counter({ name, help, labelNames: Object.keys(labels), registers: [registry] });
    made.set(name, counter);
    counter.inc(labels, value);
  };
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

function labels<Name extends string>(names: readonly Name[], values: readonly string[]): Labels {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
}

function namespaceMetrics(gauge: SetMetric, region: string, namespace: NamespaceStatus): void {
  const own = { region, namespace: namespace.namespace };
  gauge('antipode_epoch', 'Epoch of the namespace as known here.', own, namespace.epoch);
  gauge('antipode_accepting', 'Whether this region accepts writes itself.', own, Number(namespace.accepting));
  gauge(
    'antipode_lease_remaining_seconds',
    'What is left of the lease held here.',
    own,
    seconds(namespace.leaseRemainingMs),
  );
  gauge(
    'antipode_namespace_freshness_seconds',
    'Now minus the watermark of the least fresh open stream.',
    own,
    seconds(namespace.freshnessMs),
  );
  gauge(
    'antipode_namespace_info',
    'Always 1; tells how the namespace is replicated.',
    { ...own, replication: namespace.replication },
    1,
  );
  for (const { region: member, freshnessMs } of namespace.members ?? [])
    gauge(
      'antipode_member_freshness_seconds',
      "Now minus the watermark of one member's streams, of an active-active namespace.",
      { ...own, member },
      seconds(freshnessMs),
    );
  if (namespace.replication === 'active-passive')
    gauge('antipode_hub_info', 'Always 1; tells the hub as known here.', { ...own, hub: namespace.hub ?? '' }, 1);
}

/** Names of views, and pairs of regions: as many as are configured. */
function conflictMetrics(counter: SetMetric, region: string, counts: readonly ConflictCount[]): void {
  for (const { view, superseded, pairs } of counts) {
    counter(
      'antipode_superseded_writes_total',
      'Writes that lost: a value that was not made knowing them stayed, or took their place.',
      { region, view },
      superseded,
    );
    for (const { origins, concurrent, undecidable } of pairs) {
      const help =
        'Pairs of changes of one key, neither of them made knowing the other, since this region has its disks.';
      const names = { region, view, origins: origins.join(',') };
      counter('antipode_conflicts_total', help, { ...names, kind: 'concurrent' }, concurrent);
      counter('antipode_conflicts_total', help, { ...names, kind: 'undecidable' }, undecidable);
    }
  }
}

interface OpenStream {
  readonly origin: string;
  readonly namespace: string;
  readonly freshnessMs: number | null;
  readonly backlog: number;
  readonly lag: StreamStatus['lag'];
}

/**
 * One entry an origin and namespace: partitions and incarnations are no labels, because their number grows without end.
 * The worst of them counts for time, the sum for the backlog.
 */
function openStreams(streams: readonly StreamStatus[]): OpenStream[] {
  const merged = new Map<string, OpenStream>();
  for (const stream of streams) {
    if (!stream.open) continue;
    const key = `${stream.namespace}/${stream.origin}`;
    const known = merged.get(key);
    merged.set(
      key,
      known === undefined
        ? stream
        : {
            ...known,
            freshnessMs: greatest(known.freshnessMs, stream.freshnessMs),
            backlog: known.backlog + stream.backlog,
            lag: {
              count: known.lag.count + stream.lag.count,
              p50Ms: greatest(known.lag.p50Ms, stream.lag.p50Ms),
              p99Ms: greatest(known.lag.p99Ms, stream.lag.p99Ms),
              maxMs: greatest(known.lag.maxMs, stream.lag.maxMs),
            },
          },
    );
  }
  return [...merged.values()];
}

function greatest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}

function streamMetrics(gauge: SetMetric, counter: SetMetric, region: string, stream: OpenStream): void {
  const route = labels(STREAM_LABELS, [stream.origin, region, stream.namespace]);
  gauge(
    'antipode_freshness_seconds',
    'Now minus the watermark: up to how long ago everything is here.',
    route,
    seconds(stream.freshnessMs),
  );
  gauge('antipode_backlog_changes', 'Changes announced by the origin and not applied here.', route, stream.backlog);
  counter('antipode_replicated_changes_total', 'Changes whose lag was measured here.', route, stream.lag.count);
  for (const [quantile, field] of LAG_QUANTILES) {
    gauge(
      'antipode_replication_lag_seconds',
      'From acceptance at the origin to visible here, over the life of the process.',
      { ...route, quantile },
      seconds(stream.lag[field]),
    );
  }
}

function linkMetrics(gauge: SetMetric, counter: SetMetric, region: string, link: LinkStatus): void {
  const inbound = labels(LINK_LABELS, [link.peer, region]);
  const outbound = labels(LINK_LABELS, [region, link.peer]);
  gauge('antipode_link_up', 'Whether the link is connected.', inbound, Number(link.state === 'connected'));
  gauge('antipode_link_round_trip_seconds', 'Round trip of the link.', inbound, seconds(link.roundTripMs));
  counter('antipode_link_received_bytes_total', 'Bytes received over the link.', inbound, link.bytesReceived);
  counter('antipode_link_sent_bytes_total', 'Bytes sent over the link.', outbound, link.bytesSent);
  counter('antipode_link_received_changes_total', 'Changes received over the link.', inbound, link.changesReceived);
  counter('antipode_link_received_frames_total', 'Frames received over the link.', inbound, link.framesReceived);
  counter('antipode_link_reconnects_total', 'Times the link was connected anew.', inbound, link.reconnects);
}
