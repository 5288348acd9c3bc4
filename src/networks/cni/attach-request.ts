import type { MappedPort } from "../../inventory/endpoint-ports.js";
import type { BandwidthRecord } from "../records.js";

// What container engines ask for, whichever way they ask: one link of a container, on one network.

/** How an engine asks. */
export type AttachingEngine = "cni" | "netavark";

/** Which attachment of a container is meant. */
export interface AttachmentKey {
  readonly engine: AttachingEngine;
  /** Id of the container, as the engine has it. */
  readonly container: string;
  /** By what name the engine knows the network. */
  readonly attachment: string;
  /** The link's name in the container. */
  readonly ifname: string;
}

/** What a container is attached with. */
export interface AttachRequest extends AttachmentKey {
  /** Path of the container's network namespace. */
  readonly netns: string;
  /** Name or id of a network of pontoon's own. */
  readonly network: string;
  /** What the container is called, where the engine tells. */
  readonly name: string | undefined;
  readonly ips: readonly string[];
  readonly mac: string | undefined;
  readonly aliases: readonly string[];
  readonly ports: readonly MappedPort[];
  readonly bandwidth?: BandwidthRecord;
  /** Servers are asked about the outside; the container itself asks 127.0.0.11. */
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
}

/** Ports of the host that one attachment may have. */
export const portsAtMost = 16_384;
