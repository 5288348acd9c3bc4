import dnsPacket, { type Answer, type DecodedPacket } from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { readQuery, RCODE, TYPE, type Question } from "./query.js";
import type { AnswerRecord } from "./records.js";
import { recordsIn } from "./record-offsets.js";
import { buildRefusal, buildReply, renderReply, udpLimit } from "./reply.js";
import { storeReply, type StoredReply } from "./stored-reply.js";
import { optRecord } from "../testing/opt-record.js";

type Decoded = DecodedPacket & { rcode: string };

interface Asked {
  name?: string;
  /** EDNS payload size; undefined asks without EDNS. */
  size?: number;
  dnssecOk?: boolean;
  flags?: number;
}

function ask({ name = "Web.Front", size, dnssecOk = false, flags = dnsPacket.RECURSION_DESIRED }: Asked = {}): {
  message: Buffer;
  question: Question;
} {
  const message = dnsPacket.encode({
    type: "query",
    id: 0xbeef,
    flags,
    questions: [{ name, type: "A" }],
    additionals: size === undefined ? [] : [optRecord({ udpPayloadSize: size, dnssecOk })],
  });
  const question = readQuery(message, 0, message.length);
  if (question.kind !== "question") throw new Error(`not a question: ${JSON.stringify(question)}`);
  return { message, question };
}

const decode = (reply: Buffer) => dnsPacket.decode(reply) as Decoded;
const address = (last: number, owner?: string): AnswerRecord => ({
  owner,
  type: TYPE.A,
  ttl: 5,
  data: Buffer.from([10, 0, last >> 8, last & 255]),
});
const addresses = (count: number) => Array.from({ length: count }, (_, index) => address(index + 1));
const ok = (records: AnswerRecord[], additional: AnswerRecord[] = []) => ({
  rcode: RCODE.NOERROR,
  records,
  additional,
});
const dataOf = (answers: Answer[] | undefined) =>
  (answers ?? []).map((answer) => ("data" in answer ? answer.data : undefined));
const withoutOpt = (answers: Answer[] | undefined) => (answers ?? []).filter(({ type }) => type !== "OPT");

t.test("a reply echoes id, question and spelling, and answers with the question's name", (t) => {
  const { message, question } = ask({ name: "wEb.FronT" });
  const reply = decode(buildReply(message, question, ok([address(7)]), 512));
  t.match(reply, {
    id: 0xbeef,
    type: "response",
    rcode: "NOERROR",
    flag_aa: false,
    flag_ra: true,
    flag_rd: true,
    flag_tc: false,
  });
  t.same(reply.questions, [{ name: "wEb.FronT", type: "A", class: "IN" }]);
  t.match(reply.answers, { length: 1, 0: { name: "wEb.FronT", type: "A", class: "IN", ttl: 5, data: "10.0.0.7" } });
  t.same(reply.additionals, []);
  t.end();
});

t.test("RD and CD are copied, nothing else of the query's flags is", (t) => {
  const { message, question } = ask({
    flags:
      dnsPacket.CHECKING_DISABLED |
      dnsPacket.AUTHORITATIVE_ANSWER |
      dnsPacket.TRUNCATED_RESPONSE |
      dnsPacket.AUTHENTIC_DATA,
  });
  const flags = buildReply(message, question, ok([]), 512).readUInt16BE(2);
  t.equal(flags, 0x8000 | 0x0080 | 0x0010);
  t.end();
});

t.test("a reply carries EDNS when the query did, and only then", (t) => {
  const plain = ask();
  t.same(decode(buildReply(plain.message, plain.question, ok([address(1)]), 512)).additionals, []);
  for (const dnssecOk of [false, true]) {
    const { message, question } = ask({ size: 4096, dnssecOk });
    const { additionals } = decode(buildReply(message, question, ok([address(1)]), 512));
    t.match(additionals, {
      length: 1,
      0: { type: "OPT", name: ".", udpPayloadSize: 1232, ednsVersion: 0, extendedRcode: 0, flag_do: dnssecOk },
    });
  }
  t.end();
});

t.test("what a client takes over UDP is between 512 and 4096 bytes", (t) => {
  t.equal(udpLimit(undefined), 512);
  for (const [size, limit] of [
    [0, 512],
    [511, 512],
    [512, 512],
    [1232, 1232],
    [4096, 4096],
    [65535, 4096],
  ] as const)
    t.equal(udpLimit({ size, dnssecOk: false, clientSubnet: "" }), limit, `EDNS ${size}`);
  t.end();
});

