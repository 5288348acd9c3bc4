import type { Hook } from "../../../linux/netlink/nftables/numbers.js";
import type { Container } from "../../inventory/types.js";
import type { Place } from "../facts/world.js";
import type { Ruling } from "../rules/hook.js";
import { legacyPrefix } from "../rules/legacy-words.js";
import type { Packet } from "../rules/packet.js";
import { dockersRulesAreGone, rulesGone } from "./flushed.js";
import { commandIn, containerAt, linkOf, networkOf, type Journey } from "../way/journey.js";
import { shellWord } from "../shell.js";

/** Why a rule refuses a packet, where it is known what it is for, and what to change. */
export interface Refusal {
  /** "" when there is no more to say than the rule itself does. */
  readonly why: string;
  readonly remedy: string;
}

export function refusalOf(
  journey: Journey,
  place: Place,
  hook: Hook,
  packet: Packet,
  ruling: Ruling,
  whose: string | undefined,
): Refusal {
  if (place !== journey.world.host) return ofNamespace(place, ruling, packet, hook);
  if (ruling.by.rule === undefined && hook === "forward" && dockersRulesAreGone(journey.world)) return rulesGone;
  const known = betweenNetworks(journey, place, packet, ruling, whose);
  if (known) return known;
  if (whose?.includes("ufw") === true) return byUfw(journey, packet, hook, ruling);
  if (whose === "firewalld") return byFirewalld(journey, packet, hook);
  return byOther(place, packet, hook, ruling);
}

/** What Docker's rules and pontoon's refuse, they refuse because of the networks. */
function betweenNetworks(
  { world, transport }: Journey,
  place: Place,
  packet: Packet,
  ruling: Ruling,
  whose: string | undefined,
): Refusal | undefined {
  const [inside, out] = [linkOf(place, packet.iif?.index), linkOf(place, packet.oif?.index)];
  const [from, to] = [containerAt(world, packet.from), containerAt(world, packet.to)];
  const isQuiet = ruling.base.family === "bridge" || (inside !== undefined && inside.index === out?.index);
  const [source, target] = [networkOf(world, bridgeOf(place, inside)), networkOf(world, bridgeOf(place, out))];
  if (whose !== "Docker" && whose !== "pontoon" && !(isQuiet && source && ruling.by.rule && whose === undefined))
    return undefined;
  if (ruling.by.rule === undefined) return undefined; // a policy is about everybody
  if (isQuiet && source && whose === "pontoon" && from && to && isLinked(from, to))
    return {
      why: `${from.name} is linked to ${to.name}, which exposes ${exposed(to)} (icc is off on network ${source.name})`,
      remedy: `make ${shellWord(to.name)} anew with --expose ${packet.toPort ?? "PORT"}${transport === "udp" ? "/udp" : ""}`,
    };
  if (isQuiet && source)
    return {
      why: `containers on network ${source.name} do not reach one another (icc is off)`,
      remedy: connectBoth(from, to),
    };
  const internal = [source, target].find((network) => network?.internal);
  if (internal)
    return {
      why: `network ${internal.name} is internal: nothing comes in or goes out`,
      remedy: target ? connectBoth(from, to) : wayOut(from),
    };
  if (source && target)
    return {
      why: `networks ${source.name} and ${target.name} are kept apart`,
      remedy: from && to ? connect(target.name, from) : "connect both to one network",
    };
  if (target && whose === "Docker" && ruling.by.chain.chain.startsWith("DOCKER"))
    return {
      why: `from outside of network ${target.name} only published ports are reached`,
      remedy: to ? `pontoon publish ${shellWord(to.name)} ${packet.toPort ?? "PORT"}` : "publish the port",
    };
  return undefined;
}

/** A link on one of pontoon's networks opens what its target exposes. */
function isLinked(from: Container, to: Container): boolean {
  return from.endpoints.some(({ links }) => links.some(([target]) => target === to.id || target === to.name));
}

function exposed({ ports }: Container): string {
  if (ports.length === 0) return "no port";
  const some = ports.slice(0, 5).map(([port, transport]) => `${port}/${transport}`);
  return `${some.join(", ")}${ports.length > some.length ? "…" : ""} alone`;
}

