import { encodeIPv4 } from "../../common/address.js";
import type { Lease } from "./lease.js";
import type { Outgoing } from "./message.js";
import { option } from "./options.js";

/** How servers know a client. */
export interface Identity {
  readonly mac: string;
  /** Option 61 (RFC 2132 section 9.14, RFC 4361): the same for as long as it is the same client. */
  readonly clientId: Buffer;
  /** Option 12; empty for none. */
  readonly hostname: string;
  /** Whether others on the LAN have the MAC address, too, so that only what is sent to all arrives before there is an address. */
  readonly sharesMac: boolean;
}

/** Where a message goes: to all, or to the server that has lent. */
export type Addressee = "everybody" | "server";

/** One exchange with servers. Times are milliseconds since 1970. */
export interface Exchange {
  readonly xid: number;
  readonly since: number;
}

// What is asked for, most wanted first: option 121 before the option for routers (RFC 3442).
const parameters = Buffer.of(
  option.mask,
  option.classlessRoutes,
  option.router,
  option.dns,
  option.domain,
  option.search,
  option.mtu,
  option.leaseTime,
  option.renewal,
  option.rebinding,
);
/** Bytes of a message that are taken: those of a link with the usual MTU, less IP and UDP. */
const sizeAtMost = 1472;

/** @param last an address that it had and would have again */
export function discover(who: Identity, exchange: Exchange, now: number, last: string | undefined): Outgoing {
  const wish = last === undefined ? [] : [ip(option.requestedIp, last)];
  return message("discover", who, exchange, now, { options: [...wish, ...asking(who)] });
}

/** Takes what a server has offered. */
export function requestOffer(who: Identity, exchange: Exchange, now: number, offer: Lease): Outgoing {
  const options = [ip(option.requestedIp, offer.ip), ip(option.server, offer.server), ...asking(who)];
  return message("request", who, exchange, now, { options });
}

/** After a start of the host: whether a lease counts still. */
export function requestKept(who: Identity, exchange: Exchange, now: number, { ip: kept }: Lease): Outgoing {
  return message("request", who, exchange, now, { options: [ip(option.requestedIp, kept), ...asking(who)] });
}

/** For a longer time. */
export function requestRenewal(who: Identity, exchange: Exchange, now: number, lease: Lease): Outgoing {
  return message("request", who, exchange, now, { ciaddr: lease.ip, options: asking(who) });
}

/** Somebody has the address. */
export function decline(who: Identity, exchange: Exchange, now: number, lease: Lease): Outgoing {
  const options = [ip(option.requestedIp, lease.ip), ip(option.server, lease.server), identifier(who)];
  return message("decline", who, exchange, now, { options });
}

export function release(who: Identity, exchange: Exchange, now: number, lease: Lease): Outgoing {
  const options = [ip(option.server, lease.server), identifier(who)];
  return message("release", who, exchange, now, { ciaddr: lease.ip, options });
}

type Entry = [code: number, value: Buffer];

function message(
  type: Outgoing["type"],
  { mac, sharesMac }: Identity,
  { xid, since }: Exchange,
  now: number,
  { ciaddr, options }: { ciaddr?: string; options: readonly Entry[] },
): Outgoing {
  return {
    type,
    xid,
    secs: Math.floor((now - since) / 1000),
    wantsBroadcast: sharesMac && ciaddr === undefined,
    ciaddr,
    mac,
    options: new Map(options),
  };
}

function asking(who: Identity): Entry[] {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(sizeAtMost);
  return [
    identifier(who),
    [option.sizeAtMost, size],
    [option.parameterList, parameters],
    ...(who.hostname === "" ? [] : [[option.hostname, Buffer.from(who.hostname)] as Entry]),
  ];
}

function identifier({ clientId }: Identity): Entry {
  return [option.clientId, clientId];
}

function ip(code: number, address: string): Entry {
  return [code, encodeIPv4(address)];
}
