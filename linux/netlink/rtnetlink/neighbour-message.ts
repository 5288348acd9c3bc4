import { AttributeWriter } from "../attributes.js";
import type { RtRequest } from "./rtnetlink.js";

// Messages about the kernel's neighbour tables: who has an address (ARP, ND), what is answered for, and where a MAC address is
// (the forwarding tables of bridges and of VXLAN links).

export const RTM = { newNeighbour: 28, deleteNeighbour: 29, getNeighbours: 30 } as const;
/** `struct ndmsg`. */
export const HEADER = { size: 12, family: 0, link: 4, state: 8, flags: 10 } as const;
/** `NTF_*`: the table of the link itself, that of the bridge it is a port of, and addresses that are answered for. */
export const NTF = { self: 0x02, master: 0x04, proxy: 0x08 } as const;
/** `NUD_*`. Of a bridge's table, `permanent` are its own addresses, and `noArp` what does not age. */
export const NUD = { reachable: 0x02, noArp: 0x40, permanent: 0x80 } as const;
/** `NDA_*`. */
export const NDA = { address: 1, mac: 2, vlan: 5, link: 8, protocol: 12 } as const;
/** Who has made an entry, as others of the kernel's tables have it (`rt_protos`): a number nobody else is likely to have chosen. */
export const OURS = 112;

/** What a message is about, beside its attributes. */
export interface NeighbourHeader {
  readonly family: number;
  /** Index; 0 for all. */
  readonly link: number;
  /** Of {@link NUD}. */
  readonly state?: number;
  /** Of {@link NTF}. */
  readonly flags?: number;
}

/** @param flags beyond those every request has  @param write the attributes */
export function neighbourRequest(
  [type, flags]: readonly [type: number, flags: number],
  { family, link, state = 0, flags: which = 0 }: NeighbourHeader,
  subject: string,
  write: (writer: AttributeWriter) => void = () => undefined,
): RtRequest {
  const writer = new AttributeWriter(64);
  writer.reserve(HEADER.size);
  writer.memory.writeUInt8(family, HEADER.family);
  writer.memory.writeInt32LE(link, HEADER.link);
  writer.memory.writeUInt16LE(state, HEADER.state);
  writer.memory.writeUInt8(which, HEADER.flags);
  write(writer);
  return { type, flags, body: writer.bytes, subject };
}
