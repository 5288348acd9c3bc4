import type { EndpointPorts } from "../../inventory/endpoint-ports.js";
import type { DockerNetworkRecord } from "./records.js";

/** Who publishes ports of endpoints. */
export interface EndpointPublisher {
  /** All or none; resolves when they are served. Does nothing for what is published already. Rejects with what is wrong. */
  publish(ports: EndpointPorts): Promise<void>;
  /** Frees all ports of an endpoint, if there are any. */
  unpublish(endpoint: string): Promise<void>;
  /** Ids of endpoints that have published ports. */
  published(): ReadonlySet<string>;
  /** An endpoint has these addresses now; none to have its ports lead nowhere. */
  move(endpoint: string, to: EndpointPorts["to"]): void;
  /** The container of an endpoint is called so now. */
  rename(endpoint: string, container: string): void;
}

/** dockerd has nothing published of an internal network; the option wants it all the same. */
export function isInternalForward({ internal, publishInternal, publishing }: DockerNetworkRecord): boolean {
  return internal && publishInternal && publishing === "pontoon";
}

/** A container that has joined a network, as it is known before its first process runs. */
export interface Joined {
  /** Which it is; undefined where it is not to be known yet. */
  readonly container: Promise<{ readonly id: string; readonly name: string } | undefined>;
  /** Resolves when its names are answered, or are not going to be soon. */
  readonly isAnswered: Promise<void>;
}

/** Who is to know of a container that starts. Nothing it does may hold the start up for long, or fail it. */
export type OnJoined = (joined: {
  readonly network: string;
  readonly endpoint: string;
  readonly path: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}) => Joined;
