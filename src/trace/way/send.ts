import { isLoopback } from "../../../common/address.js";
import type { FoundRoute } from "../../../linux/netlink/rtnetlink/route-lookup.js";
import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import type { Container } from "../../inventory/types.js";
import type { Place } from "../facts/world.js";
import type { Packet } from "../rules/packet.js";
import { addressesOf, containerAt, linkOfRoute, passedLink, type Journey, type Stage } from "./journey.js";
import { wayOut } from "../firewall/refusals.js";
import { askRules } from "../firewall/rules-at.js";
import { shellWord } from "../shell.js";

/** A namespace sends a packet: its route, then its own rules. */
export function send(journey: Journey, place: Place, unrouted: Packet): Stage {
  const first = routeOut(journey, place, unrouted);
  const before: Packet = { ...unrouted, from: first.source, oif: first.link && passedLink(first.link) };
  tellRoute(journey, place, before, first);
  const asked = askRules(journey, place, "output", before);
  const isRerouted = asked.to !== before.to || asked.mark !== before.mark;
  const route = isRerouted ? routeOut(journey, place, asked) : first;
  const routed = { ...asked, oif: route.link && passedLink(route.link) };
  const left = askRules(journey, place, "postrouting", routed);
  if (route.isLocal) return comeBack(journey, place, { ...left, iif: routed.oif, oif: undefined });
  const { link, hop } = route;
  if (!link) return journey.trail.stops("route", place.name, `no link leads to ${asked.to}`);
  journey.passed.push({ place: place.name, link, isRouted: true });
  return { at: "cross", place, link, hop, packet: { ...left, oif: undefined } };
}

/** What a namespace sends to itself goes by its loopback link. */
function comeBack(journey: Journey, place: Place, packet: Packet): Stage {
  const received = askRules(journey, place, "prerouting", { ...packet, iif: loopbackOf(place), isKnown: true });
  const accepted = askRules(journey, place, "input", received);
  return { at: "deliver", place, packet: accepted };
}

function loopbackOf(place: Place) {
  const link = place.links.find(({ name }) => name === "lo");
  return link && passedLink(link);
}

interface Out {
  readonly link: Link | undefined;
  readonly hop: string;
  readonly gateway: string | undefined;
  readonly source: string;
  readonly isLocal: boolean;
}

function routeOut(journey: Journey, place: Place, { to, from, mark, family }: Packet): Out {
  const route = place.route({ to, mark, ...(from !== "" && { from }) });
  if (route.kind === "refused" || (route.kind !== "unicast" && route.kind !== "local"))
    return noRoute(journey, place, to, route);
  const link = linkOfRoute(place, route);
  const source = from !== "" ? from : (route.source ?? addressesOf(place, family, route.link)[0]?.ip ?? "");
  const isLocal = route.kind === "local" || isLoopback(to);
  if (link && !link.isUp && !isLocal)
    journey.trail.stops("link", place.name, `${link.name}, which leads to ${to}, is down`, {
      remedy: `ip link set ${shellWord(link.name)} up`,
    });
  return { link, hop: route.gateway ?? to, gateway: route.gateway, source, isLocal };
}

function noRoute(journey: Journey, place: Place, to: string, route: FoundRoute): never {
  const { world, trail } = journey;
  const container = world.containers.find((one) => one.running && world.placeOf(one) === place);
  if (route.kind !== "refused")
    return trail.stops("route", place.name, `the route to ${to} says ${route.kind}`, {
      remedy: `ip route del ${route.kind} ${to}`,
    });
  const internal = internalNetworks(journey, container);
  if (internal.length > 0)
    trail.stops(
      "route",
      place.name,
      `there is no route to ${to}: ${place.name} is only on ${internalWords(internal)}`,
      { remedy: targetNetwork(journey, container, to) ?? wayOut(container) },
    );
  return trail.stops("route", place.name, `there is no route to ${to} (${route.errno})`, {
    remedy:
      container && container.endpoints.length > 0
        ? `look at its routes: nsenter --net=${place.path ?? ""} ip route`
        : container
          ? wayOut(container)
          : `ip route add ${to} via GATEWAY`,
  });
}

function internalWords(names: readonly string[]): string {
  return `${names.length === 1 ? "an internal network" : "internal networks"} (${names.join(", ")})`;
}

/** Names of its networks, if all are internal. */
function internalNetworks({ world }: Journey, container: Container | undefined): string[] {
  const joined = (container?.endpoints ?? []).map(({ networkId, networkName }) =>
    world.networks.find(({ id, name }) => id === networkId || (networkId === "" && name === networkName)),
  );
  return joined.every((network) => network?.internal === true) ? joined.map((network) => network!.name) : [];
}

function targetNetwork({ world }: Journey, container: Container | undefined, to: string): string | undefined {
  const other = containerAt(world, to);
  const network = other?.endpoints.find(({ ipv4, ipv6 }) => ipv4 === to || ipv6 === to)?.networkName;
  if (!container || network === undefined) return undefined;
  return `${container.source === "docker" ? "docker" : "pontoon"} network connect ${shellWord(network)} ${shellWord(container.name)}`;
}

function tellRoute({ trail }: Journey, place: Place, { from, to }: Packet, { link, gateway, isLocal }: Out): void {
  if (isLocal) return trail.passes("route", place.name, `${to} is an address of its own`);
  const how = gateway === undefined ? "straight over the link" : `by the gateway ${gateway}`;
  trail.passes("route", place.name, `from ${from} by ${link?.name ?? "no link"}, ${how}`);
}
