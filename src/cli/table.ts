import { printable } from "../../common/printable.js";

/** Lines of a table: columns as wide as their widest cell, two spaces apart, nothing behind the last. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return formatRows([header, ...rows]);
}

/** The same without a header. Cells are made printable before they are laid out, so that none forges a row or a column. */
export function formatRows(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of cells)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}
