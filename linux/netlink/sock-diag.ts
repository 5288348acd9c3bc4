import { decodeIP } from "../../common/address.js";
import { AF_INET, AF_INET6 } from "../constants.js";
import { Attributes } from "./attributes.js";
import { HEADER_SIZE, NetlinkSocket, writeHeader } from "./netlink-socket.js";
import { NetlinkError } from "./nfnetlink.js";

// Sockets of a network namespace (sock_diag(7)), which tells of IPv6 sockets whether they take IPv4, too.

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST_DUMP = 0x301;
const IPPROTO = { tcp: 6, udp: 17 } as const;
/** Bits of states: TCP listens (10), UDP is not connected (7). */
const waitingStates = { tcp: 1 << 10, udp: 1 << 7 } as const;
/** `struct inet_diag_req_v2`. */
const REQUEST = { size: 56, family: 0, protocol: 1, extensions: 2, states: 4 } as const;
/** `struct inet_diag_msg`; its ports and addresses are in network order. */
const MESSAGE = { size: 72, port: 4, source: 8, link: 40, uid: 64, inode: 68 } as const;
const INET_DIAG_SKV6ONLY = 11;
/** A namespace with more of them is somebody's jest. */
const socketsAtMost = 100_000;

/** A socket that waits for clients. */
export interface ListeningSocket {
  readonly ip: string;
  readonly port: number;
  /** An IPv6 socket that takes no IPv4. */
  readonly isV6Only: boolean;
  /** Index of the link it is bound to; 0 for any. */
  readonly link: number;
  readonly inode: number;
}

/** All of the calling thread's network namespace. Throws NetlinkError, and EPROTONOSUPPORT where the kernel has no such list. */
export function listeningSockets(transport: "tcp" | "udp"): ListeningSocket[] {
  const socket = new NetlinkSocket(NETLINK_SOCK_DIAG, "sock_diag");
  try {
    return [AF_INET, AF_INET6].flatMap((family) => list(socket, family, transport));
  } finally {
    socket.close();
  }
}

function list(socket: NetlinkSocket, family: number, transport: "tcp" | "udp"): ListeningSocket[] {
  const message = Buffer.alloc(HEADER_SIZE + REQUEST.size);
  const sequence = socket.nextSequence();
  message.writeUInt8(family, HEADER_SIZE + REQUEST.family);
  message.writeUInt8(IPPROTO[transport], HEADER_SIZE + REQUEST.protocol);
  message.writeUInt32LE(waitingStates[transport], HEADER_SIZE + REQUEST.states);
  writeHeader(message, 0, message.length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, sequence);
  socket.send(message, `list ${transport} sockets`);
  const found: ListeningSocket[] = [];
  for (;;) {
    const received = socket.receive();
    if (received.length === 0) return found;
    for (const one of received) {
      if (one.sequence !== sequence) continue;
      if (one.kind === "reply") {
        if (found.length < socketsAtMost && one.payload.length >= MESSAGE.size)
          found.push(readSocket(one.payload, family));
      } else if (one.errno === 0) return found;
      else throw new NetlinkError(one.errno, `list ${transport} sockets`, undefined);
    }
  }
}

function readSocket(payload: Buffer, family: number): ListeningSocket {
  const only = new Attributes(payload.subarray(MESSAGE.size)).raw(INET_DIAG_SKV6ONLY);
  return {
    ip: decodeIP(payload.subarray(MESSAGE.source, MESSAGE.source + (family === AF_INET ? 4 : 16))),
    port: payload.readUInt16BE(MESSAGE.port),
    isV6Only: only?.[0] === 1,
    link: payload.readUInt32LE(MESSAGE.link),
    inode: payload.readUInt32LE(MESSAGE.inode),
  };
}
