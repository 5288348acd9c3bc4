import fc from "fast-check";
import t from "tap";
import { encodeIPv4 } from "../../common/address.js";
import { macBytes } from "../../linux/link-socket.js";
import { hasExpired, leaseOf } from "./lease.js";
import { MalformedPacket } from "./malformed.js";
import { decodeMessage, encodeMessage, messageTypes } from "./message.js";
import { readNames, readSearch } from "./names.js";
import { option, readOptions, writeOptions } from "./options.js";
import { readRoutes } from "./routes.js";
import { replyOf, testMac } from "./testing/reply.js";
import { checksum, decodeDatagram, encodeDatagram } from "./udp.js";

const from = "10.0.0.1";

/** As a server sends it. */
function datagram(payload: Buffer): Buffer {
  const packet = encodeDatagram({ from, to: "255.255.255.255", payload });
  const [client, server] = [packet.readUInt16BE(20), packet.readUInt16BE(22)];
  packet.writeUInt16BE(server, 20); // the sum stays as it is
  packet.writeUInt16BE(client, 22);
  return packet;
}

function refused(work: () => unknown): string {
  try {
    work();
    return "taken";
  } catch (error) {
    if (!(error instanceof MalformedPacket)) throw error;
    return error.message;
  }
}

t.test("a datagram is read as it was written, and not when a bit of it is another", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const packet = datagram(Buffer.from(bytes));
      const read = decodeDatagram(packet, false);
      return read.payload.equals(Buffer.from(bytes)) && read.from === from;
    }),
  );
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.nat(),
      fc.integer({ min: 0, max: 7 }),
      (b, n, bit) => {
        const packet = datagram(Buffer.from(b));
        const at = n % packet.length;
        if (at === 26 || at === 27) return true; // without a UDP checksum it says nothing
        packet[at]! ^= 1 << bit;
        return refused(() => decodeDatagram(packet, false)) !== "taken";
      },
    ),
  );
  const packet = datagram(Buffer.from("abc"));
  packet[30]! ^= 1;
  t.equal(
    refused(() => decodeDatagram(packet, false)),
    "a wrong UDP checksum",
  );
  t.equal(
    refused(() => decodeDatagram(packet, true)),
    "taken",
    "one that was left to hardware is none",
  );
  packet.writeUInt16BE(0, 26);
  t.equal(
    refused(() => decodeDatagram(packet, false)),
    "taken",
    "nor is one that is not there",
  );
  const longer = Buffer.concat([datagram(Buffer.from("abcd")), Buffer.alloc(20)]);
  t.equal(decodeDatagram(longer, false).payload.toString(), "abcd", "what a link fills up does not count");
  t.equal(checksum(Buffer.from("0001f203f4f5f6f7", "hex")), 0x220d, "RFC 1071 section 3");
  t.end();
});

t.test("of any bytes a message comes, or one kind of error", (t) => {
  const whole = replyOf("ack", { ip: "10.0.0.9" });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1500 }), fc.boolean(), (bytes, isBehindHeader) => {
      const message = isBehindHeader ? Buffer.concat([whole.subarray(0, 240), Buffer.from(bytes)]) : Buffer.from(bytes);
      return refused(() => leaseOf(decodeMessage(message), testMac, 0)) !== undefined;
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 20 }), (changes) => {
      const message = Buffer.from(whole);
      for (const [at, value] of changes) message[at] = value;
      return refused(() => leaseOf(decodeMessage(message), testMac, 0)) !== undefined;
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (bytes, lacks) => {
      return refused(() => decodeDatagram(Buffer.from(bytes), lacks)) !== undefined;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const value = Buffer.from(bytes);
      const names = [...readNames(value), ...(readSearch(value) ?? [])];
      const ways = readRoutes(value, "10.0.0.9");
      return names.every((name) => /^[\w.-]{1,253}$/.test(name)) && (ways?.routes.length ?? 0) <= 64;
    }),
  );
  t.end();
});

t.test("a message of ours", (t) => {
  const message = encodeMessage({
    type: "discover",
    xid: 0x01020304,
    secs: 70_000,
    wantsBroadcast: true,
    ciaddr: undefined,
    mac: testMac,
    options: new Map([[option.clientId, Buffer.from("ff01", "hex")]]),
  });
  t.equal(message.length, 300, "as long as RFC 1542 asks");
  t.equal(message.subarray(0, 12).toString("hex"), "01010600" + "01020304" + "ffff" + "8000");
  t.ok(message.subarray(28, 34).equals(macBytes(testMac)));
  t.equal(message.subarray(236, 248).toString("hex"), "63825363" + "350101" + "3d02ff01" + "ff");
  t.throws(() => writeOptions(new Map([[12, Buffer.alloc(256)]])), RangeError);
  t.end();
});

