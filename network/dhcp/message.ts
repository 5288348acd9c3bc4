import { decodeIPv4, encodeIPv4 } from "../../common/address.js";
import { macBytes } from "../../linux/link-socket.js";
import { MalformedPacket } from "./malformed.js";
import { option, readOptions, writeOptions, type Options } from "./options.js";

// Messages of DHCP (RFC 2131 section 2).

/** Option 53 (RFC 2132 section 9.6). */
export const messageTypes = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
} as const;
type ToServer = "discover" | "request" | "decline" | "release";
type ToClient = "offer" | "ack" | "nak";

const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const ETHERNET = 1;
const MAC_SIZE = 6;
const cookie = 0x63825363;
const AT = { xid: 4, secs: 8, flags: 10, ciaddr: 12, yiaddr: 16, chaddr: 28, sname: 44, file: 108, cookie: 236 };
const OPTIONS = 240;
const BROADCAST = 0x8000;
/** What RFC 1542 section 2.1 asks for: some relays and servers drop what is shorter. */
const sizeAtLeast = 300;

/** A message of ours. */
export interface Outgoing {
  readonly type: ToServer;
  readonly xid: number;
  /** Seconds since the exchange was begun. */
  readonly secs: number;
  /** Whether replies are to be sent to all: several clients have the link's MAC address. */
  readonly wantsBroadcast: boolean;
  /** The client's address; undefined for none yet. */
  readonly ciaddr: string | undefined;
  readonly mac: string;
  readonly options: Options;
}

/** A message of a server's. */
export interface Incoming {
  readonly type: ToClient;
  readonly xid: number;
  readonly yiaddr: string;
  readonly mac: Buffer;
  readonly options: Options;
}

export function encodeMessage({ type, xid, secs, wantsBroadcast, ciaddr, mac, options }: Outgoing): Buffer {
  const header = Buffer.alloc(OPTIONS);
  header.writeUInt8(BOOTREQUEST, 0);
  header.writeUInt8(ETHERNET, 1);
  header.writeUInt8(MAC_SIZE, 2);
  header.writeUInt32BE(xid, AT.xid);
  header.writeUInt16BE(Math.max(0, Math.min(secs, 0xffff)), AT.secs);
  header.writeUInt16BE(wantsBroadcast ? BROADCAST : 0, AT.flags);
  if (ciaddr !== undefined) encodeIPv4(ciaddr).copy(header, AT.ciaddr);
  macBytes(mac).copy(header, AT.chaddr);
  header.writeUInt32BE(cookie, AT.cookie);
  const all = writeOptions(new Map([[option.messageType, Buffer.of(messageTypes[type])], ...options]));
  const padding = Buffer.alloc(Math.max(0, sizeAtLeast - header.length - all.length));
  return Buffer.concat([header, all, padding]);
}

/** Throws {@link MalformedPacket}. */
export function decodeMessage(bytes: Buffer): Incoming {
  if (bytes.length < OPTIONS || bytes.readUInt32BE(AT.cookie) !== cookie) throw new MalformedPacket("no DHCP message");
  if (bytes[0] !== BOOTREPLY || bytes[1] !== ETHERNET || bytes[2] !== MAC_SIZE)
    throw new MalformedPacket("no reply to an Ethernet client");
  const options = readOptions(
    bytes.subarray(OPTIONS),
    bytes.subarray(AT.file, AT.cookie),
    bytes.subarray(AT.sname, AT.file),
  );
  const kind = options.get(option.messageType);
  const type = (["offer", "ack", "nak"] as const).find((name) => messageTypes[name] === kind?.[0]);
  if (kind?.length !== 1 || type === undefined) throw new MalformedPacket("not a type that servers send");
  return {
    type,
    xid: bytes.readUInt32BE(AT.xid),
    yiaddr: decodeIPv4(bytes, AT.yiaddr),
    mac: bytes.subarray(AT.chaddr, AT.chaddr + MAC_SIZE),
    options,
  };
}
