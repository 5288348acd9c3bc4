import { printable, printableJson } from "../printable.js";

// All that the command prints goes through here: names, labels, reasons and rules are other people's text.

/** Prints lines. */
export function writeLines(lines: readonly string[]): void {
  process.stdout.write(printedLines(lines));
}

/** As they are printed; what would be a line feed within one is written out. */
export function printedLines(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** Prints data for programs. */
export function writeJson(data: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(data, undefined, 2))}\n`);
}

/** One line on stderr: what, why, what to do. */
export function writeProblem(message: string): void {
  process.stderr.write(`pontoon: ${printable(message)}\n`);
}

/** Text of many lines on stderr, such as a usage or where an error came from. */
export function writeUsage(text: string): void {
  process.stderr.write(text.split("\n").map(printable).join("\n"));
}
