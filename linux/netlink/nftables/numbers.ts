// Numbers of include/uapi/linux/netfilter/nf_tables.h and what goes with it.

export const NFNL_SUBSYS_NFTABLES = 10;

export const MESSAGE = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElement: 12,
  getElement: 13,
  deleteElement: 14,
  getGeneration: 16,
} as const;

/** `NFPROTO_*`: what a table's chains see. `inet` is IPv4 and IPv6. */
export const FAMILY = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
export type Family = keyof typeof FAMILY;

/** Hooks of the IP families. */
export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export type Hook = keyof typeof HOOK;

export const TABLE = { name: 1, flags: 2, handle: 4, userData: 6 } as const;
export const CHAIN = { table: 1, handle: 2, name: 3, hook: 4, policy: 5, type: 7, flags: 10, userData: 12 } as const;
export const CHAIN_HOOK = { number: 1, priority: 2, device: 3 } as const;
export const RULE = { table: 1, chain: 2, handle: 3, expressions: 4, position: 6, userData: 7 } as const;
export const SET = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  description: 9,
  id: 10,
  timeout: 11,
  userData: 13,
} as const;
export const SET_DESCRIPTION = { size: 1, concatenation: 2 } as const;
export const SET_FIELD_LENGTH = 1;
export const ELEMENTS = { table: 1, set: 2, elements: 3, setId: 4 } as const;
export const ELEMENT = { key: 1, data: 2, flags: 3, timeout: 4, expiration: 5, userData: 6, keyEnd: 10 } as const;
export const LIST_ELEMENT = 1;
export const GENERATION_ID = 1;

export const TABLE_FLAG = { dormant: 0x1, owner: 0x2, persist: 0x4 } as const;
export const SET_FLAG = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  dynamic: 0x20,
  concatenation: 0x80,
} as const;
export const ELEMENT_FLAG = { intervalEnd: 0x1, catchAll: 0x2 } as const;

/** Kinds of comment data (`NFTNL_UDATA_*`), in which nft keeps what the kernel has no use for. */
export const USER_DATA = { comment: 0, setComment: 7, setKeyByteOrder: 0 } as const;

/** Registers of 16 bytes; 0 takes verdicts. Four of 4 bytes lie in each. */
export const REGISTER = { verdict: 0, first: 1, second: 2 } as const;
const FIRST_SMALL_REGISTER = 8;
/** @returns where a register begins in the memory of registers, bytes; undefined for the verdict's, and for an unknown number */
export function registerOffset(register: number): number | undefined {
  if (register >= 1 && register <= 4) return (register - 1) * 16;
  if (register >= FIRST_SMALL_REGISTER && register < FIRST_SMALL_REGISTER + 16)
    return (register - FIRST_SMALL_REGISTER) * 4;
  return undefined;
}
/** The register of 4 bytes that begins at an offset; parts of a concatenation lie in such ones, one behind the other. */
export function registerAt(offset: number): number {
  return FIRST_SMALL_REGISTER + offset / 4;
}

export const PAYLOAD_BASE = { link: 0, network: 1, transport: 2, inner: 3 } as const;
export const CHECKSUM = { none: 0, internet: 1 } as const;
/** The checksum covers addresses as well (`NFT_PAYLOAD_L4CSUM_PSEUDOHDR`). */
export const PSEUDO_HEADER = 1;
export const COMPARE = { equal: 0, unequal: 1, less: 2, atMost: 3, more: 4, atLeast: 5 } as const;
export const SET_OPERATION = { add: 0, update: 1, delete: 2 } as const;
export const INVERTED = 1;
export const META = {
  length: 0,
  protocol: 1,
  priority: 2,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  skuid: 10,
  skgid: 11,
  nftrace: 12,
  nfproto: 15,
  l4proto: 16,
  pkttype: 19,
  iifgroup: 21,
  oifgroup: 22,
  iifkind: 26,
  oifkind: 27,
} as const;
export const CT = { state: 0, direction: 1, status: 2, mark: 3, zone: 17 } as const;
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
export const CT_STATUS = { snat: 0x10, dnat: 0x20 } as const;
export const NAT = { source: 0, destination: 1 } as const;
export const NAT_FLAG = { addresses: 0x1, ports: 0x2, random: 0x4, persistent: 0x8, fullyRandom: 0x10 } as const;
export const REJECT = { icmp: 0, tcpReset: 1, icmpx: 2 } as const;
export const FIB_RESULT = { oif: 1, oifname: 2, addressType: 3 } as const;
export const FIB_FLAG = { source: 0x1, destination: 0x2, mark: 0x4, iif: 0x8, oif: 0x10, present: 0x20 } as const;
export const SOCKET_KEY = { transparent: 0, mark: 1, wildcard: 2 } as const;
export const LIMIT = { packets: 0, bytes: 1 } as const;
export const BITWISE = { mask: 0, left: 1, right: 2 } as const;

/** Verdicts beyond drop (0) and accept (1) are negative. */
export const VERDICT = {
  drop: 0,
  accept: 1,
  queue: 3,
  continue: -1,
  break: -2,
  jump: -3,
  goto: -4,
  return: -5,
} as const;
export type VerdictName = keyof typeof VERDICT;

/** nft's numbers for types of keys and data; they say how a set is printed. */
export const DATA_TYPE = {
  verdict: 1,
  integer: 4,
  ipv4: 7,
  ipv6: 8,
  ether: 9,
  etherType: 10,
  protocol: 12,
  service: 13,
  mark: 19,
  ifname: 41,
} as const;
