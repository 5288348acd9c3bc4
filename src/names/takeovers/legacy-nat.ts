import type { LegacyTable } from "../../../linux/legacy-iptables.js";
import type { Expression } from "../../../linux/netlink/nftables/expressions.js";
import { COMPARE, HOOK, META, PAYLOAD_BASE, REGISTER } from "../../../linux/netlink/nftables/numbers.js";
import type { Chain, Rule } from "../../../linux/netlink/nftables/ruleset.js";
import type { RuleSource } from "./dns-redirect.js";

// A table of iptables' legacy variant, told in nftables' words: the same questions can be asked of both.

/** `struct ipt_entry`. */
const ENTRY = {
  source: 0,
  destination: 4,
  sourceMask: 8,
  destinationMask: 12,
  outInterface: 32,
  outInterfaceMask: 64,
  protocol: 80,
  flags: 82,
  inverted: 83,
  targetAt: 88,
  nextAt: 90,
  elements: 112,
} as const;
const GOTO = 0x02;
const INVERTED = { outInterface: 0x02, source: 0x08, destination: 0x10, protocol: 0x40 } as const;
/** `struct xt_entry_match` and `xt_entry_target`: size, name, revision, then what is theirs. */
const ELEMENT = { size: 0, name: 2, nameSize: 29, revision: 31, info: 32 } as const;
/** A target of this name is the head of a chain, whose name follows. */
const chainHead = "ERROR";
const table = "legacy nat";
const natPriority = -100;

interface Entry {
  readonly at: number;
  readonly head: string | undefined;
  readonly expressions: Expression[];
  /** Where it jumps to; undefined when it does not. */
  readonly jump: { readonly to: number; readonly isGoto: boolean } | undefined;
}

/** Others made the table, so each offset in it is checked: what does not fit is left out, with all behind it. */
export function legacyNat({ entries, hookEntries }: LegacyTable): RuleSource {
  const bases = Object.entries(HOOK)
    .filter(([name]) => name !== "forward")
    .map(([name, hook]) => ({ name: name.toUpperCase(), hook, at: hookEntries[hook] }));
  const inChains: { readonly entry: Entry; readonly chain: string }[] = [];
  /** Chains by where their first rule stands: what jumps lead to. */
  const byStart = new Map<number, string>();
  let chain: string | undefined;
  for (const entry of entriesIn(entries)) {
    const base = bases.find(({ at }) => at === entry.at)?.name;
    if (entry.head !== undefined || base !== undefined) chain = base ?? entry.head;
    if (entry.head !== undefined || chain === undefined) continue;
    if (inChains.at(-1)?.chain !== chain) byStart.set(entry.at, chain);
    inChains.push({ entry, chain });
  }
  const rules = new Map<string, Rule[]>([...byStart.values()].map((name) => [name, []]));
  for (const { entry, chain: name } of inChains)
    rules.get(name)!.push({
      handle: entry.at,
      expressions: [...entry.expressions, ...verdictOf(entry, byStart)],
      comment: undefined,
    });
  const chains = [...rules.keys()].map((name): Chain => {
    const hook = bases.find((base) => base.name === name)?.hook;
    return {
      family: "ip",
      table,
      chain: name,
      at: hook === undefined ? undefined : { type: "nat", hook, priority: natPriority },
    };
  });
  return {
    chains: (family) => (family === "ip" ? chains : []),
    rules: (of) => rules.get(of.chain) ?? [],
    set: () => undefined,
    elements: () => [],
    element: () => undefined,
  };
}

function verdictOf({ jump }: Entry, chains: ReadonlyMap<number, string>): Expression[] {
  const chain = jump && chains.get(jump.to);
  return chain === undefined
    ? []
    : [{ kind: "immediate", dreg: REGISTER.verdict, data: { verdict: jump!.isGoto ? "goto" : "jump", chain } }];
}

function* entriesIn(entries: Buffer): Generator<Entry> {
  for (let at = 0; at + ENTRY.elements <= entries.length;) {
    const next = entries.readUInt16LE(at + ENTRY.nextAt);
    const targetAt = entries.readUInt16LE(at + ENTRY.targetAt);
    if (targetAt < ENTRY.elements || targetAt + ELEMENT.info > next || at + next > entries.length) return;
    yield entryIn(entries.subarray(at, at + next), at, targetAt);
    at += next;
  }
}

