import { decodeIP, decodeIPv6, encodeIP, encodeIPv6, familyOf } from "../../../common/address.js";
import { AF_INET, AF_INET6 } from "../../constants.js";
import { Attributes } from "../attributes.js";
import { bytesOfMac, macOf } from "./mac-bytes.js";
import { HEADER, NDA, neighbourRequest, NTF, NUD, OURS, RTM } from "./neighbour-message.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Addresses for which a link answers in the place of who has them: proxy entries of IPv6's neighbour table (`ip -6 neighbour add
// proxy`, RFC 4861 section 7.2.8). They count where the link's setting `proxy_ndp` is on and the host forwards IPv6. The kernel
// takes them away when the link goes down; and so it does with neighbours that were set for good (`ip neighbour add … nud
// permanent`), about which it asks nobody.

/** A link answers for an address. */
export interface NeighbourProxy {
  readonly link: number;
  readonly ip: string;
  /** Whether pontoon has made it. Kernels before 5.0 do not tell, and it counts as somebody else's. */
  readonly isOurs: boolean;
}

/** Who has an address, for good. */
export interface Neighbour {
  /** Of either family. */
  readonly ip: string;
  readonly mac: string;
  /** As {@link NeighbourProxy.isOurs}. */
  readonly isOurs: boolean;
}

/** @param link its index */
export function addProxy(link: number, ip: string): RtRequest {
  return proxyRequest([RTM.newNeighbour, MAKE.orReplace], link, ip, `answer for ${ip}`);
}

/** ENOENT where there is none. */
export function deleteProxy(link: number, ip: string): RtRequest {
  return proxyRequest([RTM.deleteNeighbour, 0], link, ip, `answer no more for ${ip}`);
}

function proxyRequest(what: readonly [number, number], link: number, ip: string, subject: string): RtRequest {
  return neighbourRequest(what, { family: AF_INET6, link, flags: NTF.proxy }, subject, (writer) => {
    writer.raw(NDA.address, encodeIPv6(ip));
    writer.u8(NDA.protocol, OURS);
  });
}

/** All of the namespace. Throws {@link NetlinkError}. */
export function proxiesOf(rtnetlink: Rtnetlink): NeighbourProxy[] {
  const header = { family: AF_INET6, link: 0, flags: NTF.proxy };
  const request = neighbourRequest([RTM.getNeighbours, 0], header, "list addresses that are answered for");
  return rtnetlink.list(request, (payload) => {
    const attributes = new Attributes(payload.subarray(HEADER.size));
    const address = attributes.raw(NDA.address);
    if (payload.readUInt8(HEADER.family) !== AF_INET6 || address?.length !== 16) return undefined;
    if ((payload.readUInt8(HEADER.flags) & NTF.proxy) === 0) return undefined;
    return {
      link: payload.readInt32LE(HEADER.link),
      ip: decodeIPv6(address, 0),
      isOurs: attributes.u8(NDA.protocol) === OURS,
    };
  });
}

/** Sets who has an address, whatever was known. EINVAL for an IPv6 address where the link has no IPv6. */
export function putNeighbour(link: number, ip: string, mac: string): RtRequest {
  const header = { family: familyNumber(ip), link, state: NUD.permanent };
  return neighbourRequest([RTM.newNeighbour, MAKE.orReplace], header, `set the neighbour ${ip}`, (writer) => {
    writer.raw(NDA.address, encodeIP(ip));
    writer.raw(NDA.mac, bytesOfMac(mac));
    writer.u8(NDA.protocol, OURS);
  });
}

/** ENOENT where there is none. */
export function deleteNeighbour(link: number, ip: string): RtRequest {
  const header = { family: familyNumber(ip), link };
  return neighbourRequest([RTM.deleteNeighbour, 0], header, `forget the neighbour ${ip}`, (writer) =>
    writer.raw(NDA.address, encodeIP(ip)),
  );
}

/** Those of a link that were set for good, of both families. Throws {@link NetlinkError}. */
export function neighboursOf(rtnetlink: Rtnetlink, link: number): Neighbour[] {
  const request = neighbourRequest([RTM.getNeighbours, 0], { family: 0, link: 0 }, "list neighbours", (writer) => {
    const index = Buffer.alloc(4);
    index.writeInt32LE(link);
    writer.raw(NDA.link, index);
  });
  return rtnetlink.list(request, (payload) => {
    if (payload.readInt32LE(HEADER.link) !== link) return undefined;
    if ((payload.readUInt16LE(HEADER.state) & NUD.permanent) === 0) return undefined;
    const attributes = new Attributes(payload.subarray(HEADER.size));
    const [address, mac] = [attributes.raw(NDA.address), attributes.raw(NDA.mac)];
    if ((address?.length !== 4 && address?.length !== 16) || mac?.length !== 6) return undefined;
    return { ip: decodeIP(address), mac: macOf(mac), isOurs: attributes.u8(NDA.protocol) === OURS };
  });
}

function familyNumber(ip: string): number {
  return familyOf(ip) === "ipv4" ? AF_INET : AF_INET6;
}
