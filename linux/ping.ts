import { familyOf, type Family } from "../common/address.js";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from "./constants.js";
import { bind, check } from "./ffi.js";
import { closeDescriptor, connectSocket, receiveBytes, sendBytes, WOULD_BLOCK } from "./socket.js";

const socket = bind("int socket(int, int, int)");

/** ICMP and ICMPv6 (RFC 792, RFC 4443 section 4). */
const kinds = {
  ipv4: { domain: AF_INET, protocol: 1, request: 8, reply: 0 },
  ipv6: { domain: AF_INET6, protocol: 58, request: 128, reply: 129 },
} as const satisfies Record<Family, unknown>;
const HEADER_SIZE = 8;

/** Echo requests to one address, from the namespace it is made in. Needs CAP_NET_RAW. */
export class Ping {
  readonly #fd: number;
  readonly #family: Family;
  readonly #id = Math.floor(Math.random() * 0x10000);
  readonly #buffer = Buffer.from(new ArrayBuffer(2048));

  /** Throws a LinuxError, e.g. ENETUNREACH. */
  constructor(ip: string) {
    this.#family = familyOf(ip);
    const { domain, protocol } = kinds[this.#family];
    this.#fd = check(socket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), "socket", "icmp");
    try {
      connectSocket(this.#fd, { ip, port: 0 });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Throws a LinuxError. */
  send(): void {
    const message = Buffer.alloc(HEADER_SIZE);
    message.writeUInt8(kinds[this.#family].request, 0);
    message.writeUInt16BE(this.#id, 4);
    message.writeUInt16BE(1, 6);
    if (this.#family === "ipv4") message.writeUInt16BE(checksum(message), 2); // the kernel does it for IPv6
    sendBytes(this.#fd, message);
  }

  /** Whether the answer has come. Throws a LinuxError for what came instead, e.g. EHOSTUNREACH. */
  hasAnswered(): boolean {
    for (;;) {
      const length = receiveBytes(this.#fd, this.#buffer);
      if (length === WOULD_BLOCK) return false;
      const at = this.#family === "ipv4" ? (this.#buffer.readUInt8(0) & 0xf) * 4 : 0; // behind the IP header
      if (length < at + HEADER_SIZE) continue;
      const isReply = this.#buffer.readUInt8(at) === kinds[this.#family].reply;
      if (isReply && this.#buffer.readUInt16BE(at + 4) === this.#id) return true;
    }
  }

  close(): void {
    closeDescriptor(this.#fd);
  }
}

/** RFC 1071. @param bytes an even number of them */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