t.test("as many answers as fit are sent, and TC says that some are missing", (t) => {
  for (const limit of [512, 513, 600, 1232, 4096]) {
    for (const size of [undefined, limit]) {
      const { message, question } = ask(size === undefined ? {} : { size });
      const reply = buildReply(message, question, ok(addresses(300)), limit);
      const decoded = decode(reply);
      const left = limit - reply.length;
      t.ok(left >= 0 && left < 16, `${reply.length} of ${limit} bytes are used`);
      t.equal(decoded.flag_tc, true);
      t.same(
        dataOf(decoded.answers),
        addresses(decoded.answers!.length).map(({ data }) => [...data].join(".")),
      );
    }
  }
  const { message, question } = ask();
  const all = decode(buildReply(message, question, ok(addresses(300)), 65535));
  t.equal(all.answers?.length, 300);
  t.equal(all.flag_tc, false, "nothing is missing over TCP");
  t.end();
});

t.test("a reply that just fits is not truncated", (t) => {
  const { message, question } = ask({ size: 4096 });
  const whole = buildReply(message, question, ok(addresses(10)), 4096).length;
  t.equal(decode(buildReply(message, question, ok(addresses(10)), whole)).flag_tc, false);
  t.equal(decode(buildReply(message, question, ok(addresses(10)), whole - 1)).flag_tc, true);
  t.end();
});

t.test("additional records are left out when they do not fit, without TC", (t) => {
  const { message, question } = ask({ size: 4096 });
  const extra = [address(1, "one.front"), address(2, "two.front")];
  const whole = buildReply(message, question, ok([address(9)], extra), 4096);
  t.match(withoutOpt(decode(whole).additionals), {
    length: 2,
    0: { name: "one.front", data: "10.0.0.1" },
    1: { name: "two.front", data: "10.0.0.2" },
  });
  const cut = decode(buildReply(message, question, ok([address(9)], extra), whole.length - 1));
  t.equal(cut.flag_tc, false);
  t.same(dataOf(cut.answers), ["10.0.0.9"]);
  t.match(withoutOpt(cut.additionals), { length: 1, 0: { name: "one.front" } });
  t.equal(cut.additionals?.length, 2, "EDNS is always there");
  const truncated = decode(buildReply(message, question, ok(addresses(300), extra), 512));
  t.same(withoutOpt(truncated.additionals), [], "nor are there any beside answers that are cut");
  t.end();
});

