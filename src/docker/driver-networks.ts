import type { DriverNetwork } from "../inventory/driver-network.js";
import { object, stringMap, text } from "./loose.js";

/** What `GET /networks/<id>` says. Read defensively: what is missing or odd is left out. */
export function driverNetworkOf(info: unknown): DriverNetwork {
  const raw = object(info);
  const ipam = object(raw.IPAM);
  return {
    id: text(raw.Id),
    name: text(raw.Name),
    driver: text(raw.Driver),
    ipamDriver: text(ipam.Driver),
    internal: raw.Internal === true,
    ipv6: raw.EnableIPv6 === true,
    options: stringMap(raw.Options),
    pools: (Array.isArray(ipam.Config) ? ipam.Config : []).map(object).map((pool) => ({
      subnet: text(pool.Subnet),
      ipRange: text(pool.IPRange) || undefined,
      gateway: withoutPrefix(pool.Gateway),
      auxiliary: Object.values(stringMap(pool.AuxiliaryAddresses)),
    })),
    endpoints: Object.entries(object(raw.Containers)).map(([container, value]) => {
      const endpoint = object(value);
      return {
        id: text(endpoint.EndpointID) || container.replace(/^ep-/, ""),
        container: /^[0-9a-f]{64}$/.test(container) ? container : undefined,
        name: text(endpoint.Name),
        mac: text(endpoint.MacAddress),
        ipv4: withoutPrefix(endpoint.IPv4Address),
        ipv6: withoutPrefix(endpoint.IPv6Address),
      };
    }),
  };
}

function withoutPrefix(value: unknown): string | undefined {
  return text(value).split("/")[0] || undefined;
}
