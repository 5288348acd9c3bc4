import fc from "fast-check";
import t from "tap";
import { errorCode } from "../../common/errors.js";
import { AddressAllocator, type Assignment } from "./allocator.js";
import { Subnet } from "./subnet.js";

const gateway = { address: "10.89.0.1", owner: "the gateway" };

interface Shape {
  subnet?: string;
  ipRange?: string;
  reserved?: Assignment[];
}

function allocator({ subnet = "10.89.0.0/24", ipRange, reserved = [gateway] }: Shape = {}): AddressAllocator {
  return new AddressAllocator({
    subnet: Subnet.parse(subnet),
    ipRange: ipRange === undefined ? undefined : Subnet.parse(ipRange),
    reserved,
  });
}

const give = (addresses: AddressAllocator, count: number) =>
  Array.from({ length: count }, (_, index) => addresses.assign(`sandbox s${index}`));

t.test("addresses are given in order, from the first that may be used", (t) => {
  const aux = { address: "10.89.0.3", owner: "the auxiliary address router" };
  const cases: [shape: Shape, given: string[]][] = [
    [{}, ["10.89.0.2", "10.89.0.3", "10.89.0.4"]],
    [{ reserved: [] }, ["10.89.0.1", "10.89.0.2"]],
    [{ reserved: [gateway, aux] }, ["10.89.0.2", "10.89.0.4"]],
    [{ ipRange: "10.89.0.128/25" }, ["10.89.0.128", "10.89.0.129"]],
    [{ ipRange: "10.89.0.0/29" }, ["10.89.0.2", "10.89.0.3"]],
    [{ ipRange: "10.89.0.77/32" }, ["10.89.0.77"]],
    [{ subnet: "10.89.0.0/31", reserved: [] }, ["10.89.0.0", "10.89.0.1"]],
    [{ subnet: "fd00::/64", reserved: [{ address: "fd00::1", owner: "the gateway" }] }, ["fd00::2", "fd00::3"]],
    [{ subnet: "fd00::/64", ipRange: "fd00::8000:0:0:0/80", reserved: [] }, ["fd00::8000:0:0:0", "fd00::8000:0:0:1"]],
    [{ subnet: "::/0", reserved: [] }, ["::1", "::2"]],
  ];
  for (const [shape, given] of cases) t.same(give(allocator(shape), given.length), given, JSON.stringify(shape));
  t.end();
});

t.test("an address that was released is used again after all others", (t) => {
  const addresses = allocator({ subnet: "10.89.0.0/29" });
  t.same(give(addresses, 3), ["10.89.0.2", "10.89.0.3", "10.89.0.4"]);
  t.equal(addresses.release("10.89.0.3"), "sandbox s1");
  t.equal(addresses.release("10.89.0.3"), undefined);
  t.same(give(addresses, 3), ["10.89.0.5", "10.89.0.6", "10.89.0.3"]);
  t.throws(() => addresses.assign("sandbox late"), {
    code: "ADDRESSES_EXHAUSTED",
    subject: "10.89.0.0/29",
    message: /no address of 10\.89\.0\.0\/29 is left from 10\.89\.0\.1 to 10\.89\.0\.6: 6 are taken; /,
  });
  addresses.release("10.89.0.6");
  t.equal(addresses.assign("sandbox late"), "10.89.0.6");
  t.end();
});

t.test("an address that is asked for is given, also outside of the range, and does not change the order", (t) => {
  const addresses = allocator({ ipRange: "10.89.0.128/25" });
  t.equal(addresses.assign("sandbox a"), "10.89.0.128");
  t.equal(addresses.assign("sandbox b", "10.89.0.9"), "10.89.0.9");
  t.equal(addresses.assign("sandbox c", "::ffff:10.89.0.129"), "10.89.0.129");
  t.equal(addresses.assign("sandbox d", "10.89.0.200"), "10.89.0.200");
  t.equal(addresses.lastGiven, "10.89.0.128");
  t.equal(addresses.assign("sandbox e"), "10.89.0.130");
  t.equal(addresses.assign("sandbox b", "10.89.0.9"), "10.89.0.9", "again, by who has it");
  t.equal(addresses.holderOf("10.89.0.9"), "sandbox b");
  t.equal(addresses.release("10.89.0.9"), "sandbox b");
  t.equal(addresses.holderOf("10.89.0.9"), undefined);
  t.equal(addresses.assign("sandbox f", "10.89.0.9"), "10.89.0.9");
  const far = allocator({ subnet: "fd00::/64", reserved: [] });
  t.equal(far.assign("sandbox a", "FD00::ffff:ffff:ffff:ffff"), "fd00::ffff:ffff:ffff:ffff");
  t.equal(far.assign("sandbox b"), "fd00::1");
  t.equal(far.release("fd00::ffff:ffff:ffff:ffff"), "sandbox a");
  t.end();
});

