import { familyOf } from "../../../common/address.js";
import { errorCode, PontoonError } from "../../../common/errors.js";
import { printable } from "../../../common/printable.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { EndpointRecord, NetworkRecord, RemoteEndpointRecord, SandboxRecord } from "../records.js";
import { namespacePathOf } from "../wanted.js";
import type { DueCall } from "./dues.js";
import { noIpam } from "./define-remote.js";
import type { Plugins } from "./plugins.js";
import {
  capabilities,
  createdEndpoint,
  done,
  joined,
  operInfo,
  type AddressWithPrefix,
  type Joined,
} from "./protocol.js";

export type RemoteNetwork = NetworkRecord & { readonly remote: NonNullable<NetworkRecord["remote"]> };

/** What an endpoint is before its driver is asked. */
export interface EndpointDraft {
  readonly id: string;
  readonly addresses: readonly AddressWithPrefix[];
  /** Undefined where the driver chooses. */
  readonly mac: string | undefined;
  /** Whether a user has named it. */
  readonly isMacNamed?: boolean;
}

/** What its driver has made of it. */
export interface MadeEndpoint {
  /** The link, as it is called on the host. */
  readonly source: string;
  /** What the link's name in the sandbox begins with. */
  readonly prefix: string;
  readonly mac: string | undefined;
  readonly remote: RemoteEndpointRecord;
}

const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const; // IANA
const exposedLabel = "com.docker.network.endpoint.exposedports";
const portMapLabel = "com.docker.network.portmap";
const macLabel = "com.docker.network.endpoint.macaddress";

/** Networks and endpoints of network drivers that are plugins, in the words of libnetwork's remote driver. */
export class RemoteDriver {
  constructor(private readonly plugins: Plugins) {}

  /** Rejects with what {@link PluginClient.call} does. */
  async createNetwork(network: RemoteNetwork): Promise<void> {
    const plugin = this.plugins.get(network.remote.driver);
    await plugin.require("NetworkDriver");
    await plugin.call("NetworkDriver.GetCapabilities", undefined, capabilities); // of either scope: this is one host
    await plugin.call("NetworkDriver.CreateNetwork", createNetworkCall(network), done);
  }

  /** Makes an endpoint and its link. As {@link createNetwork}. */
  async connect(network: RemoteNetwork, sandbox: SandboxRecord, draft: EndpointDraft): Promise<MadeEndpoint> {
    const plugin = this.plugins.get(network.remote.driver);
    await plugin.require("NetworkDriver");
    const ids = { NetworkID: network.id, EndpointID: draft.id };
    const options = optionsOf(sandbox);
    const Interface = interfaceOf(draft);
    const macOption =
      draft.mac === undefined || draft.isMacNamed !== true
        ? {}
        : { [macLabel]: Buffer.from(draft.mac.replaceAll(":", ""), "hex").toString("base64") };
    const asked = { ...ids, Interface, Options: { ...options, ...macOption } };
    const created = await plugin.call("NetworkDriver.CreateEndpoint", asked, createdEndpoint);
    const own = chosen(plugin.name, draft, created.Interface ?? {});
    const answer = await plugin.call(
      "NetworkDriver.Join",
      { ...ids, SandboxKey: namespacePathOf(sandbox.name), Options: options },
      joined,
    );
    const { SrcName: source = "", DstPrefix: prefix = "" } = answer.InterfaceName ?? {};
    if (source === "")
      throw senseless(
        plugin.name,
        "it names no link that is to be the sandbox's (InterfaceName), and pontoon has no other way to connect one",
      );
    const info = await this.#infoOf(plugin.name, ids);
    const remote = { addresses: own.addresses, ...waysOf(network, own.addresses, answer), info };
    return { source, prefix: prefix || "eth", mac: own.mac, remote };
  }

  /** What it says of an endpoint to people. A driver may say nothing; then that is so. */
  async #infoOf(driver: string, ids: object): Promise<Record<string, string>> {
    try {
      const { Value } = await this.plugins.get(driver).call("NetworkDriver.EndpointOperInfo", ids, operInfo);
      const plain = Object.entries(Value).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
      return Object.fromEntries(
        plain.slice(0, 32).map(([key, value]) => [printable(key), printable(String(value)).slice(0, 255)]),
      );
    } catch (error) {
      if (["PLUGIN_REFUSED", "PLUGIN_ANSWER_INVALID"].includes(errorCode(error) ?? "")) return {};
      throw error;
    }
  }

  /** Has it forget an endpoint that is to be made anew; what it never knew it may refuse. Rejects when it does not hear. */
  async forget(network: RemoteNetwork, endpoint: Pick<EndpointRecord, "id">): Promise<void> {
    for (const { plugin, method, body } of endpointOwed(network, endpoint))
      try {
        await this.plugins.get(plugin).call(method, body, done);
      } catch (error) {
        if (errorCode(error) !== "PLUGIN_REFUSED") throw error;
      }
  }
}

/** What takes an endpoint away at its driver. */
export function endpointOwed(
  { id: NetworkID, remote }: RemoteNetwork,
  { id: EndpointID }: Pick<EndpointRecord, "id">,
): DueCall[] {
  const body = { NetworkID, EndpointID };
  return ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint"].map((method) => ({
    plugin: remote.driver,
    method,
    body,
  }));
}

export function networkOwed({ id, remote }: RemoteNetwork): DueCall[] {
  return [{ plugin: remote.driver, method: "NetworkDriver.DeleteNetwork", body: { NetworkID: id } }];
}

