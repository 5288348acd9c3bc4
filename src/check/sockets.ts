import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { errorCode } from "../errors.js";
import { decodeIPv6 } from "../linux/address.js";

/** A socket that waits for queries: UDP bound and not connected, or TCP listening. */
export interface Listener {
  readonly transport: "udp" | "tcp";
  readonly ip: string;
  readonly port: number;
  readonly inode: number;
}

/** A process that holds a listener; undefined fields could not be seen. */
export interface Holder {
  readonly pid: number | undefined;
  readonly command: string | undefined;
  readonly listeners: readonly Pick<Listener, "transport" | "ip" | "port">[];
}

const files = [["udp", "udp"], ["udp", "udp6"], ["tcp", "tcp"], ["tcp", "tcp6"]] as const;
/** States in /proc/net: UDP unconnected, TCP listening. */
const waiting = { udp: "07", tcp: "0A" } as const;

/** The listeners in a process's network namespace. Throws ENOENT when the process is gone. */
export function listenersOf(pid: number | "self"): Listener[] {
  return files.flatMap(([transport, file]) => parseListeners(readIfThere(`/proc/${pid}/net/${file}`), transport));
}

/** Reads /proc/net/{udp,tcp} and their IPv6 siblings. */
export function parseListeners(text: string, transport: "udp" | "tcp"): Listener[] {
  return text.split("\n").slice(1).flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    if (state !== waiting[transport]) return [];
    return [{ transport, ip: addressOf(address), port: parseInt(port, 16), inode: Number(inode) }];
  });
}

/** The kernel prints addresses as 32-bit words of its own byte order, which is little-endian wherever pontoon runs. */
function addressOf(hex: string): string {
  const raw = Buffer.from(hex, "hex");
  raw.swap32();
  return raw.length === 4 ? raw.join(".") : decodeIPv6(raw, 0);
}

/** Finds the processes that hold sockets, by looking through the descriptors of every process once. */
export function holdersOf(listeners: readonly Listener[]): Holder[] {
  const owners = new Map<number, number>();
  const wanted = new Set(listeners.map(({ inode }) => inode));
  if (wanted.size > 0) for (const pid of processes()) for (const inode of socketsOf(pid)) if (wanted.has(inode) && !owners.has(inode)) owners.set(inode, pid);
  const pids = [...new Set(listeners.map(({ inode }) => owners.get(inode)))];
  return pids.map((pid) => ({
    pid,
    command: pid === undefined ? undefined : commandOf(pid),
    listeners: listeners.filter(({ inode }) => owners.get(inode) === pid).map(({ transport, ip, port }) => ({ transport, ip, port })),
  }));
}

/** Every process this one can see. */
export function processes(): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
}

/** A process's name as `ps` shows it; undefined when it has ended. */
export function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Inodes of a process's sockets; none when it has ended or is another user's. */
function socketsOf(pid: number): number[] {
  const inodes: number[] = [];
  for (const fd of listOrNone(`/proc/${pid}/fd`)) {
    const match = /^socket:\[(\d+)\]$/.exec(linkOrNone(`/proc/${pid}/fd/${fd}`));
    if (match) inodes.push(Number(match[1]));
  }
  return inodes;
}

function listOrNone(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOrNone(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT" && path.endsWith("6")) return ""; // a kernel without IPv6
    throw error;
  }
}
