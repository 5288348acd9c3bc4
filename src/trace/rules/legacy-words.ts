import { encodeIP, isAddress, type Family as AddressFamily } from "../../../common/address.js";
import type { Data, Expression } from "../../../linux/netlink/nftables/expressions.js";
import {
  COMPARE,
  CT,
  CT_STATE,
  CT_STATUS,
  FIB_FLAG,
  FIB_RESULT,
  HOOK,
  META,
  NAT,
  PAYLOAD_BASE,
  REGISTER,
  type Hook,
} from "../../../linux/netlink/nftables/numbers.js";
import type { Chain } from "../../../linux/netlink/nftables/ruleset.js";
import { PROTOCOL } from "./packet.js";
import type { BookRule } from "./surroundings.js";

// What `iptables-legacy-save` prints, told in nftables' words. What is not known here may match.

/** The tables of one family: chains, and the rules of each by `FAMILY TABLE CHAIN`. */
export interface LegacyBook {
  readonly chains: readonly Chain[];
  readonly rules: ReadonlyMap<string, readonly BookRule[]>;
}

/** In front of the names of such tables, which nftables' own may have as well. */
export const legacyPrefix = "legacy ";
const priorities: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100, filter: 0, security: 50 };
const builtIn: Readonly<Record<string, Hook>> = {
  PREROUTING: "prerouting",
  INPUT: "input",
  FORWARD: "forward",
  OUTPUT: "output",
  POSTROUTING: "postrouting",
};

/** Reads what the program printed for one family. Lines that have no known form are passed over. */
export function readLegacySave(printed: string, family: AddressFamily): LegacyBook {
  const chains: Chain[] = [];
  const rules = new Map<string, BookRule[]>();
  const nftFamily = family === "ipv4" ? "ip" : "ip6";
  let name = "filter";
  for (const line of printed.split("\n")) {
    const table = `${legacyPrefix}${name}`;
    if (line.startsWith("*")) name = line.slice(1).trim();
    else if (line.startsWith(":")) {
      const [chain = "", policy] = line.slice(1).split(" ");
      const hook = builtIn[chain];
      const at = hook && { type: name === "nat" ? "nat" : "filter", hook: HOOK[hook], priority: priorities[name] ?? 0 };
      chains.push({ family: nftFamily, table, chain, at, policy: at && (policy === "DROP" ? "drop" : "accept") });
      rules.set(`${nftFamily} ${table} ${chain}`, []);
    } else if (line.startsWith("-A ")) {
      const [, chain = "", ...words] = wordsOf(line);
      const chainRules = rules.get(`${nftFamily} ${table} ${chain}`);
      chainRules?.push({
        handle: chainRules.length + 1, // as `iptables-legacy -D CHAIN NUMBER` has it
        expressions: expressionsOf(words, family),
        comment: words.includes("--comment") ? words[words.indexOf("--comment") + 1] : undefined,
        text: line.slice(`-A ${chain} `.length),
      });
    }
  }
  return { chains, rules };
}

/** Words as a shell has them, in double quotes where they hold blanks. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain! : quoted.replaceAll(/\\(.)/g, "$1"),
  );
}

function expressionsOf(words: readonly string[], family: AddressFamily): Expression[] {
  const expressions: Expression[] = [];
  let isInverted = false;
  for (let at = 0; at < words.length; at++) {
    const option = words[at]!;
    if (option === "!") {
      isInverted = true;
      continue;
    }
    const values: string[] = [];
    const isFree = option === "--comment" || option === "--log-prefix"; // anything may stand there
    if (isFree) at++;
    while (at + 1 < words.length && !/^(-{1,2}[a-zA-Z]|!$)/.test(words[at + 1]!)) values.push(words[++at]!);
    expressions.push(...expressionsFor(option, values, isInverted, family));
    isInverted = false;
  }
  return expressions;
}

/** Options that say how another is meant, or that have no effect on where a packet goes. */
const silent = new Set([
  ..."-m --comment --reject-with --limit --limit-burst --log-prefix --log-level --ctdir --random --persistent".split(
    " ",
  ),
  ..."--clamp-mss-to-pmtu --set-mss --tcp-option".split(" "),
]);

