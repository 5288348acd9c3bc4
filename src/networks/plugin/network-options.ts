import { isIP, isIPv4, isIPv6 } from "node:net";
import { PontoonError } from "../../../common/errors.js";
import type { Family } from "../../../common/address.js";
import { isLinkName } from "../../../common/link-name.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { CreateNetworkRequest } from "../contract.js";
import { overlayOptionsOf, type OverlayOptions } from "./overlay/options.js";
import { labels, type CreateNetworkCall } from "./protocol.js";
import type { DockerNetworkRecord } from "./records.js";

const bridge = "com.docker.network.bridge";

/** What `docker network create -d pontoon` takes as `-o`. */
const known = [
  `${bridge}.name`,
  `${bridge}.enable_icc`,
  `${bridge}.enable_ip_masquerade`,
  `${bridge}.host_binding_ipv4`,
  "com.docker.network.container_iface_prefix",
  "com.docker.network.driver.mtu",
  "com.docker.network.host_ipv4",
  "com.docker.network.host_ipv6",
  "encrypted",
  "ipvlan_mode",
  "macvlan_mode",
  "parent",
  "pontoon.driver",
  "pontoon.host-access",
  "pontoon.ipam",
  "pontoon.network",
  "pontoon.ports",
  "pontoon.publish-internal",
] as const;

type Known = (typeof known)[number];
type Given = Partial<Record<Known, string>>;

/** What a network of Docker's has beyond one of pontoon's own. */
export type DockerOnly = Pick<DockerNetworkRecord, "publishing" | "publishInternal" | "linkPrefix" | "routers">;

/**
 * What a call comes to; `overlay` for a network of several hosts. Throws OPTION_UNKNOWN, OPTION_INVALID, OPTION_UNFIT.
 * @param call with its subnets as Docker has chosen them
 */
export function networkRequestOf(call: CreateNetworkCall): {
  request: CreateNetworkRequest;
  only: DockerOnly;
  overlay: OverlayOptions | undefined;
} {
  const given = givenOptions(call.Options[labels.generic]);
  const pools = [...call.IPv4Data, ...call.IPv6Data];
  if (pools.some(({ Pool }) => Pool === "0.0.0.0/0"))
    throw new PontoonError(
      "SUBNET_INVALID",
      "0.0.0.0/0",
      "the network has no subnet, since its IPAM driver gives none; use --ipam-driver default or pontoon",
    );
  const mtu = given["com.docker.network.driver.mtu"];
  const [hostBinding] = asAddress(given, `${bridge}.host_binding_ipv4`, "IP", (text) => isIP(text) > 0);
  const name = given[`${bridge}.name`];
  const driver = given["pontoon.driver"] ?? "bridge";
  if (driver === "pair") throw invalid("pontoon.driver", driver, "a pair is of two sandboxes of pontoon's own");
  const ipam = given["pontoon.ipam"] ?? "default";
  if (ipam !== "default")
    throw invalid("pontoon.ipam", ipam, "Docker wants an address before there is a link that could ask for one");
  const { parent, [driver === "ipvlan" ? "ipvlan_mode" : "macvlan_mode"]: mode } = given;
  const hostAccess = asAddress(given, "pontoon.host-access", "IP", (text) => isIP(text) > 0);
  const publishInternal = asBoolean(given, "pontoon.publish-internal", false);
  const internal = call.Options[labels.internal] === true;
  if (publishInternal && !internal)
    throw invalid(
      "pontoon.publish-internal",
      "true",
      "the network is not internal, and its ports are published anyway",
    );
  const icc = asBoolean(given, `${bridge}.enable_icc`, true);
  return {
    overlay: overlayOptionsOf(given, { icc }),
    request: {
      name: call.NetworkID.slice(0, 12),
      driver,
      subnets: pools.map(({ Pool }) => Pool),
      gateways: pools.flatMap(({ Gateway }) => (Gateway === "" ? [] : [Gateway.split("/")[0]!])),
      ipRanges: [],
      ipv6: call.IPv6Data.length > 0,
      internal,
      icc,
      masquerade: asBoolean(given, `${bridge}.enable_ip_masquerade`, true),
      snatAddresses: [
        ...asAddress(given, "com.docker.network.host_ipv4", "IPv4", isIPv4),
        ...asAddress(given, "com.docker.network.host_ipv6", "IPv6", isIPv6),
      ],
      firewall: true,
      labels: {},
      ...(mtu !== undefined && { mtu: asNumber("com.docker.network.driver.mtu", mtu) }),
      ...(hostBinding !== undefined && hostBinding !== "0.0.0.0" && { hostBinding }),
      ...(name !== undefined && name !== "" && { bridge: name }),
      ...(parent !== undefined && { parent }),
      ...(mode !== undefined && { mode }),
      ...(hostAccess.length > 0 && { hostAddresses: hostAccess }),
    },
    only: {
      publishing: asOneOf(given, "pontoon.ports", ["pontoon", "docker"]),
      publishInternal,
      routers: {
        ...routerOf("ipv4", call.IPv4Data),
        ...routerOf("ipv6", call.IPv6Data),
      },
      linkPrefix: asPrefix(given["com.docker.network.container_iface_prefix"]),
    },
  };
}

