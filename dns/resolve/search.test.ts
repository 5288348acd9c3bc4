import dnsPacket from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { keyOfText } from "../wire/name.js";
import type { ForwardedQuestion } from "./forwarder.js";
import { CLASS, RCODE, TYPE } from "../wire/query.js";
import { buildReply } from "../wire/reply.js";
import { searchSuffixes, type Found, type Searched } from "./search.js";
import type { Sandbox } from "../sandbox.js";
import { ForwarderBench, askedOf, knowing, packed, questionFor, type Meaning } from "../testing/forwarder.js";
import { FakeUpstream } from "../testing/upstream.js";

const AAAA = (name: string) => questionFor(name, TYPE.AAAA);

/** What is found: the records' lines, through bytes as a client reads them; `none`. */
function linesOf(label: string, found: Found | undefined): string[] | "none" {
  if (!found) return "none";
  const message = dnsPacket.encode({ type: "query", id: 1, questions: [{ name: label, type: "A" }] });
  const question = {
    kind: "question",
    key: "",
    type: TYPE.A,
    class: CLASS.IN,
    flags: 0,
    end: message.length,
    edns: undefined,
  } as const;
  const reply = dnsPacket.decode(
    buildReply(message, question, { rcode: RCODE.NOERROR, records: found.records, additional: [] }, 4096),
  );
  return (reply.answers ?? []).map((answer) =>
    answer.type === "A" || answer.type === "AAAA" || answer.type === "CNAME"
      ? `${answer.name} ${answer.ttl} ${answer.type} ${answer.data}`
      : answer.type,
  );
}

class Search {
  readonly ends: (Found | undefined)[] = [];
  readonly running: { cancel(): void };

  constructor(
    private readonly bench: ForwarderBench,
    sandbox: Sandbox,
    private readonly label: string,
    question: ForwardedQuestion,
  ) {
    this.running = searchSuffixes(bench.forwarder, sandbox, question, ({ found }) => this.ends.push(found));
  }

  async lines(): Promise<string[] | "none"> {
    await this.bench.loop.until("the end of the search", () => this.ends.length > 0);
    await this.bench.settle();
    if (this.ends.length > 1) throw new Error("ended twice");
    return linesOf(this.label, this.ends[0]);
  }
}

async function searching(
  t: Parameters<typeof knowing>[0],
  names: Readonly<Record<string, Meaning>>,
  search: readonly string[],
) {
  const fake = await knowing(t, names);
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream], { search });
  const find = (label: string, type: number = TYPE.A) =>
    new Search(bench, sandbox, label, questionFor(label, type)).lines();
  return { fake, bench, sandbox, find };
}

t.test("the first suffix of the list that has the label wins", async (t) => {
  const names = { "nas.lan": { a: ["10.0.0.1"] }, "nas.corp.example": { a: ["10.0.0.2"] } };
  for (const [search, expected] of [
    [["lan", "corp.example"], "10.0.0.1"],
    [["corp.example", "lan"], "10.0.0.2"],
    [["nosuch", "lan", "corp.example"], "10.0.0.1"],
  ] as const) {
    const { find, fake } = await searching(t, names, search);
    const [name] = search.filter((suffix) => suffix !== "nosuch");
    t.same(await find("nas"), [`nas 60 CNAME nas.${name}`, `nas.${name} 60 A ${expected}`], search.join(" "));
    t.equal(fake.received.length, 2 * search.length, "all at once, both families");
  }
});

t.test("an earlier suffix that is slow is waited for", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const search = new Search(
    bench,
    bench.sandbox("one", [fake.upstream], { search: ["slow", "quick"] }),
    "nas",
    questionFor("nas"),
  );
  await bench.asked(fake, 4);
  const answer = async (name: string, meaning: Meaning) => {
    for (const { query, reply } of fake.received) {
      const asked = dnsPacket.decode(query).questions![0]!;
      if (asked.name === name) await reply(packed(query, meaning, asked.type === "AAAA" ? "AAAA" : "A"));
    }
    await bench.settle();
  };
  await answer("nas.quick", { a: ["10.0.0.2"] });
  t.same(search.ends, []);
  await answer("nas.slow", { a: ["10.0.0.1"] });
  t.same(await search.lines(), ["nas 60 CNAME nas.slow", "nas.slow 60 A 10.0.0.1"]);
});

t.test("a later suffix that is slow is not waited for", async (t) => {
  const { find } = await searching(t, { "nas.lan": { a: ["10.0.0.1"] }, "nas.slow": { silent: true } }, [
    "lan",
    "slow",
  ]);
  t.same(await find("nas"), ["nas 60 CNAME nas.lan", "nas.lan 60 A 10.0.0.1"]);
});

t.test("A and AAAA agree on the suffix", async (t) => {
  const names = { "nas.one": { aaaa: ["fd00::1"] }, "nas.two": { a: ["10.0.0.2"], aaaa: ["fd00::2"] } };
  const { find } = await searching(t, names, ["one", "two"]);
  t.same(await find("nas"), ["nas 5 CNAME nas.one"], "without an address, rather than with that of another machine");
  t.same(await find("nas", TYPE.AAAA), ["nas 60 CNAME nas.one", "nas.one 60 AAAA fd00::1"]);
});

