import { isIP } from "node:net";

// The owner of the file may write anything into it: it is read in one pass, and no more is kept than a resolver would use.

/** What a resolv.conf says (resolv.conf(5)). */
export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** Of each kind. The C library takes 3 servers, and took 6 suffixes until its version 2.26. */
const entriesAtMost = 32;
/** Lines that are looked at, empty ones left out. */
const linesAtMost = 2048;
/** Letters of a domain name. */
const wordAtMost = 255;
/** Letters of an address, with the name of an interface. */
const addressAtMost = 64;
const externalStart = "# ExtServers: [";
const hostStart = "host(";

/** Reads a resolv.conf. Lines that make no sense are skipped, as in the C library, and so is what is too long or too much. */
export function parseResolvConf(content: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of linesOf(content)) {
    const [keyword, ...values] = wordsOf(line, 0, endOfWords(line));
    const [first = ""] = values;
    if (keyword === "nameserver" && isAddress(first.split("%", 1)[0]!, first)) addTo(nameservers, [first]);
    else if (keyword === "search" || keyword === "domain")
      search = values.filter((domain) => domain !== "." && domain.length <= wordAtMost);
    else if (keyword === "options")
      addTo(
        options,
        values.filter((option) => option.length <= wordAtMost),
      );
  }
  return { nameservers, search, options };
}

/** A server dockerd forwards to, as Docker 25 and later write it into a container's resolv.conf. */
export interface ExternalServer {
  readonly ip: string;
  /** `host(…)`: dialled from dockerd's own network namespace. */
  readonly fromHost: boolean;
}

/** The `# ExtServers: [host(10.0.0.2) 8.8.8.8]` comment that Docker 25 and later write; undefined when there is none. */
export function parseExternalServers(content: string): ExternalServer[] | undefined {
  for (const line of linesOf(content)) {
    const end = line.trimEnd().length - 1;
    if (!line.startsWith(externalStart) || line[end] !== "]") continue;
    return wordsOf(line, externalStart.length, end)
      .map(externalServer)
      .filter((server) => server !== undefined);
  }
  return undefined;
}

function externalServer(entry: string): ExternalServer | undefined {
  const fromHost = entry.startsWith(hostStart) && entry.endsWith(")");
  const ip = fromHost ? entry.slice(hostStart.length, -1) : entry;
  return isAddress(ip, entry) ? { ip, fromHost } : undefined;
}

/** @param whole the entry as it was written, so that nothing long is looked at */
function isAddress(ip: string, whole: string): boolean {
  return whole.length <= addressAtMost && isIP(ip) !== 0;
}

function addTo(list: string[], values: readonly string[]): void {
  list.push(...values.slice(0, entriesAtMost - list.length));
}

function* linesOf(content: string): Generator<string> {
  let count = 0;
  for (let start = 0, end = 0; end < content.length && count < linesAtMost; start = end + 1) {
    const found = content.indexOf("\n", start);
    end = found < 0 ? content.length : found;
    if (end === start) continue;
    count++;
    yield content.slice(start, end);
  }
}

/** Where a comment of either kind begins. */
function endOfWords(line: string): number {
  const hash = line.indexOf("#");
  const semicolon = line.indexOf(";");
  return Math.min(hash < 0 ? line.length : hash, semicolon < 0 ? line.length : semicolon);
}

/** The words between two offsets: a keyword and as many values as count. A character that does not print ends a word. */
function wordsOf(line: string, start: number, end: number): string[] {
  const words: string[] = [];
  for (let at = start; at < end && words.length <= entriesAtMost; at++) {
    const begin = at;
    while (at < end && line.charCodeAt(at) > 0x20) at++;
    if (at > begin) words.push(line.slice(begin, at));
  }
  return words;
}
