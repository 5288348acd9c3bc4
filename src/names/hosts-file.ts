import { isIP } from "node:net";

// A container's /etc/hosts as dockerd writes it (libnetwork's `etchosts`). Bytes in, bytes out: what is not Docker's may be in any encoding.

/** What the file of a container says of another one that is linked to it. */
export interface LinkedHost {
  readonly alias: string;
  readonly hostname: string;
  readonly name: string;
  /** In the order of Docker's lines: IPv4, IPv6. */
  readonly addresses: readonly string[];
}

/**
 * The content with the link lines as Docker would write them now, all else as it was. A link without a line gets none:
 * Docker never loses such a line, but `docker rm --link` takes it away.
 */
export function correctLinks(content: Buffer, links: readonly LinkedHost[]): Buffer {
  const lines = linesOf(content);
  const places = placesOfLinks(lines);
  for (const link of links) {
    // Docker's own edit writes the IPv4 address into the line of the IPv6 one too, so the address does not tell them apart.
    for (const [place, { index, address }] of (
      places.get(nameOf(asBytes(link.alias), asBytes(link.hostname))) ?? []
    ).entries())
      lines[index] = linkLine(link.addresses[place] ?? address, link);
  }
  return Buffer.from(lines.join("\n"), "latin1");
}

/** Each line is read once, however many links there are. */
function placesOfLinks(lines: readonly string[]): Map<string, { readonly index: number; readonly address: string }[]> {
  const places = new Map<string, { index: number; address: string }[]>();
  for (const [index, line] of lines.entries()) {
    const found = readLinkLine(line);
    if (!found) continue;
    const name = nameOf(found.alias, found.hostname);
    const known = places.get(name);
    if (known) known.push({ index, address: found.address });
    else places.set(name, [{ index, address: found.address }]);
  }
  return places;
}

/** Neither part holds a blank. */
function nameOf(alias: string, hostname: string): string {
  return `${alias} ${hostname}`;
}

/**
 * The content with a line for each of a container's own addresses, the missing ones at the end, where Docker adds them.
 * Lines with a dotted name are never lost, so that nothing is added for a dotted hostname.
 */
export function restoreOwnLines(content: Buffer, hostname: string, addresses: readonly string[]): Buffer {
  if (content.length === 0 || hostname === "" || hostname.includes(".")) return content;
  const present = new Set(linesOf(content).map((line) => line.split(/[ \t]/, 1)[0]));
  const missing = addresses.filter((address) => !present.has(address));
  if (missing.length === 0) return content;
  const end = content.at(-1) === newline ? "" : "\n";
  return Buffer.concat([content, Buffer.from(end + missing.map((address) => `${address}\t${hostname}\n`).join(""))]);
}

const newline = 0x0a;
/** Letters. */
const addressAtMost = 64;

/** As Docker writes it, so that its own later edit, which looks for a TAB and the alias, finds it. */
function linkLine(address: string, { alias, hostname, name }: LinkedHost): string {
  return asBytes(`${address}\t${alias} ${hostname}${name === alias ? "" : ` ${name}`}`);
}

/** A line in exactly Docker's form; `--add-host` makes lines of one name. Only blank and TAB part words: the byte A0 is part of letters. */
function readLinkLine(line: string): { address: string; alias: string; hostname: string } | undefined {
  const tab = line.indexOf("\t");
  if (tab <= 0 || tab > addressAtMost || line.includes("\t", tab + 1)) return undefined;
  const [alias = "", hostname = "", ...names] = line.slice(tab + 1).split(" ", 4);
  if (
    alias === "" ||
    hostname === "" ||
    hostname.includes("\r") ||
    names.length > 1 ||
    names.some((name) => name === "" || name.includes("\r"))
  )
    return undefined;
  const address = line.slice(0, tab);
  return isIP(address) === 0 ? undefined : { address, alias, hostname };
}

/** One character for each byte. */
function linesOf(content: Buffer): string[] {
  return content.toString("latin1").split("\n");
}

function asBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}
