import fc from "fast-check";
import t from "tap";
import { decodeAddress, encodeAddress, encodeUnixAddress } from "./address.js";

t.test("the number of an interface goes to the kernel, its name does not", (t) => {
  const scopeOf = (ip: string) => encodeAddress({ ip, port: 53 }).readUInt32LE(24);
  t.same(
    ["fe80::1", "fe80::1%eth0", "fe80::1%", "fe80::1%3", "fe80::1%4294967295"].map(scopeOf),
    [0, 0, 0, 3, 0xffffffff],
  );
  t.end();
});

t.test("every socket address survives both ways", (t) => {
  const ip = fc.oneof(fc.ipV4(), fc.constant("2001:db8::1"));
  const survives = fc.property(ip, fc.nat({ max: 65535 }), (ip, port) => {
    t.same(decodeAddress(encodeAddress({ ip, port }), 0), { ip, port });
  });
  t.doesNotThrow(() => fc.assert(survives));
  t.throws(() => encodeAddress({ ip: "web", port: 80 }), RangeError, "a name is not bound to all addresses");
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
