import dnsPacket, { type Answer } from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { keyOfText } from "./name.js";
import { TYPE } from "./query.js";
import { addressesIn, buildQuery, storeReply, type StoredReply } from "./stored-reply.js";
import { optRecord } from "../testing/opt-record.js";
import { queryFor } from "../testing/upstream.js";

interface Parts {
  flags?: number;
  answers?: Answer[];
  authorities?: Answer[];
  additionals?: Answer[];
}

const { questionEnd } = queryFor("web.example");
const address = (ttl: number, data = "10.0.0.1"): Answer => ({ type: "A", name: "web.example", ttl, data });
const alias = (ttl: number): Answer => ({ type: "CNAME", name: "web.example", ttl, data: "other.example" });
const soa = (ttl: number, minimum: number): Answer => ({
  type: "SOA",
  name: "example",
  ttl,
  data: { mname: "ns.example", rname: "admin.example", serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
});
const server = (ttl: number): Answer => ({ type: "NS", name: "example", ttl, data: "ns.example" });
const opt = optRecord({ udpPayloadSize: 4096 });
const NXDOMAIN = 3;
const TC = 0x0200;

function packet({ flags = 0, ...sections }: Parts): Buffer {
  return dnsPacket.encode({
    type: "response",
    id: 7,
    flags: 0x0180 | flags,
    questions: [{ name: "web.example", type: "A" }],
    ...sections,
  });
}

function stored(parts: Parts): StoredReply {
  const reply = storeReply(packet(parts), questionEnd);
  if (!reply) throw new Error("not stored");
  return reply;
}

const decode = ({ bytes }: StoredReply) => dnsPacket.decode(Buffer.from(bytes, "latin1"));

t.test("a reply is kept with all its records but OPT", (t) => {
  const sections = {
    answers: [alias(30), address(60)],
    authorities: [server(90)],
    additionals: [address(120, "10.0.0.9")],
  };
  for (const additionals of [sections.additionals, [...sections.additionals, opt]]) {
    const reply = stored({ ...sections, additionals });
    const { answers, authorities, additionals: kept } = decode(reply);
    t.match(decode(reply), sections);
    t.same([answers?.length, authorities?.length, kept?.length], [2, 1, 1]);
    const bytes = Buffer.from(reply.bytes, "latin1");
    t.same(
      reply.ttlOffsets.map((at) => bytes.readUInt32BE(at)),
      [30, 60, 90, 120],
    );
  }
  t.same(decode(stored({ additionals: [opt] })).additionals, [], "OPT alone");
  t.end();
});

t.test("what stands behind OPT goes with it", (t) => {
  const reply = stored({ answers: [address(60)], additionals: [address(5, "10.0.0.8"), opt, address(5, "10.0.0.9")] });
  t.match(decode(reply), {
    answers: { length: 1, 0: { data: "10.0.0.1" } },
    additionals: { length: 1, 0: { data: "10.0.0.8" } },
  });
  t.equal(decode(reply).additionals?.length, 1);
  t.equal(reply.ttlOffsets.length, 2);
  t.end();
});

t.test("bytes behind the last record are not kept", (t) => {
  for (const parts of [{ answers: [address(60)] }, { answers: [address(60)], additionals: [opt] }, {}]) {
    const whole = packet(parts);
    t.equal(storeReply(Buffer.concat([whole, Buffer.from("more")]), questionEnd)?.bytes, stored(parts).bytes);
  }
  t.end();
});

t.test("how long a reply is kept", (t) => {
  const cases: [what: string, parts: Parts, lifetime: number][] = [
    ["one address", { answers: [address(60)] }, 60],
    ["the smallest TTL of the answer", { answers: [alias(300), address(60), address(90)] }, 60],
    [
      "TTLs elsewhere do not count",
      { answers: [address(60)], authorities: [server(5)], additionals: [address(1)] },
      60,
    ],
    ["TTL 0", { answers: [address(0), address(60)] }, 0],
    ["a day at the most", { answers: [address(0x7fffffff)] }, 86_400],
    ["a TTL with its highest bit set is none", { answers: [address(0x80000000)] }, 0],
    ["the largest TTL of all", { answers: [address(0xffffffff)] }, 0],
    ["no data, by the SOA's own TTL", { authorities: [soa(30, 60)] }, 30],
    ["no data, by the SOA's minimum", { authorities: [soa(60, 30)] }, 30],
    ["a minimum with its highest bit set", { authorities: [soa(60, 0x80000001)] }, 0],
    ["no such name", { flags: NXDOMAIN, authorities: [server(5), soa(60, 60)] }, 60],
    ["an hour at the most", { flags: NXDOMAIN, authorities: [soa(86_400, 86_400)] }, 3600],
    ["no such name, without a SOA", { flags: NXDOMAIN, authorities: [server(60)] }, 0],
    ["no data, without a SOA", {}, 0],
    ["a SOA among the additional records", { additionals: [soa(60, 60)] }, 0],
    [
      "an alias to a name that does not exist",
      { flags: NXDOMAIN, answers: [alias(300)], authorities: [soa(60, 30)] },
      30,
    ],
    ["an alias that expires before", { flags: NXDOMAIN, answers: [alias(10)], authorities: [soa(60, 30)] }, 10],
    ["an alias to a name that does not exist, without a SOA", { flags: NXDOMAIN, answers: [alias(300)] }, 0],
    ["an alias to a name without data", { answers: [alias(300)], authorities: [soa(60, 30)] }, 30],
    ["truncated", { flags: TC, answers: [address(60)] }, 0],
    ["NOTIMP", { flags: 4, answers: [address(60)] }, 0],
  ];
  for (const [what, parts, lifetime] of cases) t.equal(stored(parts).lifetime, lifetime, what);
  t.end();
});

t.test("what it says is known without reading it again", (t) => {
  t.match(stored({ answers: [address(60)] }), { rcode: 0, hasAnswers: true });
  t.match(stored({ flags: NXDOMAIN, authorities: [soa(1, 1)] }), { rcode: NXDOMAIN, hasAnswers: false });
  t.end();
});

t.test("malformed records are not kept", (t) => {
  const whole = packet({ answers: [address(60)], authorities: [server(90)] });
  for (let length = questionEnd; length < whole.length; length++)
    t.equal(storeReply(whole.subarray(0, length), questionEnd), undefined, `${length} bytes`);
  const counts = (at: number, count: number) => {
    const bytes = Buffer.from(whole);
    bytes.writeUInt16BE(count, at);
    return bytes;
  };
  t.equal(storeReply(counts(6, 65535), questionEnd), undefined, "more answers than there are");
  t.equal(storeReply(counts(10, 1), questionEnd), undefined, "an additional record that is not there");
  const label = packet({ answers: [address(60)] });
  label[questionEnd] = 0x40;
  t.equal(storeReply(label, questionEnd), undefined, "a reserved label");
  t.equal(storeReply(packet({ answers: [opt] }), questionEnd), undefined, "OPT among the answers");
  t.equal(storeReply(packet({ authorities: [opt] }), questionEnd), undefined, "OPT among the authorities");
  t.end();
});

t.test("a SOA too short for its numbers says nothing", (t) => {
  const bytes = Buffer.concat([packet({}), Buffer.from([0, 0, 6, 0, 1, 0, 0, 0, 60, 0, 4, 0, 0, 0, 60])]);
  bytes.writeUInt16BE(1, 8);
  t.equal(storeReply(bytes, questionEnd)?.lifetime, 0);
  t.end();
});

t.test("names without end are not kept, whether they own a record or stand in it", (t) => {
  const record = (...bytes: number[]) => {
    const message = Buffer.concat([packet({}), Buffer.from(bytes)]);
    message.writeUInt16BE(1, 6);
    return storeReply(message, questionEnd);
  };
  t.equal(record(0xc0, questionEnd, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1), undefined, "an owner that is itself");
  t.equal(record(0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, questionEnd + 12), undefined, "an alias to itself");
  t.match(
    record(0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12),
    { lifetime: 60, hasAnswers: true },
    "an alias to its own name ends",
  );
  t.end();
});

t.test("random bytes never throw", (t) => {
  const header = fc.tuple(fc.nat(0xffff), ...Array.from({ length: 3 }, () => fc.oneof(fc.nat(4), fc.nat(0xffff))));
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 600 }), ([flags, ...counts], body) => {
      const message = Buffer.concat([packet({}), body]);
      message.writeUInt16BE(flags, 2);
      counts.forEach((count, index) => message.writeUInt16BE(count, 6 + 2 * index));
      const reply = storeReply(message, questionEnd);
      if (!reply) return true;
      addressesIn(reply, questionEnd, TYPE.A, 1);
      return (
        reply.bytes.length <= message.length &&
        reply.lifetime >= 0 &&
        reply.ttlOffsets.every((at) => at + 6 <= reply.bytes.length)
      );
    }),
    { numRuns: 5000 },
  );
  t.end();
});

