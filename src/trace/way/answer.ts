import type { Place } from "../facts/world.js";
import type { Packet } from "../rules/packet.js";
import { commandIn, linkOf, type Journey } from "./journey.js";
import { requireSource } from "./receive.js";

/** The way back: a route to whom the packet seems to come from, by a link behind which the host expects it. */
export function checkAnswer(journey: Journey, place: Place, { from, to }: Packet): void {
  const { world, trail, entered } = journey;
  const { host } = world;
  if (place === host || !entered) return;
  const route = place.route({ to: from, from: to });
  if (route.kind === "local") return;
  if (route.kind === "refused" || route.kind !== "unicast")
    return trail.stops("answer", place.name, `${place.name} has no way back to ${from}: its answers never leave`, {
      remedy: commandIn(place, `ip route add default via ${gatewayOf(host, entered.index) ?? "GATEWAY"}`),
    });
  const link = linkOf(place, route.link);
  const port = host.links.find(({ index }) => index === link?.peer);
  const way = linkOf(host, port?.master === 0 ? undefined : port?.master) ?? port;
  if (way?.index === entered.index || link?.index === entered.index)
    return trail.passes("answer", place.name, `its answers go back by ${link?.name ?? "the same link"}`);
  const gateway = gatewayOf(host, entered.index);
  const remedy = gateway === undefined ? "ip route" : `ip route replace ${from} via ${gateway}`;
  if (!way || link?.kind === "macvlan")
    return trail.stops(
      "answer",
      place.name,
      `its answers to ${from} leave by ${link?.name ?? "no link"}, past this host, and come from another address than was asked`,
      {
        remedy: commandIn(place, remedy),
      },
    );
  requireSource(journey, host, way, to);
  trail.warns("answer", place.name, `it came by ${entered.name}, and its answers go back by ${way.name}`, {
    remedy: commandIn(place, remedy),
  });
}

function gatewayOf(host: Place, link: number): string | undefined {
  return host.addresses.find(({ index, isLinkLocal, ip }) => index === link && !isLinkLocal && !ip.includes(":"))?.ip;
}
