import { familyOf } from "../../../common/address.js";
import {
  etherType,
  interfaceName,
  ipv4,
  ipv6,
  mark,
  number32,
  protocol,
  service,
  vni,
  type DataType,
} from "./data-types.js";
import type { ExpressionOf, KnownExpression } from "./expressions.js";
import { Field, type Key, type Statement } from "./fields.js";
import {
  CHECKSUM,
  CT,
  FAMILY,
  FIB_FLAG,
  FIB_RESULT,
  INVERTED,
  LIMIT,
  META,
  NAT,
  NAT_FLAG,
  PAYLOAD_BASE,
  PSEUDO_HEADER,
  REGISTER,
  REJECT,
  SET_OPERATION,
  SOCKET_KEY,
  registerAt,
  type VerdictName,
} from "./numbers.js";

// Rules that read like rules: `rule(ip.daddr.is("127.0.0.11"), udp.dport.isIn("armed"), udp.dport.set(5353), notrack)`.
// The expressions that come of it are those nft makes of the same words, so that nft shows them in those words again.

const IPPROTO = { tcp: 6, udp: 17, icmpv6: 58 } as const;

function networkField<Value>(
  type: DataType<Value>,
  version: 4 | 6,
  offset: number,
  checksum: Partial<ExpressionOf<"payload">> = {},
): Field<Value> {
  const place = { kind: "payload", base: PAYLOAD_BASE.network, offset, length: type.length } as const;
  return new Field(type, place, [{ what: "network", version }], { ...place, sreg: REGISTER.first, ...checksum });
}

function port(transport: "tcp" | "udp", offset: number, checksum: Partial<ExpressionOf<"payload">>): Field<number> {
  const place = { kind: "payload", base: PAYLOAD_BASE.transport, offset, length: 2 } as const;
  const write = { ...place, sreg: REGISTER.first, ...checksum };
  return new Field(service, place, [{ what: "transport", protocol: IPPROTO[transport] }], write);
}

const headerChecksum = { checksum: CHECKSUM.internet, checksumOffset: 10 };

export const ip = {
  saddr: networkField(ipv4, 4, 12, { ...headerChecksum, checksumFlags: PSEUDO_HEADER }),
  daddr: networkField(ipv4, 4, 16, { ...headerChecksum, checksumFlags: PSEUDO_HEADER }),
  ttl: networkField(protocol, 4, 8, headerChecksum),
  protocol: networkField(protocol, 4, 9),
};
export const ip6 = {
  saddr: networkField(ipv6, 6, 8, { checksumFlags: PSEUDO_HEADER }),
  daddr: networkField(ipv6, 6, 24, { checksumFlags: PSEUDO_HEADER }),
};
/**
 * A UDP packet may have no checksum. The kernel respects that only when it is asked to mend the checksum of the transport
 * protocol, whichever it is; nft does so from 1.1 on.
 */
const udpChecksum = { checksum: CHECKSUM.none, checksumFlags: PSEUDO_HEADER };
const tcpChecksum = { checksum: CHECKSUM.internet, checksumOffset: 16 };
export const udp = { sport: port("udp", 0, udpChecksum), dport: port("udp", 2, udpChecksum) };
export const tcp = { sport: port("tcp", 0, tcpChecksum), dport: port("tcp", 2, tcpChecksum) };
/** The ports of any protocol that has them where TCP and UDP do. */
export const transport = {
  sport: new Field(service, { kind: "payload", base: PAYLOAD_BASE.transport, offset: 0, length: 2 }),
  dport: new Field(service, { kind: "payload", base: PAYLOAD_BASE.transport, offset: 2, length: 2 }),
};

/** Of a UDP packet to a port of VXLAN links. */
export const vxlan = { vni: new Field(vni, { kind: "payload", base: PAYLOAD_BASE.transport, offset: 12, length: 3 }) };

