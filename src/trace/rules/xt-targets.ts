import { decodeIP, type Family } from "../../../common/address.js";
import type { Effect } from "./effects.js";

// Targets of iptables' nft variant, by their structs (include/uapi/linux/netfilter/xt_*.h, nf_nat.h).

/** Those that let the packet go on as it is, as far as its way is concerned. */
const withoutEffect = new Set([
  "LOG",
  "NFLOG",
  "CHECKSUM",
  "TCPMSS",
  "CLASSIFY",
  "DSCP",
  "TTL",
  "AUDIT",
  "TRACE",
  "SET",
]);

/** What a target does. @returns undefined when that is not known */
export function effectOfTarget(name: string, revision: number, info: Buffer, family: Family): Effect | undefined {
  if (withoutEffect.has(name)) return { kind: "none" };
  try {
    return targets[name]?.(info, revision, family);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // shorter than its struct
    throw error;
  }
}

type Target = (info: Buffer, revision: number, family: Family) => Effect | undefined;

const targets: Readonly<Record<string, Target>> = {
  DNAT: (info, revision, family) => ({ kind: "destination", ...rangeOf(info, revision, family) }),
  SNAT: (info, revision, family) => ({ kind: "source", ip: rangeOf(info, revision, family).ip }),
  REDIRECT: (info, revision, family) => ({ kind: "redirect", port: rangeOf(info, revision, family).port }),
  MASQUERADE: () => ({ kind: "masquerade" }),
  REJECT: () => ({ kind: "verdict", verdict: "reject" }),
  DROP: () => ({ kind: "verdict", verdict: "drop" }),
  ACCEPT: () => ({ kind: "verdict", verdict: "accept" }),
  RETURN: () => ({ kind: "verdict", verdict: "return" }),
  MARK: (info) => ({ kind: "mark", clear: info.readUInt32LE(4), set: info.readUInt32LE(0) }),
  CT: () => ({ kind: "none" }),
  NOTRACK: () => ({ kind: "untracked" }),
};

const RANGE_FLAG = { addresses: 1, ports: 2 } as const;

/** `struct nf_nat_range`, or the older one of IPv4 alone: flags, first and last address, first and last port. */
function rangeOf(info: Buffer, revision: number, family: Family): { ip: string | undefined; port: number | undefined } {
  const isOld = revision === 0 && family === "ipv4";
  const [flagsAt, addressAt, portAt] = isOld ? [4, 8, 16] : [0, 4, 36];
  const flags = info.readUInt32LE(flagsAt);
  const size = family === "ipv4" ? 4 : 16;
  return {
    ip: flags & RANGE_FLAG.addresses ? decodeIP(info.subarray(addressAt, addressAt + size)) : undefined,
    port: flags & RANGE_FLAG.ports ? info.readUInt16BE(portAt) : undefined,
  };
}
