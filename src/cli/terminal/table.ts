import { stripVTControlCharacters } from 'node:util';

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Lines of a table: columns as wide as their widest cell, two spaces between them. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const width = columns.map((column, at) =>
    Math.max(visible(column.title), ...rows.map((row) => visible(row[at] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, at) => {
        const cell = cells[at] ?? '';
        const pad = ' '.repeat(Math.max(0, (width[at] ?? 0) - visible(cell)));
        return column.right === true ? pad + cell : cell + pad;
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)];
}

function visible(text: string): number {
  return stripVTControlCharacters(text).length;
}
