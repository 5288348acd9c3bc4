import { decodeIPv4, decodeIPv6 } from "../../../common/address.js";
import type { Data, Expression, ExpressionOf } from "./expressions.js";
import { COMPARE, INVERTED, META, NAT, PAYLOAD_BASE, REGISTER } from "./numbers.js";
import { dportsOfMatch, type PortRange } from "./xt.js";

// Rules of others, for people to read: close to nft's words for what is common, `[name]` for what is not known.

/** What a register holds at some point of a rule. */
interface Held {
  readonly text: string;
  /** How bytes compared with it are shown. */
  readonly show: (bytes: Buffer) => string;
}

const lengthAtMost = 240;

/** One line, cut where it gets too long. Names in it are the rule's maker's. */
export function ruleText(expressions: readonly Expression[]): string {
  const words: string[] = [];
  const registers = new Map<number, Held>();
  let transport: { readonly name: string; readonly at: number } | undefined;
  for (const expression of expressions) {
    const text = textOf(expression, registers);
    const protocol = transportOf(expression, registers);
    if (protocol !== undefined) transport = { name: protocol, at: words.length };
    words.push(transport && /^[sd]port /.test(text) ? `${transport.name} ${text}` : text);
    // A port of that protocol says it as well.
    if (transport && expression.kind === "payload" && expression.base === PAYLOAD_BASE.transport)
      words[transport.at] = "";
  }
  const text = words.filter((word) => word !== "").join(" ");
  return text.length > lengthAtMost ? `${text.slice(0, lengthAtMost)}…` : text;
}

/** The protocol that a test asks for. */
function transportOf(expression: Expression, registers: ReadonlyMap<number, Held>): string | undefined {
  if (expression.kind !== "cmp" || registers.get(expression.sreg ?? -1)?.text !== "meta l4proto") return undefined;
  const { data, operation = COMPARE.equal } = expression;
  return operation === COMPARE.equal && data && "bytes" in data ? { 6: "tcp", 17: "udp" }[data.bytes[0]!] : undefined;
}

function textOf(expression: Expression, registers: Map<number, Held>): string {
  const held = (register: number | undefined) => registers.get(register ?? -1);
  const value = (register: number | undefined) => held(register)?.text ?? "…";
  switch (expression.kind) {
    case "payload":
      if (expression.sreg !== undefined) return `${payloadField(expression).text} set ${value(expression.sreg)}`;
      return keep(registers, expression.dreg, payloadField(expression));
    case "meta":
      if (expression.sreg !== undefined) return `${metaField(expression.key).text} set ${value(expression.sreg)}`;
      return keep(registers, expression.dreg, metaField(expression.key));
    case "ct":
      return keep(registers, expression.dreg, { text: "ct …", show: hex });
    case "fib":
      return keep(registers, expression.dreg, { text: "fib …", show: hex });
    case "immediate":
      if (expression.dreg === REGISTER.verdict) return verdictText(expression.data);
      return keep(registers, expression.dreg, { text: shown(expression.data, bytesText), show: hex });
    case "bitwise": {
      const before = held(expression.sreg);
      return keep(registers, expression.dreg, {
        text: `${before?.text ?? "…"} & ${shown(expression.mask, before?.show ?? hex)}`,
        show: before?.show ?? hex,
      });
    }
    case "byteorder":
      return keep(registers, expression.dreg, held(expression.sreg) ?? { text: "…", show: hex });
    case "cmp":
      return comparison(expression, held(expression.sreg));
    case "range": {
      const { text, show } = held(expression.sreg) ?? { text: "…", show: hex };
      return `${text} ${expression.operation === COMPARE.unequal ? "!= " : ""}${shown(expression.from, show)}-${shown(expression.to, show)}`;
    }
    case "lookup":
      if (expression.dreg === undefined)
        return `${value(expression.sreg)} ${(expression.flags ?? 0) & INVERTED ? "!= " : ""}${setText(expression.set)}`;
      if (expression.dreg === REGISTER.verdict) return `${value(expression.sreg)} vmap ${setText(expression.set)}`;
      return keep(registers, expression.dreg, {
        text: `${value(expression.sreg)} map ${setText(expression.set)}`,
        show: hex,
      });
    case "dynset":
      return `update ${setText(expression.set)} { ${value(expression.keyRegister)} }`;
    case "nat":
      return `${expression.way === NAT.source ? "snat" : "dnat"} to ${[expression.addressFrom, expression.portFrom]
        .filter((register) => register !== undefined)
        .map(value)
        .join(":")}`;
    case "redir":
      return expression.portFrom === undefined ? "redirect" : `redirect to :${value(expression.portFrom)}`;
    case "tproxy":
      return `tproxy to :${value(expression.portRegister)}`;
    case "masq":
      return "masquerade";
    case "match": {
      const ports = dportsOfMatch(expression.name ?? "", expression.info);
      return ports === undefined
        ? `xt match "${expression.name ?? ""}"`
        : `${expression.name ?? ""} dport ${ports.isInverted ? "!= " : ""}${ports.ranges.map(rangeText).join(",")}`;
    }
    case "target":
      return `xt target "${expression.name ?? ""}"`;
    case "unknown":
      return `[${expression.name}]`;
    default:
      return expression.kind;
  }
}

