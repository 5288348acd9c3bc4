import type { ContainerInspectInfo, NetworkInspectInfo } from "dockerode";
import { number, object, stringMap, strings, text, type Loose } from "./loose.js";
import { isIPv4, isIPv6 } from "node:net";
import { gatewayBridge } from "../inventory/source.js";
import { limits, nameLength } from "../inventory/limits.js";
import { isLinkName } from "../../common/link-name.js";
import { canonicalAddress, unspecified, type Family } from "../../common/address.js";
import type {
  DockerPort,
  Container,
  Endpoint,
  ListedEndpoint,
  Network,
  NetworkMode,
  Transport,
  UnboundMode,
} from "../inventory/types.js";

// Docker's answers are read defensively: a field that is missing or odd costs that field, never the container.

const bridgeOption = "com.docker.network.bridge";
/** Characters that are read of an error of dockerd's. */
const errorAtMost = 4096;

/** A container's inspect data as the inventory keeps it. Throws only when there is no id. */
export function containerOf(info: ContainerInspectInfo): Container {
  const raw = info as unknown as Loose;
  const config = object(raw.Config);
  const hostConfig = object(raw.HostConfig);
  const settings = object(raw.NetworkSettings);
  const state = object(raw.State);
  const id = text(raw.Id);
  if (id === "") throw new Error("a container without an id");
  const running = state.Running === true;
  const pid = number(state.Pid);
  const sandboxId = text(settings.SandboxID);
  const mode = networkMode(text(hostConfig.NetworkMode));
  const kept = new Kept();
  const networks = kept.first(Object.entries(object(settings.Networks)), limits.networks, "networks");
  return {
    id,
    source: "docker",
    name: text(raw.Name).replace(/^\//, ""),
    hostname: text(config.Hostname),
    labels: ownLabels(config.Labels),
    running,
    sandbox: running && pid > 0 && sandboxId !== "" ? { kind: "process", id: sandboxIdOf(sandboxId), pid } : undefined,
    networkMode: mode,
    ports: kept.first(
      exposedPorts(config.ExposedPorts),
      Math.floor(limits.exposedPorts / Math.max(1, networks.length)),
      "exposed ports",
    ),
    published: publishedPorts(settings.Ports),
    ...wantedUdp(hostConfig.PortBindings),
    ...(running ? {} : unboundPort(text(state.Error), publishedPorts(hostConfig.PortBindings))),
    dns: {
      servers: kept.first(strings(hostConfig.Dns), limits.dnsSettings, "DNS servers"),
      options: kept.first(strings(hostConfig.DnsOptions), limits.dnsSettings, "DNS options"),
      search: kept.first(strings(hostConfig.DnsSearch), limits.dnsSettings, "search domains"),
    },
    endpoints: networks.map(([name, endpoint]) => endpointOf(name, object(endpoint), id, kept)),
    hostsPath: text(raw.HostsPath),
    resolvConfPath: text(raw.ResolvConfPath),
    // In a new order at each look.
    legacyLinks: kept
      .first(strings(hostConfig.Links), limits.links, "links")
      .sort()
      .map(legacyLink)
      .filter((link) => link !== undefined),
    partial: false,
    excess: kept.excess,
  };
}

/** As much of a sandbox's id as the file has in its name by which dockerd keeps its namespace. */
export function sandboxIdOf(id: string): string {
  return id.slice(0, 12);
}

/** What is kept of a container beyond the limits. */
export function containerTooLarge(id: string, name: string, running: boolean, reason: string): Container {
  return {
    ...containerOf({ Id: id, Name: name } as ContainerInspectInfo),
    running,
    partial: true,
    excess: { reason, names: true },
  };
}

/** Keeps a container's data within the limits, and remembers what did not fit. */
class Kept {
  excess: Container["excess"];
  #names: number = limits.names;
  #links: number = limits.links;

  first<Item>(all: readonly Item[], most: number, what: string, names = false): Item[] {
    if (all.length > most && (!this.excess || (names && !this.excess.names)))
      this.excess = {
        reason: `it has ${all.length} ${what}; pontoon keeps ${most} for a container`,
        names: names || what === "networks",
      };
    return all.slice(0, most);
  }

  names(all: readonly string[]): string[] {
    const kept = this.first(all, Math.min(limits.namesOnNetwork, this.#names), "names on a network", true);
    this.#names -= kept.length;
    return kept;
  }

  links(all: readonly string[]): string[] {
    const kept = this.first(all, this.#links, "links");
    this.#links -= kept.length;
    return kept;
  }
}

/** A network's inspect data, and who is on it. */
export function networkOf(info: NetworkInspectInfo): { network: Network; endpoints: ListedEndpoint[] } {
  const raw = info as unknown as Loose;
  const id = text(raw.Id);
  if (id === "") throw new Error("a network without an id");
  const name = text(raw.Name);
  const options = stringMap(raw.Options);
  const driver = driverOf(raw, options);
  const predefined =
    driver === "host" ||
    driver === "null" ||
    options[`${bridgeOption}.default_bridge`] === "true" ||
    name === gatewayBridge;
  const network: Network = {
    id,
    source: "docker",
    name,
    driver,
    ...(options["pontoon.host-access"] !== undefined && { hostAccess: true }),
    internal: raw.Internal === true,
    predefined,
    shared: driver === "overlay" || isSharedScope(text(raw.Scope)),
    ...(driver === "bridge" && { bridge: bridgeNameOf(id, options) }),
    ...publishing(options),
    ...subnetsOf(raw.IPAM),
  };
  const endpoints = Object.entries(object(raw.Containers))
    .filter(([container]) => /^[0-9a-f]{64}$/.test(container)) // stale endpoints stand under `ep-<id>`
    .map(([container, entry]) => listedEndpoint(container, object(entry)));
  return { network, endpoints };
}

/** Of a network that pontoon drives on a LAN: what its containers' links are. */
function driverOf(raw: Loose, options: Loose): string {
  const [driver, kind] = [text(raw.Driver), text(options["pontoon.driver"])];
  return driver === "pontoon" && (kind === "macvlan" || kind === "ipvlan") ? kind : driver;
}

/** As Docker's driver names it, unless it is told another. */
function bridgeNameOf(id: string, options: Readonly<Record<string, string>>): string {
  const name = options[`${bridgeOption}.name`] ?? "";
  return isLinkName(name) ? name : `br-${id.slice(0, 12)}`;
}

/** What `GET /info` tells about how a dockerd was started. */
export interface EngineInfo {
  readonly liveRestore: boolean;
  /** It runs without root, in namespaces of its own. */
  readonly rootless: boolean;
  /** Containers' users are other users of the host. */
  readonly usernsRemap: boolean;
}

/** Security options stand as `name=rootless`, with further fields behind commas. */
export function engineInfoOf(info: unknown): EngineInfo {
  const raw = object(info);
  const names = strings(raw.SecurityOptions).flatMap((option) =>
    option.split(",").filter((field) => field.startsWith("name=")),
  );
  return {
    liveRestore: raw.LiveRestoreEnabled === true,
    rootless: names.includes("name=rootless"),
    usernsRemap: names.includes("name=userns"),
  };
}

/** Where the network's options have Docker publish ports; `--ip` of dockerd is such an option of the default bridge, and of no other network. */
function publishing(options: Readonly<Record<string, string>>): Pick<Network, "hostBinding" | "unbound"> {
  const hostBinding = canonicalAddress(options[`${bridgeOption}.host_binding_ipv4`] ?? "");
  const unbound = { ...unboundIn("ipv4", options), ...unboundIn("ipv6", options) };
  return {
    ...(hostBinding !== undefined && hostBinding !== unspecified.ipv4 && { hostBinding }),
    ...(Object.keys(unbound).length > 0 && { unbound }),
  };
}

/** `{"Config": [{"Subnet": "172.18.0.0/16"}]}`; null for a network without addresses. */
function subnetsOf(ipam: unknown): Pick<Network, "subnets"> {
  const { Config: config } = object(ipam);
  const subnets = (Array.isArray(config) ? config.slice(0, limits.subnets) : [])
    .map((entry) => text(object(entry).Subnet))
    .filter((subnet) => subnet !== "" && subnet.length <= nameLength);
  return subnets.length > 0 ? { subnets } : {};
}

function unboundIn(family: Family, options: Readonly<Record<string, string>>): Network["unbound"] {
  const mode = options[`${bridgeOption}.gateway_mode_${family}`];
  return mode === "routed" || mode === "isolated" ? { [family]: mode satisfies UnboundMode } : {};
}

function endpointOf(networkName: string, raw: Loose, containerId: string, kept: Kept): Endpoint {
  const shortId = containerId.slice(0, 12);
  const aliases = [...new Set([...strings(raw.Aliases), ...strings(raw.DNSNames)])].filter(
    (alias) => alias !== shortId && alias.length <= nameLength,
  );
  return {
    networkId: text(raw.NetworkID),
    networkName,
    aliases: kept.names(aliases),
    links: kept
      .links(strings(raw.Links))
      .map(endpointLink)
      .filter((link) => link !== undefined),
    ...namedAddresses(object(raw.IPAMConfig)),
    ipv4: isIPv4(text(raw.IPAddress)) ? text(raw.IPAddress) : undefined,
    ipv6: isIPv6(text(raw.GlobalIPv6Address)) ? text(raw.GlobalIPv6Address) : undefined,
    hasGateway: { ipv4: text(raw.Gateway) !== "", ipv6: text(raw.IPv6Gateway) !== "" },
    gatewayPriority: number(raw.GwPriority),
  };
}

/** `docker run --ip`, `--ip6`. */
function namedAddresses({ IPv4Address, IPv6Address }: Loose): Pick<Endpoint, "named"> {
  const named = [text(IPv4Address), text(IPv6Address)].filter((ip) => isIPv4(ip) || isIPv6(ip));
  return named.length > 0 ? { named } : {};
}

function listedEndpoint(container: string, raw: Loose): ListedEndpoint {
  const [ipv4 = ""] = text(raw.IPv4Address).split("/");
  const [ipv6 = ""] = text(raw.IPv6Address).split("/");
  return {
    container,
    name: text(raw.Name),
    ipv4: isIPv4(ipv4) ? ipv4 : undefined,
    ipv6: isIPv6(ipv6) ? ipv6 : undefined,
  };
}

function networkMode(mode: string): NetworkMode {
  if (mode === "host") return { kind: "host" };
  if (mode === "none") return { kind: "none" };
  if (mode.startsWith("container:")) return { kind: "container", of: mode.slice("container:".length) };
  return { kind: "own" };
}

function exposedPorts(raw: unknown): [number, Transport][] {
  const ports: [number, Transport][] = [];
  for (const key of Object.keys(object(raw))) {
    const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(key);
    if (match) ports.push([Number(match[1]), (match[2] ?? "tcp") as Transport]);
  }
  return ports.sort(([a], [b]) => a - b);
}

/** `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`; null for a port that is only exposed. */
function publishedPorts(raw: unknown): DockerPort[] {
  return Object.entries(object(raw)).flatMap(([key, bindings]) => {
    const [port] = exposedPorts({ [key]: {} });
    if (!port || !Array.isArray(bindings)) return [];
    return bindings.map(object).flatMap(({ HostIp, HostPort }) => {
      const [ip, hostPort] = [text(HostIp) || unspecified.ipv4, Number(text(HostPort))];
      return hostPort > 0 && hostPort <= 65_535 ? [{ transport: port[1], ip, hostPort, containerPort: port[0] }] : [];
    });
  });
}

/** Beyond these a container's ports may be in use by a flow of pontoon-proxy when dockerd binds them. */
const wantedAtMost = 10_000;

/** `{"53/udp": [{"HostPort": "5353"}, {"HostPort": "6000-6010"}]}` */
function wantedUdp(raw: unknown): Pick<Container, "wantedUdp"> {
  const bindings = Object.entries(object(raw)).flatMap(([key, value]) =>
    key.endsWith("/udp") && Array.isArray(value) ? value.map(object) : [],
  );
  const wanted = bindings.slice(0, wantedAtMost).flatMap(({ HostPort }) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text(HostPort)) ?? [];
    return Number(first) > 0 && Number(last) <= 65_535 ? [{ first: Number(first), last: Number(last) }] : [];
  });
  return wanted.length > 0 ? { wantedUdp: wanted } : {};
}

const boundAddress = String.raw`(?:\[(?<ipv6>[0-9a-f:.]{2,45})\]|(?<ipv4>[0-9.]{7,15})):(?<port>\d{1,5})`;
/** How dockerd says that a port is taken: itself, and where it starts a userland proxy. */
const takenPatterns = [
  String.raw`failed to bind host port (?:for )?${boundAddress}[^\s/]{0,60}\/(?<transport>tcp|udp|sctp): address already in use`,
  String.raw`: listen (?<transport>tcp|udp|sctp)[46]? ${boundAddress}: bind: address already in use`,
].map((pattern) => new RegExp(pattern));

/**
 * The port for which the last start failed. Docker 28 says `failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address
 * already in use`, Docker 29 `failed to bind host port [::]:80/tcp: address already in use`.
 * @param wanted what the container is to publish
 */
function unboundPort(error: string, wanted: readonly DockerPort[]): { unboundPort?: DockerPort } {
  const said = takenPatterns.map((pattern) => pattern.exec(error.slice(0, errorAtMost))?.groups).find(Boolean);
  if (!said) return {};
  const { ipv6, ipv4, port, transport } = said;
  const found = wanted.find((each) => each.transport === transport && each.hostPort === Number(port));
  return found ? { unboundPort: { ...found, ip: ipv6 ?? ipv4! } } : {};
}

/** `target:alias`, or just `target`. */
function endpointLink(link: string): [string, string] | undefined {
  const [target = "", alias] = link.split(":");
  return target === "" ? undefined : [target, alias ?? target];
}

/** `/child:/parent/alias`. */
function legacyLink(link: string): [string, string] | undefined {
  const [child = "", parent = ""] = link.split(":");
  const alias = parent.split("/").at(-1) ?? "";
  return child === "" || alias === "" ? undefined : [child.replace(/^\//, ""), alias];
}

function isSharedScope(scope: string): boolean {
  return scope !== "" && scope !== "local";
}

/** Of a container's labels only those that are ours are looked at. */
function ownLabels(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(stringMap(value)).filter(([name]) => name.startsWith("pontoon.")));
}
