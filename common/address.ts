import { isIP, isIPv6, SocketAddress } from "node:net";

/** An address in the one form it is compared in; IPv4 mapped into IPv6 is IPv4, as for Docker. Undefined for what is no address, or has a zone. */
export function canonicalAddress(text: string): string | undefined {
  if (isIP(text) === 0 || text.includes("%")) return undefined;
  if (!isIPv6(text)) return text;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}
