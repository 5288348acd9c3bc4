import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import { requireFree } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { prefixesOf } from "./host-facts.js";
import type { NetworkAddresses } from "./network-addresses.js";
import type { Networks } from "./networks.js";
import { followed, moved } from "./prefix-subnets.js";
import type { Reconciler } from "./reconciler.js";
import type { EndpointRecord, NetworkRecord, SubnetRecord } from "./records.js";
import type { Registry } from "./registry.js";
import type { Sandboxes } from "./sandboxes.js";
import { takenSubnets } from "./taken.js";

export interface FollowerParts {
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly networks: Networks;
  readonly sandboxes: Sandboxes;
  readonly addresses: NetworkAddresses;
  readonly log: Logger;
}

/** Gives networks whose subnet is a part of a link's prefix that part of the prefix which the link has by now. */
export class PrefixFollower {
  constructor(private readonly parts: FollowerParts) {}

  /** Called from a command of the reconciler. What fails is logged, and tried again at the next change of addresses. */
  async follow(): Promise<void> {
    for (const network of this.parts.registry.networks.values())
      if (network.subnets.some(({ from }) => from))
        try {
          await this.#follow(network);
        } catch (error) {
          this.parts.log.warn(
            { network: network.name, reason: describeError(error) },
            "a network could not follow the prefix of its link",
          );
        }
  }

  async #follow(network: NetworkRecord): Promise<void> {
    const moves = network.subnets.flatMap((record) => {
      const to = record.from && followed(record, prefixesOf(record.from.link));
      return to ? [{ from: Subnet.parse(record.subnet), to }] : [];
    });
    if (moves.length === 0) return;
    const others = [...this.parts.registry.networks.values()].filter(({ id }) => id !== network.id);
    const taken = takenSubnets({ routes: [], resolvers: [], dockerSubnets: [], networks: others });
    for (const { to } of moves) requireFree(to, taken);
    await this.#move(network, moves);
  }

  async #move(network: NetworkRecord, moves: readonly { readonly from: Subnet; readonly to: Subnet }[]): Promise<void> {
    const { registry, reconciler, networks, sandboxes, addresses, log } = this.parts;
    const renumbered = (record: SubnetRecord): SubnetRecord => {
      const move = moves.find(({ from }) => from.text === record.subnet);
      if (!move) return record;
      const gateway = moved(record.gateway, move.from, move.to);
      const former = [...(record.former ?? []), `${record.gateway}/${move.from.prefix}`];
      return { ...record, subnet: move.to.text, gateway, former };
    };
    const placed = (endpoint: EndpointRecord): EndpointRecord => {
      const move = moves.find(({ from }) => endpoint.ipv6 !== undefined && from.contains(endpoint.ipv6));
      return move ? { ...endpoint, ipv6: moved(endpoint.ipv6!, move.from, move.to) } : endpoint;
    };
    const changed: NetworkRecord = { ...network, subnets: network.subnets.map(renumbered) };
    const endpoints = registry.endpointsOf({ network: network.id }).map(placed);
    registry.commit({ networks: [changed], endpoints });
    addresses.remove(network.id);
    networks.addAddresses(changed);
    const touched = [...new Set(endpoints.map(({ sandbox }) => sandbox))];
    try {
      await reconciler.change({
        networks: [reconciler.wantedNetwork(changed)],
        endpoints: touched.flatMap((id) => reconciler.wantedEndpointsOf(id)),
      });
      registry.commit({ networks: [{ ...changed, subnets: changed.subnets.map(withoutFormer) }] });
    } catch (error) {
      // As of a sandbox whose namespace is not there; all others have followed.
      log.warn({ network: network.name, reason: describeError(error) }, "not all of a network follows a prefix");
    }
    await reconciler.mendProxiesNow();
    for (const id of touched) sandboxes.writeFiles(registry.sandbox(id));
    const words = moves.map(({ from, to }) => `${from.text} is ${to.text} now`).join(", ");
    log.info({ network: network.name }, `a network follows the prefix of its link: ${words}`);
  }
}

function withoutFormer(record: SubnetRecord): SubnetRecord {
  const left = { ...record };
  delete left.former;
  return left;
}
