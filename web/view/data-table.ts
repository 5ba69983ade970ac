import { type ComponentChild, html, type VNode } from '../html.ts';

export interface Column<Row> {
  readonly name: string;
  readonly cell: (row: Row) => ComponentChild;
  readonly numeric?: boolean;
}

/**
 * A table that turns into cards on a narrow screen. The roles are written out because a table that is not displayed as
 * one loses them.
 */
export function DataTable<Row>(props: {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly classOf?: (row: Row) => string;
}): VNode {
  const { label, columns, rows, keyOf, classOf } = props;
  const kind = (column: Column<Row>): string => (column.numeric === true ? 'numeric' : '');
  return html`<div class="table-scroll" role="region" aria-label=${label} tabindex="0">
    <table role="table">
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map((column) => html`<th role="columnheader" scope="col" class=${kind(column)}>${column.name}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) => html`<tr role="row" key=${keyOf(row)} class=${classOf?.(row) ?? ''}>
            ${columns.map(
              (column, index) => html`<td
                role=${index === 0 ? 'rowheader' : 'cell'}
                data-label=${column.name}
                class=${kind(column)}
              >
                <div>${column.cell(row)}</div>
              </td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
