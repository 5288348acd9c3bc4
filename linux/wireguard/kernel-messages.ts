import { decodeIP, encodeIP, familyOf } from "../../common/address.js";
import { decodeAddress, encodeAddress } from "../address.js";
import { AF_INET, AF_INET6 } from "../constants.js";
import { Attributes, AttributeWriter, attributesIn } from "../netlink/attributes.js";
import type { GenericMessage } from "../netlink/generic-netlink.js";
import type { WireguardChanges, WireguardPeer, WireguardState } from "./device.js";

// Messages of the kernel's family "wireguard", as linux/wireguard.h has them. Numbers are in the machine's order, which is
// little-endian wherever pontoon runs.

export const WG_GENL_NAME = "wireguard";
const WG_GENL_VERSION = 1;
const COMMAND = { get: 0, set: 1 } as const;
/** `WGDEVICE_A_*`. */
const DEVICE = { name: 2, privateKey: 3, port: 6, peers: 8 } as const;
/** `WGPEER_A_*`. */
const PEER = { publicKey: 1, flags: 3, endpoint: 4, allowed: 9 } as const;
/** `WGPEER_F_*`. */
const FLAG = { remove: 1, replaceAllowed: 2 } as const;
/** `WGALLOWEDIP_A_*`. */
const ALLOWED = { family: 1, ip: 2, mask: 3 } as const;
/** Elements of lists have no type that counts. */
const ELEMENT = 0;
const keyLength = 32;
/** Their list is one attribute, which has 64 KB at the most; a peer has some 120 bytes. */
const peersAtOnce = 128;

/** Asks how a link is set: a list. */
export function getMessage(link: string): GenericMessage {
  const writer = new AttributeWriter(64);
  writer.text(DEVICE.name, link);
  return {
    command: COMMAND.get,
    version: WG_GENL_VERSION,
    body: writer.bytes,
    subject: `ask the WireGuard link ${link}`,
  };
}

/** Sets a link otherwise; several messages where there are many peers. */
export function setMessages(link: string, { privateKey, port, put, removed }: WireguardChanges): GenericMessage[] {
  const gone = removed.map((publicKey) => ({ publicKey, isGone: true }) as const);
  const peers = [...gone, ...put.map((peer) => ({ ...peer, isGone: false }) as const)];
  const messages: GenericMessage[] = [];
  for (let start = 0; start < Math.max(peers.length, 1); start += peersAtOnce)
    messages.push(
      setMessage(link, (writer) => {
        if (start === 0 && privateKey !== undefined) writer.raw(DEVICE.privateKey, keyBytes(privateKey));
        if (start === 0 && port !== undefined) writer.raw(DEVICE.port, u16(port));
        const some = peers.slice(start, start + peersAtOnce);
        if (some.length > 0) writer.nest(DEVICE.peers, () => some.forEach((peer) => writePeer(writer, peer)));
      }),
    );
  return messages;
}

function setMessage(link: string, write: (writer: AttributeWriter) => void): GenericMessage {
  const writer = new AttributeWriter();
  writer.text(DEVICE.name, link);
  write(writer);
  return {
    command: COMMAND.set,
    version: WG_GENL_VERSION,
    body: writer.bytes,
    subject: `set the WireGuard link ${link}`,
  };
}

type PeerMessage = { readonly publicKey: string; readonly isGone: true } | (WireguardPeer & { readonly isGone: false });

function writePeer(writer: AttributeWriter, peer: PeerMessage): void {
  writer.nest(ELEMENT, () => {
    writer.raw(PEER.publicKey, keyBytes(peer.publicKey));
    writer.raw(PEER.flags, u32(peer.isGone ? FLAG.remove : FLAG.replaceAllowed));
    if (peer.isGone) return;
    if (peer.endpoint) writer.raw(PEER.endpoint, encodeAddress(peer.endpoint));
    writer.nest(PEER.allowed, () => peer.allowed.forEach((range) => writeAllowed(writer, range)));
  });
}

function writeAllowed(writer: AttributeWriter, range: string): void {
  const [ip = "", prefix] = range.split("/");
  writer.nest(ELEMENT, () => {
    writer.raw(ALLOWED.family, u16(familyOf(ip) === "ipv4" ? AF_INET : AF_INET6));
    writer.raw(ALLOWED.ip, encodeIP(ip));
    writer.u8(ALLOWED.mask, Number(prefix));
  });
}

/** A part of what a link tells: a peer that is too long for one message goes on in the next. */
export function readPart(attributes: Attributes): WireguardState {
  const key = attributes.raw(DEVICE.privateKey);
  const peers = [...attributesIn(attributes.raw(DEVICE.peers) ?? Buffer.alloc(0))];
  return {
    privateKey: key?.length === keyLength && key.some((byte) => byte !== 0) ? key.toString("base64") : undefined,
    port: numberIn(attributes, DEVICE.port),
    peers: peers.map(([, raw]) => readPeer(new Attributes(raw))),
  };
}

/** All that a link tells. @returns undefined for nothing */
export function joinParts(parts: readonly WireguardState[]): WireguardState | undefined {
  const [first] = parts;
  if (!first) return undefined;
  const peers = new Map<string, WireguardPeer>();
  for (const peer of parts.flatMap((part) => part.peers)) {
    const known = peers.get(peer.publicKey);
    peers.set(peer.publicKey, known ? { ...known, allowed: [...known.allowed, ...peer.allowed] } : peer);
  }
  return { ...first, peers: [...peers.values()] };
}

function readPeer(attributes: Attributes): WireguardPeer {
  const endpoint = attributes.raw(PEER.endpoint);
  const isAddress = endpoint !== undefined && (endpoint.length === 16 || endpoint.length === 28);
  const allowed = [...attributesIn(attributes.raw(PEER.allowed) ?? Buffer.alloc(0))];
  return {
    publicKey: (attributes.raw(PEER.publicKey) ?? Buffer.alloc(0)).toString("base64"),
    endpoint: isAddress ? decodeAddress(endpoint, 0) : undefined,
    allowed: allowed.flatMap(([, raw]) => {
      const range = new Attributes(raw);
      const ip = range.raw(ALLOWED.ip);
      return ip?.length === 4 || ip?.length === 16 ? [`${decodeIP(ip)}/${range.u8(ALLOWED.mask)}`] : [];
    }),
  };
}

function numberIn(attributes: Attributes, type: number): number {
  const raw = attributes.raw(type);
  return raw?.length === 2 ? raw.readUInt16LE() : 0;
}

function keyBytes(base64: string): Buffer {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length !== keyLength)
    throw new RangeError(`a key of WireGuard's has ${keyLength} bytes, not ${bytes.length}`);
  return bytes;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
