import fc from "fast-check";
import t from "tap";
import { decodeIPv4, decodeIPv6 } from "../../common/address.js";
import { following, isInside, rangeOf, withoutContained } from "./ranges.js";

const text = (bytes: Buffer | undefined) => bytes && (bytes.length === 4 ? decodeIPv4(bytes, 0) : decodeIPv6(bytes, 0));

t.test("a subnet has a first and a last address, and one behind it", (t) => {
  const cases: [cidr: string, first: string, last: string, behind: string | undefined][] = [
    ["10.1.0.0/24", "10.1.0.0", "10.1.0.255", "10.1.1.0"],
    ["10.1.0.77/24", "10.1.0.0", "10.1.0.255", "10.1.1.0"],
    ["10.1.255.0/30", "10.1.255.0", "10.1.255.3", "10.1.255.4"],
    ["10.255.255.0/24", "10.255.255.0", "10.255.255.255", "11.0.0.0"],
    ["10.1.0.7", "10.1.0.7", "10.1.0.7", "10.1.0.8"],
    ["0.0.0.0/0", "0.0.0.0", "255.255.255.255", undefined],
    ["255.255.255.255/32", "255.255.255.255", "255.255.255.255", undefined],
    ["fd00:1::/64", "fd00:1::", "fd00:1::ffff:ffff:ffff:ffff", "fd00:1:0:1::"],
    ["fd00::/7", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"],
    ["::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", undefined],
  ];
  for (const [cidr, first, last, behind] of cases) {
    const range = rangeOf(cidr);
    t.same([text(range.first), text(range.last), text(following(range.last))], [first, last, behind], cidr);
  }
  for (const wrong of [
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8.5",
    "fd00::/129",
    "::g/8",
    "10.0.0/8",
    "x",
    "",
  ])
    t.throws(() => rangeOf(wrong), RangeError, wrong);
  t.end();
});

t.test("an address lies in a range of its family", (t) => {
  t.ok(isInside("10.1.0.255", rangeOf("10.1.0.0/24")));
  t.notOk(isInside("10.1.1.0", rangeOf("10.1.0.0/24")));
  t.notOk(isInside("::", rangeOf("0.0.0.0/0")));
  t.ok(isInside("fd00:1::5", rangeOf("fd00:1::/64")));
  t.end();
});

t.test("ranges in others are left out, and nothing is lost", (t) => {
  const address = fc.integer({ min: 0, max: 255 }).map((last) => `10.0.0.${last}`);
  const cidr = fc.tuple(address, fc.integer({ min: 24, max: 32 })).map(([ip, prefix]) => `${ip}/${prefix}`);
  t.doesNotThrow(() => {
    fc.assert(
      fc.property(fc.array(cidr), address, (cidrs, ip) => {
        const ranges = cidrs.map(rangeOf);
        const kept = withoutContained(ranges);
        const holding = kept.filter((range) => isInside(ip, range)).length;
        return holding === (ranges.some((range) => isInside(ip, range)) ? 1 : 0);
      }),
    );
  });
  t.end();
});