function expressionsFor(
  option: string,
  values: readonly string[],
  isInverted: boolean,
  family: AddressFamily,
): Expression[] {
  const [value = ""] = values;
  if (silent.has(option)) return [];
  const operation = isInverted ? COMPARE.unequal : COMPARE.equal;
  switch (option) {
    case "-s":
      return address(value, family === "ipv4" ? 12 : 8, operation);
    case "-d":
      return address(value, family === "ipv4" ? 16 : 24, operation);
    case "-i":
      return [load(META.iifname), test(operation, linkName(value))];
    case "-o":
      return [load(META.oifname), test(operation, linkName(value))];
    case "-p":
      return protocol(value, operation);
    case "--dport":
      return port(value, isInverted);
    case "--dports":
    case "--sports":
    case "--sport":
      return [unknown(option)];
    case "--ctstate":
    case "--state":
      return states(value, isInverted);
    case "--dst-type":
      return [addressKind(FIB_FLAG.destination), ...kindTest(value, operation)];
    case "--src-type":
      return [addressKind(FIB_FLAG.source), ...kindTest(value, operation)];
    case "--mark":
      return mark(value, operation);
    case "-j":
    case "-g":
      return target(value, option === "-g");
    case "--to-destination":
    case "--to-source":
      return translation(value, option === "--to-source" ? NAT.source : NAT.destination, family);
    case "--to-ports":
      return [
        immediate({ bytes: bigEndian(Number(value.split("-")[0])) }),
        { kind: "redir", portFrom: REGISTER.first },
      ];
    default:
      return [unknown(option)];
  }
}

const unknown = (name: string): Expression => ({ kind: "unknown", name });
const load = (key: number): Expression => ({ kind: "meta", dreg: REGISTER.first, key });
const test = (operation: number, bytes: Buffer): Expression => ({
  kind: "cmp",
  sreg: REGISTER.first,
  operation,
  data: { bytes },
});
const immediate = (data: Data, dreg: number = REGISTER.first): Expression => ({ kind: "immediate", dreg, data });
const verdict = (name: "accept" | "drop" | "return"): Expression => immediate({ verdict: name }, REGISTER.verdict);
const masking = (mask: Buffer): Expression => ({
  kind: "bitwise",
  sreg: REGISTER.first,
  dreg: REGISTER.first,
  length: mask.length,
  mask: { bytes: mask },
  xor: { bytes: Buffer.alloc(mask.length) },
});

function address(text: string, offset: number, operation: number): Expression[] {
  const [ip = "", bits] = text.split("/");
  const bytes = encodeIP(ip);
  const mask = bits !== undefined && isAddress(bits) ? encodeIP(bits) : maskOf(Number(bits ?? bytes.length * 8), bytes);
  return [
    { kind: "payload", dreg: REGISTER.first, base: PAYLOAD_BASE.network, offset, length: bytes.length },
    masking(mask),
    test(operation, Buffer.from(bytes.map((byte, index) => byte & mask[index]!))),
  ];
}

function maskOf(length: number, bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((_, index) => (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff));
}

/** A last `+` stands for any ending. */
function linkName(text: string): Buffer {
  return text.endsWith("+") ? Buffer.from(text.slice(0, -1), "latin1") : Buffer.from(text.padEnd(16, "\0"), "latin1");
}

const protocols: Readonly<Record<string, number>> = {
  ...PROTOCOL,
  "ipv6-icmp": PROTOCOL.icmpv6,
  sctp: 132,
  esp: 50,
  ah: 51,
};

function protocol(text: string, operation: number): Expression[] {
  const number = protocols[text] ?? Number(text);
  return Number.isNaN(number) ? [unknown(`-p ${text}`)] : [load(META.l4proto), test(operation, Buffer.of(number))];
}

