import { isIP } from "node:net";
import { canonicalAddress } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import type { Transport } from "../inventory/types.js";

/** Ports from one to another, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What one `-p` of `docker run` says. */
export interface PortSpec {
  /** Address of the host, in its canonical form; undefined where none was named. */
  readonly ip: string | undefined;
  /** As many ports as `container` has, or any number to choose one from for a single container port; undefined: any free ones. */
  readonly host: PortRange | undefined;
  readonly container: PortRange;
  readonly transport: Transport;
}

/** What is to be published for one port of a container. */
export interface PortMapping {
  readonly ip: string | undefined;
  /** One of these; undefined: any free one. */
  readonly hostPorts: PortRange | undefined;
  readonly containerPort: number;
  readonly transport: Transport;
}

/** A port that is published, by whomever. */
export interface BoundPort {
  readonly transport: Transport;
  readonly ip: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** `example` is what to write. */
class Fault extends Error {
  constructor(
    message: string,
    readonly example: string,
  ) {
    super(message);
  }
}

const forms = "PORT, HOST:PORT, IP:HOST:PORT or IP::PORT, with /tcp, /udp or /sctp behind it if need be";

/** Reads what Docker's `-p` takes, `published=8080,target=80` included. Throws PORT_SPEC_INVALID. */
export function parsePortSpec(text: string): PortSpec {
  try {
    return parse(text.includes("=") ? shortForm(text) : text);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new PontoonError(
      "PORT_SPEC_INVALID",
      text,
      `port ${text === "" ? '""' : text}: ${error.message}; write ${error.example}`,
    );
  }
}

/** How many ports of the container a spec names. */
export function countOf({ container }: PortSpec): number {
  return sizeOf(container);
}

/** One for each port of the container, in their order. */
export function mappingsOf({ ip, host, container, transport }: PortSpec): PortMapping[] {
  return Array.from({ length: sizeOf(container) }, (_, index) => {
    const hostPorts = host && sizeOf(container) > 1 ? { first: host.first + index, last: host.first + index } : host;
    return { ip, hostPorts, containerPort: container.first + index, transport };
  });
}

/**
 * Says which published ports a spec means: what it leaves out may be anything, but the transport, which is TCP then.
 * Throws PORT_SPEC_INVALID.
 * @param text as given to publish, or only the container's side: `80`, `80/udp`, `80-90/tcp`
 */
export function matcherOf(text: string): (port: BoundPort) => boolean {
  const mappings = new Map(mappingsOf(parsePortSpec(text)).map((mapping) => [mapping.containerPort, mapping]));
  return (port) => {
    const mapping = mappings.get(port.containerPort);
    if (mapping === undefined || mapping.transport !== port.transport) return false;
    const { ip, hostPorts } = mapping;
    if (ip !== undefined && canonicalAddress(port.ip) !== ip) return false;
    return hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last);
  };
}

/** The label of a container that says what is to be published of it. */
export const publishLabel = "pontoon.publish";

/** The specs of a label `pontoon.publish`: `8443:443/tcp, 9000:9000`. They are not checked. */
export function portLabel(value: string): string[] {
  return value
    .split(",")
    .map((spec) => spec.trim())
    .filter((spec) => spec !== "");
}

/** Docker's long form in the short one. */
function shortForm(text: string): string {
  const example = "published=8080,target=80,protocol=tcp, or 8080:80/tcp";
  const known: Record<string, string> = { published: "", target: "", protocol: "tcp", mode: "" };
  for (const part of text.split(",")) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(part) ?? [];
    if (name === undefined || value === undefined)
      throw new Fault(`${part === "" ? "an empty part" : part} is not NAME=VALUE`, example);
    if (!Object.hasOwn(known, name)) throw new Fault(`${name} is not known here`, example);
    known[name] = value;
  }
  return `${known.published}:${known.target}/${known.protocol}`;
}

