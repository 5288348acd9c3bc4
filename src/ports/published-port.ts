import type { PublicationOptions } from "../../proxy/publication/publication.js";

/** A port of a container that pontoon publishes: one socket on the host. */
export interface PublishedPort {
  /** Name of the container: whichever has it is published. */
  readonly container: string;
  readonly transport: "tcp" | "udp";
  /** Address of the host it is bound to; `0.0.0.0` and `::` for all of a family. */
  readonly ip: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly options: PublicationOptions;
  /** Nobody named its address: it is bound where Docker would bind it, which may change with the container's networks. */
  readonly byDefault?: true;
  /** Who asked for it: `pontoon publish`, the container's label `pontoon.publish`, or dockerd of the network driver. */
  readonly source: "command" | "label" | "driver";
  /** The container's place on a network that it leads to, whatever else is known of the container. Of the driver's ports. */
  readonly endpoint?: EndpointTarget;
}

/** Where a port of an endpoint leads. */
export interface EndpointTarget {
  readonly id: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
}
