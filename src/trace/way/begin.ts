import { familyOf, isLoopback, isUnspecified } from "../../../common/address.js";
import { namesOf } from "../../inventory/naming.js";
import type { Container, Endpoint } from "../../inventory/types.js";
import type { PortRow } from "../../ports/contract.js";
import type { Goal, Place, Request } from "../facts/world.js";
import { startOf } from "./cross.js";
import { unserved } from "./deliver.js";
import { addressesOf, linkOf, newPacket, networkWords, type Journey, type Stage } from "./journey.js";
import { isLoopbackOnly, publishEverywhere, rowsOf, whereWords } from "./publications.js";
import { connect } from "../firewall/refusals.js";
import { shellWord } from "../shell.js";

/** What the goal is to the asker, and the packet that sets out for it. */
export function begin(journey: Journey, request: Request): Stage {
  const { asker, goal, port } = request;
  const { host } = journey.world;
  const origin = asker.kind === "container" ? asker.place : host;
  if (asker.kind === "outside") return fromOutside(journey, request, asker.ip);
  const ip = addressOf(journey, request, origin, goal);
  journey.sentTo = ip;
  return { at: "send", place: origin, packet: newPacket(journey.transport, "", ip, port) };
}

/** Where the asker sends its packet. */
function addressOf(journey: Journey, request: Request, origin: Place, goal: Goal): string {
  const { world, trail } = journey;
  switch (goal.kind) {
    case "address":
      return goal.ip;
    case "host":
      return hostFor(journey, origin);
    case "container":
      return ofContainer(journey, goal.container);
    case "unresolved":
      return unresolved(journey, request, goal);
    case "resolved": {
      const [ip = ""] = goal.ips;
      const more = goal.ips.length > 1 ? `, ${goal.ips.length - 1} more` : "";
      const owner = world.containers.find(({ endpoints, running }) => running && endpoints.some(has(ip)));
      const whose = owner && owner.name !== goal.name ? `, an address of ${owner.name}` : "";
      trail.passes("name", origin.name, `${goal.name} is ${ip}${more}${whose}: ${goal.by}`);
      return ip;
    }
  }
}

const has =
  (ip: string) =>
  ({ ipv4, ipv6 }: Endpoint): boolean =>
    ipv4 === ip || ipv6 === ip;

/** The host's address that an asker would use: that of its gateway. */
function hostFor({ world, trail }: Journey, origin: Place): string {
  const { host } = world;
  if (origin === host) return "127.0.0.1";
  const route = origin.route({ to: "192.0.2.1" });
  const gateway = route.kind === "refused" ? undefined : route.gateway;
  const shared = [gateway, ...host.addresses.map(({ ip }) => ip)].find(
    (ip) =>
      ip !== undefined &&
      !isLoopback(ip) &&
      host.addresses.some((address) => address.ip === ip && !address.isLinkLocal),
  );
  if (shared === undefined) return trail.stops("name", "host", "the host has no address that a container could reach");
  trail.passes("name", origin.name, `the host is ${shared}${shared === gateway ? ", its gateway" : ""}`);
  return shared;
}

/** For the host, which does not resolve names of containers. */
function ofContainer({ world, trail }: Journey, container: Container): string {
  requireRunning({ world, trail }, container);
  const owner = ownerOf(world.containers, container);
  if (owner.networkMode.kind === "host") {
    trail.passes("name", "host", `${container.name} has the host's own network`);
    return "127.0.0.1";
  }
  const endpoint = owner.endpoints.find(({ ipv4, ipv6 }) => (ipv4 ?? ipv6) !== undefined);
  const ip = endpoint?.ipv4 ?? endpoint?.ipv6;
  if (!endpoint || ip === undefined)
    return trail.stops("name", "host", `${container.name} is on no network`, { remedy: connect("bridge", container) });
  trail.passes(
    "name",
    "host",
    `${container.name} is ${ip} on network ${endpoint.networkName}; the host itself knows no names of containers`,
  );
  return ip;
}

function ownerOf(containers: readonly Container[], container: Container): Container {
  const { networkMode } = container;
  if (networkMode.kind !== "container") return container;
  return containers.find(({ id, name }) => id === networkMode.of || name === networkMode.of) ?? container;
}

