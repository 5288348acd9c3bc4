import { canonicalForm, encodeIP, familyOf } from "../../common/address.js";

/**
 * The MAC address of an endpoint, so that one that returns with its address is known by it at once: of an IPv4 address
 * `02:42` and its bytes, as Docker has it; of an IPv6 address `02` and its last five bytes. Both are locally administered
 * and of one station (IEEE 802, bits 1 and 0 of the first byte).
 * @param address of an endpoint with both, the IPv4 address
 */
export function macOf(address: string): string {
  const ip = canonicalForm(address);
  const bytes = familyOf(ip) === "ipv4" ? [0x02, 0x42, ...encodeIP(ip)] : [0x02, ...encodeIP(ip).subarray(11)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