t.test("a reply with any byte changed never throws", (t) => {
  const whole = packet({ answers: [alias(30), address(60)], authorities: [soa(1, 1)], additionals: [opt] });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 2, max: whole.length - 1 }), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      (changes) => {
        const message = Buffer.from(whole);
        for (const [at, byte] of changes) message[at] = byte;
        storeReply(message, questionEnd);
      },
    ),
    { numRuns: 5000 },
  );
  t.end();
});

t.test("addresses are found under whatever name, their TTLs counted down", (t) => {
  const reply = stored({
    answers: [alias(300), address(60), { type: "A", name: "other.example", ttl: 5, data: "10.0.0.2" }],
    additionals: [address(60, "10.0.0.9")],
  });
  const found = addressesIn(reply, questionEnd, TYPE.A, 10);
  t.same(
    found.map(({ ttl, data }) => [ttl, [...data].join(".")]),
    [
      [50, "10.0.0.1"],
      [0, "10.0.0.2"],
    ],
  );
  t.same(addressesIn(reply, questionEnd, TYPE.AAAA, 0), []);
  t.end();
});

t.test("an address of another length is none", (t) => {
  const bytes = packet({ answers: [{ type: "AAAA", name: "web.example", ttl: 60, data: "fd00::1" }] });
  bytes.writeUInt16BE(TYPE.A, bytes.length - 26);
  t.same(addressesIn(storeReply(bytes, questionEnd)!, questionEnd, TYPE.A, 0), []);
  t.end();
});

t.test("our own query", (t) => {
  for (const [flags, dnssecOk] of [
    [0x0100, false],
    [0x0110, false],
    [0x0100, true],
  ] as const) {
    const { query, questionEnd: end } = buildQuery({
      key: keyOfText("Web.Example")!,
      type: TYPE.AAAA,
      class: 1,
      flags,
      dnssecOk,
      clientSubnet: "",
    });
    t.match(dnsPacket.decode(query), {
      type: "query",
      flag_rd: true,
      flag_cd: flags === 0x0110,
      flag_ad: false,
      questions: { length: 1, 0: { name: "web.example", type: "AAAA", class: "IN" } },
      additionals: {
        length: 1,
        0: { type: "OPT", name: ".", udpPayloadSize: 1232, ednsVersion: 0, flag_do: dnssecOk },
      },
    });
    t.equal(end, query.length - 11);
  }
  t.match(
    dnsPacket.decode(
      buildQuery({ key: "", type: TYPE.NS, class: 1, flags: 0x0100, dnssecOk: false, clientSubnet: "" }).query,
    ),
    { questions: { length: 1, 0: { name: ".", type: "NS" } } },
    "the root",
  );
  t.end();
});