export const icmpv6 = {
  type: new Field(protocol, { kind: "payload", base: PAYLOAD_BASE.transport, offset: 0, length: 1 }, [
    { what: "network", version: 6 },
    { what: "transport", protocol: IPPROTO.icmpv6 },
  ]),
};
/** Types of ICMPv6 messages (RFC 4861). */
export const ICMPV6_TYPE = { neighborSolicitation: 135, neighborAdvertisement: 136 } as const;

function metaField<Value>(type: DataType<Value>, key: number, isWritable = false): Field<Value> {
  return new Field(
    type,
    { kind: "meta", key },
    [],
    isWritable ? { kind: "meta", key, sreg: REGISTER.first } : undefined,
  );
}

export const meta = {
  mark: metaField(mark, META.mark, true),
  /** The EtherType, in a table of `bridge`. */
  protocol: metaField(etherType, META.protocol),
  /** `NFPROTO_*` of the packet, in a table of `inet`. */
  nfproto: metaField(protocol, META.nfproto),
  l4proto: metaField(protocol, META.l4proto),
  iifname: metaField(interfaceName, META.iifname),
  oifname: metaField(interfaceName, META.oifname),
  /** The group of the link (`ip link set … group`). */
  iifgroup: metaField(number32, META.iifgroup),
  oifgroup: metaField(number32, META.oifgroup),
  /** The kind of the link, `bridge` (`ip link add … type`); empty for hardware. */
  iifkind: metaField(interfaceName, META.iifkind),
  oifkind: metaField(interfaceName, META.oifkind),
  skuid: metaField(number32, META.skuid),
};
export const ETHERTYPE_ARP = 0x0806;

export const ct = {
  state: new Field(number32, { kind: "ct", key: CT.state }),
  status: new Field(number32, { kind: "ct", key: CT.status }),
  mark: new Field(mark, { kind: "ct", key: CT.mark }, [], { kind: "ct", key: CT.mark, sreg: REGISTER.first }),
};
export { CT_STATE, CT_STATUS } from "./numbers.js";

/** Kinds of addresses (`RTN_*`) as the routing table has them. */
export const ADDRESS_KIND = { local: 2, broadcast: 3, multicast: 5 } as const;
export const fib = {
  /** `fib daddr type`: what the destination is to this host. */
  daddrType: new Field(number32, { kind: "fib", result: FIB_RESULT.addressType, flags: FIB_FLAG.destination }),
};
export const socket = {
  transparent: new Field(protocol, { kind: "socket", key: SOCKET_KEY.transparent }),
};

const plainly = (...expressions: KnownExpression[]): Statement => ({ needs: [], expressions });

function verdict(name: VerdictName, chain?: string): Statement {
  return plainly({
    kind: "immediate",
    dreg: REGISTER.verdict,
    data: { verdict: name, ...(chain !== undefined && { chain }) },
  });
}

export const accept = verdict("accept");
export const drop = verdict("drop");
export const returns = verdict("return");
export const jump = (chain: string): Statement => verdict("jump", chain);
export const goto = (chain: string): Statement => verdict("goto", chain);
export const counter = plainly({ kind: "counter", bytes: 0, packets: 0 });
export const notrack = plainly({ kind: "notrack" });

/** @param length bytes of each packet that go to a listener of the group */
export function log(prefix: string, group?: { readonly group: number; readonly length: number }): Statement {
  return plainly({ kind: "log", prefix, ...group });
}

const seconds = { second: 1, minute: 60, hour: 3600, day: 86_400 } as const;
const usualBurst = 5;
/** Passes at most so many packets, or with `over` only those beyond. */
export function limit(rate: number, per: keyof typeof seconds, { burst = usualBurst, over = false } = {}): Statement {
  return plainly({ kind: "limit", rate, unit: seconds[per], burst, of: LIMIT.packets, flags: over ? INVERTED : 0 });
}

