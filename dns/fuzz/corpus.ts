import dnsPacket, { type Answer } from "dns-packet";
import { optRecord } from "../testing/opt-record.js";
import type { Random } from "./random.js";

// Good messages of every kind, to be spoilt.

/** Names the table of a test knows, names it does not, and names nobody should know. */
const names = [
  "web",
  "WEB",
  "web.front",
  "wide",
  "_80._tcp.web",
  "_http._tcp.web",
  "_tcp.web",
  "2.0.1.10.in-addr.arpa",
  "localhost",
  "any.localhost",
  "nas",
  "printer",
  "out.example",
  "www.out.example",
  "none.example",
  "example",
  "",
  "_80._tcp.out.example",
  "9.9.9.9.in-addr.arpa",
  `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`,
  "a.".repeat(126) + "a",
] as const;
/** A, AAAA, CNAME, NS, SOA, PTR, MX, TXT, SRV, HTTPS, OPT as a question, AXFR, ANY, none at all, the last. */
const types = [1, 28, 5, 2, 6, 12, 15, 16, 33, 65, 41, 252, 255, 0, 65535] as const;

/** A query, as clients send it and otherwise right. */
export function goodQuery(random: Random): Buffer {
  const question = Buffer.concat([
    dnsPacket.name.encode(random.pick(names)),
    numbers(random.pick(types), random.oneIn(20) ? 255 : 1),
  ]);
  const opt = random.oneIn(2) ? anyOpt(random) : Buffer.alloc(0);
  const flags = random.pick([0x0100, 0x0100, 0x0120, 0x0110, 0x0130, 0]);
  return Buffer.concat([numbers(random.below(65536), flags, 1, 0, 0, opt.length > 0 ? 1 : 0), question, opt]);
}

/** EDNS with options clients send: none, a cookie, a subnet, padding, a keep-alive, an unknown one. */
function anyOpt(random: Random): Buffer {
  const option = (code: number, data: Buffer) => Buffer.concat([numbers(code, data.length), data]);
  const options = random.pick([
    () => Buffer.alloc(0),
    () => option(10, random.bytes(8)),
    () => option(8, Buffer.from([0, 1, 24, 0, 192, 0, 2])),
    () => option(12, Buffer.alloc(random.below(400))),
    () => Buffer.concat([option(11, Buffer.alloc(0)), option(65001, random.bytes(random.below(40)))]),
  ])();
  const size = random.pick([0, 511, 512, 1232, 1400, 4096, 65535]);
  return Buffer.concat([Buffer.from([0]), numbers(41, size, 0, random.pick([0, 0x8000]), options.length), options]);
}

/**
 * A good reply to a query: addresses, an alias, a denial, a referral, a refusal, something large. Records of the name
 * asked for point to the question. @param questionEnd offset just past the question in `query`
 */
export function goodReply(random: Random, query: Buffer, questionEnd: number): Buffer {
  const name = "owner.invalid";
  const ttl = random.pick([0, 1, 60, 86_400, 0x7fffffff]);
  const soa: Answer = {
    type: "SOA",
    name: "example",
    ttl,
    data: { mname: "ns.example", rname: "admin.example", serial: 1, refresh: 2, retry: 3, expire: 4, minimum: ttl },
  };
  const opt = optRecord();
  const addresses = (count: number): Answer[] =>
    Array.from({ length: count }, (_, index) => ({ type: "A", name, ttl, data: `192.0.2.${index & 255}` }));
  const sixes = (count: number): Answer[] =>
    Array.from({ length: count }, (_, index) => ({ type: "AAAA", name, ttl, data: `2001:db8::${index}` }));
  const alias: Answer = { type: "CNAME", name, ttl, data: "target.example" };
  const shape = random.pick<
    () => { rcode?: number; answers?: Answer[]; authorities?: Answer[]; additionals?: Answer[] }
  >([
    () => ({ answers: addresses(1) }),
    () => ({ answers: sixes(2) }),
    () => ({ answers: [...addresses(3), ...sixes(3)], additionals: [opt] }),
    () => ({ answers: [alias, { type: "A", name: "target.example", ttl, data: "192.0.2.9" }], additionals: [opt] }),
    () => ({ rcode: 3, authorities: [soa], additionals: [opt] }),
    () => ({ authorities: [soa] }),
    () => ({
      answers: [
        { type: "MX", name, ttl, data: { preference: 1, exchange: "mail.example" } },
        { type: "TXT", name, ttl, data: "v=spf1" },
      ],
    }),
    () => ({
      answers: [
        { type: "SRV", name, ttl, data: { priority: 0, weight: 0, port: 80, target: "srv.example" } },
        { type: "PTR", name, ttl, data: "host.example" },
      ],
    }),
    () => ({
      authorities: [{ type: "NS", name: "example", ttl, data: "ns.example" }],
      additionals: [{ type: "A", name: "ns.example", ttl, data: "192.0.2.53" }, opt],
    }),
    () => ({ rcode: random.pick([1, 2, 4, 5, 15]) }),
    () => ({ answers: addresses(random.below(300)) }),
  ])();
  const { rcode = 0, ...sections } = shape;
  const records = dnsPacket.encode({
    type: "response",
    flags: 0x0180 | rcode | (random.oneIn(8) ? 0x0420 : 0),
    ...sections,
  });
  const owner = dnsPacket.name.encode(name).toString("latin1");
  const body = Buffer.from(records.toString("latin1", 12).replaceAll(owner, "\xc0\x0c"), "latin1");
  const reply = Buffer.concat([records.subarray(0, 12), query.subarray(12, questionEnd), body]);
  query.copy(reply, 0, 0, 2);
  reply.writeUInt16BE(1, 4);
  return reply;
}

/** 16-bit numbers as they stand in messages. */
export function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => bytes.writeUInt16BE(value & 0xffff, 2 * index));
  return bytes;
}
