import type { Transport } from "./types.js";

/** Ports of a container that are to be published on its place on a network, as a network driver is asked for them. */
export interface EndpointPorts {
  /** Id of the endpoint. */
  readonly endpoint: string;
  /** Its name, or what stands for it. */
  readonly container: string;
  readonly to: { readonly ipv4?: string; readonly ipv6?: string };
  /** Where ports are bound that name no address; undefined: at every address of the host. */
  readonly hostBinding: string | undefined;
  /** Its answers do not pass the host: the kernel must not forward to it. */
  readonly isOnLan?: boolean;
  readonly ports: readonly MappedPort[];
}

/** `-p`: a port of a container, and those of the host. */
export interface MappedPort {
  readonly transport: Transport;
  readonly containerPort: number;
  readonly ip?: string;
  /** One of these; any without. */
  readonly hostPorts?: { readonly first: number; readonly last: number };
}
