import { formatCount, formatQuantity } from '../format.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionStatus, TailStatus } from '../snapshot.ts';
import { type Column, DataTable } from './data-table.ts';

const COLUMNS: readonly Column<TailStatus>[] = [
  { name: 'Stream', cell: (tail) => html`<code>${tail.stream}</code>` },
  {
    name: 'State',
    cell: (tail) =>
      html`<span class=${`state ${tail.state === 'replayed' || tail.state === 'discarded' ? 'ok' : 'warning'}`}><b>${tail.state}</b></span>`,
  },
  {
    name: 'Beyond seal',
    numeric: true,
    cell: (tail) => html`${formatCount(tail.to - tail.from)}<span class="unit"> rows</span>`,
  },
  {
    name: 'Positions',
    numeric: true,
    cell: (tail) => html`<span class="unit">seq </span>${formatCount(tail.from + 1)} to ${formatCount(tail.to)}`,
  },
  { name: 'Taken over', numeric: true, cell: progressCell },
];

/** What deposed hubs accepted beyond the seal. */
export function TailTable(props: { readonly status: RegionStatus }): VNode {
  const { tails } = props.status;
  return html`<section class="panel tails" aria-labelledby="tails-title">
    <h2 id="tails-title">Tails</h2>
    ${
      tails.length === 0
        ? html`<p class="empty">No tails: nothing is held beyond a seal.</p>`
        : h(DataTable<TailStatus>, {
            label: 'Tails',
            columns: COLUMNS,
            rows: tails,
            keyOf: (tail) => `${tail.stream} ${tail.from}`,
          })
    }
  </section>`;
}

function progressCell(tail: TailStatus): VNode {
  const total = tail.to - tail.from;
  return html`<span class="progress-cell">
    <progress max=${total} value=${tail.replayed} aria-label=${`${formatQuantity(tail.replayed, 'row')} of ${formatCount(total)}`}></progress>
    <span>${formatCount(tail.replayed)}<span class="unit"> rows</span></span>
  </span>`;
}
