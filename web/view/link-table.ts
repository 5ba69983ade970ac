import { formatBytes, formatClock, formatCount, formatDuration, formatRate, NOT_KNOWN } from '../format.ts';
import { type History, recentMean } from '../history.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionStatus } from '../snapshot.ts';
import type { PeerLink, Topology } from '../topology.ts';
import { type Column, DataTable } from './data-table.ts';
import { SeverityMark } from './severity-mark.ts';

const RATE_SPAN_MS = 5_000;

export function LinkTable(props: {
  readonly status: RegionStatus;
  readonly history: History;
  readonly topology: Topology;
}): VNode {
  const { status, history, topology } = props;
  const columns: readonly Column<PeerLink>[] = [
    { name: 'Peer', cell: (link) => html`<strong>${link.peer}</strong>` },
    { name: 'State', cell: (link) => stateCell(link, status.nowMs) },
    { name: 'Round trip', numeric: true, cell: (link) => formatDuration(link.roundTripMs) },
    { name: 'Lag p99', numeric: true, cell: (link) => formatDuration(link.lagP99Ms) },
    { name: 'Backlog in', numeric: true, cell: (link) => changes(link.backlogIn) },
    {
      name: 'Backlog out',
      numeric: true,
      cell: (link) => (link.backlogOut === null ? NOT_KNOWN : changes(link.backlogOut)),
    },
    { name: 'Received', numeric: true, cell: (link) => receivedCell(link, history) },
    { name: 'Sent', numeric: true, cell: (link) => formatBytes(link.status.bytesSent) },
    { name: 'Reconnects', numeric: true, cell: (link) => formatCount(link.status.reconnects) },
  ];
  return html`<section class="panel links" aria-labelledby="links-title">
    <h2 id="links-title">Links</h2>
    ${
      topology.links.length === 0
        ? html`<p class="empty">No links: ${status.region} is alone in its topology.</p>`
        : h(DataTable<PeerLink>, {
            label: 'Links',
            columns,
            rows: topology.links,
            keyOf: (link) => link.peer,
            classOf: (link) => link.severity,
          })
    }
  </section>`;
}

function stateCell(link: PeerLink, nowMs: number): VNode {
  const since = html`<time title=${`since ${formatClock(link.sinceMs)} UTC`}>for ${formatDuration(nowMs - link.sinceMs)}</time>`;
  return html`<span class=${`state ${link.severity}`}>${h(SeverityMark, { severity: link.severity })}<b>${link.health}</b></span>
    <span class="quiet number since">${since}</span>
    ${link.reason === null || link.health === 'connected' ? null : html`<span class="reason">${link.reason}</span>`}`;
}

function receivedCell(link: PeerLink, history: History): VNode {
  const rate = recentMean(history.samples, RATE_SPAN_MS, (sample) => sample.links[link.peer]?.changesPerSecond);
  return html`${formatBytes(link.status.bytesReceived)}<span class="second-line">${formatRate(rate, 'rows')}</span>`;
}

function changes(count: number): VNode {
  return html`${formatCount(count)}<span class="unit"> rows</span>`;
}