t.test("options in several parts, and in other fields", (t) => {
  const file = Buffer.concat([Buffer.of(option.router, 4, 10, 0, 0, 1, 255), Buffer.alloc(121)]);
  const sname = Buffer.concat([Buffer.of(0, 0, option.dns, 4, 10, 0, 0, 2, 255), Buffer.alloc(55)]);
  const read = (bytes: number[]) => readOptions(Buffer.from(bytes), file, sname);
  t.same([...read([option.overload, 1, 3, 255]).keys()], [option.overload, option.router, option.dns]);
  t.same([...read([option.overload, 1, 2, 255]).keys()], [option.overload, option.dns]);
  t.same([...read([]).keys()], [], "neither without being told");
  t.same([...read([15, 1, 97, 15, 1, 98]).get(15)!], [97, 98]);
  t.equal(
    refused(() => read([15, 3, 97])),
    "option 15 is cut off",
  );
  t.equal(
    refused(() => read([15])),
    "option 15 is cut off",
  );
  t.equal(messageTypes.nak, 6);
  t.end();
});

t.test("what is lent", (t) => {
  const lease = (options: Parameters<typeof replyOf>[1]) =>
    leaseOf(decodeMessage(replyOf("ack", options)), testMac, 1000);
  t.match(lease({ ip: "10.0.0.9", seconds: 100 }), {
    ip: "10.0.0.9",
    prefix: 24,
    router: "10.0.0.1",
    obtained: 1000,
    renewal: 51_000,
    rebinding: 88_500,
    expiry: 101_000,
  });
  const times = (t1: number, t2: number) => {
    const found = lease({ ip: "10.0.0.9", seconds: 100, options: [numberOption(58, t1), numberOption(59, t2)] });
    return [found!.renewal, found!.rebinding];
  };
  t.same(times(3, 90), [4000, 91_000]);
  for (const [t1, t2] of [
    [90, 3],
    [0, 50],
    [3, 100],
    [100, 200],
  ] as const)
    t.same(times(t1, t2), [51_000, 88_500], `${t1} ${t2}`);
  t.match(lease({ ip: "10.0.0.9", seconds: 0xffffffff }), { renewal: null, rebinding: null, expiry: null });
  t.notOk(hasExpired({ expiry: null }, Infinity));
  t.ok(hasExpired({ expiry: 5 }, 5));
  for (const ip of ["0.0.0.0", "127.0.0.11", "224.0.0.1", "255.255.255.255", "10.0.0.0", "10.0.0.255"])
    t.equal(lease({ ip }), undefined, ip);
  t.equal(lease({ ip: "10.0.0.9", seconds: 9 }), undefined);
  for (const mask of ["255.0.255.0", "0.0.0.0"]) t.equal(lease({ ip: "10.0.0.9", mask }), undefined, mask);
  t.match(lease({ ip: "10.0.0.9", mask: "255.255.255.255" }), { prefix: 32 });
  t.match(lease({ ip: "10.0.0.8", mask: "255.255.255.254" }), { prefix: 31 });
  const mtu = (value: string) => lease({ ip: "10.0.0.9", options: [[26, Buffer.from(value, "hex")]] })?.mtu;
  t.same(["0044", "0240", "ffff", "05"].map(mtu), [undefined, 576, 65_535, undefined]);
  t.end();
});

// RFC 3442: the destination descriptors of its own examples.
t.test("classless routes", (t) => {
  const read = (hex: string) => readRoutes(Buffer.from(hex, "hex"), "10.0.0.9");
  t.same(read("000a000001" + "080a0a000002" + "1d81d2b1840a000003" + "18ac10010a000000000000".slice(0, 16)), {
    router: "10.0.0.1",
    routes: [
      { destination: { ip: "10.0.0.0", prefix: 8 }, gateway: "10.0.0.2" },
      { destination: { ip: "129.210.177.128", prefix: 29 }, gateway: "10.0.0.3" },
      { destination: { ip: "172.16.1.0", prefix: 24 }, gateway: "10.0.0.0" },
    ],
  });
  t.same(read("18ac100100000000")?.routes, [{ destination: { ip: "172.16.1.0", prefix: 24 } }], "right over the link");
  t.same(read("18ac10010a000009")?.routes, [{ destination: { ip: "172.16.1.0", prefix: 24 } }], "by itself");
  t.equal(read("21"), undefined);
  t.equal(read("180a"), undefined);
  t.same(
    read("087f0a000001" + "04e00a000001" + "080a7f000001"),
    { router: undefined, routes: [] },
    "loopback, multicast",
  );
  t.end();
});

t.test("domains", (t) => {
  t.same(readNames(Buffer.from("lab.test. other.test\0")), ["lab.test", "other.test"]);
  t.same(
    readNames(Buffer.from("a\nnameserver 6.6.6.6")),
    ["6.6.6.6"].filter(() => true),
    "no line of its own",
  );
  // RFC 3397 section 2: eng.apple.com, marketing.apple.com
  const search = "03656e67056170706c6503636f6d00" + "096d61726b6574696e67c004";
  t.same(readSearch(Buffer.from(search, "hex")), ["eng.apple.com", "marketing.apple.com"]);
  for (const hex of ["c000", "03656e", "c001c000", "40"]) t.equal(readSearch(Buffer.from(hex, "hex")), undefined, hex);
  t.end();
});

function numberOption(code: number, value: number): [number, Buffer] {
  return [code, Buffer.from(encodeIPv4([24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join(".")))];
}
