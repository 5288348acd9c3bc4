import { encodeIPv4, encodeIPv6 } from "../../../common/address.js";
import type { Budget } from "../../../linux/netlink/budget.js";
import type { Data, Expression, ExpressionOf } from "../../../linux/netlink/nftables/expressions.js";
import {
  bitwise,
  comparison,
  equals,
  inRange,
  opposite,
  type Bytes,
  type Outcome,
} from "../../../linux/netlink/nftables/known-bytes.js";
import {
  COMPARE,
  FAMILY,
  INVERTED,
  META,
  PAYLOAD_BASE,
  REGISTER,
  registerOffset,
} from "../../../linux/netlink/nftables/numbers.js";
import type { ElementInfo, SetInfo } from "../../../linux/netlink/nftables/ruleset.js";
import type { SetName, TableName } from "../../../linux/netlink/nftables/transaction.js";
import { dportsOfMatch } from "../../../linux/netlink/nftables/xt.js";

/** What is known of a packet; undefined is not known. */
export interface Packet {
  /** Of the transport layer: TCP or UDP. */
  readonly protocol: number;
  /** Destination port. */
  readonly port: number;
  readonly to: string | undefined;
  /** Interface through which it leaves. */
  readonly through: string | undefined;
  readonly isV6: boolean;
}

/** Sets and maps of a namespace: see Ruleset. */
export interface SetSource {
  set(name: SetName): SetInfo | undefined;
  elements(name: SetName, budget: Budget): ElementInfo[];
  element(name: SetName, key: Buffer): ElementInfo | undefined;
}

/** What becomes of a packet that may pass a rule to its end. */
export interface Reach {
  /** The rule asked for just this port, or a range or set with it. */
  readonly asksForPort: boolean;
  /** Chains it may go on in. */
  readonly jumps: readonly string[];
}

/** What a rule does with a packet, as far as that is known. @returns undefined when it fails one of the rule's tests */
export function evaluate(
  expressions: readonly Expression[],
  packet: Packet,
  source: SetSource,
  table: TableName,
  budget: Budget,
): Reach | undefined {
  const evaluation = new Evaluation(packet, source, table, budget);
  return expressions.every((expression) => evaluation.step(expression) !== "fails") ? evaluation : undefined;
}

const registersSize = 64;

class Evaluation implements Reach {
  asksForPort = false;
  readonly jumps: string[] = [];
  readonly #memory = Array<number | undefined>(registersSize).fill(undefined);
  /** Which bytes of it are the destination port. */
  readonly #isPort = Array<boolean>(registersSize).fill(false);

  constructor(
    private readonly packet: Packet,
    private readonly source: SetSource,
    private readonly table: TableName,
    private readonly budget: Budget,
  ) {}

  step(expression: Expression): Outcome {
    switch (expression.kind) {
      case "payload":
        if (expression.dreg !== undefined) this.#loadPayload(expression);
        return "passes";
      case "meta":
        if (expression.dreg !== undefined) this.#store(expression.dreg, metaOf(this.packet, expression.key), 16);
        return "passes";
      case "immediate":
        return this.#immediate(expression);
      case "bitwise":
        return this.#bitwise(expression);
      case "byteorder":
        if (expression.dreg !== undefined) this.#store(expression.dreg, [], 16, this.#read(expression.sreg, 4).hasPort);
        return "passes";
      case "cmp":
        return this.#compare(expression);
      case "range":
        return this.#range(expression);
      case "lookup":
        return this.#lookup(expression);
      case "match":
        return this.#match(expression);
      default:
        if ("dreg" in expression && expression.dreg !== undefined) this.#store(expression.dreg, [], 16);
        return "perhaps";
    }
  }