t.test("an address that cannot be had is refused with the reason, and nothing changes", (t) => {
  const addresses = allocator({ subnet: "10.89.0.0/24" });
  addresses.assign("sandbox web", "10.89.0.9");
  const cases: [wanted: string, code: string, message: string][] = [
    ["10.89.0.9", "ADDRESS_TAKEN", "10.89.0.9 is taken by sandbox web; choose another of 10.89.0.0/24"],
    ["10.89.0.1", "ADDRESS_TAKEN", "10.89.0.1 is taken by the gateway; choose another of 10.89.0.0/24"],
    [
      "10.89.0.0",
      "ADDRESS_UNUSABLE",
      "10.89.0.0 is the address of the network 10.89.0.0/24 itself; choose one from 10.89.0.1 to 10.89.0.254",
    ],
    [
      "10.89.0.255",
      "ADDRESS_UNUSABLE",
      "10.89.0.255 is the broadcast address of 10.89.0.0/24; choose one from 10.89.0.1 to 10.89.0.254",
    ],
    ...["10.89.1.1", "fd00::1", "web", "", "10.89.0.010", "10.89.9"].map((wanted): [string, string, string] => [
      wanted,
      "ADDRESS_UNUSABLE",
      `${wanted} is not an address of 10.89.0.0/24; choose one from 10.89.0.1 to 10.89.0.254`,
    ]),
  ];
  for (const [wanted, code, message] of cases) {
    t.throws(() => addresses.assign("sandbox db", wanted), { code, subject: wanted, message }, wanted);
    t.throws(() => addresses.reserve(wanted, "sandbox db"), { code }, wanted);
  }
  t.throws(() => allocator({ subnet: "fd00::/64", reserved: [] }).assign("sandbox db", "fd00::"), {
    code: "ADDRESS_UNUSABLE",
  });
  t.equal(addresses.size, 2);
  t.equal(addresses.assign("sandbox db"), "10.89.0.2");
  t.end();
});

t.test("what is reserved is not given to others", (t) => {
  const addresses = allocator();
  addresses.reserve("10.89.0.2", "container db, which is created");
  t.equal(addresses.assign("sandbox a"), "10.89.0.3");
  t.equal(addresses.assign("container db, which is created", "10.89.0.2"), "10.89.0.2");
  t.equal(addresses.release("10.89.0.2"), "container db, which is created");
  t.equal(addresses.release("10.89.0.1"), undefined, "the gateway's stays");
  t.equal(addresses.holderOf("10.89.0.1"), "the gateway");
  for (const address of ["10.89.0.0", "10.89.0.255", "10.90.0.1", "web"]) {
    t.equal(addresses.release(address), undefined, address);
    t.equal(addresses.holderOf(address), undefined, address);
  }
  t.end();
});

t.test("a range or gateway that does not fit is refused", (t) => {
  for (const ipRange of ["10.90.0.0/24", "10.0.0.0/8", "fd00::/64"])
    t.throws(() => allocator({ ipRange }), { code: "RANGE_OUTSIDE", subject: ipRange }, ipRange);
  t.throws(() => allocator({ subnet: "10.90.0.0/24" }), { code: "ADDRESS_UNUSABLE", subject: "10.89.0.1" });
  t.throws(() => allocator({ reserved: [gateway, { ...gateway, owner: "the auxiliary address x" }] }), {
    code: "ADDRESS_TAKEN",
    message: /by the gateway/,
  });
  for (const ipRange of ["10.89.0.0/32", "10.89.0.255/32"])
    t.throws(() => allocator({ ipRange }).assign("sandbox a"), { code: "ADDRESSES_EXHAUSTED" }, ipRange);
  t.end();
});

t.test("what was stored is taken over, and what cannot be is told", (t) => {
  const addresses = allocator();
  const refused = addresses.restore({
    assigned: [
      { address: "10.89.0.2", owner: "sandbox a" },
      { address: "10.89.0.2", owner: "sandbox b" },
      { address: "10.89.0.1", owner: "sandbox c" },
      { address: "10.90.0.1", owner: "sandbox d" },
      { address: "10.89.0.9", owner: "sandbox e" },
    ],
    lastGiven: "10.89.0.8",
  });
  t.same(
    refused.map(({ assignment, error }) => [assignment.owner, error.code]),
    [
      ["sandbox b", "ADDRESS_TAKEN"],
      ["sandbox c", "ADDRESS_TAKEN"],
      ["sandbox d", "ADDRESS_UNUSABLE"],
    ],
  );
  t.equal(addresses.holderOf("10.89.0.2"), "sandbox a");
  t.equal(addresses.lastGiven, "10.89.0.8");
  t.equal(addresses.assign("sandbox f"), "10.89.0.10");
  t.end();
});

t.test("a place in the order that is not in the range any more is forgotten", (t) => {
  for (const lastGiven of ["10.89.0.9", "10.90.0.1", "web", undefined]) {
    const addresses = allocator({ ipRange: "10.89.0.128/25" });
    t.same(addresses.restore({ assigned: [], lastGiven }), []);
    t.equal(addresses.assign("sandbox a"), "10.89.0.128", String(lastGiven));
  }
  t.end();
});

