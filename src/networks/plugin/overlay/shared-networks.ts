import { describeError, PontoonError } from "../../../../common/errors.js";
import { Subnet } from "../../../../network/addresses/subnet.js";
import type { TakenSubnets } from "../../../cluster/records.js";
import type { Inventory } from "../../../inventory/inventory.js";
import type { CreateNetworkRequest } from "../../contract.js";
import { defineNetwork } from "../../define-network.js";
import { hostFacts, mtuTowards } from "../../host-facts.js";
import { poolsOf } from "../../network-defaults.js";
import { newId } from "../../new-id.js";
import { chooseVni, overlayMtu, sharedNetwork } from "../../overlay/define-overlay.js";
import type { NetworkRecord } from "../../records.js";
import type { DockerOnly } from "../network-options.js";
import type { PluginParts } from "../parts.js";
import type { DockerNetworkRecord } from "../records.js";
import type { OverlayOptions } from "./options.js";
import type { Twins } from "./twins.js";

/** What `docker network create -d pontoon -o pontoon.driver=overlay` asks for. */
export interface SharedNetworkRequest {
  /** dockerd's own id of it: each dockerd has another. */
  readonly id: string;
  readonly request: CreateNetworkRequest;
  readonly only: DockerOnly;
  readonly overlay: OverlayOptions;
}

/** Networks of several hosts, as this host's dockerd has them made. */
export class SharedNetworks {
  constructor(
    private readonly parts: PluginParts,
    private readonly inventory: Pick<Inventory, "setNamesOf">,
    private readonly twins: Pick<Twins, "hold" | "letGo" | "isRemoving">,
  ) {}

  /** A network of several hosts is in the kernel of those that have endpoints on it. To be called in a turn. Rejects as {@link make}. */
  async create(asked: SharedNetworkRequest): Promise<void> {
    const { records, overlays } = this.parts;
    if (records.networks.get(asked.id)?.shared !== undefined) return; // dockerd starts, or asks again
    const network = await this.make(asked);
    records.put("docker-network", network);
    this.inventory.setNamesOf(network.id, network.shared);
    overlays.compareSoon(); // what its pools have given out is to be this host's in the store
    this.parts.onChanged();
  }

  /**
   * dockerd removes a network: one of several hosts goes from all of them, unless somebody is on it.
   * @param remove takes it from this host
   */
  async removing(network: DockerNetworkRecord | undefined, remove: () => Promise<void>): Promise<void> {
    const shared = network && this.#isUsers(network) ? network.shared : undefined;
    if (shared !== undefined) this.twins.hold(shared);
    await remove();
    if (network && shared !== undefined) await this.#removeFromAll(network.name, shared);
  }

