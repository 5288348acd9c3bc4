import { z } from "zod";
import { familyOf } from "../../../common/address.js";
import { PontoonError } from "../../../common/errors.js";
import type { EndpointAddress } from "../endpoint-addresses.js";
import { everywhereOf, type Attached } from "./attached.js";

// What a plugin prints: specification of CNI 1.1, section 5, and what earlier versions have otherwise.

const list = z.array(z.unknown()).max(10_000).nullish();
const previous = z.looseObject({ interfaces: list, ips: list, routes: list });

/**
 * The result of ADD in a version of the specification, behind that of the plugins before it in a chain.
 * Throws CNI_CONFIG_INVALID for a result of theirs that is none.
 */
export function cniResult(cniVersion: string, attached: Attached, netns: string, prevResult: unknown): object {
  const before = readPrevious(prevResult);
  const { hostLink, ifname, mac, mtu, addresses, dns } = attached;
  const mtuSince = isSince(cniVersion, "1.1.0") && mtu > 0 ? { mtu } : {};
  const onHost = hostLink === undefined ? [] : [{ name: hostLink, ...mtuSince }];
  const interfaces = [...(before.interfaces ?? []), ...onHost];
  const inside = interfaces.length;
  return {
    ...before,
    cniVersion,
    interfaces: [...interfaces, { name: ifname, mac, sandbox: netns, ...mtuSince }],
    ips: [...(before.ips ?? []), ...addresses.map((address) => ipOf(cniVersion, address, inside))],
    routes: [...(before.routes ?? []), ...addresses.flatMap(routeOf)],
    dns,
  };
}

function readPrevious(prevResult: unknown): z.infer<typeof previous> {
  const read = previous.safeParse(prevResult ?? {});
  if (read.success) return read.data;
  throw new PontoonError(
    "CNI_CONFIG_INVALID",
    "prevResult",
    "prevResult is no result of CNI; look at the plugin before this one",
  );
}

function ipOf(cniVersion: string, { ip, prefix, gateway }: EndpointAddress, inside: number): object {
  return {
    ...(!isSince(cniVersion, "1.0.0") && { version: familyOf(ip) === "ipv4" ? "4" : "6" }),
    address: `${ip}/${prefix}`,
    ...(gateway !== undefined && { gateway }),
    interface: inside,
  };
}

function routeOf({ ip, gateway }: EndpointAddress): object[] {
  return gateway === undefined ? [] : [{ dst: everywhereOf(ip), gw: gateway }];
}

function isSince(cniVersion: string, since: string): boolean {
  return cniVersion.localeCompare(since, "en", { numeric: true }) >= 0;
}

const expected = z.object({
  interfaces: z.array(z.object({ name: z.string(), mac: z.string().nullish(), sandbox: z.string().nullish() })),
  ips: z.array(z.object({ address: z.string(), interface: z.number().int().nullish() })).nullish(),
});

/** What a result says of one link of a container: of CHECK. Throws CNI_CONFIG_INVALID when it says nothing. */
export function expectedOf(prevResult: unknown, ifname: string): { mac: string | undefined; addresses: string[] } {
  const read = expected.safeParse(prevResult);
  const { interfaces, ips } = read.data ?? { interfaces: [], ips: [] };
  const index = interfaces.findIndex(({ name, sandbox }) => name === ifname && (sandbox ?? "") !== "");
  if (index < 0)
    throw new PontoonError(
      "CNI_CONFIG_INVALID",
      "prevResult",
      `prevResult has no link ${ifname} of a container, so that nothing can be compared`,
    );
  const addresses = (ips ?? []).filter((ip) => ip.interface === index).map((ip) => ip.address);
  return { mac: interfaces[index]!.mac ?? undefined, addresses };
}
