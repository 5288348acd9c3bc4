import { decodeIP } from "../../../common/address.js";
import { Attributes, AttributeWriter } from "../attributes.js";
import { macOf } from "./mac-bytes.js";
import type { Rtnetlink } from "./rtnetlink.js";

// Links as the kernel tells of them. Reading does without the encoders of links.ts, which take a command long to load.

export const RTM_GETLINK = 18;
/** `struct ifinfomsg`. */
const HEADER = { size: 16, index: 4, flags: 8 } as const;
const IFF_UP = 1;
const IFF_LOWER_UP = 0x10000;
/** `IFLA_*`, of what is read. */
const IFLA = { address: 1, name: 3, mtu: 4, link: 5, master: 10, info: 18, alias: 20, group: 27, extMask: 29 } as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
/** `IFLA_BR_*`. */
const BRIDGE = { stp: 5, id: 11 } as const;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
/** `IFLA_VXLAN_*`. */
const VXLAN = { id: 1, link: 3, local: 4, port: 15, local6: 17 } as const;
/** `IFLA_BRPORT_*`. */
const PORT = { learning: 8, unicast: 9, multicast: 27, broadcast: 30, suppress: 32 } as const;
/** Counters of each link are most of an answer, and nobody here reads them. */
export const RTEXT_FILTER_SKIP_STATS = 8;

/** A link as the kernel tells it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`…; undefined for what was not made by software, and `lo`. */
  readonly kind: string | undefined;
  readonly isUp: boolean;
  /** Of one that is up: whether there is somebody at its other end. */
  readonly hasCarrier?: boolean;
  readonly mtu: number;
  /** `02:42:0a:59:00:02`. */
  readonly mac: string;
  /** Index of the bridge it is a port of. */
  readonly master: number | undefined;
  /** Index of a veth's other end, or of the link below a macvlan or VLAN, in whichever namespace that is. */
  readonly peer: number | undefined;
  /** `ip link … alias`: free text, in which links of ours tell whose they are. The kernel takes it of links that are there. */
  readonly alias: string | undefined;
  readonly group: number;
  /** Of a bridge. */
  readonly bridge: BridgeSettings | undefined;
  readonly vxlan?: VxlanSettings;
  /** Whether it is a bridge's port as `makeQuietPort` has it. */
  readonly isQuietPort?: boolean;
}

/** Of a VXLAN link (RFC 7348). */
export interface VxlanSettings {
  readonly vni: number;
  /** The host's address that it sends from. */
  readonly local: string;
  /** Of UDP, on each host. */
  readonly port: number;
  /**
   * Index of the link that it sends by. With a link-local address of that one as `local` the kernel sends by no other, takes its packets from
   * no other, and deletes this link together with that one.
   */
  readonly by?: number;
}

export interface BridgeSettings {
  /** Priority and MAC address, `8000.02420a590001`. */
  readonly id: string;
  /** Whether it speaks the spanning tree protocol. */
  readonly stp: boolean;
}

/** All links of the namespace. Throws {@link NetlinkError}. */
export function linksOf(rtnetlink: Rtnetlink): Link[] {
  const writer = new AttributeWriter(64);
  writer.reserve(HEADER.size);
  writer.raw(IFLA.extMask, Buffer.of(RTEXT_FILTER_SKIP_STATS, 0, 0, 0));
  return rtnetlink.list({ type: RTM_GETLINK, flags: 0, body: writer.bytes, subject: "list links" }, readLink);
}

/** @param payload of a message about a link */
export function readLink(payload: Buffer): Link {
  const attributes = new Attributes(payload.subarray(HEADER.size));
  // Numbers of rtnetlink are in the machine's order, which is little-endian wherever pontoon runs.
  const number = (type: number) => {
    const raw = attributes.raw(type);
    return raw?.length === 4 ? raw.readUInt32LE() : undefined;
  };
  const info = attributes.nested(IFLA.info);
  return {
    index: payload.readInt32LE(HEADER.index),
    name: attributes.text(IFLA.name) ?? "",
    kind: info?.text(IFLA_INFO_KIND),
    isUp: (payload.readUInt32LE(HEADER.flags) & IFF_UP) !== 0,
    hasCarrier: (payload.readUInt32LE(HEADER.flags) & IFF_LOWER_UP) !== 0,
    mtu: number(IFLA.mtu) ?? 0,
    mac: macOf(attributes.raw(IFLA.address) ?? Buffer.alloc(0)),
    master: number(IFLA.master),
    peer: number(IFLA.link),
    alias: attributes.text(IFLA.alias),
    group: number(IFLA.group) ?? 0,
    bridge: info?.text(IFLA_INFO_KIND) === "bridge" ? readBridge(info.nested(IFLA_INFO_DATA)) : undefined,
    ...(info?.text(IFLA_INFO_KIND) === "vxlan" && {
      vxlan: readVxlan(info.nested(IFLA_INFO_DATA)),
      isQuietPort: isQuiet(info),
    }),
  };
}

function readVxlan(data: Attributes | undefined): VxlanSettings {
  const local = data?.raw(VXLAN.local) ?? data?.raw(VXLAN.local6);
  const by = data?.raw(VXLAN.link)?.readUInt32LE() ?? 0;
  return {
    vni: data?.raw(VXLAN.id)?.readUInt32LE() ?? 0,
    local: local ? decodeIP(local) : "",
    port: data?.u16(VXLAN.port) ?? 0,
    ...(by !== 0 && { by }),
  };
}

function isQuiet(info: Attributes): boolean {
  const port = info.text(IFLA_INFO_SLAVE_KIND) === "bridge" ? info.nested(IFLA_INFO_SLAVE_DATA) : undefined;
  const isOff = [PORT.learning, PORT.unicast, PORT.multicast, PORT.broadcast].every((type) => port?.u8(type) === 0);
  return isOff && port?.u8(PORT.suppress) === 1;
}

function readBridge(data: Attributes | undefined): BridgeSettings {
  const id = data?.raw(BRIDGE.id)?.toString("hex") ?? "";
  return { id: `${id.slice(0, 4)}.${id.slice(4)}`, stp: data?.raw(BRIDGE.stp)?.some((byte) => byte !== 0) ?? false };
}
