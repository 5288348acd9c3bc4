import type { Logger } from "pino";
import type { DriverNetwork, NewDockerNetwork } from "../../inventory/driver-network.js";
import type { Inventory } from "../../inventory/inventory.js";
import type { DockersNetworks } from "../dockers-networks.js";
import type { NetworkDefaults } from "../network-defaults.js";
import type { Reconciler } from "../reconciler.js";
import type { EngineCluster } from "../overlay/engine-cluster.js";
import type { Overlays } from "../overlay/overlays.js";
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
  /** Has dockerd make a network. Rejects with what it says. */
  createNetwork(network: NewDockerNetwork): Promise<void>;
  /** Has dockerd remove a network. Rejects with what it says. */
  removeNetwork(id: string): Promise<void>;
  /** How dockerd calls the container of an endpoint that is about to join a network; undefined where it does not tell in time. */
  nameOf(network: string, endpoint: string): Promise<string | undefined>;
}

/** What the plugin has of the network backend. */
export interface PluginParts {
  readonly records: PluginRegistry;
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly docker: DockersNetworks;
  readonly defaults: NetworkDefaults;
  /** Networks of several hosts. */
  readonly overlays: Overlays;
  readonly cluster: EngineCluster;
  readonly log: Logger;
  /** There are other networks now. */
  readonly onChanged: () => void;
}
