import { PontoonError } from "../../../common/errors.js";
import { addressesOf } from "../../cluster/addresses.js";
import type { Cluster } from "../../cluster/cluster.js";
import type { StoredEndpoint } from "../../cluster/mirror.js";
import type { Reservations } from "../../cluster/reservations.js";
import type { SharedEndpoint, SharedNetwork } from "../../cluster/records.js";
import type { Overlays } from "./overlays.js";

/** What a container engine's networks of several hosts have of the other hosts. */
export class EngineCluster {
  constructor(private readonly overlays: Pick<Overlays, "cluster" | "requireCluster" | "compareSoon">) {}

  get #cluster(): Cluster | undefined {
    return this.overlays.cluster;
  }

  /** Whether there are other hosts. */
  get isOn(): boolean {
    return this.#cluster !== undefined;
  }

  /** Whether this host is in touch with the store. */
  get isJoined(): boolean {
    return this.#cluster?.isJoined === true;
  }

  /** Id of this host. Throws CLUSTER_OFF. */
  get host(): string {
    return this.#cluster?.host.id ?? this.overlays.requireCluster().host.id;
  }

  /** By id. */
  get networks(): ReadonlyMap<string, SharedNetwork> {
    return this.#cluster?.mirror.networks ?? new Map<string, SharedNetwork>();
  }

  /** Throws CLUSTER_OFF, CLUSTER_AWAY. */
  get reservations(): Reservations {
    return this.overlays.requireCluster().reservations;
  }

  /** Takes an endpoint's name. Rejects as {@link Cluster.claim}, and with ADDRESS_TAKEN. */
  async claim(endpoint: SharedEndpoint): Promise<void> {
    try {
      const claimed = await this.overlays.requireCluster().claim(endpoint);
      if (claimed.kind === "done") return;
      const [ip = ""] = claimed.ips;
      throw new PontoonError(
        "ADDRESS_TAKEN",
        ip,
        `${ip} was taken${this.holderOf(endpoint.network, ip)} meanwhile; try again`,
      );
    } catch (error) {
      this.overlays.compareSoon(); // it may be claimed all the same
      throw error;
    }
  }

  /** Gives an endpoint's name back. Never rejects: what cannot be told is with the next comparison. */
  async release(endpoint: SharedEndpoint): Promise<void> {
    if ((await this.#cluster?.release([endpoint])) === false) this.overlays.compareSoon();
  }

  /** An endpoint is otherwise than it was. Rejects as {@link Cluster.change}. */
  async change(endpoint: SharedEndpoint): Promise<void> {
    const stored = this.#storedById(endpoint.network, endpoint.id);
    if (stored) await this.overlays.requireCluster().change(stored, endpoint);
  }

  /** As {@link Cluster.nameNetwork}. */
  nameNetwork(id: string, name: string): Promise<void> {
    return this.overlays.requireCluster().nameNetwork(id, name);
  }

  /** All hosts' dockerds are to have the network of this name. Rejects as {@link Cluster.nameNetwork}. */
  async offerToDocker(name: string): Promise<void> {
    const network = [...this.networks.values()].find((each) => each.name === name);
    if (network && network.docker?.isNamed !== true) await this.nameNetwork(network.id, name);
  }

  /** What has a name on a network, on whichever host. */
  named(network: string, name: string): SharedEndpoint | undefined {
    return this.#cluster?.mirror.endpointsOn(network).get(name)?.endpoint;
  }

  /** What the store says of an endpoint of this host's. */
  withId(network: string, id: string): SharedEndpoint | undefined {
    return this.#storedById(network, id)?.endpoint;
  }

  #storedById(network: string, id: string): StoredEndpoint | undefined {
    const all = this.#cluster?.mirror.endpointsOn(network).values() ?? [];
    return [...all].find(({ endpoint }) => endpoint.id === id);
  }

  /** Addresses that endpoints have, of whichever host; those that this host gives its containers are left out. */
  addressesOn(network: string): string[] {
    const all = this.#cluster?.mirror.endpointsOn(network).values() ?? [];
    return [...all].flatMap(({ endpoint }) => (this.#isOwn(endpoint) ? [] : addressesOf(endpoint)));
  }

  /** Addresses that this host has given its containers, as the store has it. */
  ownAddressesOn(network: string): string[] {
    const all = this.#cluster?.mirror.endpointsOn(network).values() ?? [];
    return [...all].flatMap(({ endpoint }) => (this.#isOwn(endpoint) ? addressesOf(endpoint) : []));
  }

  /** What the store says of a container of this host's that has an address. */
  ownWith(network: string, ip: string | undefined): SharedEndpoint | undefined {
    const all = this.#cluster?.mirror.endpointsOn(network).values() ?? [];
    const isIt = (endpoint: SharedEndpoint) => this.#isOwn(endpoint) && addressesOf(endpoint).includes(ip ?? "");
    return [...all].find(({ endpoint }) => isIt(endpoint))?.endpoint;
  }

  #isOwn({ host, reserved }: SharedEndpoint): boolean {
    return reserved === true && host === this.#cluster?.host.id;
  }

  /** Who has an address, as a message goes on: ` by web on host west`. Empty where that is not known. */
  holderOf(network: string, ip: string): string {
    const mirror = this.#cluster?.mirror;
    const all = [...(mirror?.endpointsOn(network).values() ?? [])];
    const holder = all.find(({ endpoint }) => addressesOf(endpoint).includes(ip))?.endpoint;
    if (!holder) return "";
    return ` by ${holder.name} on host ${mirror?.hosts.get(holder.host)?.name ?? holder.host.slice(0, 12)}`;
  }
}
