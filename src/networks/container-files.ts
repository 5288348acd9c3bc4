import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import { editInPlace } from "../../common/edit-in-place.js";
import type { Container } from "../inventory/types.js";

// hosts and resolv.conf of a container, which Docker writes when it starts. What pontoon adds stands behind a mark, and what it
// takes the place of is kept there as comments, so that all can be undone.

const mark = "# written by pontoon";
const kept = "# instead of ";

/** @param lines of its own, behind those of Docker's */
export function withHosts(content: string, lines: readonly string[]): string {
  const before = linesOf(content);
  const at = before.indexOf(mark);
  const own = lines.length > 0 ? [mark, ...lines] : [];
  return textOf([...(at < 0 ? before : before.slice(0, at)), ...own]);
}

/** @param lines in the place of all others; undefined puts those back */
export function withResolvConf(content: string, lines: readonly string[] | undefined): string {
  const before = linesOf(content);
  const isOurs = before.includes(mark);
  const others = isOurs
    ? before.filter((line) => line.startsWith(kept)).map((line) => line.slice(kept.length))
    : before;
  return textOf(lines === undefined ? others : [mark, ...lines, ...others.map((line) => `${kept}${line}`)]);
}

export interface ContainerLines {
  /** Empty: none of ours. */
  readonly hosts: readonly string[];
  readonly resolvConf: readonly string[] | undefined;
}

/** Writes into the files of a container, unless they are its user's. What fails is logged. */
export function writeContainerFiles(
  container: Container,
  pathOf: (file: string) => string,
  { hosts, resolvConf }: ContainerLines,
  log: Logger,
): void {
  const edits: [path: string, name: string, edit: (content: string) => string][] = [
    [container.hostsPath, "hosts", (content) => withHosts(content, hosts)],
    [container.resolvConfPath, "resolv.conf", (content) => withResolvConf(content, resolvConf)],
  ];
  for (const [path, name, edit] of edits) {
    // With a user's own file mounted there, that is the path Docker tells.
    if (!path.endsWith(`/${container.id}/${name}`)) continue;
    try {
      editInPlace(pathOf(path), (content) => Buffer.from(edit(content.toString("latin1")), "latin1"));
    } catch (error) {
      log.warn({ container: container.name, reason: describeError(error) }, `could not write a container's ${name}`);
    }
  }
}

function linesOf(content: string): string[] {
  const lines = content.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
