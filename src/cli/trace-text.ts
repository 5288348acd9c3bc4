import { formatRows } from "./table.js";

/** What `pontoon trace` prints with `--json`. */
export interface TraceReport {
  readonly from: string;
  readonly to: string;
  readonly steps: readonly {
    readonly kind: string;
    readonly verdict: "passes" | "warns" | "stops";
    readonly where: string;
    readonly text: string;
    readonly whose?: string;
  }[];
  readonly end: { readonly arrives: boolean; readonly where: string; readonly why: string; readonly remedy?: string };
}

const signs = { passes: "ok", warns: "warning", stops: "stops" } as const;

/** The way as people read it: a line for each step, then where it ends and what to change. */
export function traceText({ from, to, steps, end }: TraceReport): string[] {
  const rows = steps.map(({ kind, verdict, where, text, whose }) => [
    signs[verdict].padEnd("warning".length),
    where,
    kind,
    `${text}${whose === undefined ? "" : ` (${whose})`}`,
  ]);
  const remedy = end.remedy === undefined ? "" : `; to change it: ${end.remedy}`;
  const last = end.arrives ? `It arrives: ${end.why}${remedy}` : `It ends in ${end.where}: ${end.why}${remedy}`;
  return [`${from} → ${to}`, ...formatRows(rows), "", last];
}
