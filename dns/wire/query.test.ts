import dnsPacket from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { readQuery, RCODE, TYPE, type Query } from "./query.js";

interface Parts {
  id?: number;
  flags?: number;
  counts?: [questions: number, answers: number, authorities: number, additionals: number];
  /** Everything behind the header. */
  body: Buffer;
}

const web = Buffer.from("\x03web\0", "latin1");
const typeAndClass = (type: number, dnsClass = 1) =>
  Buffer.from([type >> 8, type & 255, dnsClass >> 8, dnsClass & 255]);
const questionWeb = Buffer.concat([web, typeAndClass(TYPE.A)]);
const opt = (size = 1232, version = 0, flags = 0) =>
  Buffer.from([0, 0, 41, size >> 8, size & 255, 0, version, flags >> 8, flags & 255, 0, 0]);
const record = (name: Buffer, type: number = TYPE.A, data = Buffer.from([10, 0, 0, 1])) =>
  Buffer.concat([name, typeAndClass(type), Buffer.from([0, 0, 0, 5, data.length >> 8, data.length & 255]), data]);

function message({ id = 0x1234, flags = 0x0100, counts = [1, 0, 0, 0], body }: Parts): Buffer {
  const header = Buffer.alloc(12);
  [id, flags, ...counts].forEach((value, index) => header.writeUInt16BE(value, index * 2));
  return Buffer.concat([header, body]);
}

const read = (bytes: Buffer): Query => readQuery(bytes, 0, bytes.length);
const question = (name: Buffer, type: number = TYPE.A, dnsClass = 1) =>
  message({ body: Buffer.concat([name, typeAndClass(type, dnsClass)]) });
const keyOf = (name: string) => {
  const query = read(question(Buffer.from(name, "latin1")));
  return query.kind === "question" ? query.key : undefined;
};

t.test("a plain query is read", (t) => {
  t.same(read(question(web, TYPE.AAAA)), {
    kind: "question",
    key: "\x03web",
    type: TYPE.AAAA,
    class: 1,
    flags: 0x0100,
    end: 21,
    edns: undefined,
  });
  t.end();
});

t.test("the client's EDNS is read", (t) => {
  const query = read(message({ counts: [1, 0, 0, 1], body: Buffer.concat([questionWeb, opt(4096, 0, 0x8000)]) }));
  t.match(query, { kind: "question", end: 21, edns: { size: 4096, dnssecOk: true } });
  t.match(read(message({ counts: [1, 0, 0, 1], body: Buffer.concat([questionWeb, opt(512)]) })), {
    edns: { size: 512, dnssecOk: false },
  });
  t.end();
});

t.test("what dns-packet encodes is read", (t) => {
  const bytes = dnsPacket.encode({
    type: "query",
    id: 7,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name: "Db.Red", type: "SRV" }],
  });
  t.match(read(bytes), { kind: "question", key: "\x02db\x03red", type: TYPE.SRV, flags: 0x0100, end: bytes.length });
  t.end();
});

t.test("the header decides first", (t) => {
  const body = questionWeb;
  const cases: [what: string, bytes: Buffer, expected: object][] = [
    ["no header", message({ body }).subarray(0, 11), { kind: "ignore" }],
    ["a reply", message({ flags: 0x8180, body }), { kind: "ignore" }],
    ["a reply of another opcode", message({ flags: 0xa800, body }), { kind: "ignore" }],
    ["a reply that is too large", message({ flags: 0x8180, body: Buffer.alloc(5000) }), { kind: "ignore" }],
    [
      "a query that is too large",
      message({ body: Buffer.concat([body, Buffer.alloc(4096)]) }),
      { kind: "refusal", rcode: RCODE.REFUSED, end: 12 },
    ],
    ["NOTIFY", message({ flags: 4 << 11, body }), { kind: "refusal", rcode: RCODE.NOTIMP, end: 12 }],
    ["UPDATE", message({ flags: 5 << 11, body }), { kind: "refusal", rcode: RCODE.NOTIMP, end: 12 }],
    ["no question", message({ counts: [0, 0, 0, 0], body }), { kind: "refusal", rcode: RCODE.FORMERR, end: 12 }],
    [
      "two questions",
      message({ counts: [2, 0, 0, 0], body: Buffer.concat([body, body]) }),
      { kind: "refusal", rcode: RCODE.FORMERR, end: 12 },
    ],
    ["class CH", question(web, TYPE.TXT, 3), { kind: "question", class: 3 }],
    ["class ANY", question(web, TYPE.A, 255), { kind: "question", class: 255 }],
    ["bits that mean nothing in a query", message({ flags: 0x07ff, body }), { kind: "question" }],
  ];
  for (const [what, bytes, expected] of cases) t.match(read(bytes), expected, what);
  t.end();
});

