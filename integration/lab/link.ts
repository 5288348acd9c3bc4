import { runCommand } from "./command.js";
import type { Namespaces } from "./namespaces.js";

/** How two hosts are joined. */
export interface LinkOptions {
  /** The interface's name on both; at most 15 characters. Default "join". */
  name?: string;
  /** The first three numbers of an IPv4 network of 24 bits. Default 10.88.0. */
  prefix?: string;
}

/** A veth pair between two hosts: interface name, this host's address, the other's. */
export interface Link {
  name: string;
  address: string;
  otherAddress: string;
}

/** Joins two hosts by a veth pair. */
export async function joinHosts(one: Namespaces, other: Namespaces, options: LinkOptions = {}): Promise<Link> {
  const { name = "join", prefix = "10.88.0" } = options;
  const link = { name, address: `${prefix}.1`, otherAddress: `${prefix}.2` };
  // Only the network namespace is entered: the other host's init is named by the machine's number for it.
  const create = ["ip", "link", "add", "name", name, "type", "veth", "peer", "name", name, "netns", String(other.pid)];
  await runCommand(["nsenter", `--net=/proc/${one.pid}/ns/net`, "--", ...create]);
  await Promise.all([bringUp(one, name, link.address), bringUp(other, name, link.otherAddress)]);
  return link;
}

async function bringUp(host: Namespaces, name: string, address: string): Promise<void> {
  await runCommand(host.enter(["ip", "address", "add", `${address}/24`, "dev", name]));
  await runCommand(host.enter(["ip", "link", "set", "dev", name, "up"]));
}
