import { decodeIP } from "../../../common/address.js";
import type { Data, Expression, ExpressionOf } from "../../../linux/netlink/nftables/expressions.js";
import { bitwise, comparison, inRange, type Bytes, type Outcome } from "../../../linux/netlink/nftables/known-bytes.js";
import {
  CT,
  CT_STATE,
  CT_STATUS,
  FIB_FLAG,
  FIB_RESULT,
  INVERTED,
  META,
  NAT,
  REGISTER,
  registerOffset,
} from "../../../linux/netlink/nftables/numbers.js";
import type { TableName } from "../../../linux/netlink/nftables/transaction.js";
import { afterEffect, type Effect } from "./effects.js";
import { byteOf, metaOf, word, type Packet } from "./packet.js";
import type { RuleBook, Surroundings } from "./surroundings.js";
import { passesMatch } from "./xt-matches.js";
import { effectOfTarget } from "./xt-targets.js";

/** What a rule does with a packet that passes all of its tests, or may pass them. */
export interface Applied {
  readonly packet: Packet;
  /** The last effect that ends the rule: a verdict, a translation; "none" for one that only counts or marks. */
  readonly effect: Effect;
  /** What could not be judged, so that the rule may apply or not; undefined when it does apply. */
  readonly doubt: string | undefined;
}

const registersSize = 64;
/** `RTN_*`. */
const KIND = { unicast: 1, local: 2, broadcast: 3, multicast: 5 } as const;
/** Those that have no condition, or one that a single packet does not fail. */
const passing = new Set(["counter", "log", "last", "objref", "flow_offload", "quota", "dup", "ct_helper"]);

/** What a rule does with a packet. @returns undefined when it fails one of the rule's tests */
export function applyRule(
  expressions: readonly Expression[],
  packet: Packet,
  table: TableName,
  book: RuleBook,
  surroundings: Surroundings,
): Applied | undefined {
  const application = new Application(packet, table, book, surroundings);
  for (const expression of expressions) {
    const outcome = application.step(expression);
    if (outcome === "fails") return undefined;
    if (outcome === "perhaps") application.doubt ??= wordsFor(expression);
  }
  return application;
}

class Application implements Applied {
  effect: Effect = { kind: "none" };
  doubt: string | undefined;
  readonly #memory = Array<number | undefined>(registersSize).fill(undefined);

  constructor(
    public packet: Packet,
    private readonly table: TableName,
    private readonly book: RuleBook,
    private readonly surroundings: Surroundings,
  ) {}

  step(expression: Expression): Outcome {
    switch (expression.kind) {
      case "payload":
        if (expression.dreg === undefined) return "perhaps"; // the packet is changed otherwise than by NAT
        return this.#loadPayload(expression);
      case "meta":
        return expression.sreg === undefined
          ? this.#load(expression.dreg, metaOf(this.packet, expression.key), expression.key === META.iifname ? 16 : 4)
          : this.#setMeta(expression);
      case "ct":
        return expression.sreg === undefined
          ? this.#load(expression.dreg, this.#ct(expression), 16)
          : this.#setCt(expression);
      case "fib":
        return this.#load(expression.dreg, this.#fib(expression), 16);
      case "immediate":
        return this.#immediate(expression);
      case "bitwise":
        return this.#bitwise(expression);
      case "byteorder":
        return this.#byteorder(expression);
      case "cmp":
        return comparison(this.#read(expression.sreg, registersSize), expression);
      case "range":
        return inRange(this.#read(expression.sreg, registersSize), expression);
      case "lookup":
        return this.#lookup(expression);
      case "limit":
        return ((expression.flags ?? 0) & INVERTED) === 0 ? "passes" : "fails";
      case "dynset":
        return "passes";
      case "match":
        return passesMatch(
          expression.name ?? "",
          expression.revision ?? 0,
          expression.info ?? Buffer.alloc(0),
          this.packet,
          this.surroundings,
        );
      default:
        return this.#last(expression);
    }
  }

  /** What ends a rule, or lets it pass. */
  #last(expression: Expression): Outcome {
    switch (expression.kind) {
      case "target":
        return this.#does(
          effectOfTarget(
            expression.name ?? "",
            expression.revision ?? 0,
            expression.info ?? Buffer.alloc(0),
            this.packet.family,
          ),
        );
      case "reject":
        return this.#does({ kind: "verdict", verdict: "reject" });
      case "masq":
        return this.#does({ kind: "masquerade" });
      case "redir":
        return this.#does({ kind: "redirect", port: this.#port(expression.portFrom) });
      case "nat":
        return this.#does(
          expression.way === NAT.source
            ? { kind: "source", ip: this.#address(expression.addressFrom) }
            : {
                kind: "destination",
                ip: this.#address(expression.addressFrom),
                port: this.#port(expression.portFrom),
              },
        );
      case "notrack":
        return this.#does({ kind: "untracked" });
      case "exthdr":
        return expression.dreg === undefined ? "passes" : this.#load(expression.dreg, [], 16);
      case "unknown":
        if (expression.name === "queue") return this.#does({ kind: "verdict", verdict: "queue" });
        return passing.has(expression.name) ? "passes" : "perhaps";
      default:
        if ("dreg" in expression && expression.dreg !== undefined) this.#load(expression.dreg, [], 16);
        return passing.has(expression.kind) || "dreg" in expression ? "passes" : "perhaps";
    }
  }

