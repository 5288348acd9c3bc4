import { hostOrder, type DataType } from "./data-types.js";
import type { ExpressionOf, KnownExpression } from "./expressions.js";
import { BITWISE, COMPARE, FAMILY, INVERTED, META, REGISTER, registerAt, type Family } from "./numbers.js";

// Fields of packets, tests of them, and rules made of such parts.

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
    return this.#mix(hostOrder(~value), hostOrder(value));
  }

  /** Clears the bits of `value` and leaves the others: `ct mark set ct mark and …`. */
  clearBits(this: Field<number>, value: number): Statement {
    return this.#mix(hostOrder(~value), hostOrder(0));
  }

  /** Keeps the bits of `mask` and turns those of `xor`. */
  #mix(mask: Buffer, xor: Buffer): Statement {
    return {
      needs: this.needs,
      expressions: [this.loadInto(REGISTER.first), { ...masked(mask), xor: { bytes: xor } }, this.#writer()],
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
