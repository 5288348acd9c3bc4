import type { LinkNewsItem } from "../../linux/netlink/rtnetlink/link-news.js";
import type { SeenHost } from "../seen.js";
import {
  aliasOf,
  type Wanted,
  type WantedEndpoint,
  type WantedHandover,
  type WantedLan,
  type WantedNetwork,
} from "../wanted.js";
import { planAttachment } from "./endpoint-plan.js";
import { isLan } from "./lan-plan.js";
import { planGround, type Scope } from "./plan.js";

// What somebody else has taken away while the daemon runs, as far as the host's own links tell.

/** Links that networks on LANs stand on, by name, with the index of each that was there last; 0 for one that is not there. */
export type Bases = ReadonlyMap<string, number>;

/** The link that has to be there for a network on a LAN: it is not ours to make. */
export function baseOf({ parent, vlan }: WantedLan): string {
  return vlan?.of ?? parent;
}

/** Whether news is about something that is wanted. */
export function isAboutWanted(items: readonly LinkNewsItem[], wanted: Wanted, bases: Bases): boolean {
  if (items.length === 0) return false; // as it is nearly always, twice a second
  const networks = [...wanted.networks.values()];
  const own = new Set(
    networks.flatMap(({ bridge, lan, overlay }) =>
      [bridge, ...(lan?.vlan ? [lan.parent] : []), overlay?.link ?? []].flat(),
    ),
  );
  const isAbout = (item: LinkNewsItem) => {
    if (item.kind === "address-gone")
      return networks.some(({ addresses }) => addresses.some(({ ip }) => ip === item.ip));
    if (item.kind === "link-gone") return own.has(item.name) || bases.has(item.name);
    return (!item.isUp && own.has(item.name)) || (bases.get(item.name) ?? item.index) !== item.index;
  };
  return items.some(isAbout) || losesEnd(items, wanted);
}

function losesEnd(items: readonly LinkNewsItem[], { endpoints, handovers }: Wanted): boolean {
  const lost = new Set(items.flatMap((item) => (item.kind === "link-gone" ? [item.name] : [])));
  const isLost = ({ hostLink }: WantedEndpoint | WantedHandover) => lost.has(hostLink);
  return lost.size > 0 && ([...endpoints.values()].some(isLost) || [...handovers.values()].some(isLost));
}

/** What is to be looked at and set right. */
export function cutOff(wanted: Wanted, host: SeenHost, bases: Bases): Scope {
  const removed = { networks: [], sandboxes: [], endpoints: [], handovers: [] };
  const grounds = [...wanted.networks.values()].filter((network) => hasGround(network, host));
  const ground: Scope = { networks: grounds, sandboxes: [], endpoints: [], handovers: [], removed };
  const steps = planGround(ground, wanted, { host, sandboxes: new Map(), taken: new Set() });
  const lacking = new Set(steps.map(({ object }) => object.id));
  const networks = new Map(grounds.map((network) => [network.id, network]));
  const isCut = (place: WantedEndpoint | WantedHandover, alias: string) => {
    const network = networks.get(place.network);
    if (!network || network.isPair === true || network.isRemote === true) return false;
    if (isLan(network)) return lacking.has(network.id) || isReplaced(network.lan, host, bases);
    return planAttachment({ ...place, alias }, network, host.links.get(place.hostLink), host).length > 0;
  };
  // A pair of which one end is gone went with its container.
  const isLeft = ({ network, hostLink }: WantedHandover) =>
    networks.get(network)?.lan ? lacking.has(network) : host.links.has(hostLink);
  return {
    ...ground,
    networks: grounds.filter(({ id }) => lacking.has(id)),
    endpoints: [...wanted.endpoints.values()].filter((endpoint) => isCut(endpoint, aliasOf.endpoint(endpoint))),
    handovers: [...wanted.handovers.values()].filter(
      (handover) => isLeft(handover) && isCut(handover, aliasOf.handover(handover)),
    ),
  };
}

/** Another link of that name is there: what was on the one before went with it. */
function isReplaced(lan: WantedLan, { links }: SeenHost, bases: Bases): boolean {
  const index = links.get(baseOf(lan))?.index;
  return index !== undefined && bases.get(baseOf(lan)) !== index;
}

/** What a network stands on is not ours to bring back. */
function hasGround({ bridge, isAdopted, lan }: WantedNetwork, { links }: SeenHost): boolean {
  return lan ? links.has(baseOf(lan)) : !isAdopted || links.has(bridge);
}
