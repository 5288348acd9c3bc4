import { isIPv6 } from "node:net";
import fc from "fast-check";
import t from "tap";
import {
  decodeAddress,
  decodeIPv4,
  decodeIPv6,
  encodeAddress,
  encodeIPv4,
  encodeIPv6,
  encodeUnixAddress,
} from "./address.js";

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

t.test("the number of an interface goes to the kernel, its name does not", (t) => {
  const scopeOf = (ip: string) => encodeAddress({ ip, port: 53 }).readUInt32LE(24);
  t.same(
    ["fe80::1", "fe80::1%eth0", "fe80::1%", "fe80::1%3", "fe80::1%4294967295"].map(scopeOf),
    [0, 0, 0, 3, 0xffffffff],
  );
  t.end();
});

t.test("what is no IPv6 address is refused", (t) => {
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
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.constant("2001:db8::1")), fc.nat({ max: 65535 }), (ip, port) => {
        const decoded = decodeAddress(encodeAddress({ ip, port }), 0);
        return decoded.ip === ip && decoded.port === port;
      }),
    );
  };
  t.doesNotThrow(holds);
  t.end();
});

t.test("socket addresses are laid out as the kernel reads them", (t) => {
  t.equal(encodeAddress({ ip: "10.0.0.1", port: 53 }).toString("hex"), "020000350a0000010000000000000000");
  t.equal(
    encodeAddress({ ip: "::1", port: 53 }).toString("hex"),
    "0a00003500000000000000000000000000000000000000010000" + "0000",
  );
  t.same(decodeAddress(Buffer.alloc(32), 0), { ip: "", port: 0 }, "another family");
  t.end();
});

t.test("a unix address ends with a zero, and is not too long", (t) => {
  t.same(encodeUnixAddress("/run/a"), Buffer.from("\x01\0/run/a\0"));
  t.equal(encodeUnixAddress("x".repeat(107)).length, 110);
  t.throws(() => encodeUnixAddress("x".repeat(108)), /107 bytes/);
  t.throws(() => encodeUnixAddress("ü".repeat(54)), RangeError, "bytes count, not letters");
  t.end();
});
