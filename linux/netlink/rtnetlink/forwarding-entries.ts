import { decodeIP, encodeIP } from "../../../common/address.js";
import { Attributes, AttributeWriter } from "../attributes.js";
import { bytesOfMac, macOf } from "./mac-bytes.js";
import { HEADER, NDA, neighbourRequest, NTF, NUD, RTM } from "./neighbour-message.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Where MAC addresses are that are reached by a VXLAN link which is the port of a bridge (`bridge fdb`): the bridge's own table
// has by which port, that of the link to which host.

const AF_BRIDGE = 7;
/** `struct ifinfomsg`, with which kernels of every version take the index of one port. */
const LINK_HEADER = { size: 16, family: 0, index: 4 } as const;

export type ForwardingEntry =
  /** Of the VXLAN link: frames for the MAC address go to `host`; undefined for one that tells no host. `by`: index of the link it says. */
  | { readonly table: "link"; readonly mac: string; readonly host: string | undefined; readonly by?: number }
  /** Of the bridge: by this port. */
  | { readonly table: "bridge"; readonly mac: string };

/**
 * Sets both, whatever was there; neither ages.
 * @param link the VXLAN link's index
 * @param by index of the link on which `host` is, for an address that is link-local
 */
export function putForwarding(link: number, mac: string, host: string, by?: number): RtRequest {
  // A bridge takes "permanent" for an address of its own; a VXLAN link wants one of the two to be said.
  const header = { family: AF_BRIDGE, link, state: NUD.noArp | NUD.reachable, flags: NTF.self | NTF.master };
  return neighbourRequest([RTM.newNeighbour, MAKE.orReplace], header, `set where ${mac} is`, (writer) => {
    writer.raw(NDA.mac, bytesOfMac(mac));
    writer.raw(NDA.address, encodeIP(host));
    if (by !== undefined) writer.raw(NDA.link, indexBytes(by));
  });
}

/** ENOENT where there is none. @param link the VXLAN link's index */
export function deleteForwarding(link: number, table: ForwardingEntry["table"], mac: string): RtRequest {
  const header = { family: AF_BRIDGE, link, flags: table === "link" ? NTF.self : NTF.master };
  return neighbourRequest([RTM.deleteNeighbour, 0], header, `forget where ${mac} is`, (writer) =>
    writer.raw(NDA.mac, bytesOfMac(mac)),
  );
}

/** Of a VXLAN link, and of its bridge by it, without the link's own address. Throws {@link NetlinkError}. */
export function forwardingOf(rtnetlink: Rtnetlink, link: number): ForwardingEntry[] {
  const writer = new AttributeWriter(LINK_HEADER.size);
  writer.reserve(LINK_HEADER.size);
  writer.memory.writeUInt8(AF_BRIDGE, LINK_HEADER.family);
  writer.memory.writeInt32LE(link, LINK_HEADER.index);
  const request = { type: RTM.getNeighbours, flags: 0, body: writer.bytes, subject: "list where MAC addresses are" };
  return rtnetlink.list(request, (payload) => readEntry(payload, link));
}

function readEntry(payload: Buffer, link: number): ForwardingEntry | undefined {
  if (payload.readUInt8(HEADER.family) !== AF_BRIDGE || payload.readInt32LE(HEADER.link) !== link) return undefined;
  const attributes = new Attributes(payload.subarray(HEADER.size));
  const raw = attributes.raw(NDA.mac);
  if (raw?.length !== 6) return undefined;
  const mac = macOf(raw);
  if ((payload.readUInt8(HEADER.flags) & NTF.self) !== 0) {
    const [host, by] = [attributes.raw(NDA.address), attributes.raw(NDA.link)?.readInt32LE()];
    const isAddress = host?.length === 4 || host?.length === 16;
    return { table: "link", mac, host: isAddress ? decodeIP(host) : undefined, ...(by !== undefined && { by }) };
  }
  // A bridge that knows VLANs has each once more for the VLAN of those without a tag; it goes with the first.
  const isItsOwn = (payload.readUInt16LE(HEADER.state) & NUD.permanent) !== 0;
  return isItsOwn || attributes.has(NDA.vlan) ? undefined : { table: "bridge", mac };
}

function indexBytes(index: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(index);
  return bytes;
}