  /**
   * Whether it is its user who removes a network of several hosts. dockerd also takes back what it could not make: of one that other
   * hosts have made nothing is to go but what is here.
   */
  #isUsers({ id, name, shared = "" }: DockerNetworkRecord): boolean {
    if (this.twins.isRemoving(id)) return false;
    const isListed = name !== id.slice(0, 12);
    return isListed || this.parts.cluster.networks.get(shared)?.docker?.isNamed !== true;
  }

  /** Docker heeds no refusal: dockerd has it no more, and gets it back. */
  async #removeFromAll(name: string, shared: string): Promise<void> {
    const { registry, reconciler, overlays, log } = this.parts;
    const network = registry.networks.get(shared);
    if (!network) return this.twins.letGo(shared);
    try {
      await reconciler.command(() => overlays.remove(network));
    } catch (error) {
      log.warn(
        { network: name, reason: describeError(error) },
        "a network of all hosts stays, and dockerd has it again",
      );
      this.twins.letGo(shared);
    }
  }

  /**
   * Makes a network of all hosts, or takes up one that there is. To be called in a turn.
   * Rejects with IPAM_UNFIT, SUBNET_OVERLAPS, OPTION_INVALID, MTU_INVALID, and as `Overlays.create`.
   */
  async make(asked: SharedNetworkRequest): Promise<DockerNetworkRecord> {
    const { id, only, overlay } = asked;
    const { records } = this.parts;
    this.#requireOwnPools(asked);
    const network = overlay.existing === undefined ? await this.#create(asked) : this.#existing(asked);
    return {
      ...network,
      ...only,
      id,
      name: records.networks.get(id)?.name ?? id.slice(0, 12),
      created: new Date().toISOString(),
      shared: network.id,
      sharedOptions: overlay.options,
      isListed: false,
      lentGateways: [],
    };
  }

  /** Addresses that another IPAM driver gives out are agreed on with nobody. */
  #requireOwnPools({ id, request: { subnets } }: SharedNetworkRequest): void {
    const own = [...this.parts.records.pools.values()].map(({ subnet }) => subnet);
    if (subnets.length > 0 && subnets.every((subnet) => own.includes(Subnet.parse(subnet).text))) return;
    throw new PontoonError(
      "IPAM_UNFIT",
      id.slice(0, 12),
      "hosts agree on a network's addresses only if pontoon gives them out: add --ipam-driver pontoon",
    );
  }

  #create({ id, request, overlay: { options } }: SharedNetworkRequest): Promise<NetworkRecord> {
    const { overlays } = this.parts;
    const { advertise } = overlays.requireCluster().host;
    const encrypted = options["encrypted"] !== undefined;
    if (encrypted) overlays.requireEncryption(id.slice(0, 12));
    const mtu = overlayMtu(advertise, mtuTowards(advertise), { ...request, encrypted });
    const own = newId();
    return overlays.create((taken) => ({
      ...sharedNetwork(
        this.#define(own, { ...request, driver: "bridge", mtu, ipRanges: this.#rangesOf(request) }, taken),
        chooseVni(),
        encrypted,
      ),
      name: id.slice(0, 12),
      docker: { options, isNamed: false },
    }));
  }

  /** dockerd has told the IPAM driver alone. */
  #rangesOf({ subnets }: CreateNetworkRequest): string[] {
    const asked = subnets.map((subnet) => Subnet.parse(subnet).text);
    const pools = [...this.parts.records.pools.values()].filter(({ subnet }) => asked.includes(subnet));
    return pools.flatMap(({ ipRange }) => ipRange ?? []);
  }

  #define(id: string, request: CreateNetworkRequest, taken: TakenSubnets): NetworkRecord {
    const { defaults, registry } = this.parts;
    const facts = hostFacts(request);
    const others = Object.entries(taken).flatMap(([network, subnets]) =>
      subnets.map((subnet) => ({ subnet: Subnet.parse(subnet), by: nameIn(registry.networks.get(network), network) })),
    );
    return defineNetwork(request, {
      ...facts,
      id,
      created: new Date().toISOString(),
      pools: poolsOf(defaults, facts.seed),
      // The IPAM driver has looked at this host's own.
      taken: others,
      bridgesInUse: new Map(),
    });
  }

  #existing({ request, overlay: { existing = "" } }: SharedNetworkRequest): NetworkRecord {
    const network = this.parts.overlays.requireNetwork(existing);
    const subnets = network.subnets.map(({ subnet }) => subnet);
    const asked = request.subnets.map((subnet) => Subnet.parse(subnet).text);
    if (asked.length === subnets.length && asked.every((subnet) => subnets.includes(subnet))) return network;
    throw new PontoonError(
      "OPTION_INVALID",
      "pontoon.network",
      `the network ${network.name} of all hosts has ${subnets.join(" and ")}, not ${asked.join(" and ")}; ` +
        `leave out --subnet, and add --ipam-opt pontoon.network=${existing}`,
    );
  }
}

function nameIn(network: NetworkRecord | undefined, id: string): string {
  return `network ${network?.name ?? id.slice(0, 12)} of all hosts`;
}
