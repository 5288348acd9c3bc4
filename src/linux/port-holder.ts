import { isIPv4 } from "node:net";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { SocketAddress } from "./address.js";
import { decodeIPv4, decodeIPv6 } from "./address.js";

/** The process that holds a port. */
export interface PortHolder {
  readonly pid: number;
  readonly name: string;
  /** Where it leads the port, if it is a docker-proxy. */
  readonly publishes: string | undefined;
}

/**
 * Who keeps an address from being bound, from /proc; undefined when that cannot be seen from here. For use when a bind
 * has failed with EADDRINUSE: it looks at every descriptor of every process.
 */
export function holderOfPort(protocol: "tcp" | "udp", address: SocketAddress): PortHolder | undefined {
  const inode = socketInTheWay(protocol, address);
  if (inode === undefined) return undefined;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const holders = pids.filter((pid) => holds(pid, `socket:[${inode}]`)).map(describe);
  // Others hold the socket on behalf of the one that publishes it, or serves it.
  return holders.find(({ publishes }) => publishes !== undefined) ?? holders.find(({ name }) => name.startsWith("pontoon-")) ?? holders[0];
}

/** As error messages have it, e.g. ` (held by nginx, pid 4711)`. */
export function holderText(protocol: "tcp" | "udp", address: SocketAddress): string {
  const holder = holderOfPort(protocol, address);
  if (!holder) return " (held by a process that cannot be seen from here)";
  return ` (held by ${holder.name}, pid ${holder.pid}${holder.publishes === undefined ? "" : `, which publishes ${holder.publishes} there`})`;
}

function socketInTheWay(protocol: "tcp" | "udp", { ip, port }: SocketAddress): string | undefined {
  // A socket of IPv6 may serve IPv4 as well.
  const tables = isIPv4(ip) ? [protocol, `${protocol}6`] : [`${protocol}6`];
  const lines = tables.flatMap((table) => read(`/proc/self/net/${table}`).split("\n").slice(1).map((line) => line.trim().split(/\s+/)));
  const inTheWay = lines.filter(([, local, , , , , , , , inode]) => local !== undefined && inode !== "0" && clashes(local, ip, port));
  const listening = inTheWay.find(([, , , state]) => protocol === "udp" || state === "0A");
  return (listening ?? inTheWay[0])?.[9];
}

/** @param local e.g. `0100007F:1F90`: 32-bit words in the machine's order, which is little-endian */
function clashes(local: string, ip: string, port: number): boolean {
  const [words = "", hexPort = ""] = local.split(":");
  if (parseInt(hexPort, 16) !== port) return false;
  const bytes = Buffer.from(words, "hex").swap32();
  const held = bytes.length === 4 ? decodeIPv4(bytes, 0) : decodeIPv6(bytes, 0);
  return bytes.every((byte) => byte === 0) || held === ip || ((ip === "0.0.0.0" || ip === "::") && isIPv4(held) === isIPv4(ip));
}

function holds(pid: string, link: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === link);
  } catch {
    return false; // it has ended
  }
}

function describe(pid: string): PortHolder {
  const words = read(`/proc/${pid}/cmdline`).split("\0");
  const argument = (flag: string) => (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined);
  const [ip, port] = [argument("-container-ip"), argument("-container-port")];
  const publishes = ip === undefined || port === undefined ? undefined : ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
  const comm = read(`/proc/${pid}/comm`).trim();
  const program = words[0]!.split("/").at(-1)!;
  // The kernel keeps 15 letters of a name; a server of ours runs in node, and names itself in its first argument.
  const isCut = comm.length === 15 && program.startsWith(comm);
  return { pid: Number(pid), name: isCut || words[0]!.startsWith("pontoon-") ? program : comm, publishes };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // no such table without IPv6; a process that has ended
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}