t.test("a malformed question is refused with nothing but the header", (t) => {
  const cases: [what: string, body: Buffer][] = [
    ["no name", Buffer.alloc(0)],
    ["a name without an end", Buffer.from("\x03web", "latin1")],
    ["a label past the end", Buffer.from("\x3fweb", "latin1")],
    ["no type", web],
    ["no class", Buffer.concat([web, Buffer.from([0, 1, 0])])],
    ["a name that is compressed", Buffer.concat([Buffer.from([0xc0, 12]), typeAndClass(TYPE.A)])],
    [
      "a name that is compressed at its end",
      Buffer.concat([Buffer.from("\x03web\xc0\x0c", "latin1"), typeAndClass(TYPE.A)]),
    ],
    ["an extended label", Buffer.concat([Buffer.from([0x41, 0, 0]), typeAndClass(TYPE.A)])],
    ["a reserved label", Buffer.concat([Buffer.from([0x80, 0, 0]), typeAndClass(TYPE.A)])],
    [
      "a name of 256 bytes",
      Buffer.concat([
        Buffer.from(`${"\x3f".padEnd(64, "x").repeat(3)}${"\x3e".padEnd(63, "x")}\0`, "latin1"),
        typeAndClass(TYPE.A),
      ]),
    ],
  ];
  for (const [what, body] of cases)
    t.match(read(message({ body })), { kind: "refusal", rcode: RCODE.FORMERR, end: 12, hasEdns: false }, what);
  const longest = Buffer.from(`${"\x3f".padEnd(64, "x").repeat(3)}${"\x3d".padEnd(62, "x")}\0`, "latin1");
  t.match(read(question(longest)), { kind: "question", end: 12 + 255 + 4 }, "255 bytes are a name");
  t.end();
});

t.test("malformed records behind the question are refused, with the question", (t) => {
  const pointer = Buffer.from([0xc0, 12]);
  const cases: [what: string, counts: Parts["counts"] & {}, records: Buffer[]][] = [
    ["a record that is not there", [1, 0, 0, 1], []],
    ["half a record", [1, 0, 0, 1], [opt().subarray(0, 10)]],
    ["data past the end", [1, 0, 0, 1], [record(web).subarray(0, -1)]],
    ["half a pointer", [1, 1, 0, 0], [Buffer.from([0xc0])]],
    ["a reserved label", [1, 1, 0, 0], [record(Buffer.from([0x40, 0]))]],
    ["two OPT records", [1, 0, 0, 2], [opt(), opt()]],
    ["an OPT record among the answers", [1, 1, 0, 0], [opt()]],
    ["an OPT record among the authorities", [1, 0, 1, 0], [opt()]],
    ["an OPT record that has a name", [1, 0, 0, 1], [Buffer.concat([web, opt().subarray(1)])]],
    ["an OPT record with a pointer to a root", [1, 0, 0, 1], [Buffer.concat([pointer, opt().subarray(1)])]],
    ["65535 records three times", [1, 65535, 65535, 65535], [record(web)]],
  ];
  for (const [what, counts, records] of cases) {
    const query = read(message({ counts, body: Buffer.concat([questionWeb, ...records]) }));
    t.match(query, { kind: "refusal", rcode: RCODE.FORMERR, end: 21 }, what);
  }
  const fine = read(
    message({
      counts: [1, 1, 1, 2],
      body: Buffer.concat([questionWeb, record(pointer), record(web), opt(), record(web, 250)]),
    }),
  );
  t.match(fine, { kind: "question", edns: { size: 1232 } }, "records that mean nothing here are passed over");
  t.end();
});

t.test("another version of EDNS is refused as such", (t) => {
  const query = read(message({ counts: [1, 0, 0, 1], body: Buffer.concat([questionWeb, opt(1232, 1)]) }));
  t.match(query, { kind: "refusal", rcode: RCODE.BADVERS, end: 21, hasEdns: true });
  t.end();
});

t.test("keys are bytes", (t) => {
  t.not(keyOf("\x01\xff\0"), keyOf("\x01\xfe\0"), "bytes that are no UTF-8 stay apart");
  t.not(keyOf("\x06db.red\0"), keyOf("\x02db\x03red\0"), "a dot inside a label separates nothing");
  t.equal(keyOf("\x04WeB1\0"), keyOf("\x04wEb1\0"), "ASCII letters are one in either case");
  t.not(keyOf("\x01\xc0\0"), keyOf("\x01\xe0\0"), "letters of latin1 are not");
  t.not(keyOf("\x01[\0"), keyOf("\x01{\0"), "nor is what stands around the letters");
  t.equal(keyOf("\0"), "", "the root");
  t.end();
});

