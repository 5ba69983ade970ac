import { freshnessSeverity } from '../assessment.ts';
import { formatBytes, formatCount, formatDuration, formatQuantity, NOT_KNOWN, shortIncarnation } from '../format.ts';
import type { History } from '../history.ts';
import { type ComponentChild, h, html, type VNode } from '../html.ts';
import type { RegionStatus, StreamStatus } from '../snapshot.ts';
import { missingAt } from '../topology.ts';
import { type Column, DataTable } from './data-table.ts';

export function StreamTable(props: { readonly status: RegionStatus; readonly history: History }): VNode {
  const { status, history } = props;
  const peers = status.links.map((link) => link.peer);
  const open = status.streams.filter((stream) => stream.open);
  const closed = status.streams.filter((stream) => !stream.open);
  const table = (
    rows: readonly StreamStatus[],
    label: string,
    columns: readonly Column<StreamStatus>[],
  ): ComponentChild =>
    h(DataTable<StreamStatus>, { label, columns, rows, keyOf: (stream) => stream.stream, classOf: rowClass });
  return html`<section class="panel streams" aria-labelledby="streams-title">
    <div class="panel-head">
      <h2 id="streams-title">Streams</h2>
      <span class="quiet number">${stored(status)}</span>
    </div>
    ${open.length === 0 ? html`<p class="empty">No open stream: nothing has been written in the current epoch.</p>` : table(open, 'Open streams', openColumns(peers, history))}
    ${
      closed.length === 0
        ? null
        : html`<details>
          <summary>Closed streams of earlier epochs: ${formatCount(closed.length)}</summary>
          ${table(closed, 'Closed streams', closedColumns())}
        </details>`
    }
  </section>`;
}

function stored({ store, log }: RegionStatus): string {
  return `${formatQuantity(store.rows, 'row')} in the store, ${formatBytes(store.bytes)}; logs ${formatBytes(log.bytes)}`;
}

function openColumns(peers: readonly string[], history: History): readonly Column<StreamStatus>[] {
  return [
    { name: 'Stream', cell: (stream) => streamCell(stream, history) },
    { name: 'Epoch', numeric: true, cell: (stream) => formatCount(stream.epoch) },
    {
      name: 'Applied',
      numeric: true,
      cell: (stream) => html`<span class="unit">seq </span>${formatCount(stream.applied)}`,
    },
    {
      name: 'Backlog',
      numeric: true,
      cell: (stream) => html`${formatCount(stream.backlog)}<span class="unit"> rows</span>`,
    },
    {
      name: 'Freshness',
      numeric: true,
      cell: (stream) =>
        html`<span class=${`value ${freshnessSeverity(stream.freshnessMs)}`}>${formatDuration(stream.freshnessMs)}</span>`,
    },
    { name: 'Lag p50', numeric: true, cell: (stream) => formatDuration(stream.lag.p50Ms) },
    { name: 'Lag p99', numeric: true, cell: (stream) => formatDuration(stream.lag.p99Ms) },
    { name: 'Lag max', numeric: true, cell: (stream) => formatDuration(stream.lag.maxMs) },
    { name: 'Not yet durable at', cell: (stream) => durabilityCell(stream, peers) },
  ];
}

function closedColumns(): readonly Column<StreamStatus>[] {
  return [
    { name: 'Stream', cell: (stream) => streamCell(stream, null) },
    { name: 'Epoch', numeric: true, cell: (stream) => formatCount(stream.epoch) },
    {
      name: 'Applied',
      numeric: true,
      cell: (stream) => html`<span class="unit">seq </span>${formatCount(stream.applied)}`,
    },
    {
      name: 'Seal',
      numeric: true,
      cell: (stream) =>
        stream.seal === null ? NOT_KNOWN : html`<span class="unit">seq </span>${formatCount(stream.seal)}`,
    },
  ];
}

function streamCell(stream: StreamStatus, history: History | null): VNode {
  const colour = history?.colours[stream.stream];
  return html`<span class="stream-name" title=${stream.stream}>
    ${colour === undefined ? null : html`<i class=${`swatch series-${colour}`} aria-hidden="true"></i>`}
    <strong>${stream.namespace}/${stream.partition}</strong> <span>from ${stream.origin}</span>
    <code>${shortIncarnation(stream.incarnation)}</code>
  </span>${stream.haltedReason ? html`<span class="reason">halted: ${stream.haltedReason}</span>` : null}`;
}

/** Of this region's own streams: what each peer still lacks. */
function durabilityCell(stream: StreamStatus, peers: readonly string[]): VNode {
  const known = Object.keys(stream.durableAt);
  if (known.length === 0) return html`<span class="quiet">mirrored here</span>`;
  const missing = [...new Set([...peers, ...known])].map((peer) => ({ peer, changes: missingAt(stream, peer) }));
  if (missing.every(({ changes }) => changes === 0)) return html`<span class="quiet">durable everywhere</span>`;
  return html`<span class="missing">
    ${missing.filter(({ changes }) => changes > 0).map(({ peer, changes }) => html`<span class="missing-peer" key=${peer}>${peer} <b class="number">${formatCount(changes)}</b><span class="unit"> rows</span></span>`)}
  </span>`;
}

function rowClass(stream: StreamStatus): string {
  if (stream.haltedReason) return 'error';
  const severity = stream.open ? freshnessSeverity(stream.freshnessMs) : 'none';
  return severity === 'error' || severity === 'warning' ? severity : '';
}