function parse(text: string): PortSpec {
  const { address, hostPorts, containerPorts } = splitAtColons(text);
  const [ports = "", ...protocol] = containerPorts.split("/");
  if (ports === "") throw new Fault("the container's port is missing", forms);
  const transport = parseTransport(protocol.join("/"));
  const ip = address === "" || address === "[]" ? undefined : parseAddress(address, text);
  const container = parsePorts(ports);
  if (container.first === 0) throw new Fault("a container has no port 0", "one from 1 to 65535");
  const host = hostPorts === "" ? undefined : parseHostPorts(hostPorts, ports);
  if (host) requireSizes(host, container);
  return { ip, host: host?.last === 0 ? undefined : host, container, transport };
}

/** Docker takes what stands before the last two colons for the address, so that brackets may be left out. */
function splitAtColons(text: string): { address: string; hostPorts: string; containerPorts: string } {
  const parts = text.split(":");
  return { address: parts.slice(0, -2).join(":"), hostPorts: parts.at(-2) ?? "", containerPorts: parts.at(-1) ?? "" };
}

function parseTransport(text: string): Transport {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp" || protocol === "sctp") return protocol;
  if (protocol === "") return "tcp";
  throw new Fault(`${text} is not a protocol`, "/tcp, /udp or /sctp");
}

function parseAddress(text: string, spec: string): string {
  const brackets = /^\[([^[\]]*)\]$/.exec(text);
  const ip = canonicalAddress(brackets?.[1] ?? text);
  if (ip !== undefined) return ip;
  // The address of `[::1]:80` ends before its bracket does: the colons of the address were counted.
  const [, whole, port] = /^(\[[^\]]*\]):([^:]*)$/.exec(spec) ?? [];
  if (whole !== undefined)
    throw new Fault("the host's port is missing", `${whole}::${port} for a free one, or ${whole}:8080:${port}`);
  if (text.includes("%")) throw new Fault(`${text} has a zone`, "the address without it");
  if (/[:[\]]/.test(text))
    throw new Fault(`${text} is not an IP address`, "[::1]:8080:80 or [::1]::80 for an IPv6 address");
  throw new Fault(
    `${text} is not an IP address`,
    /[a-z]/i.test(text)
      ? "an address of this host instead of a name, such as 127.0.0.1:8080:80"
      : "an address of this host, such as 127.0.0.1:8080:80",
  );
}

function parseHostPorts(text: string, containerPorts: string): PortRange {
  if (isIP(text) === 4)
    throw new Fault(
      `${text} stands where the host's port belongs`,
      `${text}::${containerPorts} for a free one, or ${text}:8080:${containerPorts}`,
    );
  const range = parsePorts(text);
  if (range.first === 0 && range.last > 0)
    throw new Fault(
      `${text} begins with 0, which stands for any free port`,
      "a range from 1 on, or no port of the host",
    );
  return range;
}

function parsePorts(text: string): PortRange {
  const [first = "", last = first, ...more] = text.split("-");
  const range = { first: parsePort(first, text), last: parsePort(last, text) };
  if (more.length > 0) throw new Fault(`${text} is not a range of ports`, "FIRST-LAST");
  if (range.last < range.first)
    throw new Fault(`the range ${text} ends before it begins`, `${range.last}-${range.first}`);
  return range;
}

function parsePort(text: string, ports: string): number {
  if (text === "" && ports !== "") throw new Fault(`the range ${ports} lacks an end`, "FIRST-LAST");
  if (!/^[0-9]+$/.test(text)) throw new Fault(`${text} is not a port`, forms);
  const port = Number(text);
  if (port > 65535) throw new Fault(`${text} is not a port`, "one from 1 to 65535");
  return port;
}

function requireSizes(host: PortRange, container: PortRange): void {
  const [ours, theirs] = [sizeOf(host), sizeOf(container)];
  if (theirs === 1 || ours === theirs) return;
  const count = `${ours} port${ours === 1 ? "" : "s"} of the host for ${theirs} of the container`;
  throw new Fault(count, `as many of both, or none of the host for ${theirs} free ones`);
}

function sizeOf({ first, last }: PortRange): number {
  return last - first + 1;
}
