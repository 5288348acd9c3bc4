import { randomBytes } from "node:crypto";
import { familyOf, type Family } from "../../../common/address.js";
import { PontoonError } from "../../../common/errors.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { CreateNetworkRequest } from "../contract.js";
import type { IpamRecord } from "../records.js";
import { requireAddress } from "../require-address.js";
import { ipamOf } from "./define-remote.js";
import type { DueCall } from "./dues.js";
import type { PluginClient } from "./client.js";
import type { Plugins } from "./plugins.js";
import {
  addressSpaces,
  gatewayInData,
  ipamCapabilities,
  requestedAddress,
  requestedPool,
  type AddressWithPrefix,
} from "./protocol.js";

type Pool = IpamRecord["pools"][number];
type IpamName = Pick<IpamRecord, "driver">;

/** Told of everything that has to be given back from now on. */
type OnOwed = (calls: readonly DueCall[]) => void;

const gatewayLabel = "com.docker.network.gateway";
const macLabel = "com.docker.network.endpoint.macaddress";

/** Subnets and addresses that an IPAM plugin gives out. */
export class RemoteIpam {
  constructor(private readonly plugins: Plugins) {}

  /** The pools of a new network, with their gateways. Rejects with what {@link PluginClient.call} does; the rest is owed then. */
  async requestPools(request: CreateNetworkRequest, onOwed: OnOwed): Promise<IpamRecord> {
    const [driver, options] = [ipamOf(request), request.ipamOptions ?? {}];
    const plugin = this.plugins.get(driver);
    await plugin.require("IpamDriver");
    const needsMac = await needsMacOf(plugin);
    const spaces = await plugin.call("IpamDriver.GetDefaultAddressSpaces", undefined, addressSpaces);
    const pools: Pool[] = [];
    const owed: DueCall[] = [];
    for (const wanted of wantedPools(request)) {
      const asked = { AddressSpace: spaces.LocalDefaultAddressSpace, Pool: wanted.subnet, SubPool: wanted.range };
      const got = await plugin.call(
        "IpamDriver.RequestPool",
        { ...asked, Options: options, V6: wanted.family === "ipv6" },
        requestedPool,
      );
      owed.push(release(driver, got.PoolID));
      onOwed([...owed]);
      const subnet = fittingPool(plugin, got.Pool, wanted);
      const gateway = await this.#gateway(plugin, got, subnet, request, (ip) => {
        owed.splice(-1, 0, releaseAddress(driver, got.PoolID, ip));
        onOwed([...owed]);
      });
      pools.push({ id: got.PoolID, addressSpace: asked.AddressSpace, subnet: subnet.text, gateway });
    }
    return { driver, options, needsMac, pools };
  }

  async #gateway(
    plugin: PluginClient,
    { PoolID, Data }: { PoolID: string; Data: Readonly<Record<string, string>> },
    subnet: Subnet,
    { gateways }: CreateNetworkRequest,
    onGiven: (ip: string) => void,
  ): Promise<AddressWithPrefix> {
    const named = gateways.map((ip) => requireAddress(ip, "--gateway")).find((ip) => subnet.contains(ip));
    const ready = gatewayInData.safeParse(Data[gatewayLabel] ?? "");
    if (named === undefined && ready.success && ready.data) {
      onGiven(ready.data.ip); // it is given back like one that was asked for
      return within(plugin, subnet, ready.data);
    }
    const Options = { RequestAddressType: gatewayLabel };
    const asked = { PoolID, Address: named ?? "", Options };
    const { Address } = await plugin.call("IpamDriver.RequestAddress", asked, requestedAddress);
    if (Address) onGiven(Address.ip);
    return within(plugin, subnet, Address);
  }

  /**
   * An address of each family for an endpoint.
   * @param ips those that are asked for @param mac of its link, where it is known
   * Rejects as {@link requestPools} does; ADDRESS_OUTSIDE for one of no pool.
   */
  async requestAddresses(
    { driver, pools }: IpamRecord,
    ips: readonly string[],
    mac: string | undefined,
    onOwed: OnOwed,
  ): Promise<AddressWithPrefix[]> {
    const plugin = this.plugins.get(driver);
    const subnets = pools.map(({ subnet }) => Subnet.parse(subnet));
    const stray = ips.find((ip) => !subnets.some((subnet) => subnet.contains(ip)));
    if (stray !== undefined) {
      const all = subnets.map(({ text }) => text).join(", ");
      throw new PontoonError(
        "ADDRESS_OUTSIDE",
        stray,
        `${stray} is in no subnet of the network (${all}); choose one of them`,
      );
    }
    const given: AddressWithPrefix[] = [];
    const owed: DueCall[] = [];
    for (const family of ["ipv4", "ipv6"] as const) {
      const own = ips.find((ip) => familyOf(ip) === family);
      const at = subnets.findIndex((subnet) => subnet.family === family && (own === undefined || subnet.contains(own)));
      const [pool, subnet] = [pools[at], subnets[at]];
      if (!pool || !subnet) continue;
      const Options = mac === undefined ? {} : { [macLabel]: mac };
      const asked = { PoolID: pool.id, Address: own ?? "", Options };
      const { Address } = await plugin.call("IpamDriver.RequestAddress", asked, requestedAddress);
      if (Address) owed.push(releaseAddress(driver, pool.id, Address.ip));
      onOwed([...owed]);
      given.push(within(plugin, subnet, Address));
    }
    return given;
  }
}

