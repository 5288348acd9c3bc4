import { encodeIPv4, encodeIPv6, familyOf } from "../../../common/address.js";
import type { ExpressionOf, KnownExpression } from "./expressions.js";
import {
  BITWISE,
  CHECKSUM,
  COMPARE,
  CT,
  DATA_TYPE,
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
  type Family,
  type VerdictName,
} from "./numbers.js";

// Rules that read like rules: `rule(ip.daddr.is("127.0.0.11"), udp.dport.isIn("armed"), udp.dport.set(5353), notrack)`.
// The expressions that come of it are those nft makes of the same words, so that nft shows them in those words again.

/** What must be known of a packet before a field of it means anything. */
type Need =
  { readonly what: "transport"; readonly protocol: number } | { readonly what: "network"; readonly version: 4 | 6 };

/** One part of a rule. */
export interface Statement {
  readonly needs: readonly Need[];
  readonly expressions: readonly KnownExpression[];
}

/** Expressions of a rule in a table of `family`: what a field needs is tested once, before it is first used. */
export function rule(family: Family, statements: readonly Statement[]): KnownExpression[] {
  const known: Need[] = [];
  const expressions: KnownExpression[] = [];
  for (const statement of statements) {
    for (const need of statement.needs) {
      if (known.some((other) => isSame(other, need))) continue;
      known.push(need);
      expressions.push(...testOf(need, family));
    }
    expressions.push(...statement.expressions);
  }
  return expressions;
}

function isSame(one: Need, other: Need): boolean {
  return one.what === "transport"
    ? other.what === "transport" && one.protocol === other.protocol
    : other.what === "network" && one.version === other.version;
}

const ETHERTYPE = { 4: Buffer.of(0x08, 0x00), 6: Buffer.of(0x86, 0xdd) };

function testOf(need: Need, family: Family): KnownExpression[] {
  if (need.what === "transport") return [load(META.l4proto), equals(Buffer.of(need.protocol))];
  if (family === "ip" || family === "ip6") return [];
  if (family === "inet") return [load(META.nfproto), equals(Buffer.of(need.version === 4 ? FAMILY.ip : FAMILY.ip6))];
  return [load(META.protocol), equals(ETHERTYPE[need.version])];
}

function load(key: number): ExpressionOf<"meta"> {
  return { kind: "meta", key, dreg: REGISTER.first };
}

function equals(bytes: Buffer, operation: number = COMPARE.equal): ExpressionOf<"cmp"> {
  return { kind: "cmp", sreg: REGISTER.first, operation, data: { bytes } };
}

/** How a value is written, and what kind of data it is in sets. */
export interface DataType<Value> {
  /** nft's number for it. */
  readonly type: number;
  /** Bytes. */
  readonly length: number;
  encode(value: Value): Buffer;
}

export const ipv4: DataType<string> = { type: DATA_TYPE.ipv4, length: 4, encode: encodeIPv4 };
export const ipv6: DataType<string> = { type: DATA_TYPE.ipv6, length: 16, encode: encodeIPv6 };
export const service: DataType<number> = { type: DATA_TYPE.service, length: 2, encode: (port) => bigEndian(port, 2) };
export const protocol: DataType<number> = {
  type: DATA_TYPE.protocol,
  length: 1,
  encode: (number) => Buffer.of(number),
};
export const mark: DataType<number> = { type: DATA_TYPE.mark, length: 4, encode: hostOrder };
/** Up to 15 bytes. In a test a last `*` stands for any ending. */
export const interfaceName: DataType<string> = {
  type: DATA_TYPE.ifname,
  length: 16,
  encode: (name) => {
    if (name.endsWith("*")) return Buffer.from(name.slice(0, -1));
    if (Buffer.byteLength(name) > 15) throw new RangeError(`${name} is too long for the name of an interface`);
    return Buffer.concat([Buffer.from(name), Buffer.alloc(16 - Buffer.byteLength(name))]);
  },
};
const number32: DataType<number> = { type: 0, length: 4, encode: hostOrder };

function bigEndian(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}