function createNetworkCall(network: RemoteNetwork): object {
  const { id, subnets, internal, remote, ipam } = network;
  const data = (family: "ipv4" | "ipv6") =>
    subnets.flatMap(({ subnet, gateway }) => {
      const { family: own, prefix } = Subnet.parse(subnet);
      if (own !== family) return [];
      const pool = ipam?.pools.find((each) => each.subnet === subnet);
      return [
        {
          AddressSpace: pool?.addressSpace ?? "LocalDefault",
          Pool: subnet,
          Gateway: `${gateway}/${pool?.gateway.prefix ?? prefix}`,
        },
      ];
    });
  // Docker's IPAM driver `null` has the whole world for its pool.
  const anything = ipam?.driver === noIpam ? [{ AddressSpace: noIpam, Pool: "0.0.0.0/0" }] : [];
  const [IPv4Data, IPv6Data] = [[...data("ipv4"), ...anything], data("ipv6")];
  return {
    NetworkID: id,
    Options: {
      "com.docker.network.enable_ipv4": IPv4Data.length > 0,
      "com.docker.network.enable_ipv6": IPv6Data.length > 0,
      "com.docker.network.generic": remote.options,
      ...(internal && { "com.docker.network.internal": true }),
    },
    IPv4Data,
    IPv6Data,
  };
}

/** Ports are published by pontoon, not by the driver: it is told of none. */
function optionsOf({ exposed }: SandboxRecord): object {
  const ports = exposed.map(([Port, transport]) => ({ Proto: protocolNumbers[transport], Port }));
  return { [exposedLabel]: ports, [portMapLabel]: [] };
}

function interfaceOf({ addresses, mac }: EndpointDraft) {
  const of = (family: "ipv4" | "ipv6") => {
    const own = addresses.find(({ ip }) => familyOf(ip) === family);
    return own ? `${own.ip}/${own.prefix}` : "";
  };
  return { Address: of("ipv4"), AddressIPv6: of("ipv6"), MacAddress: mac ?? "" };
}

interface Chosen {
  readonly Address?: AddressWithPrefix | undefined;
  readonly AddressIPv6?: AddressWithPrefix | undefined;
  readonly MacAddress?: string | undefined;
}

/** A driver chooses what was left to it, and nothing else: the same again is let pass, which Docker does not. */
function chosen(plugin: string, draft: EndpointDraft, { Address, AddressIPv6, MacAddress }: Chosen) {
  const addresses = [...draft.addresses];
  for (const [family, address] of [
    ["ipv4", Address],
    ["ipv6", AddressIPv6],
  ] as const) {
    if (!address) continue;
    if (familyOf(address.ip) !== family) throw senseless(plugin, `${address.ip} is no address of ${family}`);
    const own = draft.addresses.find(({ ip }) => familyOf(ip) === family);
    if (!own) addresses.push(address);
    else if (own.ip !== address.ip)
      throw senseless(plugin, `it was given the address ${own.ip}, and answered with ${address.ip}`);
  }
  if (draft.mac !== undefined && MacAddress !== undefined && draft.mac !== MacAddress)
    throw senseless(plugin, `it was given the MAC address ${draft.mac}, and answered with ${MacAddress}`);
  return { addresses, mac: draft.mac ?? MacAddress };
}

/** Ways out of the sandbox. A static default route is a gateway by another name; the ways to the link's own subnets are there already. */
function waysOf(
  { internal }: NetworkRecord,
  addresses: readonly AddressWithPrefix[],
  { Gateway, GatewayIPv6, StaticRoutes }: Joined,
): Pick<RemoteEndpointRecord, "gateways" | "routes"> {
  const routes = StaticRoutes.map(({ Destination: to, NextHop, RouteType }) =>
    NextHop !== undefined && RouteType !== 1 ? { to: networkOf(to), via: NextHop } : { to: networkOf(to) },
  );
  const isDefault = (route: (typeof routes)[number]) => route.to.prefix === 0 && "via" in route;
  const named = [Gateway, GatewayIPv6, ...routes.filter(isDefault).map((route) => route.via)].filter(
    (ip) => ip !== undefined,
  );
  const gateways = (["ipv4", "ipv6"] as const).flatMap((family) => named.find((ip) => familyOf(ip) === family) ?? []);
  const atHand = addresses.map(({ ip, prefix }) => keyOf({ to: networkOf({ ip, prefix }) }));
  const others = routes.filter((route) => !isDefault(route) && !atHand.includes(keyOf(route)));
  const once = [...new Map(others.map((route) => [keyOf(route), route])).values()];
  // What is right over the link comes first: others may lead by way of it.
  once.sort((one, other) => Number("via" in one) - Number("via" in other));
  return { gateways: internal ? [] : gateways, routes: once };
}

function networkOf({ ip, prefix }: AddressWithPrefix): AddressWithPrefix {
  if (prefix === 0) return { ip: familyOf(ip) === "ipv4" ? "0.0.0.0" : "::", prefix };
  return { ip: Subnet.around(ip, prefix).text.split("/")[0]!, prefix };
}

const keyOf = ({ to, via = "" }: { to: AddressWithPrefix; via?: string }): string => `${to.ip}/${to.prefix} ${via}`;

function senseless(name: string, what: string): PontoonError {
  return new PontoonError(
    "PLUGIN_ANSWER_INVALID",
    name,
    `the network plugin ${name} answered with what makes no sense: ${what}`,
  );
}