function keep(registers: Map<number, Held>, register: number | undefined, held: Held): string {
  if (register !== undefined) registers.set(register, held);
  return "";
}

function comparison({ operation = 0, data }: ExpressionOf<"cmp">, held: Held | undefined): string {
  const { text, show } = held ?? { text: "…", show: hex };
  if (text === "meta nfproto") return ""; // nft leaves it out, since the fields that follow say it
  const sign = ["", "!= ", "< ", "<= ", "> ", ">= "][operation] ?? "";
  return `${text} ${sign}${shown(data, show)}`;
}

const payloadFields: [base: number, offset: number, length: number, text: string, show: (bytes: Buffer) => string][] = [
  [PAYLOAD_BASE.network, 12, 4, "ip saddr", bytesText],
  [PAYLOAD_BASE.network, 16, 4, "ip daddr", bytesText],
  [PAYLOAD_BASE.network, 8, 16, "ip6 saddr", bytesText],
  [PAYLOAD_BASE.network, 24, 16, "ip6 daddr", bytesText],
  [PAYLOAD_BASE.network, 9, 1, "ip protocol", number],
  [PAYLOAD_BASE.network, 8, 1, "ip ttl", number],
  [PAYLOAD_BASE.transport, 0, 2, "sport", number],
  [PAYLOAD_BASE.transport, 2, 2, "dport", number],
];

function payloadField({ base, offset, length }: ExpressionOf<"payload">): Held {
  const known = payloadFields.find(([b, o, l]) => b === base && o === offset && l === length);
  const isStart =
    base === PAYLOAD_BASE.network && (offset === 12 || offset === 16) && length !== undefined && length < 4;
  if (isStart) return { text: offset === 12 ? "ip saddr" : "ip daddr", show: networkText };
  return known
    ? { text: known[3], show: known[4] }
    : { text: `@${base ?? "?"},${offset ?? "?"},${length ?? "?"}`, show: hex };
}

function metaField(key: number | undefined): Held {
  const name = Object.entries(META).find(([, number]) => number === key)?.[0] ?? String(key);
  return {
    text: `meta ${name}`,
    show: name.endsWith("name") ? nameText : key === META.l4proto || key === META.nfproto ? number : littleEndian,
  };
}

function verdictText(data: Data | undefined): string {
  if (!data || !("verdict" in data)) return "…";
  return data.chain === undefined ? data.verdict : `${data.verdict} ${data.chain}`;
}

function shown(data: Data | undefined, show: (bytes: Buffer) => string): string {
  return data && "bytes" in data ? show(data.bytes) : "…";
}

function setText(name: string | undefined): string {
  return name?.startsWith("__") ? "{ … }" : `@${name ?? ""}`; // one without a name of its own
}

/** An address or a port, by its size. */
function bytesText(bytes: Buffer): string {
  if (bytes.length === 4) return decodeIPv4(bytes, 0);
  if (bytes.length === 16) return decodeIPv6(bytes, 0);
  return number(bytes);
}

/** A network whose prefix ends at a whole byte: only its first bytes are compared. */
function networkText(bytes: Buffer): string {
  return `${decodeIPv4(Buffer.concat([bytes, Buffer.alloc(4)]), 0)}/${bytes.length * 8}`;
}

function number(bytes: Buffer): string {
  return bytes.length >= 1 && bytes.length <= 4 ? String(bytes.readUIntBE(0, bytes.length)) : hex(bytes);
}

function littleEndian(bytes: Buffer): string {
  return bytes.length === 4 ? `0x${bytes.readUInt32LE(0).toString(16)}` : hex(bytes);
}

function nameText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return `"${bytes.latin1Slice(0, end === -1 ? bytes.length : end)}${end === -1 && bytes.length < 16 ? "*" : ""}"`;
}

function hex(bytes: Buffer): string {
  return `0x${bytes.toString("hex")}`;
}

function rangeText({ first, last }: PortRange): string {
  return first === last ? String(first) : `${first}-${last}`;
}