  /** @param size bytes; those beyond `bytes` are not known */
  #store(register: number, bytes: Bytes, size: number, isPort = false): void {
    const at = registerOffset(register);
    for (let index = 0; at !== undefined && index < size && at + index < registersSize; index++) {
      this.#memory[at + index] = bytes[index];
      this.#isPort[at + index] = isPort;
    }
  }

  /** What a register holds, and whether the destination port is in it. */
  #read(register: number | undefined, length: number): { bytes: Bytes; hasPort: boolean } {
    const at = registerOffset(register ?? -1) ?? 0;
    return { bytes: this.#memory.slice(at, at + length), hasPort: this.#isPort.slice(at, at + length).some(Boolean) };
  }

  #loadPayload({ dreg, base, offset = 0, length = 0 }: ExpressionOf<"payload">): void {
    const size = Math.min(length, registersSize);
    const bytes = Array.from({ length: size }, (_, index) => byteOf(this.packet, base, offset + index));
    while (bytes.length % 4 !== 0) bytes.push(0); // the rest of its last word is cleared
    const hasPort = base === PAYLOAD_BASE.transport && offset < transportPort + 2 && offset + size > transportPort;
    this.#store(dreg!, bytes, bytes.length, hasPort);
  }

  #immediate({ dreg, data }: ExpressionOf<"immediate">): Outcome {
    if (!data || dreg === undefined) return "perhaps";
    if ("verdict" in data) this.#follow(data);
    else this.#store(dreg, [...data.bytes], (data.bytes.length + 3) & ~3);
    return "passes";
  }

  #follow(data: Data): void {
    if ("verdict" in data && data.chain !== undefined && (data.verdict === "jump" || data.verdict === "goto"))
      this.jumps.push(data.chain);
  }

  #bitwise(expression: ExpressionOf<"bitwise">): Outcome {
    const { sreg, dreg, length = 0 } = expression;
    if (dreg === undefined) return "perhaps";
    const { bytes, hasPort } = this.#read(sreg, length);
    this.#store(dreg, bitwise(bytes, expression), length, hasPort);
    return "passes";
  }

  #compare(expression: ExpressionOf<"cmp">): Outcome {
    const { bytes, hasPort } = this.#read(expression.sreg, lengthOf(expression.data));
    const outcome = comparison(bytes, expression);
    return expression.operation === COMPARE.unequal ? outcome : this.#noted(outcome, hasPort);
  }

  #range(expression: ExpressionOf<"range">): Outcome {
    const { bytes, hasPort } = this.#read(expression.sreg, lengthOf(expression.from));
    const outcome = inRange(bytes, expression);
    return expression.operation === COMPARE.unequal ? outcome : this.#noted(outcome, hasPort);
  }

  #lookup({ sreg, dreg, set, flags = 0 }: ExpressionOf<"lookup">): Outcome {
    if (set === undefined) return "perhaps";
    const name: SetName = { family: this.table.family, table: this.table.table, set };
    const { bytes, hasPort } = this.#read(sreg, registersSize);
    // Whether a question is in a set that is not about ports is not worth a look, unless a verdict comes of it.
    if (!hasPort && dreg !== REGISTER.verdict) {
      if (dreg !== undefined) this.#store(dreg, [], 16);
      return "perhaps";
    }
    const found = this.#elementsFor(name, bytes);
    const isInverted = (flags & INVERTED) !== 0;
    if (found.length === 0) return isInverted ? "passes" : "fails";
    if (isInverted) return found.every(({ certain }) => certain) ? "fails" : "perhaps";
    if (hasPort) this.asksForPort = true;
    if (dreg === REGISTER.verdict) for (const { element } of found) if (element.data) this.#follow(element.data);
    if (dreg !== undefined && dreg !== REGISTER.verdict) this.#store(dreg, [], 16);
    return "perhaps";
  }

  /** The elements that may hold a key of which not every byte need be known. */
  #elementsFor(name: SetName, bytes: Bytes): { element: ElementInfo; certain: boolean }[] {
    const length = this.source.set(name)?.keyLength ?? 0;
    const key = bytes.slice(0, length);
    if (length > 0 && key.every((byte) => byte !== undefined)) {
      this.budget.spend(length);
      const element = this.source.element(name, Buffer.from(key));
      return element ? [{ element, certain: true }] : [];
    }
    const all = this.source.elements(name, this.budget);
    return all
      .filter(
        ({ key: held, keyEnd, isCatchAll, endsRange }) =>
          isCatchAll || (!endsRange && held !== undefined && (keyEnd !== undefined || equals(key, held) !== "fails")),
      )
      .map((element) => ({ element, certain: false }));
  }

  #match({ name = "", info }: ExpressionOf<"match">): Outcome {
    const ports = dportsOfMatch(name, info);
    if (!ports) return "perhaps";
    const isIn = ports.ranges.some(({ first, last }) => first <= this.packet.port && this.packet.port <= last);
    const outcome = isIn ? "passes" : "fails";
    return ports.isInverted ? opposite(outcome) : this.#noted(outcome, true);
  }

  #noted(outcome: Outcome, hasPort: boolean): Outcome {
    if (hasPort && outcome !== "fails") this.asksForPort = true;
    return outcome;
  }
}

function lengthOf(data: Data | undefined): number {
  return data && "bytes" in data ? data.bytes.length : 0;
}

const transportPort = 2; // where the destination port begins, in UDP and TCP alike

function byteOf({ protocol, port, to, isV6 }: Packet, base: number | undefined, at: number): number | undefined {
  if (base === PAYLOAD_BASE.transport)
    return at === transportPort ? port >> 8 : at === transportPort + 1 ? port & 0xff : undefined;
  if (base !== PAYLOAD_BASE.network) return undefined;
  if (at === (isV6 ? 6 : 9)) return protocol;
  if (to === undefined) return undefined;
  return isV6 ? encodeIPv6(to)[at - 24] : encodeIPv4(to)[at - 16];
}

function metaOf({ protocol, through, isV6 }: Packet, key: number | undefined): Bytes {
  if (key === META.l4proto) return [protocol];
  if (key === META.nfproto) return [isV6 ? FAMILY.ip6 : FAMILY.ip];
  if (key === META.protocol) return isV6 ? [0x86, 0xdd] : [0x08, 0x00];
  if (key !== META.oifname || through === undefined) return [];
  return [...Buffer.concat([Buffer.from(through), Buffer.alloc(16 - through.length)])];
}
