import type { Logger } from "pino";
import type { DriverNetwork } from "../../inventory/driver-network.js";
import type { Inventory } from "../../inventory/inventory.js";
import type { DockersNetworks } from "../dockers-networks.js";
import type { NetworkDefaults } from "../network-defaults.js";
import type { Reconciler } from "../reconciler.js";
import type { Registry } from "../registry.js";
import type { PluginRegistry } from "./plugin-registry.js";
import type { EndpointPublisher, OnJoined } from "./publishing.js";
import type { PluginSocket } from "./server.js";

/** What the plugin has of the rest of the daemon. */
export interface PluginSurroundings {
  readonly socket: PluginSocket;
  readonly inventory: Inventory;
  readonly ports: EndpointPublisher;
  readonly onJoined: OnJoined;
  /** Whether dockerd is followed, and all its containers are known. */
  readonly isDockerKnown: () => boolean;
  /** Networks with the driver, or the IPAM driver, pontoon. */
  driverNetworks(): Promise<readonly DriverNetwork[]>;
}

/** What the plugin has of the network backend. */
export interface PluginParts {
  readonly records: PluginRegistry;
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly docker: DockersNetworks;
  readonly defaults: NetworkDefaults;
  readonly log: Logger;
  /** There are other networks now. */
  readonly onChanged: () => void;
}
