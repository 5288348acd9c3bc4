import { constants } from "node:os";
import { errorCode } from "../../common/errors.js";
import { printable, printableJson } from "../../common/printable.js";

// All that the command prints goes through here: names, labels, reasons and rules are other people's text.

/** The exit code that a shell gives a program ended by SIGPIPE: `pontoon status | head -1` is not a mistake. */
const readerHasGone = 128 + constants.signals.SIGPIPE;

/** Prints lines. */
export function writeLines(lines: readonly string[]): void {
  print(printedLines(lines));
}

/** Prints text of many lines, such as a help. */
export function writeText(text: string): void {
  print(text.split("\n").map(printable).join("\n"));
}

/** As they are printed; what would be a line feed within one is written out. */
export function printedLines(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** Prints data for programs. */
export function writeJson(data: unknown): void {
  print(`${printableJson(JSON.stringify(data, undefined, 2))}\n`);
}

/** One line on stderr: what, why, what to do. */
export function writeProblem(message: string): void {
  tell(`pontoon: ${printable(message)}\n`);
}

/** Text of many lines on stderr, such as a usage or where an error came from. */
export function writeUsage(text: string): void {
  tell(text.split("\n").map(printable).join("\n"));
}

/** Prints, and ends the process when that fails. */
function print(text: string): void {
  written(process.stdout, text, (error) => {
    if (errorCode(error) === "EPIPE") process.exit(readerHasGone);
    writeProblem(`the output cannot be written (${errorCode(error) ?? "unknown error"}); make room where it goes`);
    process.exit(1);
  });
}

/** If it cannot be printed, the exit code tells. */
function tell(text: string): void {
  written(process.stderr, text, () => {});
}

function written(stream: NodeJS.WriteStream, text: string, onFailure: (error: unknown) => void): void {
  if (stream.listenerCount("error") === 0) stream.on("error", onFailure);
  try {
    stream.write(text);
  } catch (error) {
    onFailure(error); // a file: it is written to at once
  }
}