t.test("a family that could not be asked of the name that there is, is not denied", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const ends: Searched[] = [];
  searchSuffixes(
    bench.forwarder,
    bench.sandbox("one", [fake.upstream], { search: ["lan"] }),
    questionFor("nas"),
    (searched) => ends.push(searched),
  );
  await bench.asked(fake, 2);
  for (const { query, reply } of fake.received) {
    const type = dnsPacket.decode(query).questions![0]!.type === "AAAA" ? "AAAA" : "A";
    await reply(packed(query, type === "A" ? { rcode: 2 } : { aaaa: ["fd00::1"] }, type));
  }
  await bench.loop.until("the end of the search", () => ends.length > 0);
  t.match(ends, { length: 1, 0: { found: undefined, failed: { kind: "failed", why: "failed" }, exists: true } });
});

t.test("a name without any address is not it", async (t) => {
  const { find } = await searching(t, { "nas.one": {}, "nas.two": { a: ["10.0.0.2"] } }, ["one", "two"]);
  t.same(await find("nas"), ["nas 60 CNAME nas.two", "nas.two 60 A 10.0.0.2"]);
});

t.test("several addresses come all, and the alias lasts as long as they do", async (t) => {
  const { find, bench } = await searching(t, { "nas.lan": { a: ["10.0.0.1", "10.0.0.2"], ttl: 30 } }, ["lan"]);
  t.same(await find("nas"), ["nas 30 CNAME nas.lan", "nas.lan 30 A 10.0.0.1", "nas.lan 30 A 10.0.0.2"]);
  bench.loop.pass(10_000);
  t.same(
    await find("nas"),
    ["nas 20 CNAME nas.lan", "nas.lan 20 A 10.0.0.1", "nas.lan 20 A 10.0.0.2"],
    "from what is kept, counted down",
  );
});

t.test("an alias without addresses counts down, too", async (t) => {
  const { find, bench, fake } = await searching(t, { "nas.lan": { a: ["10.0.0.1"], ttl: 600, soa: 50 } }, ["lan"]);
  await find("nas");
  bench.loop.pass(10_000);
  t.same(await find("nas", TYPE.AAAA), ["nas 40 CNAME nas.lan"]);
  t.equal(fake.received.length, 2);
});

t.test("what is kept ends the search at once", async (t) => {
  const { find, bench, sandbox } = await searching(t, { "nas.lan": { a: ["10.0.0.1"], soa: 60 } }, ["lan"]);
  await find("nas");
  t.equal(new Search(bench, sandbox, "nas", questionFor("nas")).ends.length, 1);
});

t.test("no suffix has it", async (t) => {
  const { find, fake } = await searching(t, {}, ["one", "two"]);
  t.equal(await find("nas"), "none");
  t.same(askedOf(fake).sort(), ["nas.one A", "nas.one AAAA", "nas.two A", "nas.two AAAA"]);
  const without = await searching(t, {}, []);
  t.equal(await without.find("nas"), "none");
  t.equal(without.fake.received.length, 0);
});

t.test("a suffix that nobody answers for is passed over", async (t) => {
  const { find } = await searching(t, { "nas.broken": { rcode: RCODE.SERVFAIL }, "nas.two": { a: ["10.0.0.2"] } }, [
    "broken",
    "two",
  ]);
  t.same(await find("nas"), ["nas 60 CNAME nas.two", "nas.two 60 A 10.0.0.2"]);
  const broken = await searching(t, { "nas.broken": { rcode: RCODE.SERVFAIL } }, ["broken"]);
  t.equal(await broken.find("nas"), "none");
});

t.test("a search that is cancelled ends in nothing", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const search = new Search(bench, bench.sandbox("one", [fake.upstream], { search: ["lan"] }), "nas", AAAA("nas"));
  await bench.asked(fake, 2);
  search.running.cancel();
  for (const { query, reply } of fake.received) await reply(packed(query, { a: ["10.0.0.1"] }));
  await bench.settle();
  t.same(search.ends, []);
});

t.test("a name too long, a suffix that is none and more than six are left out", async (t) => {
  const long = `${"x".repeat(63)}.`.repeat(4).slice(0, 251);
  const { find, fake } = await searching(t, { [`nas.${long.slice(0, 249)}`]: { a: ["10.0.0.1"] } }, [
    long,
    "a..b",
    "",
    ".",
    long.slice(0, 249),
  ]);
  t.matchOnly(await find("nas"), [/CNAME/, /10\.0\.0\.1/]);
  t.equal(fake.received.length, 2, "253 characters are a name");
  const many = await searching(t, {}, ["a", "b", "c", "d", "e", "f", "g"]);
  await many.find("nas");
  t.equal(many.fake.received.length, 12);
});

t.test("labels with bytes that text cannot carry are not searched", (t) => {
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [], { search: ["lan"] });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 63 }), (bytes) => {
      const label = Buffer.from(bytes).toString("latin1");
      const key = String.fromCharCode(label.length) + label;
      let found: Found | undefined;
      bench.cache.limit(0);
      searchSuffixes(bench.forwarder, sandbox, { ...questionFor("x"), key }, (end) => (found = end.found)).cancel();
      return found === undefined;
    }),
  );
  const dotted = { ...questionFor("x"), key: "\x06db.red" };
  let ended = false;
  searchSuffixes(bench.forwarder, sandbox, dotted, () => (ended = true));
  t.ok(ended, "there is nothing to ask");
  t.not(dotted.key, keyOfText("db.red"));
  t.end();
});
