import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import { isInside, rangeOf } from "../../../network/firewall/ranges.js";
import type { Container } from "../../inventory/types.js";
import type { Place } from "../facts/world.js";
import type { Packet } from "../rules/packet.js";
import {
  addressesOf,
  commandIn,
  containerAt,
  hasAddress,
  linkOf,
  networkWords,
  passedLink,
  type Journey,
  type Stage,
} from "./journey.js";
import { tellMtu } from "./mtu.js";
import { dockersRulesAreGone, rulesGone } from "../firewall/flushed.js";
import { askRules } from "../firewall/rules-at.js";
import { shellWord } from "../shell.js";

/** A packet leaves a namespace by a link: who has the other end, and who is the neighbour it is for. */
export function cross(journey: Journey, place: Place, link: Link, hop: string, packet: Packet): Stage {
  const { host } = journey.world;
  return place === host ? fromHost(journey, link, hop, packet) : fromContainer(journey, place, link, hop, packet);
}

function fromHost(journey: Journey, link: Link, hop: string, packet: Packet): Stage {
  const { world, trail } = journey;
  const found = containerAt(world, hop);
  const place = found && world.placeOf(found);
  if (link.kind === "bridge") {
    if (!found) return nobody(journey, undefined, link, hop, packet);
    if (!place) return unseen(journey, found);
    return intoContainer(journey, link, found, place, hop, packet);
  }
  if (link.kind === "macvlan") return byMacvlan(journey, world.host, link, hop, packet);
  const end = place && otherEnd(place, link);
  if (place && end) {
    trail.passes("link", "host", `${link.name} leads to ${place.name}`);
    return enter(journey, place, link, end, packet);
  }
  return leaveHost(journey, link, hop, packet);
}

/** Over a bridge to the port of a container. */
function intoContainer(
  journey: Journey,
  bridge: Link,
  container: Container,
  place: Place,
  hop: string,
  packet: Packet,
): Stage {
  const end = endWith(place, hop);
  if (!end)
    return journey.trail.stops("link", container.name, `${container.name} should have ${hop}, and no link of it has`, {
      remedy: restartOf(container),
    });
  const port = otherEnd(journey.world.host, end);
  if (!port || port.master !== bridge.index)
    return journey.trail.stops(
      "bridge",
      "host",
      `${end.name} of ${container.name} is no port of ${bridge.name} (${networkWords(journey.world, bridge)})`,
      { remedy: restartOf(container) },
    );
  requireUp(journey, port);
  journey.passed.push({ place: "host", link: port, isRouted: false });
  return enter(journey, place, bridge, end, packet);
}

function enter(journey: Journey, place: Place, by: Link, end: Link, packet: Packet): Stage {
  if (!end.isUp)
    journey.trail.stops("link", place.name, `${end.name} is down`, {
      remedy: `nsenter --net=${place.path ?? ""} ip link set ${shellWord(end.name)} up`,
    });
  journey.entered = by;
  journey.passed.push({ place: place.name, link: end, isRouted: false });
  return { at: "receive", place, link: end, packet };
}

function fromContainer(journey: Journey, place: Place, link: Link, hop: string, packet: Packet): Stage {
  const { world, trail } = journey;
  const { host } = world;
  if (link.kind === "macvlan") return byMacvlan(journey, place, link, hop, packet);
  const found = containerAt(world, hop);
  const target = found && world.placeOf(found);
  const onHost = otherEnd(host, link);
  const end = onHost ? undefined : target && otherEnd(target, link);
  if (target && end) {
    trail.passes("link", place.name, `${link.name} leads to ${end.name} of ${target.name}`);
    return enter(journey, target, end, end, packet);
  }
  const port = onHost ?? host.links.find(({ index, peer }) => index === link.peer && peer === undefined);
  if (!port)
    return trail.stops(
      "link",
      place.name,
      `the other end of ${link.name} is not on this host: its way is not seen from here`,
      {
        remedy: "give --probe, which tries it",
      },
    );
  requireUp(journey, port);
  const bridge = linkOf(host, port.master === 0 ? undefined : port.master);
  if (!bridge) {
    trail.passes("link", "host", `${link.name} of ${place.name} is ${port.name}`);
    journey.passed.push({ place: "host", link: port, isRouted: false });
    return { at: "receive", place: host, link: port, packet };
  }
  trail.passes(
    "bridge",
    "host",
    `${link.name} of ${place.name} is ${port.name}, a port of ${bridge.name} (${networkWords(world, bridge)})`,
  );
  requireUp(journey, bridge);
  journey.passed.push({ place: "host", link: port, isRouted: false }, { place: "host", link: bridge, isRouted: false });
  if (hasAddress(host, hop)) return { at: "receive", place: host, link: bridge, packet };
  if (!found) return nobody(journey, place, bridge, hop, packet);
  if (!target) return unseen(journey, found);
  const bridged = overBridge(journey, bridge, port, target, hop, packet);
  return intoContainer(journey, bridge, found, target, hop, bridged);
}

