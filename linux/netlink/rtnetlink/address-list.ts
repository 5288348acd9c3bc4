import { decodeIP } from "../../../common/address.js";
import { Attributes } from "../attributes.js";
import type { Rtnetlink } from "./rtnetlink.js";

// Addresses of links as the kernel tells of them; see link-list.ts for why they are read here.

const RTM_GETADDR = 22;
/** `struct ifaddrmsg`. */
const ADDRESS = { size: 8, prefix: 1, flags: 2, scope: 3, index: 4 } as const;
const IFA = { address: 1, local: 2 } as const;
const IFA_F_DEPRECATED = 0x20;
const SCOPE_LINK = 253;

/** An address with the length of its network's prefix, e.g. 192.0.2.2 and 24. */
export interface InterfaceAddress {
  readonly ip: string;
  readonly prefix: number;
}

/** An address of a link. */
export interface LinkAddress extends InterfaceAddress {
  /** Of the link. */
  readonly index: number;
  /** Whether it counts on this link only: `fe80::…`. */
  readonly isLinkLocal: boolean;
  /** Of IPv6: nothing new is to be sent from it (RFC 4862, section 5.5.4). */
  readonly isDeprecated?: true;
}

/** Addresses of all links of the namespace. Throws {@link NetlinkError}. */
export function addressesOf(rtnetlink: Rtnetlink): LinkAddress[] {
  const body = Buffer.alloc(ADDRESS.size); // of any family
  return rtnetlink.list({ type: RTM_GETADDR, flags: 0, body, subject: "list addresses" }, (payload) => {
    const attributes = new Attributes(payload.subarray(ADDRESS.size));
    const raw = attributes.raw(IFA.local) ?? attributes.raw(IFA.address);
    if (!raw || (raw.length !== 4 && raw.length !== 16)) return undefined;
    return {
      ip: decodeIP(raw),
      prefix: payload.readUInt8(ADDRESS.prefix),
      index: payload.readUInt32LE(ADDRESS.index),
      isLinkLocal: payload.readUInt8(ADDRESS.scope) === SCOPE_LINK,
      ...((payload.readUInt8(ADDRESS.flags) & IFA_F_DEPRECATED) !== 0 && { isDeprecated: true }),
    };
  });
}
