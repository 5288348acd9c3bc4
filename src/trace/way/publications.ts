import { bracketed, familyOf, isLoopback, isUnspecified, overlap } from "../../../common/address.js";
import type { PortRow } from "../../ports/contract.js";
import type { Transport } from "../facts/world.js";
import { shellWord } from "../shell.js";

// Published ports, as far as a packet to the host asks for them.

/** Those of a port of the host, of whatever address. */
export function rowsAtPort(rows: readonly PortRow[], transport: Transport, port: number): PortRow[] {
  return rows.filter((row) => row.transport === transport && row.hostPort === port);
}

/** The row that serves an address and port of the host. */
export function rowAt(rows: readonly PortRow[], transport: Transport, ip: string, port: number): PortRow | undefined {
  const here = rowsAtPort(rows, transport, port).filter((row) => row.ip !== "" && serves(row.ip, ip));
  return here.find(({ state }) => state === "open") ?? here[0];
}

/** Rows by which a container's port is published. */
export function rowsOf(rows: readonly PortRow[], container: string, transport: Transport, port: number): PortRow[] {
  return rows.filter((row) => row.container === container && row.transport === transport && row.containerPort === port);
}

/** A binding at `::` serves IPv4 as well where nothing else is bound there. */
function serves(bound: string, ip: string): boolean {
  return overlap(bound, ip) || (bound === "::" && familyOf(ip) === "ipv4");
}

/** `10.77.0.1:8080`, or `8080 at every address`. */
export function whereWords({ ip, hostPort }: PortRow): string {
  return ip === "" || isUnspecified(ip) ? `port ${hostPort} of every address` : `${bracketed(ip)}:${hostPort}`;
}

/** What publishes a row's port at every address. */
export function publishEverywhere({ container, hostPort, containerPort, transport }: PortRow): string {
  return `pontoon publish ${shellWord(container)} 0.0.0.0:${hostPort}:${containerPort}${transport === "tcp" ? "" : `/${transport}`}`;
}

export function isLoopbackOnly(rows: readonly PortRow[]): boolean {
  return rows.length > 0 && rows.every(({ ip }) => isLoopback(ip));
}