/** Puts a field into a set, or renews it there. @param timeout ms; 0 for the set's own */
export function update<Value>(
  set: string,
  field: Field<Value>,
  timeout = 0,
  operation: "add" | "update" = "update",
): Statement {
  const dynset: KnownExpression = {
    kind: "dynset",
    set,
    operation: SET_OPERATION[operation],
    keyRegister: REGISTER.first,
    ...(timeout > 0 && { timeout }),
  };
  return { needs: field.needs, expressions: [field.loadInto(REGISTER.first), dynset] };
}

/** With an ICMP message that says the port is unreachable, whatever the family. */
export const reject = plainly({ kind: "reject", how: REJECT.icmpx, code: 1 });
export const rejectWithReset: Statement = {
  needs: [{ what: "transport", protocol: IPPROTO.tcp }],
  expressions: [{ kind: "reject", how: REJECT.tcpReset, code: 0 }],
};

export const masquerade = plainly({ kind: "masq" });

/** To the host itself, at another port. */
export function redirectTo(port: number): Statement {
  return plainly(
    { kind: "immediate", dreg: REGISTER.first, data: { bytes: service.encode(port) } },
    { kind: "redir", portFrom: REGISTER.first, flags: NAT_FLAG.ports },
  );
}

/** To a transparent socket of this host. @param version of IP that the packet has; `any` in a table of `inet` */
export function tproxyTo(port: number, version: 4 | 6 | "any"): Statement {
  const family = version === "any" ? 0 : version === 4 ? FAMILY.ip : FAMILY.ip6;
  return plainly(
    { kind: "immediate", dreg: REGISTER.first, data: { bytes: service.encode(port) } },
    { kind: "tproxy", family, portRegister: REGISTER.first },
  );
}

/** What a connection's address, and its port, become. */
export interface Translation {
  readonly ip: string;
  readonly port?: number;
}

export const dnatTo = (to: Translation): Statement => translate(NAT.destination, to);
export const snatTo = (to: Translation): Statement => translate(NAT.source, to);

function translate(way: number, { ip, port }: Translation): Statement {
  const isV6 = familyOf(ip) === "ipv6";
  const expressions: KnownExpression[] = [
    { kind: "immediate", dreg: REGISTER.first, data: { bytes: isV6 ? ipv6.encode(ip) : ipv4.encode(ip) } },
  ];
  if (port !== undefined)
    expressions.push({ kind: "immediate", dreg: REGISTER.second, data: { bytes: service.encode(port) } });
  const ports = port === undefined ? {} : { portFrom: REGISTER.second, flags: NAT_FLAG.ports };
  return plainly(...expressions, {
    kind: "nat",
    way,
    family: isV6 ? FAMILY.ip6 : FAMILY.ip,
    addressFrom: REGISTER.first,
    ...ports,
  });
}

/** `snat ip to KEY map @NAME`: the address is the one the map holds for the key, which passes untouched if there is none. */
export function snatByMap(key: Key, map: string, version: 4 | 6): Statement {
  return {
    needs: key.loading.needs,
    expressions: [
      ...key.loading.expressions,
      { kind: "lookup", set: map, sreg: REGISTER.first, dreg: REGISTER.first },
      {
        kind: "nat",
        way: NAT.source,
        family: version === 4 ? FAMILY.ip : FAMILY.ip6,
        addressFrom: REGISTER.first,
      },
    ],
  };
}

/** `dnat ip to KEY map @NAME`: address and port are those the map holds for the key, which passes untouched if there are none. */
export function dnatByMap(key: Key, map: string, version: 4 | 6): Statement {
  const addressLength = version === 4 ? 4 : 16;
  return {
    needs: key.loading.needs,
    expressions: [
      ...key.loading.expressions,
      { kind: "lookup", set: map, sreg: REGISTER.first, dreg: REGISTER.first },
      {
        kind: "nat",
        way: NAT.destination,
        family: version === 4 ? FAMILY.ip : FAMILY.ip6,
        addressFrom: REGISTER.first,
        portFrom: registerAt(addressLength),
        flags: NAT_FLAG.ports,
      },
    ],
  };
}