function entryIn(entry: Buffer, at: number, targetAt: number): Entry {
  const target = entry.subarray(targetAt);
  const name = textIn(target, ELEMENT.name, ELEMENT.nameSize);
  if (name === chainHead)
    return { at, head: textIn(target, ELEMENT.info, target.length - ELEMENT.info), expressions: [], jump: undefined };
  const expressions = [
    ...protocolOf(entry),
    ...addressOf(entry, 12, ENTRY.source, ENTRY.sourceMask, INVERTED.source),
    ...addressOf(entry, 16, ENTRY.destination, ENTRY.destinationMask, INVERTED.destination),
    ...outInterfaceOf(entry),
    ...matchesOf(entry.subarray(0, targetAt)),
  ];
  if (name !== "")
    return {
      at,
      head: undefined,
      expressions: [
        ...expressions,
        { kind: "target", name, revision: target[ELEMENT.revision]!, info: target.subarray(ELEMENT.info) },
      ],
      jump: undefined,
    };
  const verdict = target.length >= ELEMENT.info + 4 ? target.readInt32LE(ELEMENT.info) : -1;
  return {
    at,
    head: undefined,
    expressions,
    jump: verdict < 0 ? undefined : { to: verdict, isGoto: (entry[ENTRY.flags]! & GOTO) !== 0 },
  };
}

function protocolOf(entry: Buffer): Expression[] {
  const protocol = entry.readUInt16LE(ENTRY.protocol);
  if (protocol === 0) return [];
  return [
    { kind: "meta", dreg: REGISTER.first, key: META.l4proto },
    comparison(entry, INVERTED.protocol, Buffer.from([protocol & 255])),
  ];
}

function addressOf(entry: Buffer, offset: number, at: number, maskAt: number, inverted: number): Expression[] {
  const mask = entry.subarray(maskAt, maskAt + 4);
  if (mask.every((byte) => byte === 0)) return [];
  return [
    { kind: "payload", dreg: REGISTER.first, base: PAYLOAD_BASE.network, offset, length: 4 },
    {
      kind: "bitwise",
      sreg: REGISTER.first,
      dreg: REGISTER.first,
      length: 4,
      mask: { bytes: mask },
      xor: { bytes: Buffer.alloc(4) },
    },
    comparison(entry, inverted, entry.subarray(at, at + 4)),
  ];
}

function outInterfaceOf(entry: Buffer): Expression[] {
  const mask = entry.subarray(ENTRY.outInterfaceMask, ENTRY.outInterfaceMask + 16);
  const length = mask.findIndex((byte) => byte === 0);
  if (length === 0) return [];
  const bytes = entry.subarray(ENTRY.outInterface, ENTRY.outInterface + (length < 0 ? 16 : length));
  return [{ kind: "meta", dreg: REGISTER.first, key: META.oifname }, comparison(entry, INVERTED.outInterface, bytes)];
}

function comparison(entry: Buffer, inverted: number, bytes: Buffer): Expression {
  return {
    kind: "cmp",
    sreg: REGISTER.first,
    operation: entry[ENTRY.inverted]! & inverted ? COMPARE.unequal : COMPARE.equal,
    data: { bytes },
  };
}

function matchesOf(entry: Buffer): Expression[] {
  const matches: Expression[] = [];
  for (let at: number = ENTRY.elements; at + ELEMENT.info <= entry.length;) {
    const size = entry.readUInt16LE(at + ELEMENT.size);
    if (size < ELEMENT.info || at + size > entry.length) break;
    matches.push({
      kind: "match",
      name: textIn(entry, at + ELEMENT.name, ELEMENT.nameSize),
      revision: entry[at + ELEMENT.revision]!,
      info: entry.subarray(at + ELEMENT.info, at + size),
    });
    at += size;
  }
  return matches;
}

function textIn(bytes: Buffer, at: number, size: number): string {
  const text = bytes.toString("latin1", at, at + size);
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
