import { decodeIPv6, encodeIPv6 } from "../../../common/address.js";
import { AF_INET6 } from "../../constants.js";
import { Attributes, AttributeWriter } from "../attributes.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Addresses for which a link answers in the place of who has them: proxy entries of IPv6's neighbour table (`ip -6 neighbour add
// proxy`, RFC 4861 section 7.2.8). They count where the link's setting `proxy_ndp` is on and the host forwards IPv6. The kernel
// takes them away when the link goes down.

const RTM = { newNeighbour: 28, deleteNeighbour: 29, getNeighbours: 30 } as const;
/** `struct ndmsg`. */
const HEADER = { size: 12, family: 0, link: 4, flags: 10 } as const;
const NTF_PROXY = 0x8;
const NDA = { address: 1, protocol: 12 } as const;
/** Who has made an entry, as others of the kernel's tables have it (`rt_protos`): a number nobody else is likely to have chosen. */
const OURS = 112;

/** A link answers for an address. */
export interface NeighbourProxy {
  readonly link: number;
  readonly ip: string;
  /** Whether pontoon has made it. Kernels before 5.0 do not tell, and it counts as somebody else's. */
  readonly isOurs: boolean;
}

/** @param link its index */
export function addProxy(link: number, ip: string): RtRequest {
  return request(RTM.newNeighbour, MAKE.orReplace, link, ip, `answer for ${ip}`);
}

/** ENOENT where there is none. */
export function deleteProxy(link: number, ip: string): RtRequest {
  return request(RTM.deleteNeighbour, 0, link, ip, `answer no more for ${ip}`);
}

function request(type: number, flags: number, link: number, ip: string, subject: string): RtRequest {
  const writer = header(link);
  writer.raw(NDA.address, encodeIPv6(ip));
  writer.u8(NDA.protocol, OURS);
  return { type, flags, body: writer.bytes, subject };
}

/** All of the namespace. Throws {@link NetlinkError}. */
export function proxiesOf(rtnetlink: Rtnetlink): NeighbourProxy[] {
  const { bytes: body } = header(0);
  const subject = "list addresses that are answered for";
  return rtnetlink.list({ type: RTM.getNeighbours, flags: 0, body, subject }, (payload) => {
    const attributes = new Attributes(payload.subarray(HEADER.size));
    const address = attributes.raw(NDA.address);
    if (payload.readUInt8(HEADER.family) !== AF_INET6 || address?.length !== 16) return undefined;
    if ((payload.readUInt8(HEADER.flags) & NTF_PROXY) === 0) return undefined;
    return {
      link: payload.readInt32LE(HEADER.link),
      ip: decodeIPv6(address, 0),
      isOurs: attributes.u8(NDA.protocol) === OURS,
    };
  });
}

function header(link: number): AttributeWriter {
  const writer = new AttributeWriter(64);
  writer.reserve(HEADER.size);
  writer.memory.writeUInt8(AF_INET6, HEADER.family);
  writer.memory.writeInt32LE(link, HEADER.link);
  writer.memory.writeUInt8(NTF_PROXY, HEADER.flags);
  return writer;
}