/** Little-endian wherever pontoon runs. */
function hostOrder(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

type Loadable =
  ExpressionOf<"payload"> | ExpressionOf<"meta"> | ExpressionOf<"ct"> | ExpressionOf<"fib"> | ExpressionOf<"socket">;

/** Something about a packet that can be tested, looked up, and some of which can be changed. */
export class Field<Value> {
  /** @param source without a register */
  constructor(
    readonly type: DataType<Value>,
    readonly source: Loadable,
    readonly needs: readonly Need[] = [],
    private readonly store: KnownExpression | undefined = undefined,
  ) {}

  /** The expression that loads it into a register. */
  loadInto(register: number): KnownExpression {
    return { ...this.source, dreg: register };
  }

  is(value: Value): Statement {
    return this.#compare(value, COMPARE.equal);
  }

  isNot(value: Value): Statement {
    return this.#compare(value, COMPARE.unequal);
  }

  /** Both ends belong to it. */
  isBetween(from: Value, to: Value): Statement {
    return this.#test(equals(this.type.encode(from), COMPARE.atLeast), equals(this.type.encode(to), COMPARE.atMost));
  }

  /** The same network: `ip.saddr.isWithin("10.0.0.0", 8)`. */
  isWithin(network: Value, prefix: number): Statement {
    const bytes = this.type.encode(network);
    if (prefix % 8 === 0 && this.source.kind === "payload") {
      const length = prefix / 8;
      return {
        needs: this.needs,
        expressions: [{ ...this.source, dreg: REGISTER.first, length }, equals(bytes.subarray(0, length))],
      };
    }
    const mask = Buffer.from(bytes.map((_, index) => (0xff00 >> Math.min(8, Math.max(0, prefix - index * 8))) & 0xff));
    return this.#test(masked(mask), equals(Buffer.from(bytes.map((byte, index) => byte & mask[index]!))));
  }

  /** At least one of these bits is set, which is how states of connections are tested. */
  hasAnyOf(bits: Value): Statement {
    const mask = this.type.encode(bits);
    return this.#test(masked(mask), equals(Buffer.alloc(mask.length), COMPARE.unequal));
  }

  /** These bits of it, and no others of `mask`, are set. */
  masks(mask: Value, value: Value): Statement {
    return this.#test(masked(this.type.encode(mask)), equals(this.type.encode(value)));
  }

  isIn(set: string): Statement {
    return concat(this).isIn(set);
  }

  isNotIn(set: string): Statement {
    return concat(this).isNotIn(set);
  }

  /** The map decides what becomes of the packet; if it has no element, the next part does. */
  verdictFrom(map: string): Statement {
    return concat(this).verdictFrom(map);
  }

  /** Changes the packet, or what belongs to it. */
  set(value: Value): Statement {
    return {
      needs: this.needs,
      expressions: [
        { kind: "immediate", dreg: REGISTER.first, data: { bytes: this.type.encode(value) } },
        this.#writer(),
      ],
    };
  }

  /** Sets the bits of `value` and leaves the others: `meta mark set meta mark or …`. */
  setBits(this: Field<number>, value: number): Statement {
    const mask = { bytes: hostOrder(~value) };
    return {
      needs: this.needs,
      expressions: [
        this.loadInto(REGISTER.first),
        { ...masked(mask.bytes), xor: { bytes: hostOrder(value) } },
        this.#writer(),
      ],
    };
  }

  #writer(): KnownExpression {
    if (!this.store) throw new Error("this field of a packet cannot be changed");
    return this.store;
  }

  #compare(value: Value, operation: number): Statement {
    return this.#test(equals(this.type.encode(value), operation));
  }

  #test(...tests: KnownExpression[]): Statement {
    return { needs: this.needs, expressions: [this.loadInto(REGISTER.first), ...tests] };
  }
}

function masked(mask: Buffer): ExpressionOf<"bitwise"> {
  return {
    kind: "bitwise",
    sreg: REGISTER.first,
    dreg: REGISTER.first,
    length: mask.length,
    operation: BITWISE.mask,
    mask: { bytes: mask },
    xor: { bytes: Buffer.alloc(mask.length) },
  };
}

/** Several fields as the key of one set. */
export interface Key {
  isIn(set: string): Statement;
  isNotIn(set: string): Statement;
  verdictFrom(map: string): Statement;
  /** Loads them, one behind the other from the first register on. */
  readonly loading: Statement;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- fields of whatever values: only their places matter here
export function concat(...fields: readonly Field<any>[]): Key {
  let offset = 0;
  const loads = fields.map((field) => {
    const register = fields.length === 1 ? REGISTER.first : offset === 0 ? REGISTER.first : registerAt(offset);
    offset += roundUp(field.type.length);
    return field.loadInto(register);
  });
  const loading: Statement = { needs: fields.flatMap(({ needs }) => needs), expressions: loads };
  const lookup = (more: Partial<ExpressionOf<"lookup">>): Statement => ({
    needs: loading.needs,
    expressions: [...loads, { kind: "lookup", sreg: REGISTER.first, ...more }],
  });
  return {
    loading,
    isIn: (set) => lookup({ set }),
    isNotIn: (set) => lookup({ set, flags: INVERTED }),
    verdictFrom: (map) => lookup({ set: map, dreg: REGISTER.verdict }),
  };
}

/** Parts of a concatenation begin at whole registers of 4 bytes. */
export function roundUp(length: number): number {
  return (length + 3) & ~3;
}

const IPPROTO = { tcp: 6, udp: 17 } as const;

function networkField<Value>(
  type: DataType<Value>,
  version: 4 | 6,
  offset: number,
  checksum: Partial<ExpressionOf<"payload">> = {},
): Field<Value> {
  const place = { kind: "payload", base: PAYLOAD_BASE.network, offset, length: type.length } as const;
  return new Field(type, place, [{ what: "network", version }], { ...place, sreg: REGISTER.first, ...checksum });
}

function port(
  transport: keyof typeof IPPROTO,
  offset: number,
  checksum: Partial<ExpressionOf<"payload">>,
): Field<number> {
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
  l4proto: metaField(protocol, META.l4proto),
  iifname: metaField(interfaceName, META.iifname),
  oifname: metaField(interfaceName, META.oifname),
  skuid: metaField(number32, META.skuid),
};

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
