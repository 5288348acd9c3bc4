import { isNamespace } from "../../../linux/named-namespace.js";
import { describeError, PontoonError } from "../../../common/errors.js";
import { isInternalForward } from "./publishing.js";
import { parseBandwidth, requireHostEnd } from "../bandwidth.js";
import { isLanDriver } from "../define-lan.js";
import { defineNetwork } from "../define-network.js";
import { hostFacts } from "../host-facts.js";
import { poolsOf } from "../network-defaults.js";
import type { Reconciler } from "../reconciler.js";
import { takenSubnets } from "../taken.js";
import type { DriverEndpoint, DriverNetwork } from "../../inventory/driver-network.js";
import {
  defineDockerEndpoint,
  gatewaysOf,
  hostLinkOf,
  peerOf,
  wantedHandover,
  withoutPath,
} from "./docker-endpoint.js";
import { ContainerPorts } from "./container-ports.js";
import { networkRequestOf, type DockerOnly } from "./network-options.js";
import type { SharedEndpoints } from "./overlay/shared-endpoints.js";
import { SharedNetworks } from "./overlay/shared-networks.js";
import type { Twins } from "./overlay/twins.js";
import type { CreateNetworkRequest } from "../contract.js";
import { usualGateway } from "./differences.js";
import type { PluginParts, PluginSurroundings } from "./parts.js";
import type { PluginRegistry } from "./plugin-registry.js";
import {
  labels,
  type CreateEndpointCall,
  type CreateNetworkCall,
  type EndpointCall,
  type ExternalCall,
  type JoinCall,
  type JoinReply,
} from "./protocol.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "./records.js";

/**
 * Networks that dockerd makes with the driver pontoon, and its containers' places on them. Every method can be called again,
 * with the same outcome: dockerd repeats what it has no answer to.
 */
export class DockerNetworks {
  readonly #reconciler: Reconciler;
  readonly #ports: ContainerPorts;
  readonly #shared: SharedNetworks;
  /** By endpoint, what its container's label has said: it does not change, and is tried once. */
  readonly #limits = new Map<string, string>();

  constructor(
    private readonly parts: PluginParts,
    private readonly around: Pick<PluginSurroundings, "ports" | "onJoined" | "inventory" | "driverNetworks">,
    private readonly endpoints: SharedEndpoints,
    private readonly twins: Pick<Twins, "name" | "hold" | "letGo" | "isRemoving">,
  ) {
    this.#reconciler = parts.reconciler;
    this.#shared = new SharedNetworks(parts, around.inventory, twins);
    this.#ports = new ContainerPorts(parts, around, (EndpointID) => this.deleteEndpoint({ EndpointID }));
  }

