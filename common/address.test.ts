import { isIPv6 } from "node:net";
import fc from "fast-check";
import t from "tap";
import {
  canonicalAddress,
  canonicalForm,
  decodeIPv4,
  decodeIPv6,
  encodeIPv4,
  encodeIPv6,
  familyOf,
  formatAddress,
  isAddress,
  leadsToLoopback,
  overlap,
  parsePrefix,
  unmapped,
} from "./address.js";

t.test("an address has one form", (t) => {
  const cases: [text: string, canonical: string | undefined][] = [
    ["127.0.0.1", "127.0.0.1"],
    ["::", "::"],
    ["2001:DB8:0::0:1", "2001:db8::1"],
    ["::FFFF:c000:201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"],
    ["::192.0.2.1", "::c000:201"],
    ["::0.0.0.1", "::1"],
    ["::ffff:0:192.0.2.1", "::ffff:0:c000:201"],
    ["fe80::1%lo", undefined],
    ["web", undefined],
    ["", undefined],
  ];
  for (const [text, canonical] of cases) t.equal(canonicalAddress(text), canonical, text);
  t.equal(canonicalForm("FE80:0::1%eth0"), "fe80::1%eth0", "a zone stays");
  t.end();
});

t.test("octal and short forms of IPv4 are not addresses, nor is one with a zone", (t) => {
  const wrong = [
    "010.0.0.1",
    "192.0.2.01",
    "1.2",
    "1.2.3",
    "16909060",
    "0x7f.0.0.1",
    "1.2.3.4.5",
    "256.0.0.1",
    " 1.2.3.4",
  ];
  for (const text of [...wrong, "::ffff:1.2.3", "::ffff:01.2.3.4", "[::1]", "1::2::3", "fe80::1%eth0"])
    t.notOk(isAddress(text), text);
  for (const text of ["1.2.3.4", "0.0.0.0", "::", "::FFFF:1.2.3.4"]) t.ok(isAddress(text), text);
  t.end();
});

t.test("a prefix is an address, and how many of its bits count", (t) => {
  const cases: [text: string, prefix: ReturnType<typeof parsePrefix>][] = [
    ["10.0.0.0/8", { ip: "10.0.0.0", family: "ipv4", length: 8 }],
    ["10.1.2.3/0", { ip: "10.1.2.3", family: "ipv4", length: 0 }],
    ["10.1.2.3", { ip: "10.1.2.3", family: "ipv4", length: 32 }],
    ["FD00::/8", { ip: "FD00::", family: "ipv6", length: 8 }],
    ["fd00::1", { ip: "fd00::1", family: "ipv6", length: 128 }],
  ];
  for (const [text, prefix] of cases) t.same(parsePrefix(text), prefix, text);
  const wrong = [
    "",
    "/",
    "/8",
    "10.0.0.0/",
    "10.0.0.0/33",
    "fd00::/129",
    "10.0.0.0/8/8",
    "10.0.0.0/+8",
    "10.0.0.0/1e1",
  ];
  for (const text of [...wrong, "10.0.0.0/0008", "10/8", "0x0a.0.0.0/8", "010.0.0.0/8", "fe80::%lo/64", "web/8"])
    t.equal(parsePrefix(text), undefined, text);
  t.end();
});

t.test("IPv4 mapped into IPv6 is unmapped in any spelling", (t) => {
  for (const ip of ["::ffff:192.0.2.1", "::FFFF:c000:201", "0:0::ffff:192.0.2.1"])
    t.equal(unmapped(ip), "192.0.2.1", ip);
  for (const ip of ["192.0.2.1", "fe80::1", "ffff::1", "::ffff:0:1.2.3.4", "1::ffff:1.2.3.4", "2001:DB8::ffff:1", ""])
    t.equal(unmapped(ip), ip, ip);
  t.end();
});

t.test("an address and a port are written as people write them", (t) => {
  t.equal(formatAddress({ ip: "192.0.2.1", port: 80 }), "192.0.2.1:80");
  t.equal(formatAddress({ ip: "::", port: 0 }), "[::]:0");
  t.equal(familyOf("::ffff:192.0.2.1"), "ipv6", "as the kernel sees it");
  t.end();
});

t.test("loopback and unspecified addresses stay in the namespace", (t) => {
  for (const ip of ["127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::"]) t.ok(leadsToLoopback(ip), ip);
  for (const ip of ["128.0.0.1", "10.127.0.1", "0.0.0.1", "::2", "fe80::1"]) t.notOk(leadsToLoopback(ip), ip);
  t.end();
});

t.test("two addresses overlap if they are the same, or one of them is all of its family", (t) => {
  for (const [one, other] of [
    ["::", "::1"],
    ["10.0.0.1", "0.0.0.0"],
    ["::1", "::1"],
  ] as const)
    t.ok(overlap(one, other) && overlap(other, one), `${one} ${other}`);
  for (const [one, other] of [
    ["::", "0.0.0.0"],
    ["::", "10.0.0.1"],
    ["10.0.0.1", "10.0.0.2"],
  ] as const)
    t.notOk(overlap(one, other) || overlap(other, one), `${one} ${other}`);
  t.end();
});

t.test("IPv6 addresses are read in any form and written in the canonical one", (t) => {
  const cases: [text: string, canonical: string, hex?: string][] = [
    ["::", "::", "0".repeat(32)],
    ["::1", "::1", `${"0".repeat(31)}1`],
    ["1::", "1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:10.0.0.255", "::ffff:a00:ff", "00000000000000000000ffff0a0000ff"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ];
  for (const [text, canonical, hex] of cases) {
    const raw = encodeIPv6(text);
    t.equal(decodeIPv6(raw, 0), canonical, text);
    if (hex !== undefined) t.equal(raw.toString("hex"), hex, text);
  }
  t.end();
});

t.test("what is not an IPv6 address is refused", (t) => {
  for (const text of ["", "10.0.0.1", ":::", "1:2:3", "::g", "1::2::3"])
    t.throws(() => encodeIPv6(text), RangeError, text);
  t.end();
});

t.test("IPv4 addresses are four bytes", (t) => {
  t.equal(encodeIPv4("127.0.0.11").toString("hex"), "7f00000b");
  t.equal(decodeIPv4(Buffer.from("ff7f00000b", "hex"), 1), "127.0.0.11");
  t.end();
});

t.test("every address survives both ways", (t) => {
  const holds = () => {
    fc.assert(fc.property(fc.ipV4(), (ip) => decodeIPv4(encodeIPv4(ip), 0) === ip));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const text = decodeIPv6(Buffer.from(bytes), 0);
        return isIPv6(text) && encodeIPv6(text).equals(bytes);
      }),
    );
    fc.assert(fc.property(fc.ipV6(), (ip) => encodeIPv6(decodeIPv6(encodeIPv6(ip), 0)).equals(encodeIPv6(ip))));
  };
  t.doesNotThrow(holds);
  t.end();
});
