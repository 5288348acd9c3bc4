import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { BareHost } from "./bare-host.js";
import type { CommandResult } from "./command.js";
import type { DockerHost } from "./docker-host.js";
import { repositoryRoot } from "./root.js";

/** A command of a document, where it is typed, and what the document says it prints. */
export interface Step {
  /** What stands before its `$ `; `host` where nothing does. */
  readonly place: string;
  readonly command: string;
  readonly prints: string;
}

type Host = Pick<BareHost | DockerHost, "writeFile"> & {
  exec(argv: readonly string[], options?: { timeoutMs?: number }): Promise<CommandResult>;
};

/** Where a section's commands are run, and what they print is kept. */
const folder = "/run/guide";
const outside = "/run/host/netns/outside";

/**
 * What stands below a heading of a document, up to the next.
 * @param document its name in docs/
 * Throws when there is no such heading.
 */
function sectionOf(document: string, heading: string): string {
  const text = readFileSync(join(repositoryRoot, "docs", document), "utf8");
  const [, section] = text.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`docs/${document} has no section ${heading}`);
  return section.split("\n## ")[0]!;
}

/** The commands of a section of a document, with what it says they print. Throws when there are none. */
export function stepsIn(document: string, heading: string): Step[] {
  const steps = stepsOf(sectionOf(document, heading));
  if (steps.length === 0) throw new Error(`section ${heading} has no commands`);
  return steps;
}

/** `$ ` is the host's prompt, `other$ ` that of another machine; where there are several, each has its own. */
function stepsOf(section: string): Step[] {
  const blocks = [...section.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block]) => block!);
  return blocks.flatMap((block) =>
    block
      .split(/^(?=\w*\$ )/m)
      .map((text) => /^(\w*)\$ ((?:.*\\\n)*.*)\n([\s\S]*)$/.exec(text))
      .flatMap((found) => (found ? [{ place: found[1] || "host", command: found[2]!, prints: found[3]! }] : [])),
  );
}

/** Lets the host know the command `pontoon`, as if it were installed. */
export async function installCommand(host: Host): Promise<void> {
  const file = "/usr/local/bin/pontoon"; // a host's own, as those below /opt are
  const text = `#!/bin/sh\nexec ${process.execPath} ${join(repositoryRoot, "bin", "pontoon")} "$@"\n`;
  await host.exec(["sh", "-ec", `printf %s "$2" > "$1"; chmod 755 "$1"`, "sh", file, text]);
}

/**
 * Runs a section's commands in one shell of the host, where files below /opt are what the section says.
 * @param document its name in docs/
 * @returns what each printed, standard error included
 */
export async function runSection(
  host: Host,
  document: string,
  heading: string,
): Promise<(Step & { printed: string })[]> {
  const section = sectionOf(document, heading);
  for (const [, file, text] of section.matchAll(/`(\/opt\/[^`]+)`[^`]*:\n\n```\w+\n([\s\S]*?)```/g)) {
    host.writeFile(file!, text!);
    await host.exec(["chmod", "755", file!]);
  }
  const steps = stepsIn(document, heading);
  const script = [`rm -rf ${folder}; mkdir ${folder}; cd ${folder}`, ...steps.map(scriptOf), "true"].join("\n");
  await host.exec(["sh", "-c", script], { timeoutMs: 120_000 });
  const read = async (number: number) => (await host.exec(["cat", `${folder}/${number}`])).stdout;
  return Promise.all(steps.map(async (step, number) => ({ ...step, printed: await read(number) })));
}

function scriptOf({ place, command }: Step, number: number): string {
  const there = place === "host" ? command : `nsenter --net=${outside} -- ${command}`;
  // A reader would not type so fast: what is captured begins when tcpdump says so.
  const wait = command.startsWith("tcpdump ") ? "until grep -q listening capture; do sleep 0.05; done" : "";
  return `{ ${there}\n} > ${number} 2>&1 < /dev/null\n${wait}`;
}

/** Whether a command printed what the document shows. Ids, which `create` and `adopt` print alone, are left out there. */
export function isAsShown({ prints, printed }: { prints: string; printed: string }): boolean {
  const [shown, seen] = [shape(prints), shape(printed)];
  return isDeepStrictEqual(shown, seen) || (shown.length === 0 && isDeepStrictEqual(seen, ["ID"]));
}

/** Text without what differs from run to run: ids, times, spacing. */
export function shape(text: string): string[] {
  return text
    .replace(/[0-9a-f]{64}|\b(?:ptv?-?)?[0-9a-f]{12}\b/g, "ID")
    .replace(/\b\d+(\.\d+)?(\/\d+\.\d+)* ms\b/g, "TIME")
    .replace(/\bid \d+, |\(id: \d+\)|@if\d+/g, "#")
    .replace(/pid \d+/g, "pid #")
    .split("\n")
    .map((line) => line.trim().replace(/\s+/g, " "))
    .filter((line) => line !== "");
}
