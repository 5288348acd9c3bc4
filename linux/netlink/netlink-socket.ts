import { bind, bindAside, check, LinuxError, lastErrno } from "../ffi.js";
import { closeDescriptor, closeDescriptorAside, receiveBytes, setOption, WOULD_BLOCK } from "../socket.js";
import {
  AF_NETLINK,
  EINTR,
  EPROTO,
  MSG_DONTWAIT,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
  SO_RCVBUFFORCE,
  SO_SNDBUFFORCE,
} from "../constants.js";
import { Attributes } from "./attributes.js";

const c = {
  socket: bind("int socket(int, int, int)"),
  bind: bind("int bind(int, void *, int)"),
  send: bind("long send(int, void *, size_t, int)"),
  sendAside: bindAside("long send(int, void *, size_t, int)"),
};

/** `struct nlmsghdr`. */
const HEADER = { size: 16, length: 0, type: 4, flags: 6, sequence: 8 } as const;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
/** The kernel fills this much at a time at the most when it lists (NLMSG_GOODSIZE, 32 KB), with room to spare. */
const RECEIVE_SIZE = 64 * 1024;
/** Bytes that a socket may send at once on every system. */
const usualSendBuffer = 64 * 1024;

/** `struct sockaddr_nl` without a port id: the kernel gives one, without which it sends no news. */
export const anyPort = Buffer.from(new ArrayBuffer(12));
anyPort.writeUInt16LE(AF_NETLINK, 0);

/** A message of the kernel's. */
export interface Reply {
  readonly type: number;
  readonly sequence: number;
  /** What follows the header, in memory that the next receive overwrites. */
  readonly payload: Buffer;
  /** It is part of a list that changed while it was read (`NLM_F_DUMP_INTR`). */
  readonly changed: boolean;
}

/** What the kernel says of one message: 0 is success, else an errno. */
export interface Verdict {
  readonly sequence: number;
  readonly errno: number;
  /** The kernel's own sentence (extended acknowledgement); most errors have none. */
  readonly sentence: string | undefined;
}

export type Received =
  | ({ readonly kind: "reply" } & Reply)
  | ({ readonly kind: "verdict" } & Verdict)
  /** The list is complete, or cannot be completed (`errno`). */
  | { readonly kind: "done"; readonly sequence: number; readonly errno: number; readonly changed: boolean };

/**
 * A netlink socket, which belongs to the network namespace it was made in, whichever thread uses it. The kernel does its
 * work while a message is sent, and has its answer ready by then.
 */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer: Buffer;
  #sequence = 0;

  /** @param protocol e.g. `NETLINK_NETFILTER`. Throws EPROTONOSUPPORT when the kernel does not have it. */
  constructor(protocol: number, name: string) {
    this.#fd = check(c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket", name);
    this.#buffer = buffers.pop() ?? Buffer.from(new ArrayBuffer(RECEIVE_SIZE));
    setOption(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, 1, "NETLINK_EXT_ACK");
    setOption(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1, "NETLINK_CAP_ACK");
  }

  /** From now on news of these groups are received. @param room for what waits to be received, bytes */
  subscribe(groups: readonly number[], room: number): void {
    setOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, room, "SO_RCVBUFFORCE");
    check(c.bind(this.#fd, anyPort, anyPort.length), "bind", "netlink");
    for (const group of groups)
      setOption(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, "NETLINK_ADD_MEMBERSHIP");
  }

  /** Can be called once. Waits as {@link send} does: the kernel looks for tables that end with the socket. */
  close(): void {
    buffers.push(this.#buffer);
    closeDescriptor(this.#fd);
  }

  /** As {@link close}, in another thread. */
  closeAside(): Promise<void> {
    buffers.push(this.#buffer);
    return closeDescriptorAside(this.#fd);
  }

  nextSequence(): number {
    return ++this.#sequence;
  }

  send(message: Buffer, subject: string): void {
    this.#makeRoom(message);
    for (;;) {
      if (c.send(this.#fd, message, message.length, MSG_DONTWAIT) >= 0) return;
      const errno = lastErrno();
      if (errno !== EINTR) throw new LinuxError(errno, "send", subject);
    }
  }

  /** As {@link send}, in another thread: the event loop goes on while the kernel works, or waits for somebody's lock. */
  async sendAside(message: Buffer, subject: string): Promise<void> {
    this.#makeRoom(message);
    if ((await c.sendAside(this.#fd, message, message.length, MSG_DONTWAIT)) < 0)
      throw new LinuxError(EPROTO, "send", subject); // the number stayed in that thread
  }

  #makeRoom(message: Buffer): void {
    if (message.length > usualSendBuffer)
      setOption(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, message.length, "SO_SNDBUFFORCE"); // the kernel doubles it
  }

  /** What the kernel has ready; empty when there is nothing more. Throws ENOBUFS when it had more than it could keep. */
  receive(): Received[] {
    const length = receiveBytes(this.#fd, this.#buffer);
    if (length === WOULD_BLOCK || length === 0) return [];
    const received: Received[] = [];
    for (let at = 0; at + HEADER.size <= length;) {
      const size = this.#buffer.readUInt32LE(at + HEADER.length);
      if (size < HEADER.size || at + size > length) break;
      received.push(readMessage(this.#buffer.subarray(at, at + size)));
      at += (size + 3) & ~3;
    }
    return received;
  }
}

/** Sockets live for one visit to a namespace; their memory is used again. */
const buffers: Buffer[] = [];

function readMessage(message: Buffer): Received {
  const type = message.readUInt16LE(HEADER.type);
  const flags = message.readUInt16LE(HEADER.flags);
  const sequence = message.readUInt32LE(HEADER.sequence);
  const payload = message.subarray(HEADER.size);
  if (type === NLMSG_ERROR)
    return { kind: "verdict", sequence, errno: errnoIn(payload), sentence: sentenceIn(payload, flags) };
  const changed = (flags & NLM_F_DUMP_INTR) !== 0;
  return type === NLMSG_DONE
    ? { kind: "done", sequence, errno: errnoIn(payload), changed }
    : { kind: "reply", type, sequence, payload, changed };
}

/** Of `struct nlmsgerr`, or of the number that ends a list. */
function errnoIn(payload: Buffer): number {
  return payload.length >= 4 ? -payload.readInt32LE(0) : EPROTO;
}

/** Behind the number is the header of the message that was sent, then the rest of it unless that is left out (`NLM_F_CAPPED`), then attributes. */
function sentenceIn(payload: Buffer, flags: number): string | undefined {
  if ((flags & NLM_F_ACK_TLVS) === 0 || payload.length < 4 + HEADER.size) return undefined;
  const echoed = (flags & NLM_F_CAPPED) !== 0 ? HEADER.size : payload.readUInt32LE(4 + HEADER.length);
  return new Attributes(payload.subarray(4 + ((echoed + 3) & ~3))).text(NLMSGERR_ATTR_MSG);
}

export const HEADER_SIZE = HEADER.size;

/** Writes the header of a message into the room that was left for it at `start`. */
export function writeHeader(
  memory: Buffer,
  start: number,
  end: number,
  type: number,
  flags: number,
  sequence: number,
): void {
  memory.writeUInt32LE(end - start, start + HEADER.length);
  memory.writeUInt16LE(type, start + HEADER.type);
  memory.writeUInt16LE(flags, start + HEADER.flags);
  memory.writeUInt32LE(sequence, start + HEADER.sequence);
  memory.writeUInt32LE(0, start + 12); // port id: the kernel fills it in
}
