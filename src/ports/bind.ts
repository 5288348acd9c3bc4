import { formatAddress, type SocketAddress } from "../../common/address.js";
import { errorCode, PontoonError } from "../../common/errors.js";
import type { PortRange } from "./spec.js";
import { openListener } from "../../linux/listener.js";
import type { Pieces } from "../../linux/pieces.js";
import { holdersOfPorts, holderText, type TakenPort } from "../../linux/port-holder.js";
import { closeDescriptor, localAddress } from "../../linux/socket.js";

type Protocol = "tcp" | "udp";

/** A socket bound to a port of the host: TCP listens, UDP tells the address each datagram was sent to. */
export interface HostPort {
  readonly ip: string;
  readonly port: number;
  readonly descriptor: number;
}

/** PORT_TAKEN of one port on one address. */
export class PortTaken extends PontoonError implements TakenPort {
  constructor(
    readonly protocol: Protocol,
    readonly address: { readonly ip: string; readonly port: number },
    /** As the message has it, e.g. ` (held by nginx, pid 4711)`. */
    holder = "",
  ) {
    const at = textOf(protocol, address);
    super("PORT_TAKEN", at, `${at} is taken${holder}; choose another`);
  }
}

/** The same errors, with who has the ports: one look at /proc for all of them. */
export function* withHolders(taken: readonly PortTaken[]): Pieces<PortTaken[]> {
  const holders = yield* holdersOfPorts(taken);
  return taken.map(({ protocol, address }, index) => new PortTaken(protocol, address, holderText(holders[index])));
}

/** How often another free port is tried when one is free in one family only. */
const triesForFree = 64;

/**
 * Binds one port on several addresses, or on none. Throws PORT_TAKEN (a {@link PortTaken} when one port was asked for),
 * PORT_PRIVILEGED, ADDRESS_NOT_HERE, DESCRIPTORS_EXHAUSTED or PORT_UNFIT.
 * @param ports one of these; undefined: any that is free
 * @param isKept ports that are not to be chosen where there is a choice
 */
export function* bindPort(
  protocol: Protocol,
  ips: readonly string[],
  ports: PortRange | undefined,
  isKept: (port: number) => boolean = () => false,
): Pieces<HostPort[]> {
  if (ports === undefined) return yield* bindAnyFree(protocol, ips, isKept);
  return ports.first === ports.last
    ? bindExactly(protocol, ips, ports.first)
    : yield* bindOneOf(protocol, ips, ports, isKept);
}

/** Whether the host has IPv6 at all. */
export function hasIPv6(): boolean {
  try {
    closeDescriptor(openListener("udp", { ip: "::1", port: 0 }));
    return true;
  } catch (error) {
    return errorCode(error) !== "EAFNOSUPPORT" && errorCode(error) !== "EADDRNOTAVAIL"; // anything else is told when a port is bound
  }
}

function* bindOneOf(
  protocol: Protocol,
  ips: readonly string[],
  { first, last }: PortRange,
  isKept: (port: number) => boolean,
): Pieces<HostPort[]> {
  for (let port = first; port <= last; port++, yield) {
    if (isKept(port)) continue;
    try {
      return bindAll(protocol, ips, port);
    } catch (error) {
      if (errorCode(error) !== "EADDRINUSE") throw explained(protocol, { ip: ips[0]!, port }, error);
    }
  }
  const where = `${protocol} port from ${first} to ${last} of ${ips.join(" and ")}`;
  throw new PontoonError("PORT_TAKEN", where, `no ${where} is free; choose others`);
}

function bindExactly(protocol: Protocol, ips: readonly string[], port: number): HostPort[] {
  const bound: HostPort[] = [];
  for (const ip of ips) {
    try {
      bound.push(bindOne(protocol, ip, port));
    } catch (error) {
      release(bound);
      throw explained(protocol, { ip, port }, error);
    }
  }
  return bound;
}

function* bindAnyFree(
  protocol: Protocol,
  ips: readonly string[],
  isKept: (port: number) => boolean,
): Pieces<HostPort[]> {
  for (let tries = 1; ; tries++, yield) {
    try {
      const port = freePort(protocol, ips[0]!);
      if (!isKept(port) || tries >= triesForFree) return bindAll(protocol, ips, port);
    } catch (error) {
      if (errorCode(error) !== "EADDRINUSE" || tries >= triesForFree)
        throw explained(protocol, { ip: ips[0]!, port: 0 }, error);
    }
  }
}

/** Throws what the kernel says. */
function bindAll(protocol: Protocol, ips: readonly string[], port: number): HostPort[] {
  const bound: HostPort[] = [];
  try {
    for (const ip of ips) bound.push(bindOne(protocol, ip, port));
    return bound;
  } catch (error) {
    release(bound);
    throw error;
  }
}

function bindOne(protocol: Protocol, ip: string, port: number): HostPort {
  return { ip, port, descriptor: openListener(protocol, { ip, port }) };
}

/** The kernel's choice. A socket that was bound without naming its port loses it when it is made to refuse. */
function freePort(protocol: Protocol, ip: string): number {
  const probe = openListener(protocol, { ip, port: 0 });
  try {
    return localAddress(probe).port;
  } finally {
    closeDescriptor(probe);
  }
}

function release(ports: readonly HostPort[]): void {
  for (const { descriptor } of ports) closeDescriptor(descriptor);
}

function explained(protocol: Protocol, address: { ip: string; port: number }, error: unknown): unknown {
  const at = textOf(protocol, address);
  switch (errorCode(error)) {
    case "EADDRINUSE":
      return address.port === 0
        ? new PontoonError("PORT_TAKEN", at, `no ${protocol} port is free`)
        : new PortTaken(protocol, address);
    case "EACCES":
      return new PontoonError(
        "PORT_PRIVILEGED",
        at,
        `${at} is privileged, and the daemon may not bind it; choose one from 1024 on, or lower net.ipv4.ip_unprivileged_port_start`,
      );
    case "EADDRNOTAVAIL":
      return new PontoonError(
        "ADDRESS_NOT_HERE",
        at,
        `${address.ip} is not an address of this host; choose one that \`ip address\` shows`,
      );
    case "EMFILE":
    case "ENFILE":
    case "ENOBUFS":
    case "ENOMEM":
      return new PontoonError(
        "DESCRIPTORS_EXHAUSTED",
        at,
        `no descriptor (or memory) is left for ${at}; publish fewer ports, or raise the limit (LimitNOFILE= of the service)`,
      );
    default:
      return new PontoonError("PORT_UNFIT", at, `${at} cannot be bound`, { cause: error });
  }
}

function textOf(protocol: Protocol, address: SocketAddress): string {
  return `${protocol} port ${formatAddress(address)}`;
}