function requireRunning({ trail }: Pick<Journey, "trail" | "world">, container: Container): void {
  const { name, running, source, unboundPort } = container;
  if (running) return;
  const why =
    unboundPort === undefined
      ? ""
      : `: port ${unboundPort.hostPort} of the host, which it publishes, was taken when it was started`;
  const what = source === "docker" ? `${name} does not run` : `the namespace of ${name} is gone`;
  trail.stops("name", name, `${what}${why}`, { remedy: startOf(container) });
}

/** A name that the asker gets no address for: why, and what would give it one. */
function unresolved(
  journey: Journey,
  { asker }: Request,
  { name, reason, isPolicy }: Goal & { kind: "unresolved" },
): never {
  const { world, trail } = journey;
  const own = asker.kind === "container" ? ownerOf(world.containers, asker.container) : undefined;
  const where = own?.name ?? "host";
  const named = world.containers.find((container) => container.name === name || container.id.slice(0, 12) === name);
  const aliased =
    named ?? world.containers.find(({ endpoints }) => endpoints.some((endpoint) => endpoint.aliases.includes(name)));
  if (named && !named.running) requireRunning(journey, named);
  if (!own || !aliased)
    return trail.stops("name", where, `${name} has no address for ${where}: ${reason}`, {
      remedy: isPolicy
        ? policyRemedy(own)
        : `see how it is asked: pontoon dns query --as ${shellWord(where)} ${shellWord(name)}`,
    });
  const there = aliased.endpoints.map(({ networkName }) => networkName);
  const here = own.endpoints.map(({ networkName }) => networkName);
  const shared = here.find((network) => there.includes(network));
  if (shared !== undefined) return sharedButUnknown(journey, own, aliased, name, shared, reason);
  const words = (networks: readonly string[]) => (networks.length === 0 ? "none" : networks.join(", "));
  return trail.stops(
    "name",
    where,
    `${name} is no name for ${own.name}: they share no network (${own.name} is on ${words(here)}, ${aliased.name} on ${words(there)})`,
    {
      remedy:
        there[0] === undefined
          ? connect(here[0] ?? "NETWORK", aliased)
          : joinRemedy(world.networks, own, aliased, there[0], here),
    },
  );
}

/** Docker's default bridge has no names: then both go to a network of their own. */
function joinRemedy(
  networks: Journey["world"]["networks"],
  own: Container,
  other: Container,
  theirs: string,
  ours: readonly string[],
): string {
  const isUsual = (network: string) => networks.some(({ name, predefined }) => name === network && !predefined);
  if (isUsual(theirs)) return connect(theirs, own);
  const usual = ours.find(isUsual);
  if (usual !== undefined) return connect(usual, other);
  return `docker network create shared && ${connect("shared", own)} && ${connect("shared", other)}`;
}

function sharedButUnknown(
  { world, trail }: Journey,
  own: Container,
  other: Container,
  name: string,
  shared: string,
  reason: string,
): never {
  const network = world.networks.find((one) => one.name === shared);
  if (network?.predefined === true)
    return trail.stops(
      "name",
      own.name,
      `${name} is no name for ${own.name}: Docker's network ${shared} has no names`,
      {
        remedy: `docker network create shared && ${connect("shared", own)} && ${connect("shared", other)}`,
      },
    );
  const elsewhere = other.endpoints.find(({ aliases }) => aliases.includes(name));
  if (elsewhere && elsewhere.networkName !== shared && other.name !== name)
    return trail.stops(
      "name",
      own.name,
      `${name} is a name of ${other.name} on network ${elsewhere.networkName} only, where ${own.name} is not; both are on ${shared}`,
      { remedy: aliasRemedy(own, other, name, shared, elsewhere.networkName) },
    );
  return trail.stops("name", own.name, `${name} has no address for ${own.name}: ${reason}`, {
    remedy: `see how it is asked: pontoon dns query --as ${shellWord(own.name)} ${shellWord(name)}`,
  });
}

