// Matches of iptables' nft variant, whose structs lie in a rule as they are (include/uapi/linux/netfilter/xt_*.h), numbers in the machine's order.

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface PortMatch {
  readonly ranges: readonly PortRange[];
  readonly isInverted: boolean;
}

/** `struct xt_udp`, `struct xt_tcp`: ranges of source and destination ports, then what else, then what is inverted. */
const PLAIN = { destination: 4, udpInverted: 8, tcpInverted: 11, destinationInverted: 0x2 } as const;
/** `struct xt_multiport_v1`. */
const MULTI = { flags: 0, count: 1, ports: 2, isRangeStart: 32, inverted: 47, size: 48, portsAtMost: 15 } as const;
const MULTI_SOURCE = 0;

/** Which destination ports a match asks for; undefined when it is not about them, or has another form. */
export function dportsOfMatch(name: string, info: Buffer | undefined): PortMatch | undefined {
  if (!info) return undefined;
  if (name === "multiport") return multiport(info);
  const inverted = name === "udp" ? PLAIN.udpInverted : name === "tcp" ? PLAIN.tcpInverted : undefined;
  if (inverted === undefined || info.length <= inverted) return undefined;
  const [first, last] = [info.readUInt16LE(PLAIN.destination), info.readUInt16LE(PLAIN.destination + 2)];
  if (first === 0 && last === 0xffff) return undefined;
  return { ranges: [{ first, last }], isInverted: (info[inverted]! & PLAIN.destinationInverted) !== 0 };
}

function multiport(info: Buffer): PortMatch | undefined {
  if (info.length < MULTI.size || info[MULTI.flags] === MULTI_SOURCE) return undefined;
  const count = Math.min(info[MULTI.count]!, MULTI.portsAtMost);
  const port = (index: number) => info.readUInt16LE(MULTI.ports + index * 2);
  const ranges: PortRange[] = [];
  for (let index = 0; index < count; index++) {
    const first = port(index);
    const isRange = info[MULTI.isRangeStart + index] !== 0 && index + 1 < count;
    ranges.push({ first, last: isRange ? port(++index) : first });
  }
  return { ranges, isInverted: info[MULTI.inverted] !== 0 };
}
