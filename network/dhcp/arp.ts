import { decodeIPv4, encodeIPv4 } from "../../common/address.js";
import { macBytes, macText } from "../../linux/link-socket.js";

// ARP for IPv4 over Ethernet (RFC 826), and what RFC 5227 makes of it.

const SIZE = 28;
const header = Buffer.of(0, 1, 0x08, 0x00, 6, 4, 0, 1); // Ethernet, IPv4, lengths, a request
const AT = { senderMac: 8, senderIp: 14, targetIp: 24 } as const;

/** Asks whether somebody has an address, without claiming it. */
export function arpProbe(mac: string, ip: string): Buffer {
  return request(mac, "0.0.0.0", ip);
}

/** Tells all that an address is ours. */
export function arpAnnouncement(mac: string, ip: string): Buffer {
  return request(mac, ip, ip);
}

function request(mac: string, from: string, ip: string): Buffer {
  return Buffer.concat([header, macBytes(mac), encodeIPv4(from), Buffer.alloc(6), encodeIPv4(ip)]);
}

/** Whether a packet shows that another one has an address, or is about to take it (RFC 5227 section 2.1.1). @param mac our own */
export function tellsOfOther(packet: Buffer, mac: string, ip: string): boolean {
  if (packet.length < SIZE || !packet.subarray(0, 6).equals(header.subarray(0, 6))) return false;
  if (macText(packet.subarray(AT.senderMac, AT.senderIp)) === mac) return false;
  const [from, target] = [decodeIPv4(packet, AT.senderIp), decodeIPv4(packet, AT.targetIp)];
  return from === ip || (from === "0.0.0.0" && target === ip);
}