  #does(effect: Effect | undefined): Outcome {
    if (!effect) return "perhaps";
    if (effect.kind === "mark" || effect.kind === "connection-mark" || effect.kind === "untracked") {
      if (this.doubt === undefined) this.packet = afterEffect(this.packet, effect, this.surroundings);
    } else if (effect.kind !== "none") this.effect = effect;
    return "passes";
  }

  /** @param size bytes; those beyond `bytes` are not known, but for the rest of a word, which is cleared */
  #load(register: number | undefined, bytes: Bytes, size: number): Outcome {
    const at = registerOffset(register ?? -1);
    const whole = bytes.length === 0 ? size : Math.max(4, (bytes.length + 3) & ~3);
    for (let index = 0; at !== undefined && index < whole && at + index < registersSize; index++)
      this.#memory[at + index] = bytes.length === 0 ? undefined : index < bytes.length ? bytes[index] : 0;
    return "passes";
  }

  #read(register: number | undefined, length: number): Bytes {
    const at = registerOffset(register ?? -1);
    return at === undefined ? Array<undefined>(length).fill(undefined) : this.#memory.slice(at, at + length);
  }

  #loadPayload({ dreg, base, offset = 0, length = 0 }: ExpressionOf<"payload">): Outcome {
    const size = Math.min(length, registersSize);
    return this.#load(
      dreg,
      Array.from({ length: size }, (_, index) => byteOf(this.packet, base, offset + index)),
      size,
    );
  }

  #setMeta({ key, sreg }: ExpressionOf<"meta">): Outcome {
    if (key !== META.mark) return "passes"; // a priority, a trace: nothing that decides
    const mark = numberOf(this.#read(sreg, 4));
    return mark === undefined ? "perhaps" : this.#does({ kind: "mark", clear: 0xffffffff, set: mark });
  }

  #setCt({ key, sreg }: ExpressionOf<"ct">): Outcome {
    if (key !== CT.mark) return "passes";
    const mark = numberOf(this.#read(sreg, 4));
    return mark === undefined ? "perhaps" : this.#does({ kind: "connection-mark", mark });
  }

  #ct({ key }: ExpressionOf<"ct">): Bytes {
    const { translated, isUntracked, connectionMark } = this.packet;
    switch (key) {
      case CT.state:
        return word(isUntracked ? CT_STATE.untracked : CT_STATE.new);
      case CT.direction:
        return [0];
      case CT.status:
        return word((translated.source ? CT_STATUS.snat : 0) | (translated.destination ? CT_STATUS.dnat : 0));
      case CT.mark:
        return word(connectionMark);
      default:
        return [];
    }
  }

  #fib({ result, flags = 0 }: ExpressionOf<"fib">): Bytes {
    const ip = flags & FIB_FLAG.source ? this.packet.from : this.packet.to;
    if (result === FIB_RESULT.addressType) return word(KIND[this.surroundings.kindOf(ip)]);
    if (result !== FIB_RESULT.oif) return [];
    const link = this.surroundings.linkTo(ip);
    const wanted = flags & FIB_FLAG.iif && this.packet.iif && this.packet.iif.index !== link ? undefined : link;
    return flags & FIB_FLAG.present ? [wanted === undefined ? 0 : 1] : word(wanted ?? 0);
  }

  #immediate({ dreg, data }: ExpressionOf<"immediate">): Outcome {
    if (!data || dreg === undefined) return "perhaps";
    if (!("verdict" in data)) return this.#load(dreg, [...data.bytes], data.bytes.length);
    return this.#follow(data);
  }

  #follow(data: Data): Outcome {
    if (!("verdict" in data)) return "perhaps";
    const verdict = data.verdict === "break" ? "continue" : data.verdict;
    return this.#does({ kind: "verdict", verdict, ...(data.chain !== undefined && { chain: data.chain }) });
  }

  #bitwise(expression: ExpressionOf<"bitwise">): Outcome {
    const { sreg, dreg, length = 4 } = expression;
    return this.#load(dreg, bitwise(this.#read(sreg, length), expression), length);
  }

  #byteorder({ sreg, dreg, length = 4, size = 4 }: ExpressionOf<"byteorder">): Outcome {
    const bytes = this.#read(sreg, length);
    const turned = bytes.map((_, index) => bytes[index - (index % size) + (size - 1 - (index % size))]);
    return this.#load(dreg, turned, length);
  }

  #lookup({ sreg, dreg, set, flags = 0 }: ExpressionOf<"lookup">): Outcome {
    const name = set === undefined ? undefined : { family: this.table.family, table: this.table.table, set };
    const info = name && this.book.set(name);
    const key = this.#read(sreg, info?.keyLength ?? 0);
    const isInverted = (flags & INVERTED) !== 0;
    if (!name || !info || !key.every((byte) => byte !== undefined)) {
      if (dreg !== undefined && dreg !== REGISTER.verdict) this.#load(dreg, [], 16);
      return "perhaps";
    }
    const element = this.book.element(name, Buffer.from(key));
    if (!element) return isInverted ? "passes" : "fails";
    if (dreg === undefined) return isInverted ? "fails" : "passes";
    const { data } = element;
    if (dreg === REGISTER.verdict) return data ? this.#follow(data) : "perhaps";
    return this.#load(dreg, data && "bytes" in data ? [...data.bytes] : [], 16);
  }

  #address(register: number | undefined): string | undefined {
    const bytes = this.#read(register, this.packet.family === "ipv4" ? 4 : 16);
    return register !== undefined && bytes.every((byte) => byte !== undefined)
      ? decodeIP(Buffer.from(bytes))
      : undefined;
  }

  #port(register: number | undefined): number | undefined {
    const [high, low] = this.#read(register, 2);
    return register === undefined || high === undefined || low === undefined ? undefined : high * 256 + low;
  }
}

function numberOf(bytes: Bytes): number | undefined {
  return bytes.every((byte) => byte !== undefined) ? Buffer.from(bytes).readUInt32LE(0) : undefined;
}

function wordsFor(expression: Expression): string {
  if (expression.kind === "unknown") return expression.name;
  if (expression.kind === "match" || expression.kind === "target") return expression.name ?? expression.kind;
  if (expression.kind === "lookup") return `set ${expression.set?.startsWith("__") ? "{ … }" : (expression.set ?? "")}`;
  return expression.kind === "cmp" || expression.kind === "range"
    ? "something that is not known of the packet"
    : expression.kind;
}