const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const someQuery = fc.constantFrom(
  question(web),
  message({ counts: [1, 0, 0, 1], body: Buffer.concat([questionWeb, opt()]) }),
  message({
    counts: [1, 1, 1, 2],
    body: Buffer.concat([questionWeb, record(web), record(Buffer.from([0xc0, 12])), opt(), record(web)]),
  }),
);
const mutation = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
const mutatedQuery = fc
  .tuple(someQuery, fc.array(mutation, { maxLength: 6 }), fc.nat({ max: 40 }))
  .map(([original, mutations, cut]) => {
    const bytes = Buffer.from(original.subarray(0, Math.max(0, original.length - cut)));
    for (const { at, value } of mutations) if (bytes.length > 0) bytes[at % bytes.length] = value;
    return bytes;
  });
/** Bytes around a message that would change what is read, were they looked at. */
const surroundings = fc.tuple(
  fc.uint8Array({ maxLength: 80 }),
  fc.constantFrom(0x00, 0x01, 0x3f, 0xc0, 0xff),
  fc.nat({ max: 400 }),
);

t.test("no bytes make the reader throw or look outside of the message", (t) => {
  const holds = () =>
    fc.assert(
      fc.property(fc.oneof(anyBytes, mutatedQuery), surroundings, (bytes, [before, filler, after]) => {
        // Alone in its memory: whatever lies outside throws a RangeError when it is read.
        const alone = readQuery(Buffer.from(new Uint8Array(bytes)), 0, bytes.length);
        const within = Buffer.concat([before, bytes, Buffer.alloc(after, filler)]);
        const embedded = readQuery(within, before.length, bytes.length);
        if (JSON.stringify(alone) !== JSON.stringify(embedded))
          throw new Error(`${JSON.stringify(alone)} is not ${JSON.stringify(embedded)}`);
        if (alone.kind !== "ignore" && (alone.end < 12 || alone.end > bytes.length))
          throw new Error(`a question that ends at ${alone.end} of ${bytes.length}`);
      }),
      { numRuns: 20_000 },
    );
  t.doesNotThrow(holds);
  t.end();
});

t.test("whatever is taken for a question is one to dns-packet too", (t) => {
  const holds = () =>
    fc.assert(
      fc.property(mutatedQuery, (bytes) => {
        const query = read(bytes);
        if (query.kind !== "question") return;
        const decoded = dnsPacket.decode(
          Buffer.concat([bytes.subarray(0, 6), Buffer.alloc(6), bytes.subarray(12, query.end)]),
        );
        if (decoded.questions?.length !== 1) throw new Error("dns-packet sees no question");
      }),
      { numRuns: 5000 },
    );
  t.doesNotThrow(holds);
  t.end();
});

t.test("a client's subnet is read from among its options, and nothing is made of one that cannot be", (t) => {
  const opt = (options: Buffer) => {
    const header = Buffer.alloc(12);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(1, 10);
    const fixed = Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, options.length >> 8, options.length & 255]);
    const message = Buffer.concat([header, Buffer.from([3, 119, 101, 98, 0, 0, 1, 0, 1]), fixed, options]);
    const query = readQuery(message, 0, message.length);
    return query.kind === "question" ? query.edns?.clientSubnet : query.kind;
  };
  const option = (code: number, data: readonly number[]) =>
    Buffer.from([code >> 8, code & 255, data.length >> 8, data.length & 255, ...data]);
  const subnet = [0, 1, 24, 0, 192, 0, 2];
  const text = Buffer.from(subnet).toString("latin1");
  t.equal(opt(option(8, subnet)), text);
  t.equal(opt(Buffer.concat([option(10, [1, 2, 3, 4, 5, 6, 7, 8]), option(8, subnet), option(12, [])])), text);
  t.equal(opt(option(8, [0, 1, 0, 0])), "\x00\x01\x00\x00", "a client that wants none to be told");
  for (const none of [
    Buffer.alloc(0),
    option(10, [1]),
    option(8, [0, 1, 0]),
    option(8, Array<number>(21).fill(1)),
    Buffer.from([0, 8, 0, 200, 1]),
    Buffer.from([0, 8, 0]),
  ])
    t.equal(opt(none), "");
  t.end();
});