/** As Docker's driver has it, of the first subnet. */
function routerOf(family: Family, [pool]: CreateNetworkCall["IPv4Data"]): Partial<Record<Family, string>> {
  const key = `DefaultGateway${family === "ipv4" ? "IPv4" : "IPv6"}`;
  const ip = pool?.AuxAddresses?.[key]?.split("/")[0];
  if (pool === undefined || ip === undefined) return {};
  if (Subnet.parse(pool.Pool).contains(ip)) return { [family]: ip };
  throw new PontoonError("GATEWAY_OUTSIDE", ip, `--aux-address ${key}=${ip}: it is not in the subnet ${pool.Pool}`);
}

function givenOptions(generic: unknown): Given {
  if (generic === undefined || generic === null) return {};
  if (typeof generic !== "object" || Array.isArray(generic))
    throw invalid(labels.generic, JSON.stringify(generic).slice(0, 100), "it is not a list of options");
  for (const [key, value] of Object.entries(generic)) {
    if (!(known as readonly string[]).includes(key))
      throw new PontoonError(
        "OPTION_UNKNOWN",
        key,
        `the driver pontoon has no option ${key}; it knows ${known.join(", ")}`,
      );
    if (typeof value !== "string") throw invalid(key, JSON.stringify(value).slice(0, 100), "it is not a text");
  }
  return generic;
}

/** As Go's ParseBool, which Docker's driver uses. */
function asBoolean(given: Given, key: Known, otherwise: boolean): boolean {
  const value = given[key];
  if (value === undefined) return otherwise;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalid(key, value, "say true or false");
}

function asNumber(key: Known, value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw invalid(key, value, "give a number of bytes");
}

function asOneOf<Value extends string>(given: Given, key: Known, values: readonly [Value, ...Value[]]): Value {
  const value = given[key];
  const found = value === undefined ? values[0] : values.find((each) => each === value);
  if (found !== undefined) return found;
  throw invalid(key, value!, `say ${values.join(" or ")}`);
}

function asAddress(given: Given, key: Known, kind: string, isRight: (text: string) => boolean): string[] {
  const value = given[key];
  if (value === undefined) return [];
  if (isRight(value) && !value.includes("%")) return [value];
  throw invalid(key, value, `it is not an ${kind} address`);
}

/** Room is left for a number. */
function asPrefix(given: string | undefined): string {
  const value = given || "eth"; // as Docker's driver has it
  if (isLinkName(value) && value.length <= 12 && !value.includes("%")) return value;
  throw invalid(
    "com.docker.network.container_iface_prefix",
    value,
    "links can begin with 1 to 12 letters and digits, without spaces, /, : and %",
  );
}

function invalid(key: string, value: string, why: string): PontoonError {
  return new PontoonError("OPTION_INVALID", key, `the option ${key}=${value} cannot be: ${why}`);
}