/** What the allocator is to do, by a look at each address. */
class Model {
  readonly owners = new Map<number, string>([[1, "the gateway"]]);
  last = 15;

  assign(owner: string): number | undefined {
    for (let count = 0; count < 16; count++) {
      const number = 16 + ((this.last - 16 + 1 + count + 16) % 16);
      if (this.owners.has(number)) continue;
      this.owners.set(number, owner);
      this.last = number;
      return number;
    }
    return undefined;
  }

  take(owner: string, number: number): number | undefined {
    const isUsable = number > 0 && number < 63 && (this.owners.get(number) ?? owner) === owner;
    if (isUsable) this.owners.set(number, owner);
    return isUsable ? number : undefined;
  }
}

const address = (number: number) => `10.89.0.${number}`;
const small = () => allocator({ subnet: "10.89.0.0/26", ipRange: "10.89.0.16/28" });
const same = (given: string | undefined, number: number | undefined) =>
  given === (number === undefined ? undefined : address(number));

type Step = { kind: "give" } | { kind: "take" | "release"; number: number } | { kind: "restart" };

t.test("addresses come as from a list that is looked through, over releases and restarts", (t) => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 4, arbitrary: fc.constant<Step>({ kind: "give" }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom("take" as const, "release" as const),
        number: fc.integer({ min: 0, max: 63 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("release" as const), number: fc.integer({ min: 16, max: 31 }) }),
    },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: "restart" }) },
  );
  const holds = fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
    const model = new Model();
    let addresses = small();
    for (const [index, each] of steps.entries()) {
      const owner = `sandbox s${index % 7}`;
      if (
        each.kind === "give" &&
        !same(
          attempt(() => addresses.assign(owner)),
          model.assign(owner),
        )
      )
        return false;
      if (each.kind === "take") {
        const given = attempt(() => addresses.assign(owner, address(each.number)));
        if (!same(given, model.take(owner, each.number))) return false;
      }
      if (each.kind === "release" && each.number !== 1) {
        if (addresses.release(address(each.number)) !== model.owners.get(each.number)) return false;
        model.owners.delete(each.number);
      }
      if (each.kind === "restart") addresses = restarted(addresses, model);
    }
    return addresses.size === model.owners.size && holdersAgree(addresses, model);
  });
  t.doesNotThrow(() => fc.assert(holds, { numRuns: 1000 }));
  t.end();
});

function attempt(assign: () => string): string | undefined {
  try {
    return assign();
  } catch (error) {
    if (!/^ADDRESS/.test(errorCode(error) ?? "")) throw error;
    return undefined;
  }
}

function restarted(before: AddressAllocator, model: Model): AddressAllocator {
  const addresses = small();
  const assigned = [...model.owners].map(([number, owner]) => ({ address: address(number), owner }));
  addresses.restore({ assigned, lastGiven: before.lastGiven });
  return addresses;
}

function holdersAgree(addresses: AddressAllocator, model: Model): boolean {
  return Array.from({ length: 64 }, (_, number) => number).every(
    (number) => addresses.holderOf(address(number)) === model.owners.get(number),
  );
}

t.test("a /16 is given out to its last address, and goes on with the one that is released", (t) => {
  const addresses = allocator({ subnet: "10.89.0.0/16" });
  let last = "";
  for (let count = 0; count < 65_533; count++) last = addresses.assign("sandbox s");
  t.equal(last, "10.89.255.254");
  t.throws(() => addresses.assign("sandbox s"), { code: "ADDRESSES_EXHAUSTED" });
  for (let round = 1; round <= 1000; round++) {
    const free = `10.89.${round % 256}.${((round * 7) % 250) + 2}`;
    addresses.release(free);
    if (addresses.assign("sandbox s") !== free) t.fail(free);
  }
  t.equal(addresses.size, 65_534);
  t.end();
});

t.test("goes on some way behind an address, and comes back for what it has left out", (t) => {
  const addresses = allocator({ subnet: "10.89.0.0/28" });
  t.same(give(addresses, 1), ["10.89.0.2"]);
  addresses.goOnBehind("10.89.0.2", 8);
  t.same(give(addresses, 2), ["10.89.0.11", "10.89.0.12"]);
  addresses.goOnBehind("10.89.0.12", 8);
  t.same(give(addresses, 1), ["10.89.0.7"], "from the beginning again after the last");
  addresses.goOnBehind("10.90.0.1", 3);
  t.same(give(addresses, 1), ["10.89.0.8"], "an address of another subnet means nothing");
  t.equal(new Set(give(addresses, 8)).size, 8, "all are had in the end");
  t.throws(() => addresses.assign("sandbox late"), { code: "ADDRESSES_EXHAUSTED" });
  t.end();
});
