import {
  AF_PACKET,
  EAGAIN,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  PACKET_AUXDATA,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_PACKET,
  SOL_SOCKET,
  SO_ATTACH_FILTER,
} from "./constants.js";
import { addressOf, arena, bind, check, lastErrno, LinuxError } from "./ffi.js";
import { CMSGHDR, IOVEC, MSGHDR } from "./layout.js";
import { closeDescriptor, setOption } from "./socket.js";

// Packets of one link, below IP (packet(7)): what a link without an address can be asked and answered by.

const c = {
  socket: bind("int socket(int, int, int)"),
  bind: bind("int bind(int, void *, int)"),
  setsockopt: bind("int setsockopt(int, int, int, void *, int)"),
  sendto: bind("long sendto(int, void *, size_t, int, void *, int)"),
  recvmsg: bind("long recvmsg(int, void *, int)"),
};

/** `struct sockaddr_ll`. */
const LINK_ADDRESS = { size: 20, protocol: 2, link: 4, packetType: 10, length: 11, address: 12 } as const;
const PACKET_OUTGOING = 4;
/** Of `struct tpacket_auxdata`: the sender was on this host, and has left the checksum to hardware that is not there. */
const TP_STATUS_CSUMNOTREADY = 8;
const MAC_SIZE = 6;
/** Bytes of a packet that is taken; what is longer is cut. */
const packetAtMost = 2048;

/** `ETH_P_*`. */
export const linkProtocols = { ipv4: 0x0800, arp: 0x0806 } as const;

export const broadcastMac = "ff:ff:ff:ff:ff:ff";

/** An instruction of a classic BPF program: code, jump if true, jump if false, constant (linux/filter.h). */
export type FilterInstruction = readonly [code: number, whenTrue: number, whenFalse: number, constant: number];

export interface LinkPacket {
  /** From the network layer on; a copy. */
  readonly bytes: Buffer;
  /** Who sent it on this link. */
  readonly mac: string;
  /** Whether its UDP or TCP checksum was never reckoned, and says nothing. */
  readonly lacksChecksum: boolean;
}

const bytes = arena(packetAtMost);
const sender = arena(32);
const control = arena(128);
const vector = arena(IOVEC.size);
const header = arena(MSGHDR.size);
vector.writeBigUInt64LE(BigInt(addressOf(bytes)), IOVEC.base);
header.writeBigUInt64LE(BigInt(addressOf(sender)), MSGHDR.name);
header.writeBigUInt64LE(BigInt(addressOf(vector)), MSGHDR.iov);
header.writeBigUInt64LE(1n, MSGHDR.iovLength);
header.writeBigUInt64LE(BigInt(addressOf(control)), MSGHDR.control);

/** Packets of one protocol on one link of the namespace it is made in. Keeps that namespace there. Needs CAP_NET_RAW. */
export class LinkSocket {
  readonly fd: number;

  /**
   * @param link index of the link
   * @param filter what of the protocol is taken; all without. Throws a LinuxError, e.g. ENODEV, ENETDOWN.
   */
  constructor(
    private readonly link: number,
    private readonly protocol: (typeof linkProtocols)[keyof typeof linkProtocols],
    filter: readonly FilterInstruction[] = [],
  ) {
    // With no protocol yet, so that nothing is taken before the filter counts.
    this.fd = check(c.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "packet");
    try {
      setOption(this.fd, SOL_PACKET, PACKET_AUXDATA, 1, "PACKET_AUXDATA");
      if (filter.length > 0) attachFilter(this.fd, filter);
      const address = this.#address(broadcastMac);
      check(c.bind(this.fd, address, address.length), "bind", `link ${link}`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sends one packet without waiting. Throws a LinuxError, e.g. ENETDOWN, ENXIO when the link is gone. */
  send(packet: Buffer, mac: string): void {
    const address = this.#address(mac);
    check(
      c.sendto(this.fd, packet, packet.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length),
      "sendto",
      mac,
    );
  }

  /** @returns undefined when nothing waits. Throws a LinuxError, e.g. ENETDOWN. */
  receive(): LinkPacket | undefined {
    for (;;) {
      // Written each time: memory that no function uses is given back, whoever has its address.
      vector.writeBigUInt64LE(BigInt(packetAtMost), IOVEC.length);
      header.writeUInt32LE(sender.length, MSGHDR.nameLength);
      header.writeBigUInt64LE(BigInt(control.length), MSGHDR.controlLength);
      header.writeInt32LE(0, MSGHDR.flags);
      const length = c.recvmsg(this.fd, header, MSG_DONTWAIT);
      if (length < 0) {
        const errno = lastErrno();
        if (errno === EAGAIN) return undefined;
        throw new LinuxError(errno, "recvmsg", `link ${this.link}`);
      }
      if (sender[LINK_ADDRESS.packetType] === PACKET_OUTGOING) continue;
      return {
        bytes: Buffer.from(bytes.subarray(0, length)),
        mac: macText(sender.subarray(LINK_ADDRESS.address, LINK_ADDRESS.address + MAC_SIZE)),
        lacksChecksum: (statusIn(Number(header.readBigUInt64LE(MSGHDR.controlLength))) & TP_STATUS_CSUMNOTREADY) !== 0,
      };
    }
  }

  close(): void {
    closeDescriptor(this.fd);
  }

  #address(mac: string): Buffer {
    const address = Buffer.alloc(LINK_ADDRESS.size);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(this.protocol, LINK_ADDRESS.protocol);
    address.writeInt32LE(this.link, LINK_ADDRESS.link);
    address[LINK_ADDRESS.length] = MAC_SIZE;
    macBytes(mac).copy(address, LINK_ADDRESS.address);
    return address;
  }
}

/** @param mac `02:42:0a:59:00:02` */
export function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

export function macText(raw: Buffer): string {
  return [...raw].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** `tp_status` of what the kernel tells beside a packet; 0 when it tells nothing. */
function statusIn(length: number): number {
  const isTold =
    length >= CMSGHDR.size + 4 &&
    control.readInt32LE(CMSGHDR.level) === SOL_PACKET &&
    control.readInt32LE(CMSGHDR.type) === PACKET_AUXDATA;
  return isTold ? control.readUInt32LE(CMSGHDR.size) : 0;
}

/** `struct sock_filter`, `struct sock_fprog`. */
function attachFilter(fd: number, filter: readonly FilterInstruction[]): void {
  const program = arena(filter.length * 8);
  filter.forEach(([code, whenTrue, whenFalse, constant], index) => {
    program.writeUInt16LE(code, index * 8);
    program.writeUInt8(whenTrue, index * 8 + 2);
    program.writeUInt8(whenFalse, index * 8 + 3);
    program.writeUInt32LE(constant, index * 8 + 4);
  });
  const pointer = arena(16);
  pointer.writeUInt16LE(filter.length, 0);
  pointer.writeBigUInt64LE(BigInt(addressOf(program)), 8);
  check(c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, pointer, pointer.length), "setsockopt", "SO_ATTACH_FILTER");
}
