import { freshnessSeverity, hasNoHub } from '../assessment.ts';
import {
  formatCount,
  formatDuration,
  formatQuantity,
  formatRate,
  joinWords,
  NOT_KNOWN,
  streamLabel,
} from '../format.ts';
import { greatest, type History, recentMean } from '../history.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionStatus, StreamStatus } from '../snapshot.ts';
import type { Severity } from '../topology.ts';

/** Rates are averaged over this much, or the digits would dance. */
const RATE_SPAN_MS = 5_000;

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly detail: string;
  readonly severity?: Severity;
  /** When what is wrong stands in the detail, and the value itself is fine. */
  readonly detailSeverity?: Severity;
}

export function Tiles(props: { readonly history: History; readonly status: RegionStatus }): VNode {
  const { history, status } = props;
  const tiles = [
    hubTile(status),
    freshnessTile(status),
    lagTile(status),
    ingestTile(status, history),
    readTile(status, history),
    tailTile(status),
  ];
  return html`<dl class="tiles" aria-label="Key figures">${tiles.map((tile) => h(Tile, { key: tile.name, ...tile }))}</dl>`;
}

function Tile(props: TileProps): VNode {
  const { name, value, detail, severity = 'none', detailSeverity = 'none' } = props;
  return html`<div class=${`tile ${severity}`}>
    <dt>${name}</dt>
    <dd>
      <span class="tile-value number">${value}</span>
      <span class=${`tile-detail ${detailSeverity}`}>${detail}</span>
    </dd>
  </div>`;
}

function hubTile(status: RegionStatus): TileProps {
  const { namespaces, region } = status;
  const [only] = namespaces;
  if (only === undefined) return { name: 'Hub', value: NOT_KNOWN, detail: 'no namespace' };
  if (namespaces.length > 1) {
    const here = namespaces.filter((namespace) => namespace.hub === region || namespace.role === 'active').length;
    const without = namespaces.filter(hasNoHub).length;
    return {
      name: 'Hubs',
      value: `${here} of ${namespaces.length} here`,
      detail: without === 0 ? 'every namespace has a hub' : `${formatQuantity(without, 'namespace')} without a hub`,
      severity: without === 0 ? 'none' : 'error',
    };
  }
  if (only.replication === 'active-active') {
    const detail = only.accepting ? 'accepts writes here' : 'not accepting here yet';
    return { name: 'Writes', value: 'every region', detail, severity: only.accepting ? 'none' : 'warning' };
  }
  if (only.hub === null) return { name: 'Hub', value: 'none', detail: `last epoch ${only.epoch}`, severity: 'error' };
  const here = only.hub === region ? (only.accepting ? ', accepts writes here' : ', not accepting') : '';
  return { name: 'Hub', value: only.hub, detail: `epoch ${only.epoch}${here}` };
}

function freshnessTile(status: RegionStatus): TileProps {
  const worst = worstStream(status, (stream) => stream.freshnessMs);
  const value = worst?.freshnessMs ?? greatest(status.namespaces.map((namespace) => namespace.freshnessMs));
  const severity = freshnessSeverity(value);
  return {
    name: 'Worst freshness here',
    value: formatDuration(value),
    detail: worst === undefined ? 'no open stream' : streamLabel(worst),
    severity: severity === 'ok' ? 'none' : severity,
  };
}

function lagTile(status: RegionStatus): TileProps {
  const worst = worstStream(status, (stream) => stream.lag.p99Ms);
  return {
    name: 'Worst lag p99 here',
    value: formatDuration(worst?.lag.p99Ms),
    detail: worst === undefined ? 'nothing replicated yet' : streamLabel(worst),
  };
}

function ingestTile(status: RegionStatus, history: History): TileProps {
  const applied = recentMean(history.samples, RATE_SPAN_MS, (sample) => sample.appliedPerSecond);
  const accepted = recentMean(history.samples, RATE_SPAN_MS, (sample) => sample.acceptedPerSecond);
  const { quarantinedChanges, refusedChanges } = status.ingest;
  const bad = [
    quarantinedChanges > 0 ? `${formatCount(quarantinedChanges)} quarantined` : '',
    refusedChanges > 0 ? `${formatCount(refusedChanges)} refused` : '',
  ].filter((part) => part !== '');
  return {
    name: 'Ingest here',
    value: formatRate(accepted, 'rows'),
    detail: bad.length > 0 ? joinWords(bad) : `${formatRate(applied, 'rows')} applied`,
    detailSeverity: bad.length > 0 ? 'warning' : 'none',
  };
}

function readTile(status: RegionStatus, history: History): TileProps {
  const requests = recentMean(history.samples, RATE_SPAN_MS, (sample) => sample.requestsPerSecond);
  const rows = recentMean(history.samples, RATE_SPAN_MS, (sample) => sample.readRowsPerSecond);
  const failing = history.samples.some((sample) => (sample.readErrorsPerSecond ?? 0) > 0);
  const errors = status.reads.errors;
  return {
    name: 'Reads here',
    value: formatRate(requests, 'reads'),
    detail: errors > 0 ? `${formatQuantity(errors, 'error')} since start` : `${formatRate(rows, 'rows')}, no errors`,
    detailSeverity: failing ? 'error' : errors > 0 ? 'warning' : 'none',
  };
}

function tailTile(status: RegionStatus): TileProps {
  const open = status.tails.filter((tail) => tail.state === 'kept' || tail.state === 'replaying');
  const changes = open.reduce((sum, tail) => sum + tail.to - tail.from, 0);
  const replayed = status.tails.length - open.length;
  return {
    name: 'Tails',
    value: open.length === 0 ? 'none' : formatQuantity(changes, 'change'),
    detail:
      open.length > 0
        ? `in ${formatQuantity(open.length, 'tail')}`
        : replayed > 0
          ? `${replayed} replayed`
          : 'nothing beyond a seal',
    severity: open.length === 0 ? 'none' : 'warning',
  };
}

function worstStream(status: RegionStatus, measure: (stream: StreamStatus) => number | null): StreamStatus | undefined {
  const open = status.streams.filter((stream) => stream.open);
  const worst = greatest(open.map(measure));
  return worst === null ? undefined : open.find((stream) => measure(stream) === worst);
}
