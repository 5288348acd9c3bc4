import { decodeIPv4, encodeIPv4 } from "../../common/address.js";
import { MalformedPacket } from "./malformed.js";

// UDP over IPv4 as it stands on a link (RFC 791, RFC 768), for a client that has no address to have a UDP socket with.

const IP_HEADER = 20;
const UDP_HEADER = 8;
const PROTOCOL_UDP = 17;
const hops = 64;

export const serverPort = 67;
export const clientPort = 68;

/** BPF: unfragmented UDP to the port of clients. */
export const toClients = [
  [0x30, 0, 0, 9], // ldb [9]: protocol
  [0x15, 0, 6, PROTOCOL_UDP], // jeq #17, else drop
  [0x28, 0, 0, 6], // ldh [6]: more fragments, and offset
  [0x45, 4, 0, 0x3fff], // jset #0x3fff, drop
  [0xb1, 0, 0, 0], // ldxb 4*([0]&0xf)
  [0x48, 0, 0, 2], // ldh [x + 2]: destination port
  [0x15, 0, 1, clientPort], // jeq #68, else drop
  [0x06, 0, 0, 0xffff], // take it
  [0x06, 0, 0, 0], // drop it
] as const;

export interface Datagram {
  /** IPv4 addresses. */
  readonly from: string;
  readonly to: string;
  readonly payload: Buffer;
}

/** From the port of clients to that of servers. */
export function encodeDatagram({ from, to, payload }: Datagram): Buffer {
  const packet = Buffer.alloc(IP_HEADER + UDP_HEADER + payload.length);
  packet.writeUInt8(0x45, 0);
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt8(hops, 8);
  packet.writeUInt8(PROTOCOL_UDP, 9);
  encodeIPv4(from).copy(packet, 12);
  encodeIPv4(to).copy(packet, 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, IP_HEADER)), 10);
  packet.writeUInt16BE(clientPort, IP_HEADER);
  packet.writeUInt16BE(serverPort, IP_HEADER + 2);
  packet.writeUInt16BE(UDP_HEADER + payload.length, IP_HEADER + 4);
  payload.copy(packet, IP_HEADER + UDP_HEADER);
  packet.writeUInt16BE(udpChecksum(packet, IP_HEADER) || 0xffff, IP_HEADER + 6);
  return packet;
}

/**
 * What came from a server's port to a client's. Throws {@link MalformedPacket} for everything else.
 * @param lacksChecksum whether the UDP checksum says nothing
 */
export function decodeDatagram(packet: Buffer, lacksChecksum: boolean): Datagram {
  const require = (isSo: boolean, what: string) => {
    if (!isSo) throw new MalformedPacket(what);
  };
  require(packet.length >= IP_HEADER + UDP_HEADER && packet[0]! >>> 4 === 4, "no IPv4 packet");
  const header = (packet[0]! & 0xf) * 4;
  const total = packet.readUInt16BE(2); // a link may have filled up what is short
  require(header >= IP_HEADER && total >= header + UDP_HEADER && total <= packet.length, "lengths that cannot be");
  require(checksum(packet.subarray(0, header)) === 0, "a wrong IP checksum");
  require(packet[9] === PROTOCOL_UDP && (packet.readUInt16BE(6) & 0x3fff) === 0, "not UDP, or a fragment");
  const isFromServer = packet.readUInt16BE(header) === serverPort && packet.readUInt16BE(header + 2) === clientPort;
  require(isFromServer, "other ports");
  const length = packet.readUInt16BE(header + 4);
  require(length >= UDP_HEADER && header + length <= total, "a UDP length that cannot be");
  const whole = packet.subarray(0, header + length);
  const hasChecksum = !lacksChecksum && packet.readUInt16BE(header + 6) !== 0;
  require(!hasChecksum || udpChecksum(whole, header) === 0, "a wrong UDP checksum");
  return { from: decodeIPv4(packet, 12), to: decodeIPv4(packet, 16), payload: whole.subarray(header + UDP_HEADER) };
}

/** With the pseudo header of RFC 768. @param packet ends with the datagram, which begins at `header` */
function udpChecksum(packet: Buffer, header: number): number {
  const length = packet.length - header;
  const pseudo = Buffer.from([...packet.subarray(12, 20), 0, PROTOCOL_UDP, length >>> 8, length & 0xff]);
  return checksum(Buffer.concat([pseudo, packet.subarray(header)]));
}

/** RFC 1071. 0 over what holds its own right checksum. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