/** What gives back a network's pools, in Docker's order. */
export function poolsOwed({ driver, pools }: IpamRecord): DueCall[] {
  return pools.flatMap(({ id, gateway }) => [releaseAddress(driver, id, gateway.ip), release(driver, id)]);
}

/** What gives back an endpoint's addresses. */
export function addressesOwed({ driver, pools }: IpamRecord, ips: readonly (string | undefined)[]): DueCall[] {
  return ips.flatMap((ip) => {
    const pool = ip === undefined ? undefined : pools.find(({ subnet }) => Subnet.parse(subnet).contains(ip));
    return pool ? [releaseAddress(driver, pool.id, ip!)] : [];
  });
}

/** One that nobody else has: locally administered. */
export function randomMac(): string {
  return `02:42:${randomBytes(4).toString("hex").match(/../g)!.join(":")}`;
}

function releaseAddress(plugin: IpamName["driver"], PoolID: string, Address: string): DueCall {
  return { plugin, method: "IpamDriver.ReleaseAddress", body: { PoolID, Address } };
}

function release(plugin: IpamName["driver"], PoolID: string): DueCall {
  return { plugin, method: "IpamDriver.ReleasePool", body: { PoolID } };
}

/** A method that older plugins do not have: for Docker, too, that means that it needs nothing. */
async function needsMacOf(plugin: PluginClient): Promise<boolean> {
  try {
    const answer = await plugin.call("IpamDriver.GetCapabilities", undefined, ipamCapabilities);
    return answer.RequiresMACAddress === true;
  } catch (error) {
    if (error instanceof PontoonError && error.code === "PLUGIN_REFUSED") return false;
    throw error;
  }
}

interface WantedPool {
  readonly family: Family;
  readonly subnet: string;
  readonly range: string;
}

function wantedPools({ subnets, ipRanges, ipv6 }: CreateNetworkRequest): WantedPool[] {
  const ranges = ipRanges.map((text) => Subnet.parse(text));
  const named = subnets.map((text) => {
    const subnet = Subnet.parse(text);
    return {
      family: subnet.family,
      subnet: subnet.text,
      range: ranges.find((range) => subnet.encloses(range))?.text ?? "",
    };
  });
  const lacks = (family: Family) => !named.some((pool) => pool.family === family);
  const any = (family: Family) => ({ family, subnet: "", range: "" });
  return [...named, ...(subnets.length === 0 ? [any("ipv4")] : []), ...(ipv6 && lacks("ipv6") ? [any("ipv6")] : [])];
}

function fittingPool({ name }: PluginClient, text: string | undefined, { family, subnet }: WantedPool): Subnet {
  const pool = text === undefined ? undefined : Subnet.parse(text);
  if (pool?.family === family && (subnet === "" || pool.text === subnet)) return pool;
  throw senseless(
    name,
    `it was asked for the subnet ${subnet === "" ? `of its choice (${family})` : subnet}, and gave ${text ?? "none"}`,
  );
}

function within({ name }: PluginClient, subnet: Subnet, address: AddressWithPrefix | undefined): AddressWithPrefix {
  if (address && subnet.contains(address.ip)) return address;
  throw senseless(name, `it was asked for an address of ${subnet.text}, and gave ${address?.ip ?? "none"}`);
}

function senseless(name: string, what: string): PontoonError {
  return new PontoonError(
    "PLUGIN_ANSWER_INVALID",
    name,
    `the IPAM plugin ${name} answered with what makes no sense: ${what}`,
  );
}