/** From port to port: rules of the bridge, and those of IP where br_netfilter has them asked. */
function overBridge(journey: Journey, bridge: Link, from: Link, target: Place, hop: string, packet: Packet): Packet {
  const { host } = journey.world;
  const end = endWith(target, hop);
  const to = host.links.find(({ index }) => index === end?.peer);
  const ports = { iif: passedLink(from), oif: to && passedLink(to) };
  for (const hook of ["prerouting", "forward", "postrouting"] as const)
    askRules(journey, host, hook, { ...packet, ...ports, ...(hook === "prerouting" && { oif: undefined }) }, "bridge");
  const setting = `bridge/bridge-nf-call-${packet.family === "ipv4" ? "iptables" : "ip6tables"}`;
  if (host.setting(setting) !== "1") return packet;
  const passed = { ...packet, isBridged: true };
  const routed = askRules(journey, host, "prerouting", { ...passed, iif: passedLink(bridge) });
  const forwarded = askRules(journey, host, "forward", { ...routed, iif: passedLink(bridge), oif: passedLink(bridge) });
  const left = askRules(journey, host, "postrouting", { ...forwarded, iif: undefined });
  return { ...left, isBridged: false, oif: undefined };
}

/** The link of a namespace that is the other end of this one. */
function otherEnd(place: Place, link: Link): Link | undefined {
  return place.links.find(({ index, peer }) => index === link.peer && peer === link.index);
}

/** The link of a namespace that has an address. */
function endWith(place: Place, ip: string): Link | undefined {
  return linkOf(place, place.addresses.find((address) => address.ip === ip)?.index);
}

function requireUp({ trail }: Journey, link: Link): void {
  if (!link.isUp)
    trail.stops("link", "host", `${link.name} is down`, { remedy: `ip link set ${shellWord(link.name)} up` });
}

/** Nobody answers who has the address. @param place who sends it on; undefined for the host */
function nobody({ world, trail }: Journey, place: Place | undefined, bridge: Link, hop: string, packet: Packet): never {
  const where = networkWords(world, bridge);
  const gateway = addressesOf(world.host, packet.family, bridge.index).find(({ isLinkLocal }) => !isLinkLocal)?.ip;
  if (hop !== packet.to)
    trail.stops("bridge", "host", `nobody has ${hop}, the gateway for ${packet.to}, on ${where}`, {
      remedy:
        place && gateway ? commandIn(place, `ip route replace default via ${gateway}`) : `ip route get ${packet.to}`,
    });
  const stopped = world.containers.find(
    ({ running, endpoints }) => !running && endpoints.some(({ named }) => named?.includes(hop) === true),
  );
  if (stopped)
    trail.stops("bridge", "host", `nobody has ${hop} on ${where}: ${stopped.name}, which is to have it, does not run`, {
      remedy: startOf(stopped),
    });
  return trail.stops("bridge", "host", `nobody has ${hop} on ${where}`, {
    remedy: "ask for the name instead of the address; pontoon dns records shows both",
  });
}

function unseen({ trail }: Journey, { name }: Container): never {
  return trail.stops("link", name, `the network namespace of ${name} cannot be entered from here`, {
    remedy: "run it where the container runs, as root",
  });
}

/** Past the host's own stack, on the wire of the parent link. */
function byMacvlan(journey: Journey, place: Place, link: Link, hop: string, packet: Packet): Stage {
  const { world, trail } = journey;
  const parent = linkOf(world.host, link.peer);
  if (hasAddress(world.host, hop)) {
    const own = world.host.links.find(({ kind, peer, isUp }) => kind === "macvlan" && peer === link.peer && isUp);
    if (!own)
      return trail.stops("link", place.name, `${link.name} is a macvlan link, which does not reach the host itself`, {
        remedy: `have ${place.name} on a bridge network as well`,
      });
    trail.passes("link", place.name, `${link.name} and ${own.name} of the host are macvlan links on ${parent?.name}`);
    return enter(journey, world.host, own, own, packet);
  }
  const found = containerAt(world, hop);
  const target = found && world.placeOf(found);
  const end = target && endWith(target, hop);
  trail.passes("link", place.name, `${link.name} is a macvlan link on ${parent?.name ?? "a link of the host"}`);
  if (target && end?.kind === "macvlan" && end.peer === link.peer) return enter(journey, target, end, end, packet);
  return outside(journey, parent?.name ?? "the host", hop, packet);
}

function leaveHost(journey: Journey, link: Link, hop: string, packet: Packet): Stage {
  const { world, trail } = journey;
  const network = world.networks.find(
    ({ subnets }) => subnets?.some((subnet) => isInside(packet.from, rangeOf(subnet))) === true,
  );
  const isDockers = network?.source === "docker" && !network.internal;
  if (isDockers && !packet.translated.source && dockersRulesAreGone(world))
    trail.stops(
      "rules",
      "host",
      `it would leave by ${link.name} with its own address ${packet.from}: ${rulesGone.why}`,
      {
        remedy: rulesGone.remedy,
      },
    );
  if (!packet.translated.source && containerAt(world, packet.from))
    trail.warns(
      "rules",
      "host",
      `it leaves by ${link.name} with the container's own address ${packet.from}: who answers must have a route to it`,
    );
  return outside(journey, link.name, hop, packet);
}

function outside(journey: Journey, link: string, hop: string, { to, from }: Packet): Stage {
  const { trail } = journey;
  const by = hop === to ? "" : `, by the gateway ${hop}`;
  trail.passes("link", "host", `it leaves by ${link} as ${from}${by}`);
  tellMtu(journey);
  return {
    at: "end",
    end: trail.arrived("outside", `it leaves this host for ${to}; what is beyond is not seen from here`),
  };
}

export function startOf({ name, source }: Container): string {
  return source === "docker" ? `docker start ${shellWord(name)}` : `pontoon sandbox create ${shellWord(name)}`;
}

function restartOf({ name, source }: Container): string {
  return source === "docker" ? `docker restart ${shellWord(name)}` : "systemctl restart pontoon";
}
