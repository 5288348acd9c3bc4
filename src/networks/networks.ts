import { PontoonError } from "../../common/errors.js";
import type { Taken } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { networkAnswer } from "./answers.js";
import type { CreateNetworkRequest, NetworkAnswer } from "./contract.js";
import { isLanDriver } from "./define-lan.js";
import { defineNetwork } from "./define-network.js";
import { defaultNetwork, fixedNetworks, isFixed, requireBridge, requireRemovable } from "./fixed-networks.js";
import { hostAddresses, hostFacts, ipv6On, mtuTowards, type HostFacts } from "./host-facts.js";
import type { DockersNetworks } from "./dockers-networks.js";
import type { NetworkAddresses } from "./network-addresses.js";
import { defaultNetworkRequest, overlayPools, poolsOf, type NetworkDefaults } from "./network-defaults.js";
import { newId } from "./new-id.js";
import { chooseVni, overlayMtu, requireOverlayOptions, sharedNetwork } from "./overlay/define-overlay.js";
import type { Overlays } from "./overlay/overlays.js";
import type { Reconciler } from "./reconciler.js";
import type { NetworkRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { choosePart, isFromPrefix, prefixSourceOf, type PrefixPart } from "./prefix-subnets.js";
import { defineRemoteNetwork, isRemoteDriver } from "./remote/define-remote.js";
import type { Remote } from "./remote/remote.js";
import { takenSubnets } from "./taken.js";

/** The LAN is the host's already, and what somebody names for a plugin may be. */
const noRoutes = { routes: [], resolvers: [] } as const;

/** A network whose addresses a LAN is to know has a part of that LAN's prefix: the routes there do not take it. */
function routesBeside({ routes, proxyLink }: HostFacts, sources: readonly string[]): HostFacts["routes"] {
  const lans = new Set([...sources, proxyLink?.name]);
  return routes.filter(({ linkName, destination }) => !lans.has(linkName) || !destination.ip.includes(":"));
}

/** A request with the subnets that parts of prefixes are by now, and which these are. Throws as {@link choosePart}. */
function withParts(
  request: CreateNetworkRequest,
  taken: readonly Taken[],
): [CreateNetworkRequest, ReadonlyMap<string, PrefixPart>] {
  const parts = new Map<string, PrefixPart>();
  const own: Taken[] = [];
  const subnets = request.subnets.map((text) => {
    if (!isFromPrefix(text)) return text;
    requireOwnBridge(request);
    const addresses = ipv6On(prefixSourceOf(text).link);
    const prefixes = addresses.map(({ ip, prefix }) => Subnet.around(ip, prefix));
    const { subnet, part } = choosePart(
      text,
      prefixes,
      addresses.map(({ ip }) => ip),
      [...taken, ...own],
    );
    own.push({ subnet, by: "the same network" });
    parts.set(subnet.text, part);
    return subnet.text;
  });
  return [{ ...request, subnets }, parts];
}

/** Addresses of a link that is somebody else's are not ours to change. */
function requireOwnBridge({ driver, bridge }: CreateNetworkRequest): void {
  if (driver === "bridge" && (bridge === undefined || hostFacts({ bridge }).bridge === undefined)) return;
  throw new PontoonError(
    "OPTION_UNFIT",
    "--subnet from:",
    "a subnet that follows a prefix is for networks with a bridge of their own; name the subnet itself",
  );
}

function withSources(network: NetworkRecord, parts: ReadonlyMap<string, PrefixPart>): NetworkRecord {
  const subnets = network.subnets.map((record) => {
    const from = parts.get(record.subnet);
    return from ? { ...record, from } : record;
  });
  return { ...network, subnets };
}

/** Makes and removes networks. What changes something is called from a command of the reconciler. */
export class Networks {
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly addresses: NetworkAddresses,
    private readonly dockers: DockersNetworks,
    private readonly defaults: NetworkDefaults,
    private readonly remote: Remote,
    private readonly overlays: Overlays,
  ) {}

  list(): NetworkAnswer[] {
    const own = [...this.registry.networks.values()].map((network) => this.answer(network));
    return [...own, ...this.#fixed];
  }

  inspect(nameOrId: string): NetworkAnswer {
    const fixed = this.#fixed.find(({ Name, Id }) => Name === nameOrId || Id === nameOrId);
    return fixed ?? this.answer(this.registry.network(nameOrId));
  }

  answer(network: NetworkRecord): NetworkAnswer {
    return networkAnswer(this.registry, network, this.overlays.encryption);
  }

  get #fixed(): NetworkAnswer[] {
    return fixedNetworks((name) => this.registry.networkNamed(name) !== undefined);
  }

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  async create(request: CreateNetworkRequest): Promise<NetworkRecord> {
    this.#requireFreeName(request.name);
    const id = newId();
    if (request.driver === "overlay") return this.#createOverlay(id, request);
    if (request.encrypted)
      throw new PontoonError(
        "OPTION_UNFIT",
        "--encrypted",
        "--encrypted is for overlay networks, and nothing of another leaves the host encrypted; leave it out, or write -d overlay",
      );
    try {
      const network = await this.#make(id, request);
      this.remote.isMade(id);
      return network;
    } catch (error) {
      await this.remote.settle([id]);
      throw error;
    }
  }

  #createOverlay(id: string, request: CreateNetworkRequest): Promise<NetworkRecord> {
    requireOverlayOptions(request);
    const { advertise } = this.overlays.requireCluster().host;
    const { encrypted = false } = request;
    if (encrypted) this.overlays.requireEncryption(request.name);
    const mtu = overlayMtu(advertise, mtuTowards(advertise), request);
    return this.overlays.create((taken) => {
      const others = Object.values(taken).flat();
      const alsoTaken = others.map((subnet) => ({
        subnet: Subnet.parse(subnet),
        by: "a network of the hosts' cluster",
      }));
      return sharedNetwork(
        this.#define(id, { ...request, driver: "bridge", mtu }, { alsoTaken, pools: overlayPools }),
        chooseVni(),
        encrypted,
      );
    });
  }

  async #make(id: string, request: CreateNetworkRequest): Promise<NetworkRecord> {
    const ipam = await this.remote.begin(id, request);
    const subnets = ipam?.pools.map(({ subnet }) => subnet) ?? request.subnets;
    const gateways = ipam?.pools.map(({ gateway }) => gateway.ip) ?? request.gateways;
    const network = { ...this.#define(id, { ...request, subnets, gateways }), ...(ipam && { ipam }) };
    await this.remote.createNetwork(network);
    this.registry.commit({ networks: [network] });
    try {
      await this.reconciler.change({ networks: [this.reconciler.wantedNetwork(network)] });
    } catch (error) {
      await this.reconciler.undo({ networks: [network.id] });
      throw error;
    }
    this.addAddresses(network);
    return network;
  }

  #define(
    id: string,
    given: CreateNetworkRequest,
    choice: { readonly alsoTaken?: readonly Taken[]; readonly pools?: typeof poolsOf } = {},
  ): NetworkRecord {
    const { alsoTaken = [], pools = poolsOf } = choice;
    const { networks } = this.registry;
    const facts = hostFacts(given, this.dockers.bridges());
    const { mtu } = this.defaults;
    const isRemote = isRemoteDriver(given.driver);
    const isOnLan = isLanDriver(given.driver);
    const mayBeHosts = isOnLan || (isRemote && given.subnets.length > 0);
    const sources = given.subnets.filter(isFromPrefix).map((text) => prefixSourceOf(text).link);
    const { routes, resolvers } = mayBeHosts ? noRoutes : { ...facts, routes: routesBeside(facts, sources) };
    const dockerSubnets = this.dockers.subnets();
    const ground = {
      ...facts,
      others: networks.values(),
      id,
      created: new Date().toISOString(),
      pools: pools(this.defaults, facts.seed),
      taken: [...takenSubnets({ routes, resolvers, networks: networks.values(), dockerSubnets }), ...alsoTaken],
      bridgesInUse: new Map([...networks.values()].map(({ name, bridge }) => [bridge, name])),
    };
    if (isRemote) return defineRemoteNetwork(given, ground);
    const [request, parts] = withParts(given, ground.taken);
    const defined = defineNetwork(mtu === undefined || facts.bridge || isOnLan ? request : { mtu, ...request }, ground);
    return withSources(defined, parts);
  }

  #requireFreeName(name: string): void {
    const isReserved = isFixed(name) && name !== defaultNetwork.name;
    if (!isReserved && !this.registry.networkNamed(name)) return;
    throw new PontoonError(
      "NAME_TAKEN",
      name,
      `there is a network ${name} already; choose another name, or remove it first`,
    );
  }

  /** The network that somebody wants to join. The default network is made when it is first asked for. */
  async toJoin(nameOrId: string): Promise<NetworkRecord> {
    requireBridge(nameOrId);
    const isMissing = nameOrId === defaultNetwork.name && !this.registry.networkNamed(nameOrId);
    return isMissing ? this.#createDefault() : this.registry.network(nameOrId);
  }

  /** A bridge that the configuration names is somebody else's, and not made in their place. */
  async #createDefault(): Promise<NetworkRecord> {
    const { bridge } = this.defaults;
    const request = defaultNetworkRequest(this.defaults);
    if (bridge !== undefined && !hostFacts({ bridge }).bridge)
      throw new PontoonError(
        "BRIDGE_UNKNOWN",
        bridge,
        `there is no bridge ${bridge}, which network.bridge in the configuration names; make it first`,
      );
    return this.create(request);
  }

  /** Rejects with NETWORK_IN_USE while sandboxes are on it. */
  async remove(nameOrId: string): Promise<NetworkAnswer> {
    requireRemovable(nameOrId);
    const network = this.registry.network(nameOrId);
    const [endpoint, ...others] = this.registry.endpointsOf({ network: network.id });
    if (!endpoint) return this.#remove(network);
    const { name } = this.registry.sandboxes.get(endpoint.sandbox)!;
    const more = others.length > 0 ? ` and ${others.length} more` : "";
    throw new PontoonError(
      "NETWORK_IN_USE",
      network.name,
      `network ${network.name} is in use by sandbox ${name}${more}; disconnect what is on it first`,
    );
  }

  async #remove(network: NetworkRecord): Promise<NetworkAnswer> {
    const answer = this.answer(network);
    const removed = { networks: [network.id] };
    if (network.overlay) await this.overlays.remove(network);
    this.remote.owe(network);
    await this.reconciler.change({ removed });
    this.registry.commit({ removed });
    this.addresses.remove(network.id);
    await this.remote.settle(removed.networks);
    if (!network.overlay) this.overlays.onNameFree(network.name);
    return answer;
  }

  /** Removes networks that no sandbox is on; those of all hosts' dockerds are for Docker to prune. */
  async prune(): Promise<NetworkAnswer[]> {
    const unused = [...this.registry.networks.values()].filter(
      ({ id, overlay }) =>
        this.registry.endpointsOn(id) === 0 && !(overlay && (this.overlays.isUsed(id) || this.overlays.isDockers(id))),
    );
    const removed: NetworkAnswer[] = [];
    for (const network of unused) removed.push(await this.#remove(network));
    return removed;
  }

  /** From now on addresses of it are given out. */
  addAddresses(network: NetworkRecord): void {
    if (network.overlay) return this.overlays.addAddresses(network);
    if (network.ipam) return; // they are somebody else's to give
    this.addresses.add(
      network,
      this.registry.endpointsOf({ network: network.id }),
      ({ sandbox }) => `sandbox ${this.registry.sandboxes.get(sandbox)?.name}`,
      network.lan ? hostAddresses() : [],
    );
  }
}
