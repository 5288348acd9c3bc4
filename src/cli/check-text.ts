import { formatRows } from "./table.js";

/** What `pontoon check` prints with `--json`. */
export interface CheckReport {
  /** Nothing stops pontoon from working. */
  readonly well: boolean;
  readonly findings: readonly {
    readonly level: "ok" | "warning" | "problem";
    readonly subject: string;
    readonly text: string;
    readonly remedy: string | undefined;
  }[];
  /** What `--repair` removed. */
  readonly repaired: readonly string[];
}

/** The findings as people read them: one line each, then how many matter. */
export function checkText({ findings, repaired }: CheckReport): string[] {
  const lines = findings.map(({ level, subject, text, remedy }) => [
    level.padEnd("warning".length),
    subject,
    `${text}${remedy === undefined ? "" : `; ${remedy}`}`,
  ]);
  return [
    ...formatRows(lines),
    ...formatRows(repaired.map((what) => ["removed".padEnd("warning".length), what])),
    "",
    summary(findings),
  ];
}

function summary(findings: CheckReport["findings"]): string {
  const problems = findings.filter(({ level }) => level === "problem").length;
  const warnings = findings.filter(({ level }) => level === "warning").length;
  if (problems === 0)
    return warnings === 0 ? "All is well." : `Nothing stops pontoon from working; ${number(warnings, "warning")}.`;
  return `${number(problems, "problem")}${warnings === 0 ? "" : `, ${number(warnings, "warning")}`}.`;
}

function number(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
