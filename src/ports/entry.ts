import type { SocketAddress } from "../../common/address.js";
import type { HostAddresses } from "../inventory/targets.js";
import type { PublishedPort } from "./published-port.js";

/** One published port, and how it is. */
export interface Entry {
  port: PublishedPort;
  /** Why it could not be bound; it is tried again. */
  failure: string | undefined;
  target: SocketAddress | undefined;
  /** Why clients are refused although the container runs. */
  refusal?: string | undefined;
}

/** Where a port leads, or why it does not. */
export type Way = Pick<Entry, "target" | "refusal">;

/** Where ports are bound that name no address. */
export interface Binding extends HostAddresses {
  /** Whether that is Docker's choice, and not named by anybody. */
  readonly byDefault: boolean;
}

/** A published port with its socket. */
export interface BoundEntry {
  readonly port: PublishedPort;
  readonly descriptor: number;
}

export function idOf({ transport, ip, hostPort }: Pick<PublishedPort, "transport" | "ip" | "hostPort">): string {
  return `${transport} ${ip} ${hostPort}`;
}
