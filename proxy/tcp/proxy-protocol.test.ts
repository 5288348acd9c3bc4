import fc from "fast-check";
import t from "tap";
import { decodeIPv4, decodeIPv6 } from "../../common/address.js";
import { encodeHeader, HEADER_AT_MOST, readHeader, type Ends } from "./proxy-protocol.js";

const port = fc.integer({ min: 0, max: 65535 });
const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((raw) => decodeIPv4(Buffer.from(raw), 0));
// Mapped addresses are IPv4 to the PROXY protocol, so none of them here.
const v6 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((raw) => decodeIPv6(Buffer.from([0x20, ...raw.slice(1)]), 0));
const endsOf = (ip: fc.Arbitrary<string>): fc.Arbitrary<Ends> => {
  const address = fc.record({ ip, port });
  return fc.record({ source: address, destination: address });
};
const ends = fc.oneof(endsOf(v4), endsOf(v6));
const version = fc.constantFrom("v1" as const, "v2" as const);

t.test("what is written is read, whatever comes behind it, and no earlier than it is whole", (t) => {
  fc.assert(
    fc.property(version, ends, fc.uint8Array({ maxLength: 64 }), (version, ends, rest) => {
      const header = encodeHeader(version, ends);
      const all = Buffer.concat([header, rest]);
      t.same(readHeader(all), { kind: "header", ends, length: header.length }, { diagnostic: false });
      for (let length = 0; length < header.length; length++)
        if (readHeader(all.subarray(0, length)).kind !== "incomplete") return false;
      return true;
    }),
  );
  t.end();
});

t.test("no bytes make it fail, or wait without end", (t) => {
  const start = fc.constantFrom("", "PROXY ", "PROXY TCP4 ", "\r\n\r\n\0\r\nQUIT\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11");
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (start, rest) => {
      const result = readHeader(Buffer.concat([Buffer.from(start, "latin1"), rest]));
      return result.kind !== "header" || (result.length >= 15 && result.length <= start.length + rest.length);
    }),
  );
  fc.assert(
    fc.property(
      start,
      fc.uint8Array({ minLength: HEADER_AT_MOST, maxLength: HEADER_AT_MOST + 10 }),
      (start, rest) => readHeader(Buffer.concat([Buffer.from(start, "latin1"), rest])).kind !== "incomplete",
    ),
    { numRuns: 20 },
  );
  t.end();
});

t.test("examples of the specification", (t) => {
  const read = (text: string) => readHeader(Buffer.from(text, "latin1"));
  t.same(read("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n"), {
    kind: "header",
    length: 47,
    ends: { source: { ip: "192.168.0.1", port: 56324 }, destination: { ip: "192.168.0.11", port: 443 } },
  });
  t.same(read("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), {
    kind: "header",
    ends: undefined,
    length: 59,
  });
  t.same(read("PROXY UNKNOWN\r\n"), { kind: "header", ends: undefined, length: 15 });
  t.equal(
    encodeHeader("v1", { source: { ip: "1.2.3.4", port: 1 }, destination: { ip: "::1", port: 2 } }).toString(),
    "PROXY UNKNOWN\r\n",
    "families that differ",
  );
  const mapped = encodeHeader("v1", {
    source: { ip: "::ffff:1.2.3.4", port: 1 },
    destination: { ip: "::ffff:506:708", port: 2 },
  });
  t.equal(mapped.toString(), "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n");
  t.end();
});

t.test("what is not a header is refused", (t) => {
  const refused = (text: string) =>
    t.equal(readHeader(Buffer.from(text, "latin1")).kind, "invalid", JSON.stringify(text));
  refused("GET / HTTP/1.1\r\n");
  refused("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n");
  refused("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n");
  refused("PROXY TCP4 1.2.3.4 ::1 1 2\r\n");
  refused("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n");
  refused("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n");
  refused("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n");
  refused(`PROXY ${"x".repeat(101)}`);
  const signature = "\r\n\r\n\0\r\nQUIT\n";
  refused(`${signature}\x11\x11\0\x0c${"x".repeat(12)}`);
  refused(`${signature}\x22\x11\0\x0c${"x".repeat(12)}`);
  refused(`${signature}\x21\x11\0\x0b${"x".repeat(11)}`);
  refused(`${signature}\x21\x21\0\x0c${"x".repeat(12)}`);
  refused(`${signature}\x21\x11\xff\xff`);
  t.end();
});

t.test("LOCAL and families without a meaning here are read over, with the fields behind addresses", (t) => {
  const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
  const local = Buffer.concat([signature, Buffer.of(0x20, 0x11, 0, 12), Buffer.alloc(12)]);
  t.same(readHeader(local), { kind: "header", ends: undefined, length: 28 });
  const unix = Buffer.concat([signature, Buffer.of(0x21, 0x31, 0, 216), Buffer.alloc(216)]);
  t.same(readHeader(unix), { kind: "header", ends: undefined, length: 232 });
  const withFields = Buffer.concat([
    signature,
    Buffer.of(0x21, 0x11, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10, 4, 0, 1, 0),
  ]);
  t.same(readHeader(withFields), {
    kind: "header",
    ends: { source: { ip: "1.2.3.4", port: 9 }, destination: { ip: "5.6.7.8", port: 10 } },
    length: 32,
  });
  t.end();
});