/** The bridge a link is, or is a port of. */
function bridgeOf(place: Place, link: ReturnType<typeof linkOf>) {
  return link?.master !== undefined && link.master !== 0 ? linkOf(place, link.master) : link;
}

/** Has a container on another network as well. */
export function connect(network: string, { name, source }: Container, alias?: string): string {
  const program = source === "docker" ? "docker" : "pontoon";
  return `${program} network connect ${alias === undefined ? "" : `--alias ${shellWord(alias)} `}${shellWord(network)} ${shellWord(name)}`;
}

function connectBoth(from: Container | undefined, to: Container | undefined): string {
  if (!from || !to) return "connect both to a network whose containers reach one another";
  const program = from.source === "docker" && to.source === "docker" ? "docker" : "pontoon";
  return [`${program} network create shared`, connect("shared", from), connect("shared", to)].join(" && ");
}

/** A network with a way out. */
export function wayOut(from: Container | undefined): string {
  if (!from) return "connect it to a network that is not internal";
  return from.source === "docker"
    ? `docker network connect bridge ${shellWord(from.name)}`
    : `pontoon network create out && ${connect("out", from)}`;
}

function byUfw({ transport }: Journey, { toPort, to }: Packet, hook: Hook, { by }: Ruling): Refusal {
  const port = toPort === undefined ? "" : ` port ${toPort}`;
  const proto = toPort === undefined ? "" : ` proto ${transport}`;
  const why = by.rule === undefined ? "ufw refuses what no rule allows" : "ufw refuses it";
  if (hook === "input")
    return { why, remedy: toPort === undefined ? "ufw allow in from any" : `ufw allow ${toPort}/${transport}` };
  return { why, remedy: `ufw route allow${proto} to ${to}${port}` };
}

function byFirewalld({ transport }: Journey, { toPort, iif, oif }: Packet, hook: Hook): Refusal {
  const remedy =
    hook === "input" && toPort !== undefined
      ? `firewall-cmd --add-port=${toPort}/${transport}`
      : `firewall-cmd --zone=trusted --add-interface=${shellWord((hook === "forward" ? iif : oif)?.name ?? "LINK")}`;
  return { why: "firewalld refuses it", remedy };
}

/** A container's own rules. */
function ofNamespace(place: Place, ruling: Ruling, packet: Packet, hook: Hook): Refusal {
  return {
    why: `${place.name} has rules of its own that refuse it`,
    remedy: byOther(place, packet, hook, ruling).remedy,
  };
}

function byOther(place: Place, { iif, oif, family }: Packet, hook: Hook, { by, base }: Ruling): Refusal {
  const { chain, rule } = by;
  const isLegacy = chain.table.startsWith(legacyPrefix);
  const suffix = family === "ipv6" ? "ip6tables" : "iptables";
  const program = isLegacy ? `${suffix}-legacy` : suffix;
  if (rule === undefined) {
    const links = [...(iif ? ["-i", shellWord(iif.name)] : []), ...(oif ? ["-o", shellWord(oif.name)] : [])].join(" ");
    const why = `what no rule accepts is dropped in ${base.chain}`;
    if (!/^(INPUT|FORWARD|OUTPUT)$/.test(base.chain)) return { why, remedy: commandIn(place, policyOf(base)) };
    const users = place.book.chains.some((one) => one.table === base.table && one.chain === "DOCKER-USER");
    const into = hook === "forward" && users ? "DOCKER-USER" : base.chain;
    return {
      why,
      remedy: commandIn(place, [program, "-I", into, links, "-j ACCEPT"].filter((word) => word !== "").join(" ")),
    };
  }
  if (isLegacy) {
    const table = chain.table.slice(legacyPrefix.length);
    return { why: "", remedy: commandIn(place, `${program} -t ${table} -D ${shellWord(chain.chain)} ${rule.handle}`) };
  }
  const name = `${chain.family} ${shellWord(chain.table)} ${shellWord(chain.chain)}`;
  return { why: "", remedy: commandIn(place, `nft delete rule ${name} handle ${rule.handle}`) };
}

function policyOf({ family, table, chain }: Ruling["base"]): string {
  return `nft chain ${family} ${shellWord(table)} ${shellWord(chain)} '{ policy accept; }'`;
}