function aliasRemedy(own: Container, other: Container, name: string, shared: string, elsewhere: string): string {
  const program = other.source === "docker" ? "docker" : "pontoon";
  const isKnownThere = namesOf(other, other.endpoints[0]!).includes(name) || other.name !== name;
  const again = `${program} network disconnect ${shellWord(shared)} ${shellWord(other.name)} && ${connect(shared, other, name)}`;
  return isKnownThere ? again : connect(elsewhere, own);
}

function policyRemedy(own: Container | undefined): string {
  return own
    ? `have ${own.name} on a network that is not internal: docker network connect bridge ${shellWord(own.name)}`
    : "see docs/configuration.md, dns";
}

/** From beyond the host: what is published, or the host itself. */
function fromOutside(journey: Journey, { goal, port, asker }: Request, from: string): Stage {
  const { world, trail, transport } = journey;
  const { host } = world;
  const route = host.route({ to: from });
  const link = route.kind === "refused" ? undefined : linkOf(host, route.link);
  if (!link || asker.kind !== "outside")
    return trail.stops("route", "host", `the host has no way to ${from}, and nothing comes from there`, {
      remedy: `ip route add ${from} via GATEWAY`,
    });
  const facing = addressesOf(host, familyOf(from), link.index).find(({ isLinkLocal }) => !isLinkLocal)?.ip;
  const target = outsideTarget(journey, goal, port, facing);
  journey.sentTo = target.ip;
  trail.passes(
    "route",
    "host",
    `what comes from ${from} comes in by ${link.name} (${link.kind === "bridge" ? networkWords(world, link) : (facing ?? "no address")})`,
  );
  journey.passed.push({ place: "host", link, isRouted: false });
  return {
    at: "receive",
    place: host,
    link,
    packet: newPacket(transport, from, target.ip, target.port),
  };
}

function outsideTarget(
  journey: Journey,
  goal: Goal,
  port: number | undefined,
  facing: string | undefined,
): { ip: string; port: number | undefined } {
  const { trail, world } = journey;
  if (goal.kind === "address") return { ip: goal.ip, port };
  if (goal.kind === "resolved") return { ip: goal.ips[0] ?? "", port };
  if (facing === undefined) return trail.stops("route", "host", "the host has no address there");
  if (goal.kind === "host") {
    trail.passes("name", "outside", `the host is ${facing} there`);
    return { ip: facing, port };
  }
  const container = goal.kind === "container" ? goal.container : undefined;
  if (!container)
    return trail.stops("name", "outside", "names of outside are not resolved here", { remedy: "give an address" });
  if (port === undefined || journey.transport === "icmp")
    return trail.stops("port", "host", `from outside ${container.name} is reached at published ports only; give one`, {
      remedy: `pontoon trace FROM ${shellWord(container.name)}:PORT`,
    });
  const rows = rowsOf(world.ports, container.name, journey.transport, port);
  const row = bestRow(rows, facing);
  if (!row) return unpublished(journey, container, port, rows);
  if (row.state !== "open") return unserved(journey, row);
  const ip = isUnspecified(row.ip) || row.ip === "" ? facing : row.ip;
  trail.passes(
    "port",
    "host",
    `${container.name}:${port} is published at ${whereWords(row)} (by ${row.by === "docker" ? "Docker" : "pontoon"})`,
  );
  return { ip, port: row.hostPort };
}

/** One that is reached from there, an open one first. */
function bestRow(rows: readonly PortRow[], facing: string): PortRow | undefined {
  const reachable = rows.filter(({ ip }) => !isLoopback(ip) && (ip === "" || familyOf(ip) === familyOf(facing)));
  return reachable.find(({ state }) => state === "open") ?? reachable[0];
}

function unpublished(journey: Journey, container: Container, port: number, rows: readonly PortRow[]): never {
  const { trail, transport } = journey;
  const words = transport === "tcp" ? String(port) : `${port}/${transport}`;
  if (isLoopbackOnly(rows))
    return trail.stops(
      "port",
      "host",
      `${container.name}:${port} is published at ${rows.map(whereWords).join(" and ")} only, which is reached from this host alone`,
      { remedy: publishEverywhere(rows[0]!) },
    );
  requireRunning(journey, container);
  return trail.stops("port", "host", `port ${words} of ${container.name} is not published`, {
    remedy: `pontoon publish ${shellWord(container.name)} ${port}:${words}`,
  });
}
