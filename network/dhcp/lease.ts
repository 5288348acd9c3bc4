import { addressBits, decodeIPv4, encodeIPv4 } from "../../common/address.js";
import { isUnicast } from "./is-unicast.js";
import type { Incoming } from "./message.js";
import { option, type Options } from "./options.js";
import { readRoutes, type LeasedRoute } from "./routes.js";
import { readNames, readSearch } from "./names.js";

/** What a server has lent: plain data, which is kept. Times are milliseconds since 1970: a lease outlives starts of the host. */
export interface Lease {
  readonly ip: string;
  readonly prefix: number;
  /** The way out; undefined on a LAN without one. */
  readonly router?: string;
  /** Further ways (RFC 3442); without a gateway right over the link. */
  readonly routes: readonly LeasedRoute[];
  /** DNS servers. */
  readonly dns: readonly string[];
  /** Domains in which short names are looked for. */
  readonly search: readonly string[];
  /** Bytes. */
  readonly mtu?: number;
  /** Its identifier, an address. */
  readonly server: string;
  /** Who has sent it on the link: the server, or the relay before it. */
  readonly serverMac: string;
  readonly obtained: number;
  /** When the server is asked to go on lending; null with a lease without end. */
  readonly renewal: number | null;
  /** When any server is. */
  readonly rebinding: number | null;
  readonly expiry: number | null;
}

const FOREVER = 0xffffffff;
/** Nobody lends for so short a time: such a lease would only keep both ends busy. Seconds. */
const leaseAtLeast = 10;
/** RFC 791: what every host takes. */
const mtuAtLeast = 576;
const serversAtMost = 3; // as resolv.conf(5) has it

/** What an OFFER or ACK lends; undefined when that cannot be used. @param from the sender's MAC address @param now ms since 1970 */
export function leaseOf({ yiaddr, options }: Incoming, from: string, now: number): Lease | undefined {
  const server = addressIn(options, option.server);
  const seconds = numberIn(options, option.leaseTime);
  const prefix = prefixIn(options, yiaddr);
  if (server === undefined || seconds === undefined || seconds < leaseAtLeast || prefix === undefined) return undefined;
  if (!isHostAddress(yiaddr, prefix)) return undefined;
  const classless = options.get(option.classlessRoutes);
  const ways = classless && readRoutes(classless, yiaddr);
  const router = ways ? ways.router : addressesIn(options, option.router).find((ip) => ip !== yiaddr);
  const mtu = numberIn(options, option.mtu, 2);
  return {
    ip: yiaddr,
    prefix,
    ...(router !== undefined && { router }),
    routes: ways?.routes ?? [],
    dns: addressesIn(options, option.dns).slice(0, serversAtMost),
    search: searchIn(options),
    ...(mtu !== undefined && mtu >= mtuAtLeast && { mtu }),
    server,
    serverMac: from,
    ...timesOf(options, seconds, now),
  };
}

/** Whether two leases mean the same to the link and to programs. */
export function isSameLease(one: Lease, other: Lease): boolean {
  const what = ({ ip, prefix, router, routes, dns, search, mtu }: Lease) =>
    JSON.stringify([ip, prefix, router, routes, dns, search, mtu]);
  return what(one) === what(other);
}

/** Whether a lease may not be used any more. */
export function hasExpired({ expiry }: Pick<Lease, "expiry">, now: number): boolean {
  return expiry !== null && expiry <= now;
}

/** RFC 2131 section 4.4.5, where the server does not say. */
function timesOf(options: Options, seconds: number, now: number) {
  if (seconds === FOREVER) return { obtained: now, renewal: null, rebinding: null, expiry: null };
  const [t1, t2] = [numberIn(options, option.renewal), numberIn(options, option.rebinding)];
  const isGiven = t1 !== undefined && t2 !== undefined && t1 >= 1 && t1 < t2 && t2 < seconds;
  const [renewal, rebinding] = isGiven ? [t1, t2] : [seconds * 0.5, seconds * 0.875];
  return {
    obtained: now,
    renewal: now + Math.round(renewal * 1000),
    rebinding: now + Math.round(rebinding * 1000),
    expiry: now + seconds * 1000,
  };
}

function searchIn(options: Options): string[] {
  const search = options.get(option.search);
  return (search && readSearch(search)) ?? readNames(options.get(option.domain));
}

function numberIn(options: Options, code: number, size: 2 | 4 = 4): number | undefined {
  const value = options.get(code);
  return value?.length === size ? value.readUIntBE(0, size) : undefined;
}

function addressIn(options: Options, code: number): string | undefined {
  const value = options.get(code);
  return value?.length === 4 ? addressesIn(options, code)[0] : undefined;
}

/** Those that can be somebody's. */
function addressesIn(options: Options, code: number): string[] {
  const value = options.get(code) ?? Buffer.alloc(0);
  const all = Array.from({ length: value.length >> 2 }, (_, index) => decodeIPv4(value, index * 4));
  return [...new Set(all)].filter(isUnicast);
}

/** By the mask, or by the address's class (RFC 791) where there is none; undefined for a mask that is none. */
function prefixIn(options: Options, ip: string): number | undefined {
  const value = options.get(option.mask);
  if (value === undefined) return Number(ip.split(".")[0]) < 128 ? 8 : Number(ip.split(".")[0]) < 192 ? 16 : 24;
  if (value.length !== 4) return undefined;
  const mask = value.readUInt32BE();
  const prefix = Math.clz32(~mask >>> 0);
  return prefix > 0 && (prefix === 32 ? 0xffffffff : (~0 << (32 - prefix)) >>> 0) === mask ? prefix : undefined;
}

/** Neither its subnet's own address nor its broadcast address. */
function isHostAddress(ip: string, prefix: number): boolean {
  const rest = addressBits.ipv4 - prefix;
  const inside = rest === 0 ? 0 : (encodeIPv4(ip).readUInt32BE() & ((2 ** rest - 1) | 0)) >>> 0;
  return isUnicast(ip) && (rest < 2 || (inside !== 0 && inside !== 2 ** rest - 1));
}