t.test("each rotation begins with another answer and loses none", (t) => {
  const { message, question } = ask();
  const firsts = [0, 1, 2, 3, 4].map((rotation) =>
    dataOf(decode(buildReply(message, question, ok(addresses(3)), 512, rotation)).answers),
  );
  t.same(
    firsts.map(([first]) => first),
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"],
  );
  for (const answers of firsts) t.same([...answers].sort(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  t.same(decode(buildReply(message, question, ok([]), 512, 7)).answers, [], "also of none");
  t.end();
});

t.test("a name that does not exist has no answers", (t) => {
  const { message, question } = ask({ size: 1232 });
  const reply = decode(buildReply(message, question, { rcode: RCODE.NXDOMAIN, records: [], additional: [] }, 512));
  t.match(reply, { rcode: "NXDOMAIN", answers: { length: 0 }, authorities: { length: 0 } });
  t.end();
});

t.test("a refusal echoes the question where there is one", (t) => {
  const { message, question } = ask();
  const refused = decode(
    buildRefusal(message, { kind: "refusal", rcode: RCODE.REFUSED, end: question.end, hasEdns: false }),
  );
  t.match(refused, {
    id: 0xbeef,
    type: "response",
    rcode: "REFUSED",
    flag_rd: true,
    questions: { length: 1, 0: { name: "Web.Front" } },
    answers: { length: 0 },
    additionals: { length: 0 },
  });
  const bare = buildRefusal(message, { kind: "refusal", rcode: RCODE.FORMERR, end: 12, hasEdns: false });
  t.match(decode(bare), {
    rcode: "FORMERR",
    questions: { length: 0 },
    answers: { length: 0 },
    additionals: { length: 0 },
  });
  t.equal(bare.length, 12);
  t.end();
});

t.test("a refusal keeps the opcode", (t) => {
  const message = Buffer.alloc(12);
  message.writeUInt16BE(4 << 11, 2);
  const query = readQuery(message, 0, message.length);
  if (query.kind !== "refusal") return t.fail("NOTIFY is refused");
  t.match(decode(buildRefusal(message, query)), { opcode: "NOTIFY", rcode: "NOTIMP" });
  t.end();
});

t.test("BADVERS is told in its two halves", (t) => {
  const { message } = ask({ size: 1232 });
  message[message.length - 5] = 1; // the version of EDNS
  const query = readQuery(message, 0, message.length);
  if (query.kind !== "refusal") return t.fail("EDNS 1 is refused");
  const reply = decode(buildRefusal(message, query));
  t.match(reply, {
    rcode: "NOERROR",
    questions: { length: 1, 0: { name: "Web.Front" } },
    additionals: { length: 1, 0: { type: "OPT", extendedRcode: 1, ednsVersion: 0 } },
  });
  t.end();
});

interface Forwarder {
  flags?: number;
  answers?: Answer[];
  authorities?: Answer[];
  additionals?: Answer[];
}

function forwarder(
  {
    flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE,
    answers = [],
    authorities = [],
    additionals = [],
  }: Forwarder = {},
  end = ask().question.end,
): StoredReply {
  const stored = storeReply(
    dnsPacket.encode({
      type: "response",
      id: 0x1111,
      flags,
      questions: [{ name: "web.front", type: "A" }],
      answers,
      authorities,
      additionals,
    }),
    end,
  );
  if (!stored) throw new Error("not stored");
  return stored;
}

const record = (ttl: number, data = "10.0.0.1"): Answer => ({ type: "A", name: "web.front", ttl, data });
const ttlsOf = (answers: Answer[] | undefined) =>
  (answers ?? []).map((answer) => ("ttl" in answer ? answer.ttl : undefined));
const errorIn = ({ additionals }: Decoded) => {
  const opt = additionals?.find((answer) => answer.type === "OPT");
  const data =
    opt?.type === "OPT" ? opt.options.map((option) => [option.code, (option as { data?: Buffer }).data]) : [];
  return data.map(([code, bytes]) => [code, (bytes as Buffer).readUInt16BE(0), (bytes as Buffer).toString("utf8", 2)]);
};

t.test("a kept reply is given out under the client's id and in its spelling", (t) => {
  const { message, question } = ask({ name: "wEb.FronT" });
  const reply = decode(renderReply(message, question, forwarder({ answers: [record(60)] }), 512, { age: 0 }));
  t.match(reply, {
    id: 0xbeef,
    type: "response",
    rcode: "NOERROR",
    flag_rd: true,
    flag_ra: true,
    flag_tc: false,
    additionals: { length: 0 },
  });
  t.same(reply.questions, [{ name: "wEb.FronT", type: "A", class: "IN" }]);
  t.match(reply.answers, { length: 1, 0: { data: "10.0.0.1", ttl: 60 } });
  t.end();
});

t.test("TTLs of a kept reply count down to nothing, and may be changed", (t) => {
  const { message, question } = ask();
  const stored = forwarder({
    answers: [record(60), record(10, "10.0.0.2")],
    authorities: [{ type: "NS", name: "front", ttl: 90, data: "ns.front" }],
  });
  const ttls = (rendering: Parameters<typeof renderReply>[4]) => {
    const { answers, authorities } = decode(renderReply(message, question, stored, 512, rendering));
    return [...ttlsOf(answers), ...ttlsOf(authorities)];
  };
  t.same(ttls({ age: 0 }), [60, 10, 90]);
  t.same(ttls({ age: 10 }), [50, 0, 80]);
  t.same(ttls({ age: 1000 }), [0, 0, 0]);
  t.same(ttls({ age: 1000, ttl: () => 30 }), [30, 30, 30]);
  t.same(ttls({ age: 5, ttl: (left) => Math.min(left, 20) }), [20, 5, 20]);
  t.same(ttls({ age: 0 }), [60, 10, 90], "what is kept stays as it is");
  t.end();
});

t.test("a kept reply that does not fit is cut to the answers that do, with TC, and with EDNS", (t) => {
  const stored = forwarder({
    answers: Array.from({ length: 40 }, (_, index) => record(60, `10.0.0.${index}`)),
    authorities: [record(5)],
  });
  for (const size of [undefined, 512]) {
    const { message, question } = ask(size === undefined ? {} : { size });
    const bytes = renderReply(message, question, stored, 512, { age: 1 });
    const reply = decode(bytes);
    t.match(reply, {
      id: 0xbeef,
      flag_tc: true,
      rcode: "NOERROR",
      questions: { length: 1, 0: { name: "Web.Front" } },
      answers: { length: size === undefined ? 19 : 18, 0: { data: "10.0.0.0" } },
      authorities: { length: 0 },
    });
    t.ok(bytes.length <= 512);
    t.same(
      reply.additionals?.map(({ type }) => type),
      size === undefined ? [] : ["OPT"],
    );
  }
  const { message, question } = ask({ size: 4096 });
  const whole = renderReply(message, question, stored, 4096, { age: 1 }).length;
  t.equal(decode(renderReply(message, question, stored, whole, { age: 1 })).flag_tc, false, "it just fits");
  t.match(
    decode(renderReply(message, question, stored, whole - 1, { age: 1 })),
    { flag_tc: false, authorities: { length: 0 } },
    "what was not asked for goes first",
  );
  t.equal(
    decode(
      renderReply(message, question, forwarder({ answers: Array.from({ length: 40 }, () => record(60)) }), whole - 26, {
        age: 1,
      }),
    ).flag_tc,
    true,
  );
  t.end();
});

t.test("TC tells that something is missing which was asked for, and nothing else does", (t) => {
  const name = (index: number) => `ns-${index}.a-rather-long-zone-of-name-servers.example`;
  const servers = Array.from({ length: 13 }, (_, index): Answer => ({
    type: "NS",
    name: "example",
    ttl: 60,
    data: name(index),
  }));
  const glue = Array.from({ length: 13 }, (_, index): Answer => ({
    type: "A",
    name: name(index),
    ttl: 60,
    data: "10.0.0.9",
  }));
  const proof = (text: string): Answer => ({ type: "TXT", name: "front", ttl: 60, data: text.repeat(200) });
  const cases: [
    what: string,
    asked: Asked,
    said: Forwarder,
    expected: [tc: boolean, answers: number, authorities: number, additionals: number],
  ][] = [
    [
      "extras do not fit",
      {},
      { answers: [record(60)], authorities: servers.slice(0, 2), additionals: glue },
      [false, 1, 2, 0],
    ],
    ["nor do authorities", {}, { answers: [record(60)], authorities: servers, additionals: glue }, [false, 1, 0, 0]],
    [
      "nor, without DO, with EDNS",
      { size: 512 },
      { answers: [record(60)], authorities: servers, additionals: glue },
      [false, 1, 0, 0],
    ],
    [
      "authorities may be proofs",
      { size: 512, dnssecOk: true },
      { answers: [record(60)], authorities: [proof("x"), proof("y"), proof("z")] },
      [true, 1, 0, 0],
    ],
    ["authorities are all there is", {}, { authorities: servers }, [true, 0, 0, 0]],
    [
      "answers do not fit",
      {},
      { answers: Array.from({ length: 40 }, () => record(60)), authorities: servers.slice(0, 1) },
      [true, 19, 0, 0],
    ],
    [
      "everything fits",
      { size: 4096 },
      { answers: [record(60)], authorities: servers, additionals: glue },
      [false, 1, 13, 13],
    ],
  ];
  for (const [what, asked, said, expected] of cases) {
    const { message, question } = ask(asked);
    const bytes = renderReply(message, question, forwarder(said), udpLimit(question.edns), { age: 1 });
    const reply = decode(bytes);
    t.same(
      [reply.flag_tc, reply.answers?.length, reply.authorities?.length, withoutOpt(reply.additionals).length],
      expected,
      what,
    );
    t.ok(bytes.length <= udpLimit(question.edns) && recordsIn(bytes, question.end) !== undefined, what);
  }
  t.end();
});

t.test("the question's name in a record is spelled as the client did, compressed or not; other names stay", (t) => {
  const { message, question } = ask({ name: "wEb.FronT" });
  const alias: Answer = { type: "CNAME", name: "web.FRONT", ttl: 60, data: "Other.Front" };
  const reply = decode(
    renderReply(
      message,
      question,
      forwarder({ answers: [alias, record(60), { type: "A", name: "Other.Front", ttl: 60, data: "10.0.0.2" }] }),
      512,
      { age: 0 },
    ),
  );
  t.same(
    reply.answers?.map(({ name }) => name),
    ["wEb.FronT", "wEb.FronT", "Other.Front"],
  );
  t.end();
});

t.test(
  "a kept reply's flags: RD and CD are the client's, AD is for those who asked, the rest is the upstream's",
  (t) => {
    const {
      RECURSION_DESIRED: RD,
      RECURSION_AVAILABLE: RA,
      CHECKING_DISABLED: CD,
      AUTHENTIC_DATA: AD,
      AUTHORITATIVE_ANSWER: AA,
    } = dnsPacket;
    const QR = 0x8000;
    const cases: [what: string, asked: Asked, upstream: number, expected: number][] = [
      ["RD", { flags: RD }, RA, QR | RD | RA],
      ["no RD", { flags: 0 }, RD | RA, QR | RA],
      ["CD", { flags: RD | CD }, RA, QR | RD | RA | CD],
      ["no CD", { flags: RD }, RA | CD, QR | RD | RA],
      ["AD not asked for", { flags: RD }, RA | AD, QR | RD | RA],
      ["AD asked for", { flags: RD | AD }, RA | AD, QR | RD | RA | AD],
      ["AD asked for with DO", { flags: RD, size: 1232, dnssecOk: true }, RA | AD, QR | RD | RA | AD],
      ["AD is not invented", { flags: RD | AD }, RA, QR | RD | RA],
      ["AA", { flags: RD }, RA | AA, QR | RD | RA | AA],
      ["RA is ours", { flags: RD }, 0, QR | RD | RA],
      ["NXDOMAIN", { flags: RD }, RA | 3, QR | RD | RA | 3],
    ];
    for (const [what, asked, flags, expected] of cases) {
      const { message, question } = ask(asked);
      t.equal(renderReply(message, question, forwarder({ flags }), 512, { age: 0 }).readUInt16BE(2), expected, what);
    }
    t.end();
  },
);

t.test("an extended error is for clients with EDNS", (t) => {
  const error = { code: 22, text: "no answer from 10.0.0.1" };
  const stored = forwarder({ answers: [record(60)] });
  const withEdns = ask({ size: 1232, dnssecOk: true });
  const replies = (of: ReturnType<typeof ask>) => [
    decode(renderReply(of.message, of.question, stored, 512, { age: 0, error })),
    decode(buildReply(of.message, of.question, { rcode: RCODE.SERVFAIL, records: [], additional: [], error }, 512)),
  ];
  for (const reply of replies(withEdns)) {
    t.same(errorIn(reply), [[15, 22, "no answer from 10.0.0.1"]]);
    t.match(reply.additionals, { length: 1, 0: { type: "OPT", udpPayloadSize: 1232, flag_do: true } });
  }
  for (const reply of replies(ask())) t.same(reply.additionals, []);
  t.end();
});

t.test("an extended error never takes a reply over its limit", (t) => {
  const longest = `${"x".repeat(63)}.`.repeat(4).slice(0, 253);
  for (const text of ["x".repeat(1000), "ä".repeat(1000), "𝒳".repeat(1000)]) {
    const { message, question } = ask({ name: longest, size: 512 });
    const reply = buildReply(
      message,
      question,
      { rcode: RCODE.SERVFAIL, records: [], additional: [], error: { code: 0, text } },
      512,
    );
    t.ok(reply.length <= 512 && recordsIn(reply, question.end) !== undefined, `${reply.length} bytes`);
    t.equal(errorIn(decode(reply)).length, 1);
  }
  t.end();
});

t.test("whatever an upstream said, a client can read what it gets", (t) => {
  const { message, question } = ask({ size: 1232 });
  const header = fc.tuple(...Array.from({ length: 4 }, () => fc.nat(3)));
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 1500 }), fc.nat(100_000), ([flags, ...counts], body, age) => {
      const bytes = Buffer.concat([message.subarray(0, question.end), body]);
      bytes.writeUInt16BE(0x8180 | flags!, 2);
      counts.forEach((count, index) => bytes.writeUInt16BE(count, 6 + 2 * index));
      const stored = storeReply(bytes, question.end);
      if (!stored) return true;
      const reply = renderReply(message, question, stored, 1232, { age });
      return reply.length <= 1232 && recordsIn(reply, question.end) !== undefined && reply.readUInt16BE(0) === 0xbeef;
    }),
    { numRuns: 3000 },
  );
  t.end();
});
