import { z } from "zod";
import { canonicalAddress } from "../common/address.js";
import { describeError, PontoonError } from "../common/errors.js";
import { isLinkName } from "../common/link-name.js";
import { addressPool } from "../network/addresses/pools.js";
import { Subnet } from "../network/addresses/subnet.js";

// The keys under `network:`. They are named, and mean, as in dockerd's daemon.json.

/** A text that `read` takes; what it throws says why another is refused. */
function checked(read: (text: string) => unknown) {
  return z.string().superRefine((text, context) => refuseWhatThrows(context, () => read(text)));
}

function refuseWhatThrows(context: z.RefinementCtx, check: () => unknown, path: string[] = []): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof PontoonError) && !(error instanceof RangeError)) throw error;
    context.addIssue({ code: "custom", message: describeError(error), path });
  }
}

/** An address with the prefix of its subnet. Throws a RangeError for anything else. */
export function parseBip(text: string): { readonly ip: string; readonly subnet: Subnet } {
  const [, given = "", bits = ""] = /^([0-9.]{7,15})\/([0-9]{1,2})$/.exec(text) ?? [];
  const [ip, prefix] = [canonicalAddress(given), Number(bits)];
  if (ip === undefined || bits === "" || prefix < 1 || prefix > 30)
    throw new RangeError("must be an IPv4 address with the prefix of its subnet, such as 172.17.0.1/16");
  const subnet = Subnet.around(ip, prefix);
  if (ip === subnet.network || subnet.numberOf(ip) === subnet.size - 1n)
    throw new RangeError(
      `${ip} is not an address for a gateway in ${subnet.text}; give one between its first and last`,
    );
  return { ip, subnet };
}

function requireIPv4Subnet(text: string): void {
  if (Subnet.parse(text).family !== "ipv4") throw new RangeError("must be an IPv4 subnet, such as 172.17.1.0/24");
}

function requireBridgeName(text: string): void {
  if (!isLinkName(text)) throw new RangeError("must be the name of a bridge, such as br0, or none");
}

function requireIp(text: string): void {
  if (canonicalAddress(text) === undefined) throw new RangeError("must be an IPv4 or IPv6 address, such as 192.0.2.53");
}

/** Of a line of resolv.conf. */
const words = z
  .array(z.string().regex(/^[!-~]{1,255}$/, "must be one word without spaces"))
  .max(64)
  .default([]);

const pool = z
  .strictObject({ base: checked((text) => Subnet.parse(text)), size: z.number().int() })
  .superRefine(({ base, size }, context) => refuseWhatThrows(context, () => addressPool(base, size), ["size"]));

export const networkSchema = z
  .strictObject({
    /** An existing bridge that the network `default` is on, in place of one of its own; `none`: there is no such network. */
    bridge: checked(requireBridgeName).optional(),
    /** The gateway of the network `default`, with the prefix of its subnet. */
    bip: checked(parseBip).optional(),
    /** Where addresses on the network `default` come from. */
    "fixed-cidr": checked(requireIPv4Subnet).optional(),
    /** Bytes, of networks that name none; the uplink's without. */
    mtu: z.number().int().min(68).max(65_535).optional(),
    /** Whether sandboxes on the network `default` reach one another. */
    icc: z.boolean().default(true),
    /** Whether the host may be made to forward. */
    "ip-forward": z.boolean().default(true),
    /** Whether what leaves the network `default` has an address of the host. */
    "ip-masq": z.boolean().default(true),
    /** Whether pontoon has rules in the host's firewall. */
    iptables: z.boolean().default(true),
    /** The zone of firewalld's that bridges of networks are put into, where firewalld runs; `none`: they are left in none. */
    "firewalld-zone": z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,17}$/, "must be the name of a zone of firewalld's, such as trusted, or none")
      .default("trusted"),
    /** Where subnets of networks that name none come from, in parts of `size` bits. */
    "default-address-pools": z.array(pool).max(1000).default([]),
    /** For sandboxes that name none: their resolver's upstream servers, search suffixes and options. */
    dns: z.array(checked(requireIp)).max(64).default([]),
    "dns-search": words,
    "dns-opt": words,
  })
  .superRefine(({ bridge, bip, "fixed-cidr": range }, context) => {
    const refuse = (key: string, message: string) => context.addIssue({ code: "custom", message, path: [key] });
    if (bridge !== undefined && bip !== undefined)
      refuse("bip", "cannot be given with bridge, whose own address counts; leave out one of them");
    if (bip !== undefined && range !== undefined && !parseBip(bip).subnet.encloses(Subnet.parse(range)))
      refuse("fixed-cidr", `must be in the subnet of bip, ${parseBip(bip).subnet.text}`);
  })
  .prefault({});
