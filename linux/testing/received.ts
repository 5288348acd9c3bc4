import type { SocketAddress } from "../../common/address.js";
import { decodeAddress } from "../address.js";
import { MSG_DONTWAIT } from "../constants.js";
import { bind } from "../ffi.js";

const recvfrom = bind("long recvfrom(int, void *, size_t, int, void *, void *)");
const bytes = Buffer.from(new ArrayBuffer(2048));
const address = Buffer.from(new ArrayBuffer(128));
const length = Buffer.from(new ArrayBuffer(4));

/** The next datagram that waits at a socket, and whose it is. */
export function receiveFrom(fd: number): { readonly text: string; readonly from: SocketAddress } | undefined {
  length.writeUInt32LE(address.length);
  const received = recvfrom(fd, bytes, bytes.length, MSG_DONTWAIT, address, length);
  if (received < 0) return undefined;
  return { text: bytes.toString("latin1", 0, received), from: decodeAddress(address, 0) };
}
