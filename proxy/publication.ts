import type { SocketAddress } from "../src/linux/address.js";

export type Protocol = "tcp" | "udp";
export type Endpoint = SocketAddress;

/** How a publication is served; what is left out has a default. Times are in ms. */
export interface PublicationOptions {
  readonly connectTimeoutMs?: number;
}

/** A port of the host and where it leads. */
export interface Publication {
  /** Unique in this process. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly listen: Endpoint;
  readonly target: Endpoint;
  readonly options: PublicationOptions;
}
