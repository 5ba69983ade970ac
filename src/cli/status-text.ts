import type { AntipodeError } from '#core/errors';
import { CLOCK_WARN_MS } from '#region/clocks/peer-clocks';
import type { RegionStatus } from '#region/status';
import { formatBytes, formatCount, formatMs, formatMsOrDash } from './terminal/format.ts';
import { paint } from './terminal/style.ts';
import { formatTable } from './terminal/table.ts';

/** What one region answered, or why it did not. */
export type Observed =
  | { readonly region: string; readonly status: RegionStatus; readonly error: null }
  | { readonly region: string; readonly status: null; readonly error: AntipodeError };

/** The status of a topology for a person: regions, namespaces, links, tails; what is empty is left out. */
export function statusLines(observed: readonly Observed[]): string[] {
  const answered = observed.flatMap((each) => (each.status === null ? [] : [each.status]));
  return [
    ...regionTable(observed),
    ...section('NAMESPACES', namespaceTable(answered)),
    ...section('MEMBERS', memberTable(answered)),
    ...section('LINKS', linkTable(answered)),
    ...section('BACKFILLS', backfillTable(answered)),
    ...section('TAILS', tailTable(answered)),
    ...section('HALTED STREAMS', haltedTable(answered)),
    ...section('PARKED STREAMS', parkedTable(answered)),
    ...section('CLOCKS', clockTable(answered)),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', paint('bold', title), ...lines];
}

function regionTable(observed: readonly Observed[]): string[] {
  const rows = observed.map(({ region, status, error }) => {
    if (status === null) return [region, '', paint('red', 'unreachable'), '', '', '', '', error.message];
    return [
      region,
      status.place,
      paint(status.state === 'serving' ? 'green' : 'yellow', status.state),
      formatCount(status.store.rows),
      `${formatBytes(status.store.bytes)} + ${formatBytes(status.log.bytes)} log`,
      `${formatCount(status.ingest.changesPerSecond)}/s`,
      `${formatCount(status.reads.requestsPerSecond)}/s`,
      status.control.reachable ? '' : paint('yellow', 'control store not reachable'),
    ];
  });
  const right = { right: true } as const;
  return formatTable(
    [
      { title: 'REGION' },
      { title: 'PLACE' },
      { title: 'STATE' },
      { title: 'ROWS', ...right },
      { title: 'ON DISK', ...right },
      { title: 'INGEST', ...right },
      { title: 'READS', ...right },
      { title: '' },
    ],
    rows,
  );
}

/** Namespaces that lack what no log can give them, and how far they are filled. */
function backfillTable(statuses: readonly RegionStatus[]): string[] {
  const rows = statuses.flatMap(({ region, namespaces }) =>
    namespaces.flatMap(({ namespace, backfill }) => {
      if (backfill === null) return [];
      const expected = backfill.rowsExpected === null ? '' : ` of at most ${formatCount(backfill.rowsExpected)}`;
      const progress = `${formatCount(backfill.rows)} rows${expected}, ${formatBytes(backfill.bytes)}`;
      return [[region, namespace, paint('yellow', backfill.phase), backfill.peer ?? '', progress, backfill.reason]];
    }),
  );
  if (rows.length === 0) return [];
  return formatTable(
    ['REGION', 'NAMESPACE', 'PHASE', 'FROM', 'SO FAR', 'WHY'].map((title) => ({ title })),
    rows,
  );
}

function namespaceTable(statuses: readonly RegionStatus[]): string[] {
  const rows = statuses.flatMap((status) =>
    status.namespaces.map((namespace) => {
      const open = status.streams.filter((stream) => stream.namespace === namespace.namespace && stream.open);
      const worst = (pick: (stream: (typeof open)[number]) => number | null): number | null =>
        open.reduce<number | null>((most, stream) => maxOrNull(most, pick(stream)), null);
      return [
        namespace.namespace,
        status.region,
        namespace.replication === 'active-active' ? 'every region' : (namespace.hub ?? '-'),
        namespace.replication === 'active-active' ? '' : String(namespace.epoch),
        namespace.accepting ? paint('green', 'accepting') : namespace.role,
        formatMsOrDash(namespace.freshnessMs),
        formatCount(open.reduce((sum, stream) => sum + stream.backlog, 0)),
        `${formatMsOrDash(worst((stream) => stream.lag.p50Ms))} / ${formatMsOrDash(worst((stream) => stream.lag.p99Ms))}`,
      ];
    }),
  );
  if (rows.length === 0) return [];
  return formatTable(
    [
      { title: 'NAMESPACE' },
      { title: 'IN' },
      { title: 'HUB' },
      { title: 'EPOCH', right: true },
      { title: 'ROLE' },
      { title: 'FRESH TO', right: true },
      { title: 'BACKLOG', right: true },
      { title: 'LAG P50 / P99', right: true },
    ],
    rows,
  );
}

/** Of active-active namespaces: how much of each member's writes is in each region, and what a region waits for. */
function memberTable(statuses: readonly RegionStatus[]): string[] {
  const rows = statuses.flatMap((status) =>
    status.namespaces.flatMap(({ namespace, members, waitsFor }) =>
      (members ?? []).map((member) => [
        namespace,
        status.region,
        member.region,
        member.freshnessMs === null ? paint('yellow', 'not heard') : formatMs(member.freshnessMs),
        member.region === status.region ? (waitsFor ?? '') : '',
      ]),
    ),
  );
  if (rows.length === 0) return [];
  return formatTable(
    [
      { title: 'NAMESPACE' },
      { title: 'IN' },
      { title: 'WRITES OF' },
      { title: 'FRESH TO', right: true },
      { title: '' },
    ],
    rows,
  );
}

function linkTable(statuses: readonly RegionStatus[]): string[] {
  const rows = statuses.flatMap((status) =>
    status.links.map((link) => [
      `${link.peer} to ${status.region}`,
      paint(link.state === 'connected' ? 'green' : 'yellow', link.state),
      `for ${formatMs(Math.max(0, status.nowMs - link.sinceMs))}`,
      formatMsOrDash(link.roundTripMs),
      formatBytes(link.bytesReceived),
      formatCount(link.changesReceived),
      link.reason ?? '',
    ]),
  );
  if (rows.length === 0) return [];
  return formatTable(
    [
      { title: 'LINK' },
      { title: 'STATE' },
      { title: '' },
      { title: 'ROUND TRIP', right: true },
      { title: 'RECEIVED', right: true },
      { title: 'CHANGES', right: true },
      { title: '' },
    ],
    rows,
  );
}

function tailTable(statuses: readonly RegionStatus[]): string[] {
  const rows = statuses.flatMap((status) =>
    status.tails.map((tail) => [
      tail.namespace,
      status.region,
      tail.stream,
      formatCount(tail.to - tail.from),
      paint(tail.state === 'replayed' || tail.state === 'discarded' ? 'green' : 'yellow', tail.state),
      `${formatCount(tail.replayed)} taken over`,
    ]),
  );
  if (rows.length === 0) return [];
  return formatTable(
    [
      { title: 'NAMESPACE' },
      { title: 'HELD BY' },
      { title: 'STREAM' },
      { title: 'CHANGES', right: true },
      { title: 'STATE' },
      { title: '' },
    ],
    rows,
  );
}

function haltedTable(statuses: readonly RegionStatus[]): string[] {
  return statuses.flatMap((status) =>
    status.streams
      .filter((stream) => stream.haltedReason !== null)
      .map(
        (stream) =>
          `${status.region}: ${stream.stream} is not applied beyond ${stream.applied}: ${stream.haltedReason}`,
      ),
  );
}

function parkedTable(statuses: readonly RegionStatus[]): string[] {
  return statuses.flatMap((status) =>
    status.streams.flatMap(({ stream, applied, parkedUntilMs }) =>
      parkedUntilMs === null
        ? []
        : [`${status.region}: ${stream} waits at ${applied}, parked until ${new Date(parkedUntilMs).toISOString()}`],
    ),
  );
}

/** Only what people should look at: offsets that are warned of, and regions that accept nothing for them. */
function clockTable(statuses: readonly RegionStatus[]): string[] {
  return statuses.flatMap(({ region, clock }) => [
    ...(clock.fenced === null ? [] : [paint('red', `${region} accepts no writes: ${clock.fenced}`)]),
    ...clock.offsets
      .filter(({ offsetMs, uncertaintyMs }) => Math.abs(offsetMs) - uncertaintyMs >= CLOCK_WARN_MS)
      .map(
        ({ peer, offsetMs, uncertaintyMs }) =>
          `${region}: the clock of ${peer} is ${formatMs(Math.abs(offsetMs))} ${offsetMs > 0 ? 'ahead' : 'behind'}, give or take ${formatMs(uncertaintyMs)}`,
      ),
  ]);
}

function maxOrNull(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