  get #records(): PluginRegistry {
    return this.parts.records;
  }

  /** Makes a network's bridge and rules. Rejects with what is wrong with its options; nothing is left of it then. */
  create(call: CreateNetworkCall): Promise<void> {
    return this.#reconciler.command(async () => {
      const { request, only, overlay } = networkRequestOf(call);
      if (overlay) return this.#shared.create({ id: call.NetworkID, request, only, overlay });
      const network = this.#define(call, request, only);
      const known = this.#records.networks.get(network.id);
      this.#records.put("docker-network", known ? { ...network, name: known.name, created: known.created } : network);
      try {
        await this.#reconciler.change({ networks: [this.#reconciler.wantedEnginesNetwork(network)] });
      } catch (error) {
        await this.#undoCreate(network.id);
        throw error;
      }
      this.parts.onChanged();
    });
  }

  #define(call: CreateNetworkCall, request: CreateNetworkRequest, only: DockerOnly): DockerNetworkRecord {
    const facts = hostFacts(request, this.parts.docker.bridges());
    const others = [...this.parts.registry.networks.values(), ...this.#records.networks.values()].filter(
      ({ id }) => id !== call.NetworkID,
    );
    const { mtu } = this.parts.defaults;
    if (facts.bridge?.isDockers === true)
      throw new PontoonError(
        "BRIDGE_TAKEN",
        request.bridge!,
        `the bridge ${request.bridge} belongs to a network of Docker's own driver; choose another name`,
      );
    const isAdopted = facts.bridge !== undefined;
    const network = defineNetwork(mtu === undefined || isLanDriver(request.driver) ? request : { mtu, ...request }, {
      ...facts,
      bridge: facts.bridge && { ...facts.bridge, addresses: [] },
      id: call.NetworkID,
      created: new Date().toISOString(),
      pools: poolsOf(this.parts.defaults, facts.seed),
      // Docker lets a subnet that its user names overlap a route of the host.
      taken: takenSubnets({ routes: [], resolvers: [], dockerSubnets: [], networks: others }),
      bridgesInUse: new Map(others.map(({ name, bridge }) => [bridge, name])),
    });
    const own = new Set(facts.bridge?.addresses.map((address) => address.split("/")[0]));
    // What is on it from an earlier call is lent still.
    const known = this.#records.networks.get(call.NetworkID);
    const lacking = isAdopted ? network.subnets.map(({ gateway }) => gateway).filter((ip) => !own.has(ip)) : [];
    return {
      ...network,
      ...only,
      isAdopted,
      firewall: network.lan === undefined,
      isListed: known?.isListed ?? false,
      lentGateways: known?.lentGateways ?? lacking,
    };
  }

  async #undoCreate(id: string): Promise<void> {
    this.#records.remove("docker-network", id);
    await this.#reconciler.undo({ networks: [id] });
  }

  /** A network that dockerd has and the store has lost. Its bridge, and whoever is on it, stay as they are. */
  async recover({ id, name, internal, ipv6, options, pools }: DriverNetwork): Promise<void> {
    const data = pools.map(({ subnet, ipRange, gateway = usualGateway(subnet, ipRange) }) => ({
      AddressSpace: "",
      Pool: subnet,
      Gateway: gateway,
      AuxAddresses: {},
    }));
    const isIPv6 = ({ Pool }: { Pool: string }) => Pool.includes(":");
    await this.create({
      NetworkID: id,
      Options: { [labels.generic]: options, [labels.internal]: internal, [labels.ipv6]: ipv6 },
      IPv4Data: data.filter((pool) => !isIPv6(pool)),
      IPv6Data: data.filter(isIPv6),
    });
    this.nameNetwork(id, name);
  }

  /** An endpoint that dockerd has and the store has lost. Which of its ports are published is not known. */
  recoverEndpoint(network: string, { id, container, name, mac, ipv4, ipv6 }: DriverEndpoint, path: string): void {
    this.#records.put("docker-endpoint", {
      id,
      network,
      hostLink: hostLinkOf(id),
      mac,
      ...(ipv4 !== undefined && { ipv4 }),
      ...(ipv6 !== undefined && { ipv6 }),
      since: Date.now(),
      ports: [],
      path,
      container: name,
      ...(container !== undefined && { containerId: container }),
    });
  }

  /** Docker calls a network so. */
  nameNetwork(id: string, name: string): void {
    const network = this.#records.networks.get(id);
    if (network && network.name !== name) this.#records.put("docker-network", { ...network, name });
    if (network?.shared !== undefined) void this.twins.name(id, network.shared, name);
  }

  /** As {@link ContainerPorts.freeUnknown}. */
  freeUnknown(listed: ReadonlySet<string>): Promise<void> {
    return this.#ports.freeUnknown(listed);
  }

  /** As dockerd asks for it: one of several hosts goes from all of them, unless somebody is on it. */
  remove(id: string): Promise<void> {
    return this.#shared.removing(this.#records.networks.get(id), () => this.delete(id));
  }

  /** Removes a network with what is left on it, from this host. */
  async delete(id: string): Promise<void> {
    // Before it is its turn: what is forwarded to them is taken back in a turn of its own.
    for (const endpoint of this.#records.endpointsOn(id)) await this.#ports.unpublish(endpoint.id);
    await this.#reconciler.command(async () => {
      const left = this.#records.endpointsOn(id);
      const endpoints = left.map((endpoint) => endpoint.id);
      const network = this.#records.networks.get(id);
      if (!network) return;
      const { shared } = network;
      this.#records.remove("docker-endpoint", ...endpoints);
      this.#records.remove("docker-network", id);
      await this.#reconciler.change({
        removed: { ...(shared === undefined && { networks: [id] }), handovers: endpoints },
      });
      if (shared !== undefined) await this.#forgetShared(id, shared, left);
      this.parts.onChanged();
    });
  }

  async #forgetShared(id: string, shared: string, left: readonly DockerEndpointRecord[]): Promise<void> {
    this.around.inventory.setNamesOf(id, undefined);
    for (const endpoint of left) await this.endpoints.release(endpoint, shared);
    await this.parts.overlays.leave([shared]);
  }

  /** @returns what dockerd did not say: the MAC address */
  createEndpoint(call: CreateEndpointCall): Promise<{ MacAddress?: string }> {
    return this.#reconciler.command(() => {
      const endpoint = defineDockerEndpoint(call, this.#network(call.NetworkID), Date.now());
      const known = this.#records.endpoints.get(endpoint.id);
      if (!known) this.#records.put("docker-endpoint", endpoint);
      // What it said itself it does not want to hear.
      const isNews = call.Interface.MacAddress === "" && endpoint.mac !== "";
      return Promise.resolve(isNews ? { MacAddress: endpoint.mac } : {});
    });
  }

  /** A container that never left, or whose leaving nobody told, has done so now. */
  async deleteEndpoint({ EndpointID: id }: Pick<EndpointCall, "EndpointID">): Promise<void> {
    this.#limits.delete(id);
    if (!this.#records.endpoints.has(id)) return;
    await this.#ports.unpublish(id);
    await this.#reconciler.command(async () => {
      const endpoint = this.#records.endpoints.get(id);
      this.#records.remove("docker-endpoint", id);
      if (endpoint?.path === undefined) return;
      await this.#reconciler.change({ removed: { handovers: [id] } });
      await this.#hasLeft(endpoint);
    });
  }

  /** As {@link #hasLeft}, of one that was not seen to leave. Returns at once. */
  hasGone(endpoint: DockerEndpointRecord): void {
    if (this.#records.networks.get(endpoint.network)?.shared !== undefined)
      void this.#reconciler.background("what a container had on a network of several hosts is not given back", () =>
        this.#hasLeft(endpoint),
      );
  }

  /** A container has left a network of several hosts: its name is free, and so is what the network needs of the kernel. */
  async #hasLeft(endpoint: DockerEndpointRecord): Promise<void> {
    const shared = this.#records.networks.get(endpoint.network)?.shared;
    if (shared === undefined) return;
    await this.endpoints.release(endpoint, shared);
    await this.parts.overlays.leave([shared]);
  }

  /** Makes the pair of links, one end in the bridge and the other where dockerd takes it from. */
  async join(call: JoinCall): Promise<JoinReply> {
    const network = this.#network(call.NetworkID);
    const { endpoint, reply } = await this.#join(call, network);
    if (isInternalForward(network)) await this.#publishInternal(endpoint, network, call.Options);
    const { network: networkId, path, ipv4, ipv6 } = endpoint;
    const { container, isAnswered } = this.around.onJoined({
      network: networkId,
      endpoint: endpoint.id,
      path,
      ipv4,
      ipv6,
    });
    void container.then((known) => known && this.rename(endpoint.id, known));
    // dockerd from 26 on has made it before it asks, and starts no process in it before it is answered.
    if (isNamespace(path)) await isAnswered;
    return reply;
  }

  /** The container of an endpoint is called so now. Never throws: what cannot be stored is tried again when it is told again. */
  rename(id: string, container: { readonly id: string; readonly name: string }): void {
    const endpoint = this.#records.endpoints.get(id);
    if (!endpoint || (endpoint.container === container.name && endpoint.containerId === container.id)) return;
    try {
      this.#records.put("docker-endpoint", { ...endpoint, container: container.name, containerId: container.id });
    } catch (error) {
      this.parts.log.warn(
        { container: container.name, reason: describeError(error) },
        "the name of a container could not be stored",
      );
    }
    this.#ports.rename(id, container.name);
  }

  /**
   * The container of an endpoint wants it to be as fast as this, at the most; what Docker has said of the endpoint itself counts
   * before that. Never rejects: a container that runs is not stopped for it.
   */
  async limit(id: string, label: string): Promise<void> {
    if (this.#limits.get(id) === label) return;
    this.#limits.set(id, label);
    await this.#reconciler.background("the bandwidth of a container could not be limited", async () => {
      const endpoint = this.#records.endpoints.get(id);
      const network = endpoint && this.#records.networks.get(endpoint.network);
      if (!network || endpoint.path === undefined || endpoint.bandwidth) return;
      requireHostEnd(network);
      const limited = { ...endpoint, bandwidth: parseBandwidth(label) };
      this.#records.put("docker-endpoint", limited);
      try {
        await this.#reconciler.change({ handovers: [wantedHandover(limited, network)] });
      } catch (error) {
        this.#records.put("docker-endpoint", endpoint);
        await this.#reconciler.change({ handovers: [wantedHandover(endpoint, network)] });
        throw error;
      }
      this.parts.onChanged();
    });
  }

  async #join(
    { EndpointID: id, SandboxKey: path }: JoinCall,
    network: DockerNetworkRecord,
  ): Promise<{ endpoint: DockerEndpointRecord & { readonly path: string }; reply: JoinReply }> {
    const name = network.shared === undefined ? undefined : await this.endpoints.nameOf(this.#endpoint(id));
    return this.#reconciler.command(async () => {
      const known = this.#endpoint(id);
      const claimed = network.shared === undefined ? known : await this.endpoints.claim(known, name);
      const endpoint = { ...claimed, path };
      try {
        await this.#ground(network);
        this.#records.put("docker-endpoint", endpoint);
        await this.#reconciler.change({ handovers: [wantedHandover(endpoint, network)] });
      } catch (error) {
        await this.#takeBack(endpoint);
        throw error;
      }
      if (endpoint.bandwidth) this.parts.onChanged();
      return { endpoint, reply: joinReply(endpoint, network) };
    });
  }

  async #ground({ shared }: DockerNetworkRecord): Promise<void> {
    const network = shared === undefined ? undefined : this.parts.registry.networks.get(shared);
    if (network) await this.parts.overlays.ground(network);
  }

  /** After the join's turn: its ports are forwarded in a turn of their own. */
  async #publishInternal(
    endpoint: DockerEndpointRecord,
    network: DockerNetworkRecord,
    options: JoinCall["Options"],
  ): Promise<void> {
    try {
      await this.#ports.publish(endpoint, network, options);
    } catch (error) {
      await this.#reconciler.command(() => this.#takeBack(endpoint));
      throw error;
    }
  }

  /** The record stays until dockerd deletes the endpoint. */
  async #takeBack(endpoint: DockerEndpointRecord): Promise<void> {
    try {
      this.#records.put("docker-endpoint", withoutPath(endpoint));
      await this.#reconciler.change({ removed: { handovers: [endpoint.id] } });
      await this.#hasLeft(endpoint);
    } catch (error) {
      this.parts.log.warn({ reason: describeError(error) }, "what failed could not be taken back as a whole");
    }
  }

  /** Nothing passes the link any more when this is done; dockerd need not take it out of the container. */
  async leave({ EndpointID: id }: EndpointCall): Promise<void> {
    this.#limits.delete(id);
    await this.#ports.unpublish(id);
    await this.#reconciler.command(async () => {
      const endpoint = this.#records.endpoints.get(id);
      if (endpoint?.path === undefined) return;
      this.#records.put("docker-endpoint", withoutPath(endpoint));
      await this.#reconciler.change({ removed: { handovers: [id] } });
      await this.#hasLeft(endpoint);
    });
  }

  /** The container leaves the host by this endpoint: its ports are published on it. */
  async connectOutside({ NetworkID, EndpointID, Options }: ExternalCall): Promise<void> {
    await this.#ports.publish(this.#endpoint(EndpointID), this.#network(NetworkID), Options);
  }

  /** The container leaves the host by another endpoint, or not at all. */
  async disconnectOutside({ EndpointID: id }: EndpointCall): Promise<void> {
    await this.#ports.unpublish(id);
  }

  #network(id: string): DockerNetworkRecord {
    const network = this.#records.networks.get(id);
    if (network) return network;
    throw new PontoonError(
      "NETWORK_UNKNOWN",
      id.slice(0, 12),
      `pontoon does not know the network ${id.slice(0, 12)}: what it had stored of it is lost; ` +
        "make it anew with docker network rm and docker network create",
    );
  }

  #endpoint(id: string): DockerEndpointRecord {
    const endpoint = this.#records.endpoints.get(id);
    if (endpoint) return endpoint;
    throw new PontoonError(
      "ENDPOINT_UNKNOWN",
      id.slice(0, 12),
      `pontoon does not know the endpoint ${id.slice(0, 12)}; start the container again`,
    );
  }
}

function joinReply(endpoint: DockerEndpointRecord, network: DockerNetworkRecord): JoinReply {
  const { id, ifname } = endpoint;
  // Without a gateway Docker leads the container out by docker_gwbridge, and publishes its ports there, if the network is not internal.
  const leadsOut = !network.internal && network.publishing === "pontoon";
  const { ipv4, ipv6 } = leadsOut ? gatewaysOf(endpoint, network) : {};
  return {
    InterfaceName: {
      SrcName: peerOf(id),
      DstPrefix: ifname?.replace(/\d{1,15}$/, "") || network.linkPrefix,
      ...(ifname !== undefined && { DstName: ifname }),
    },
    ...(ipv4 !== undefined && { Gateway: ipv4 }),
    ...(ipv6 !== undefined && { GatewayIPv6: ipv6 }),
  };
}
