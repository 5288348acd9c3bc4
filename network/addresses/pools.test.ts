import fc from "fast-check";
import t from "tap";
import { addressPool, chooseSubnet, defaultPools, requireFree, uniqueLocalPool, type Taken } from "./pools.js";
import { Subnet } from "./subnet.js";

const used = (...subnets: string[]): Taken[] =>
  subnets.map((subnet, index) => ({ subnet: Subnet.parse(subnet), by: `network n${index}` }));

t.test("default pools are Docker's, in Docker's order", (t) => {
  const taken: Taken[] = [];
  const chosen: string[] = [];
  for (let count = 0; count < 31; count++) {
    const subnet = chooseSubnet(defaultPools, taken);
    chosen.push(String(subnet));
    taken.push({ subnet, by: `network n${count}` });
  }
  t.same(chosen, [
    ...Array.from({ length: 15 }, (_, index) => `172.${17 + index}.0.0/16`),
    ...Array.from({ length: 16 }, (_, index) => `192.168.${index * 16}.0/20`),
  ]);
  t.throws(() => chooseSubnet(defaultPools, taken), {
    code: "NO_FREE_SUBNET",
    message:
      /192\.168\.0\.0\/16 in parts of \/20\): network n0 has 172\.17\.0\.0\/16, .*network n4 has 172\.21\.0\.0\/16, 26 more are used; /,
  });
  t.end();
});

t.test("the IPv6 pool of a host is Docker's for the same seed", (t) => {
  const cases: [seed: string, base: string][] = [
    ["", "fd42:98fc:1c14::/48"],
    ["499d4bc0-b0b3-416f-b1ee-cf6486315593", "fd62:fb69:18af::/48"],
  ];
  for (const [seed, base] of cases) {
    const pool = uniqueLocalPool(seed);
    t.same([String(pool.base), pool.size], [base, 64], seed);
  }
  const pool = uniqueLocalPool("");
  t.equal(String(chooseSubnet([pool], [])), "fd42:98fc:1c14::/64");
  t.equal(String(chooseSubnet([pool], used("fd42:98fc:1c14::/63"))), "fd42:98fc:1c14:2::/64");
  t.end();
});

t.test("the first subnet that overlaps nobody's is chosen", (t) => {
  const cases: [what: string, pools: [string, number][], taken: string[], chosen: string | undefined][] = [
    ["none taken", [["10.0.0.0/8", 24]], [], "10.0.0.0/24"],
    ["default routes", [["10.0.0.0/8", 24]], ["0.0.0.0/0", "::/0"], "10.0.0.0/24"],
    ["of the other family", [["10.0.0.0/8", 24]], ["fd00::/8"], "10.0.0.0/24"],
    ["an address in it", [["10.0.0.0/8", 24]], ["10.0.0.77/32"], "10.0.1.0/24"],
    ["a gap", [["10.0.0.0/8", 24]], ["10.0.2.0/24", "10.0.0.0/24"], "10.0.1.0/24"],
    [
      "unsorted, nested",
      [["10.0.0.0/8", 24]],
      ["10.0.1.0/25", "10.0.1.0/24", "10.0.0.0/24", "10.0.0.8/30"],
      "10.0.2.0/24",
    ],
    ["larger ones", [["10.0.0.0/8", 24]], ["10.0.0.0/10", "10.64.0.0/16"], "10.65.0.0/24"],
    [
      "all of a pool",
      [
        ["10.0.0.0/24", 24],
        ["10.9.0.0/16", 16],
      ],
      ["10.0.0.128/25"],
      "10.9.0.0/16",
    ],
    [
      "around a pool",
      [
        ["10.5.0.0/16", 24],
        ["192.168.0.0/24", 24],
      ],
      ["10.0.0.0/8"],
      "192.168.0.0/24",
    ],
    ["everything", [["10.5.0.0/16", 24]], ["10.0.0.0/8"], undefined],
    ["halves", [["10.5.0.0/16", 24]], ["0.0.0.0/1"], undefined],
    ["a pool of 2⁵⁶", [["fd00::/8", 64]], ["fd00::/16", "fd01::/64"], "fd01:0:0:1::/64"],
    ["no pools", [], [], undefined],
  ];
  for (const [what, pools, taken, chosen] of cases) {
    const choose = () =>
      chooseSubnet(
        pools.map(([base, size]) => addressPool(base, size)),
        used(...taken),
      );
    if (chosen === undefined) t.throws(choose, { code: "NO_FREE_SUBNET" }, what);
    else t.equal(String(choose()), chosen, what);
  }
  t.throws(() => chooseSubnet([], []), { message: /\(none of this family\): there is nothing to choose from; / });
  t.end();
});

t.test("the chosen subnet is the one a look at each would find", (t) => {
  const pool = addressPool("10.0.0.0/26", 29);
  const subnet = fc
    .tuple(fc.integer({ min: 24, max: 32 }), fc.nat(255))
    .map(([prefix, last]) => Subnet.parse("10.0.0.0/24").part(prefix, BigInt(last >> (32 - prefix))));
  const holds = fc.property(fc.array(subnet, { maxLength: 12 }), (subnets) => {
    const taken = subnets.map((each) => ({ subnet: each, by: "other" }));
    const parts = Array.from({ length: 8 }, (_, index) => pool.base.part(29, BigInt(index)));
    const free = parts.find((part) => subnets.every((each) => !each.overlaps(part)));
    try {
      return String(chooseSubnet([pool], taken)) === String(free);
    } catch {
      return free === undefined;
    }
  });
  t.doesNotThrow(() => fc.assert(holds, { numRuns: 1000 }));
  t.end();
});

t.test("a pool has subnets of a size that fits", (t) => {
  t.equal(addressPool("10.0.0.0/8", 8).size, 8);
  for (const size of [7, 33, 24.5, NaN])
    t.throws(
      () => addressPool("10.0.0.0/8", size),
      { code: "ADDRESS_POOL_INVALID", message: /from 8 to 32$/ },
      String(size),
    );
  t.throws(() => addressPool("10.0.0.1/8", 24), { code: "SUBNET_INVALID" });
  t.end();
});

t.test("a subnet that overlaps another is refused, naming it", (t) => {
  const route = { subnet: Subnet.parse("10.0.0.0/8"), by: "the host's route 10.0.0.0/8 dev eth0" };
  const standard = { subnet: Subnet.parse("0.0.0.0/0"), by: "the host's default route" };
  t.throws(() => requireFree(Subnet.parse("10.89.0.0/24"), [standard, route]), {
    code: "SUBNET_OVERLAPS",
    subject: "10.89.0.0/24",
    message: "10.89.0.0/24 overlaps 10.0.0.0/8, which the host's route 10.0.0.0/8 dev eth0 has; choose another subnet",
  });
  t.doesNotThrow(() => requireFree(Subnet.parse("11.0.0.0/24"), [standard, route]));
  t.end();
});
