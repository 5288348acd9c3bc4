import fc from "fast-check";
import ipaddr from "ipaddr.js";
import t from "tap";
import type { PontoonError } from "../../common/errors.js";
import { Subnet } from "./subnet.js";

t.test("a subnet is read, and tells its addresses", (t) => {
  const cases: [text: string, is: string, first: string, last: string, size: bigint][] = [
    ["10.89.0.0/24", "10.89.0.0/24", "10.89.0.1", "10.89.0.254", 256n],
    ["172.16.0.0/12", "172.16.0.0/12", "172.16.0.1", "172.31.255.254", 1n << 20n],
    ["10.0.0.4/30", "10.0.0.4/30", "10.0.0.5", "10.0.0.6", 4n],
    ["10.0.0.4/31", "10.0.0.4/31", "10.0.0.4", "10.0.0.5", 2n],
    ["10.0.0.4/32", "10.0.0.4/32", "10.0.0.4", "10.0.0.4", 1n],
    ["0.0.0.0/0", "0.0.0.0/0", "0.0.0.1", "255.255.255.254", 1n << 32n],
    ["FD00:0::/64", "fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff", 1n << 64n],
    ["fd00::8/127", "fd00::8/127", "fd00::8", "fd00::9", 2n],
    ["fd00::8/128", "fd00::8/128", "fd00::8", "fd00::8", 1n],
    ["::/0", "::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1n << 128n],
    ["::1.2.3.0/120", "::102:300/120", "::102:301", "::102:3ff", 256n],
  ];
  for (const [text, is, first, last, size] of cases) {
    const subnet = Subnet.parse(text);
    t.same([String(subnet), subnet.first, subnet.last, subnet.size], [is, first, last, size], text);
  }
  t.end();
});

t.test("what is not a subnet is refused, with what to write", (t) => {
  const cases: [text: string, message: RegExp][] = [
    ["10.89.0.1/24", /has bits set behind its prefix; the subnet is 10\.89\.0\.0\/24$/],
    ["fd00::1:0:0:0:1/64", /the subnet is fd00:0:0:1::\/64$/],
    ["::1.2.3.4/120", /the subnet is ::102:300\/120$/],
    ["::ffff:10.89.0.0/120", /is IPv4 mapped into IPv6; write 10\.89\.0\.0\/24$/],
    ["::ffff:10.89.0.1/120", /is IPv4 mapped into IPv6; write 10\.89\.0\.0\/24$/],
    ["::ffff:0.0.0.0/64", /is IPv4 mapped into IPv6; write the subnet in IPv4's own form$/],
    ...[
      "",
      "/",
      "/24",
      "web",
      "10.89.0.0",
      "10.89.0.0/",
      "10.89.0.0/33",
      "10.89.0.0/-1",
      "10.89.0.0/2 4",
      "10.89.0.0/24/24",
    ],
    ...[
      "10.89.0.0/255.255.255.0",
      "10.89/16",
      "1/8",
      "0x0a.0.0.0/8",
      "010.0.0.0/8",
      "fd00::/129",
      "fd00::%lo/64",
      "[fd00::]/64",
    ],
  ].map((each) => (typeof each === "string" ? [each, /is not a subnet; write it as/] : (each as [string, RegExp])));
  for (const [text, message] of cases)
    t.throws(() => Subnet.parse(text), { code: "SUBNET_INVALID", subject: text, message }, text);
  t.end();
});

t.test("addresses have numbers", (t) => {
  const cases: [subnet: string, address: string, number: bigint | undefined][] = [
    ["10.89.0.0/24", "10.89.0.0", 0n],
    ["10.89.0.0/24", "10.89.0.255", 255n],
    ["10.89.0.0/24", "::ffff:10.89.0.7", 7n],
    ["10.89.0.0/24", "10.89.1.0", undefined],
    ["10.89.0.0/24", "10.88.255.255", undefined],
    ["10.89.0.0/24", "010.89.0.1", undefined],
    ["10.89.0.0/24", "::10.89.0.1", undefined],
    ["10.89.0.0/24", "fd00::1", undefined],
    ["10.89.0.0/24", "web", undefined],
    ["fd00::/64", "FD00::0:1:0", 65536n],
    ["fd00::/64", "fd00:0:0:1::", undefined],
    ["fd00::/64", "fd00::1%eth0", undefined],
    ["::/0", "10.0.0.1", undefined],
  ];
  for (const [subnet, address, number] of cases) {
    t.equal(Subnet.parse(subnet).numberOf(address), number, `${address} in ${subnet}`);
    t.equal(Subnet.parse(subnet).contains(address), number !== undefined);
  }
  for (const number of [-1n, 256n]) t.throws(() => Subnet.parse("10.89.0.0/24").at(number), RangeError);
  t.end();
});

t.test("subnets overlap when one encloses the other", (t) => {
  const cases: [one: string, other: string, encloses: boolean, overlaps: boolean][] = [
    ["10.0.0.0/8", "10.89.0.0/24", true, true],
    ["10.89.0.0/24", "10.0.0.0/8", false, true],
    ["10.89.0.0/24", "10.89.0.0/24", true, true],
    ["10.89.0.0/24", "10.89.1.0/24", false, false],
    ["0.0.0.0/0", "10.89.1.0/24", true, true],
    ["::/0", "10.89.1.0/24", false, false],
    ["fd00::/48", "fd00:0:0:ffff::/64", true, true],
    ["fd00::/48", "fd00:0:1::/64", false, false],
  ];
  for (const [one, other, encloses, overlaps] of cases) {
    const [left, right] = [Subnet.parse(one), Subnet.parse(other)];
    t.equal(left.encloses(right), encloses, `${one} encloses ${other}`);
    t.equal(left.overlaps(right), overlaps, `${one} overlaps ${other}`);
    t.equal(right.overlaps(left), overlaps);
  }
  t.end();
});

t.test("a subnet has parts", (t) => {
  const subnet = Subnet.parse("192.168.0.0/16");
  t.same(
    [0n, 1n, 15n].map((number) => String(subnet.part(20, number))),
    ["192.168.0.0/20", "192.168.16.0/20", "192.168.240.0/20"],
  );
  t.equal(String(Subnet.parse("fd00::/8").part(64, (1n << 56n) - 1n)), "fdff:ffff:ffff:ffff::/64");
  for (const [prefix, number] of [
    [20, 16n],
    [20, -1n],
    [15, 0n],
    [33, 0n],
  ] as const)
    t.throws(() => subnet.part(prefix, number), RangeError, `/${prefix} ${number}`);
  t.end();
});

t.test("every subnet holds what ipaddr.js says it does", (t) => {
  const v4 = fc.tuple(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }));
  const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const address = bytes.map((raw) => ipaddr.fromByteArray([0xfd, ...raw.subarray(1)]).toString());
  const v6 = fc.tuple(address, address, fc.integer({ min: 0, max: 128 }));
  const holds = fc.property(fc.oneof(v4, v6), ([one, other, prefix]) => {
    const subnet = subnetWith(one, prefix);
    const number = subnet.numberOf(one);
    return (
      number !== undefined &&
      subnet.at(number) === ipaddr.parse(one).toString() &&
      subnet.contains(other) === ipaddr.parse(other).match(ipaddr.parse(one), prefix) &&
      String(Subnet.parse(String(subnet))) === String(subnet)
    );
  });
  t.doesNotThrow(() => fc.assert(holds, { numRuns: 2000 }));
  t.end();
});

/** The subnet an address is in, as the message that refuses the address names it. */
function subnetWith(address: string, prefix: number): Subnet {
  try {
    return Subnet.parse(`${address}/${prefix}`);
  } catch (error) {
    return Subnet.parse((error as PontoonError).message.split(" ").at(-1)!);
  }
}
