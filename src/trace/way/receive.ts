import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import type { Place } from "../facts/world.js";
import type { Packet } from "../rules/packet.js";
import { asNew, commandIn, hasAddress, linkOf, linkOfRoute, passedLink, type Journey, type Stage } from "./journey.js";
import { askRules } from "../firewall/rules-at.js";
import { shellWord } from "../shell.js";

/** A packet comes into a namespace: its rules see it, then it is for the namespace itself, or for somebody else. */
export function receive(journey: Journey, place: Place, link: Link, packet: Packet): Stage {
  const fresh = asNew(packet);
  const received = askRules(journey, place, "prerouting", { ...fresh, iif: passedLink(link) });
  requireSource(journey, place, link, received.from);
  const { to, from, mark } = received;
  if (hasAddress(place, to)) return here(journey, place, received);
  const route = place.route({ to, from, iif: link.index, mark });
  if (route.kind === "local") return here(journey, place, received);
  return onward(journey, place, link, received);
}

function here(journey: Journey, place: Place, packet: Packet): Stage {
  return { at: "deliver", place, packet: askRules(journey, place, "input", packet) };
}

/** Somebody else's: it is forwarded, if the namespace does that. */
function onward(journey: Journey, place: Place, inside: Link, received: Packet): Stage {
  const { trail } = journey;
  const { to, mark, family } = received;
  requireForwarding(journey, place, inside, family);
  // As if it were sent from here: that it came in by a link has been looked at.
  const route = place.route({ to, mark });
  if (route.kind === "refused" || route.kind !== "unicast")
    return trail.stops(
      "route",
      place.name,
      `there is no route to ${to} (${route.kind === "refused" ? route.errno : route.kind})`,
      {
        remedy: commandIn(place, `ip route add ${to} via GATEWAY`),
      },
    );
  const link = linkOfRoute(place, route);
  if (!link) return trail.stops("route", place.name, `no link leads to ${to}`);
  const how = route.gateway === undefined ? "" : `, by the gateway ${route.gateway}`;
  trail.passes("route", place.name, `to ${to} by ${link.name}${how}`);
  if (!link.isUp)
    trail.stops("link", place.name, `${link.name} is down`, {
      remedy: commandIn(place, `ip link set ${shellWord(link.name)} up`),
    });
  const forwarded = askRules(journey, place, "forward", { ...received, oif: passedLink(link) });
  const left = askRules(journey, place, "postrouting", { ...forwarded, iif: undefined });
  journey.passed.push({ place: place.name, link, isRouted: true });
  return { at: "cross", place, link, hop: route.gateway ?? to, packet: { ...left, oif: undefined } };
}

function requireForwarding({ trail }: Journey, place: Place, { name }: Link, family: Packet["family"]): void {
  const [all, own] =
    family === "ipv4"
      ? ["ipv4/ip_forward", `ipv4/conf/${name}/forwarding`]
      : ["ipv6/conf/all/forwarding", `ipv6/conf/${name}/forwarding`];
  if (place.setting(own) === "1" || (place.setting(own) === undefined && place.setting(all) === "1"))
    return trail.passes("forwarding", place.name, `what comes in by ${name} is forwarded`);
  trail.stops("forwarding", place.name, `${place.name} does not forward what comes in by ${name}`, {
    remedy: commandIn(place, `sysctl -w net.${all.replaceAll("/", ".")}=1`),
  });
}

/** Whether the namespace believes that the sender is behind that link (RFC 3704; `rp_filter`). */
export function requireSource({ trail }: Journey, place: Place, { name, index }: Link, from: string): void {
  if (from.includes(":")) return; // IPv6 has no such setting
  const modes = ["all", name].map((link) => Number(place.setting(`ipv4/conf/${link}/rp_filter`) ?? 0));
  const mode = Math.max(...modes);
  if (mode === 0) return;
  const back = place.route({ to: from });
  const link = back.kind === "refused" ? undefined : back.link;
  if (back.kind !== "refused" && (mode === 2 || link === index || back.kind === "local")) return;
  const leads = link === undefined ? "no link leads" : `${linkOf(place, link)?.name ?? "another link"} leads`;
  trail.stops(
    "source check",
    place.name,
    `what comes from ${from} by ${name} is dropped without a word: ${leads} back there (rp_filter ${mode})`,
    {
      remedy: commandIn(
        place,
        modes[0] === 1
          ? `sysctl -w net.ipv4.conf.all.rp_filter=2`
          : `sysctl -w ${shellWord(`net.ipv4.conf.${name.replaceAll(".", "/")}.rp_filter=2`)}`,
      ),
    },
  );
}
