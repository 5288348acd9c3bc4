import { isIP } from "node:net";
import { z } from "zod";
import { addressBits, canonicalAddress, familyOf } from "../../../common/address.js";
import { isLinkName } from "../../../common/link-name.js";
import { Subnet } from "../../../network/addresses/subnet.js";

// What a network or IPAM plugin may answer (libnetwork's documents on remote drivers and on IPAM, and its drivers/remote/api).
// Bytes of a plugin are checked as those of anybody: what they come to is done by root.

/** Go leaves out, or writes null for, what is empty. */
const text = z
  .string()
  .max(4096)
  .nullish()
  .transform((value) => value ?? "");

function ofText<Value>(read: (text: string) => Value | undefined, message: string) {
  return text.transform((value, context): Value | undefined => {
    if (value === "") return undefined;
    const found = read(value);
    if (found === undefined) context.addIssue({ code: "custom", message: `${value.slice(0, 100)} is not ${message}` });
    return found;
  });
}

/** An address with its prefix, `10.89.0.2/24`. */
export interface AddressWithPrefix {
  readonly ip: string;
  readonly prefix: number;
}

const withPrefix = ofText(readAddress, "an address with its prefix, such as 10.89.0.2/24");
const address = ofText((value) => (isIP(value) > 0 ? canonicalAddress(value) : undefined), "an IP address");
const mac = ofText(
  (value) =>
    /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value) && (parseInt(value.slice(0, 2), 16) & 1) === 0
      ? value.toLowerCase()
      : undefined,
  "the MAC address of a link",
);
const subnet = ofText((value) => readSubnet(value)?.text, "a subnet");

function readAddress(value: string): AddressWithPrefix | undefined {
  const [ip = "", digits = "", more] = value.split("/");
  const prefix = Number(digits);
  if (isIP(ip) === 0 || more !== undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const canonical = canonicalAddress(ip)!; // IPv4 that is mapped into IPv6 becomes IPv4
  return prefix > addressBits[familyOf(canonical)] ? undefined : { ip: canonical, prefix };
}

function readSubnet(value: string): Subnet | undefined {
  const read = readAddress(value);
  try {
    return read && Subnet.around(read.ip, read.prefix);
  } catch {
    return undefined; // the whole world, for one
  }
}

export const activation = z.object({ Implements: z.array(z.string().max(255)).max(64) });
/** Of methods that are asked for what they do. */
export const done = z.unknown();
export const capabilities = z.object({ Scope: z.enum(["local", "global"]) });
export const createdEndpoint = z.object({
  Interface: z.object({ Address: withPrefix, AddressIPv6: withPrefix, MacAddress: mac }).nullish(),
});

/** A destination of a route: any length of prefix, the default route's, too. */
const destination = text.transform((value, context) => {
  const read = readAddress(value);
  if (!read) context.addIssue({ code: "custom", message: `${value.slice(0, 100)} is no destination of a route` });
  return read ?? { ip: "0.0.0.0", prefix: 0 };
});
const route = z.object({
  Destination: destination,
  /** 0 by way of NextHop, 1 right over the link. */
  RouteType: z.union([z.literal(0), z.literal(1)]).nullish(),
  NextHop: address,
});
export const joined = z.object({
  InterfaceName: z
    .object({
      SrcName: text.refine(
        (name) => name === "" || (isLinkName(name) && !name.includes("%")),
        "it is not the name of a link",
      ),
      DstPrefix: text.refine(
        (name) => isLinkName(`${name}0000`) && !name.includes("%"),
        "it cannot begin the name of a link",
      ),
      DstName: text,
    })
    .nullish(),
  Gateway: address,
  GatewayIPv6: address,
  StaticRoutes: z
    .array(route)
    .max(256)
    .nullish()
    .transform((value) => value ?? []),
  DisableGatewayService: z.boolean().nullish(),
});
/** What is of use to people is passed on. */
export const operInfo = z.object({
  Value: z
    .record(z.string().max(255), z.unknown())
    .nullish()
    .transform((value) => value ?? {}),
});

export const ipamCapabilities = z.object({
  RequiresMACAddress: z.boolean().nullish(),
  RequiresRequestReplay: z.boolean().nullish(),
});
export const addressSpaces = z.object({ LocalDefaultAddressSpace: text, GlobalDefaultAddressSpace: text });
export const requestedPool = z.object({
  PoolID: z.string().min(1).max(4096),
  Pool: subnet,
  Data: z
    .record(z.string().max(4096), z.string().max(4096))
    .nullish()
    .transform((value) => value ?? {}),
});
export const requestedAddress = z.object({ Address: withPrefix });

/** The gateway that a pool may come with. */
export const gatewayInData = withPrefix;

export type Joined = z.infer<typeof joined>;