function port(text: string, isInverted: boolean): Expression[] {
  const [first, last = first] = text.split(":");
  return [
    { kind: "payload", dreg: REGISTER.first, base: PAYLOAD_BASE.transport, offset: 2, length: 2 },
    {
      kind: "range",
      sreg: REGISTER.first,
      operation: isInverted ? COMPARE.unequal : COMPARE.equal,
      from: { bytes: bigEndian(Number(first)) },
      to: { bytes: bigEndian(Number(last)) },
    },
  ];
}

const stateBits: Readonly<Record<string, number>> = {
  INVALID: CT_STATE.invalid,
  ESTABLISHED: CT_STATE.established,
  RELATED: CT_STATE.related,
  NEW: CT_STATE.new,
  UNTRACKED: CT_STATE.untracked,
};
const statusBits: Readonly<Record<string, number>> = { SNAT: CT_STATUS.snat, DNAT: CT_STATUS.dnat };

function states(text: string, isInverted: boolean): Expression[] {
  const names = text.split(",");
  const isStatus = names.every((name) => statusBits[name] !== undefined);
  if (!isStatus && names.some((name) => stateBits[name] === undefined)) return [unknown(`--ctstate ${text}`)];
  const bits = names.reduce((all, name) => all | (stateBits[name] ?? statusBits[name]!), 0);
  return [
    { kind: "ct", dreg: REGISTER.first, key: isStatus ? CT.status : CT.state },
    masking(littleEndian(bits)),
    test(isInverted ? COMPARE.equal : COMPARE.unequal, Buffer.alloc(4)),
  ];
}

const addressKind = (flags: number): Expression => ({
  kind: "fib",
  dreg: REGISTER.first,
  result: FIB_RESULT.addressType,
  flags,
});
const kinds: Readonly<Record<string, number>> = { UNICAST: 1, LOCAL: 2, BROADCAST: 3, MULTICAST: 5 };

function kindTest(text: string, operation: number): Expression[] {
  const kind = kinds[text];
  return kind === undefined ? [unknown(`--dst-type ${text}`)] : [test(operation, littleEndian(kind))];
}

function mark(text: string, operation: number): Expression[] {
  const [value, mask = 0xffffffff] = text.split("/").map(Number);
  return [load(META.mark), masking(littleEndian(mask)), test(operation, littleEndian(value ?? 0))];
}

const targetsWithoutEffect = new Set(["LOG", "NFLOG", "CHECKSUM", "TCPMSS", "CLASSIFY", "DSCP", "TTL", "CT"]);

function target(name: string, isGoto: boolean): Expression[] {
  if (name === "ACCEPT") return [verdict("accept")];
  if (name === "DROP") return [verdict("drop")];
  if (name === "RETURN") return [verdict("return")];
  if (name === "REJECT") return [{ kind: "reject" }];
  if (name === "MASQUERADE") return [{ kind: "masq" }];
  // What they do stands in the options that follow.
  if (name === "DNAT" || name === "SNAT" || name === "REDIRECT" || targetsWithoutEffect.has(name)) return [];
  return [immediate({ verdict: isGoto ? "goto" : "jump", chain: name }, REGISTER.verdict)];
}

function translation(text: string, way: number, family: AddressFamily): Expression[] {
  const pattern =
    family === "ipv4" ? /^([\d.]*)(?:-[\d.]+)?(?::(\d+).*)?$/ : /^\[?([0-9a-f:.]*)(?:-[^\]]*)?\]?(?:(?<=\]):(\d+).*)?$/;
  const [, ip = "", portText] = pattern.exec(text) ?? [];
  return [
    ...(ip === "" ? [] : [immediate({ bytes: encodeIP(ip) })]),
    ...(portText === undefined ? [] : [immediate({ bytes: bigEndian(Number(portText)) }, REGISTER.second)]),
    {
      kind: "nat",
      way,
      ...(ip !== "" && { addressFrom: REGISTER.first }),
      ...(portText !== undefined && { portFrom: REGISTER.second }),
    },
  ];
}

function bigEndian(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(port & 0xffff);
  return bytes;
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
