import dnsPacket from "dns-packet";
import t, { type Test } from "tap";
import { udpSocket } from "../../linux/socket.js";
import { FORWARD_TIME } from "../forward/forward.js";
import type { Forwarding, SandboxRecord } from "../protocol.js";
import { readQuery } from "../wire/query.js";
import { udpLimit } from "../wire/reply.js";
import { Resolver } from "./resolve.js";
import type { Asked, Resolved } from "./resolved.js";
import type { Sandbox } from "../sandbox.js";
import { ForwarderBench, askedOf, knowing, packed, type Meaning } from "../testing/forwarder.js";
import { optRecord } from "../testing/opt-record.js";
import { FakeUpstream, deadUpstream, type TestLike } from "../testing/upstream.js";
import { UdpChannel } from "../forward/udp-channel.js";

const NXDOMAIN: Meaning = { rcode: 3 };
const silent: Meaning = { silent: true };
const never: Forwarding = { kind: "never" };
const noGap = { everywhere: false, networks: [] };

interface Given extends Partial<SandboxRecord> {
  names?: Readonly<Record<string, Meaning>>;
  /** What Docker's resolver knows; without it there is no gap. */
  docker?: Readonly<Record<string, Meaning>>;
}

interface Client {
  type?: "A" | "AAAA" | "MX" | "NS" | "TXT" | "SRV";
  edns?: boolean;
}

/** A container whose questions are resolved: `web` on its network `front`, an upstream, and in a gap Docker's resolver. */
class Bench {
  readonly forwarder: ForwarderBench;
  readonly resolver: Resolver;

  private constructor(
    t: TestLike,
    readonly upstream: FakeUpstream,
    readonly docker: FakeUpstream | undefined,
    given: Partial<SandboxRecord>,
    readonly sandbox: Sandbox = undefined!,
  ) {
    this.forwarder = new ForwarderBench(t);
    const { zones, loop } = this.forwarder;
    zones.putNetwork({ source: "docker", id: "front", name: "front", shared: false });
    zones.putEndpoint({
      source: "docker",
      network: "front",
      container: "web",
      names: ["web"],
      ipv4: "10.1.0.2",
      ipv6: undefined,
      ports: [],
      ttl: 5,
    });
    this.sandbox = this.forwarder.sandbox("one", [upstream.upstream], {
      networks: [{ id: "front", links: [] }],
      ...given,
    });
    this.resolver = new Resolver(loop.timers, this.forwarder.forwarder);
    this.resolver.gap = noGap;
    if (!docker) return;
    const dockerResolver = new UdpChannel(loop.poller, udpSocket("ipv4"));
    dockerResolver.connect(docker.upstream);
    this.sandbox.dockerResolver = dockerResolver;
    this.resolver.gap = { everywhere: true, networks: [] };
  }

  static async start(t: TestLike, { names = {}, docker, ...given }: Given = {}): Promise<Bench> {
    return new Bench(t, await knowing(t, names), docker && (await knowing(t, docker)), given);
  }

  asked(name: string, { type = "A", edns = false }: Client = {}): Asked {
    const message = dnsPacket.encode({
      type: "query",
      id: 0xbeef,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ name, type }],
      additionals: edns ? [optRecord()] : [],
    });
    const question = readQuery(message, 0, message.length);
    if (question.kind !== "question") throw new Error("not a question");
    return { sandbox: this.sandbox, question, message, transport: "udp", limit: udpLimit(question.edns) };
  }

  /** Begins a question as the services do. */
  begin(name: string, client?: Client): Resolved[] {
    const ends: Resolved[] = [];
    const asked = this.asked(name, client);
    const decided = this.resolver.decide(asked);
    if (decided) ends.push(decided);
    else this.resolver.ask(asked, (resolved) => ends.push(resolved));
    return ends;
  }

  async end(ends: readonly Resolved[]): Promise<Resolved> {
    await this.forwarder.loop.until("an end", () => ends.length > 0);
    await this.forwarder.settle();
    if (ends.length > 1) throw new Error("ended twice");
    return ends[0]!;
  }

  /** The end as text: rcode, answers, and where it came from. */
  async resolve(name: string, client?: Client): Promise<string> {
    return textOf(await this.end(this.begin(name, client)));
  }

  beginWith(asked: Asked): Resolved[] {
    const ends: Resolved[] = [];
    this.resolver.ask(asked, (resolved) => ends.push(resolved));
    return ends;
  }

  /** Other hosts have names on its network, too; nothing else is the matter. */
  share(): void {
    this.resolver.gap = noGap;
    this.forwarder.zones.putNetwork({ source: "docker", id: "front", name: "front", shared: true });
  }

  pass(ms: number): void {
    this.forwarder.loop.pass(ms);
  }
}

function textOf({ reply, source }: Resolved): string {
  const decoded = dnsPacket.decode(reply) as dnsPacket.DecodedPacket & { rcode: string };
  if (decoded.id !== 0xbeef) throw new Error("another id");
  const answers = (decoded.answers ?? []).map((answer) =>
    answer.type === "A" || answer.type === "AAAA" || answer.type === "CNAME" ? answer.data : answer.type,
  );
  return [decoded.rcode, ...answers, source.kind].join(" ");
}

/** The extended error in a reply: number and text. */
function errorIn({ reply }: Resolved): string | undefined {
  const opt = dnsPacket.decode(reply).additionals?.find(({ type }) => type === "OPT");
  const option = opt?.type === "OPT" ? opt.options.find(({ code }) => Number(code) === 15) : undefined;
  const data = (option as { data?: Buffer } | undefined)?.data;
  return data && `${data.readUInt16BE(0)} ${data.toString("utf8", 2)}`;
}

t.test("the table comes first, then localhost, then others", async (t) => {
  const bench = await Bench.start(t, {
    names: { web: { a: ["10.0.0.1"] }, localhost: { a: ["10.0.0.1"] }, "out.example": { a: ["10.0.0.9"] } },
  });
  t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local");
  t.equal(await bench.resolve("web", { type: "AAAA" }), "NOERROR local", "and is not asked for elsewhere");
  t.equal(await bench.resolve("localhost"), "NOERROR 127.0.0.1 local");
  t.equal(bench.upstream.received.length, 0);
  t.equal(await bench.resolve("any.localhost", { type: "AAAA" }), "NOERROR ::1 local");
  t.equal(bench.upstream.received.length, 1);
  t.equal(await bench.resolve("out.example"), "NOERROR 10.0.0.9 upstream");
  t.match(bench.sandbox.counters, { local: 3, forwarded: 2, cached: 0 });
});

t.test("a name below localhost is whose it is, and the loopback address where it is nobody's", async (t) => {
  const names: Record<string, Meaning> = {
    "mine.localhost": { a: ["10.0.0.9"] },
    "broken.localhost": { rcode: 2 },
    "no.localhost": { rcode: 3, soa: 60 },
  };
  for (const docker of [undefined, names]) {
    const bench = await Bench.start(t, { names, ...(docker && { docker }) });
    const from = docker ? "docker" : "upstream";
    t.equal(await bench.resolve("mine.localhost"), `NOERROR 10.0.0.9 ${from}`);
    t.equal(
      await bench.resolve("mine.localhost", { type: "AAAA" }),
      `NOERROR ${from}`,
      "whoever has one family is not given the other's",
    );
    for (const name of ["broken.localhost", "no.localhost", "no.localhost"])
      t.equal(await bench.resolve(name), "NOERROR 127.0.0.1 local");
  }
  t.equal(await (await Bench.start(t, { forwarding: never })).resolve("any.localhost"), "NOERROR 127.0.0.1 local");
});

t.test("other classes than the Internet's are for the upstreams", async (t) => {
  const fake = await FakeUpstream.start(t, { onUdp: ({ query, reply }) => void reply(packed(query, { rcode: 4 })) });
  const bench = await Bench.start(t, { forwarding: { kind: "upstreams", upstreams: [fake.upstream] } });
  for (const name of ["web", "version.bind", "localhost"]) {
    const asked = bench.asked(name, { type: "TXT" });
    asked.message.writeUInt16BE(3, asked.question.end - 2); // CH
    const question = readQuery(asked.message, 0, asked.message.length);
    if (question.kind !== "question") throw new Error("not a question");
    t.equal(bench.resolver.decide({ ...asked, question }), undefined);
    t.match((await bench.end(bench.beginWith({ ...asked, question }))).source, { kind: "upstream" });
  }
  t.same(new Set(fake.received.map(({ query }) => query.readUInt16BE(query.indexOf(0, 12) + 3))), new Set([3]));
});

t.test("a container named localhost keeps its name", async (t) => {
  const bench = await Bench.start(t);
  bench.forwarder.zones.putEndpoint({
    source: "docker",
    network: "front",
    container: "l",
    names: ["localhost"],
    ipv4: "10.1.0.3",
    ipv6: undefined,
    ports: [],
    ttl: 5,
  });
  t.equal(await bench.resolve("localhost"), "NOERROR 10.1.0.3 local");
});

t.test("nothing is forwarded for a container on internal networks only, whatever else holds", async (t) => {
  const nas = { nas: { a: ["10.0.0.1"] }, "nas.lan": { a: ["10.0.0.1"] } };
  for (const search of [[], ["lan"]])
    for (const singleLabels of ["forward", "no-data", "deny"] as const) {
      const bench = await Bench.start(t, { names: nas, docker: nas, forwarding: never, search, singleLabels });
      t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local");
      t.equal(await bench.resolve("out.example"), "SERVFAIL policy");
      t.equal(
        await bench.resolve("nas"),
        { forward: "SERVFAIL policy", "no-data": "NOERROR policy", deny: "NXDOMAIN policy" }[singleLabels],
      );
      t.same([...askedOf(bench.upstream), ...askedOf(bench.docker!)], []);
      t.equal(bench.sandbox.counters.refused, 2);
    }
});

t.test("single labels: whether they are forwarded, and what a suffix changes", async (t) => {
  const [plain, suffixed] = ["10.0.0.1", "10.0.0.2"];
  const cases: [
    singleLabels: SandboxRecord["singleLabels"],
    search: string[],
    names: Record<string, Meaning>,
    expected: string,
  ][] = [
    ["forward", [], { nas: { a: [plain] } }, "NOERROR 10.0.0.1 upstream"],
    ["forward", ["lan"], { nas: { a: [plain] } }, "NOERROR 10.0.0.1 upstream"],
    ["forward", ["lan"], { nas: { a: [plain] }, "nas.lan": { a: [suffixed] } }, "NOERROR nas.lan 10.0.0.2 upstream"],
    ["forward", ["lan"], {}, "NXDOMAIN upstream"],
    ["no-data", [], { nas: { a: [plain] } }, "NOERROR policy"],
    ["no-data", ["lan"], { nas: { a: [plain] } }, "NOERROR policy"],
    ["no-data", ["lan"], { "nas.lan": { a: [suffixed] } }, "NOERROR nas.lan 10.0.0.2 upstream"],
    ["deny", [], { nas: { a: [plain] } }, "NXDOMAIN policy"],
    ["deny", ["lan"], { nas: { a: [plain] } }, "NXDOMAIN policy"],
    ["deny", ["lan"], { "nas.lan": { a: [suffixed] } }, "NOERROR nas.lan 10.0.0.2 upstream"],
  ];
  for (const [singleLabels, search, names, expected] of cases) {
    const bench = await Bench.start(t, { singleLabels, search, names });
    t.equal(
      await bench.resolve("nas"),
      expected,
      `${singleLabels}, search ${search.join(" ")}, known ${Object.keys(names).join(" ")}`,
    );
    if (singleLabels !== "forward")
      t.notOk(askedOf(bench.upstream).includes("nas A"), "the label alone is never asked for");
  }
});

t.test("a suffix that is slow is waited for, although the label itself is known", async (t) => {
  const bench = await Bench.start(t, { names: { nas: { a: ["10.0.0.1"] }, "nas.lan": silent }, search: ["lan"] });
  const ends = bench.begin("nas");
  await bench.forwarder.asked(bench.upstream, 3);
  await bench.forwarder.settle();
  t.same(ends, []);
  bench.pass(FORWARD_TIME + 10);
  t.equal(textOf(await bench.end(ends)), "NOERROR 10.0.0.1 upstream");
});

t.test("single labels of other types are not searched; denied ones are of every type but a zone's own", async (t) => {
  const open = await Bench.start(t, { singleLabels: "no-data", sharesAnswers: false, search: ["lan"] });
  await open.resolve("nas", { type: "MX" });
  t.same(askedOf(open.upstream), ["nas MX"]);
  const denied = await Bench.start(t, {
    names: { "a.b": { a: ["10.0.0.1"] } },
    singleLabels: "deny",
    sharesAnswers: false,
    search: ["lan"],
  });
  t.match(await denied.resolve("nas", { type: "MX" }), /^NXDOMAIN/);
  await denied.resolve("com", { type: "NS" });
  t.equal(await denied.resolve("a.b"), "NOERROR 10.0.0.1 upstream");
  t.same(askedOf(denied.upstream), ["com NS", "a.b A"]);
});

t.test("what is kept is given at once, and says how long it lasts", async (t) => {
  const bench = await Bench.start(t, { names: { "out.example": { a: ["10.0.0.9"], ttl: 2 } } });
  await bench.resolve("out.example");
  t.equal(bench.resolver.decide(bench.asked("out.example"))?.lasts, 1000);
  bench.pass(1500);
  const decided = bench.resolver.decide(bench.asked("OUT.example"));
  t.equal(decided?.lasts, 1000, "whole seconds: at most one over");
  t.match(dnsPacket.decode(decided!.reply), {
    questions: { length: 1, 0: { name: "OUT.example" } },
    answers: { length: 1, 0: { ttl: 1 } },
  });
  t.equal(bench.sandbox.counters.cached, 2);
  bench.pass(1000);
  t.equal(bench.resolver.decide(bench.asked("out.example")), undefined);
});

t.test("an answer that has expired says so, and lasts 30 s", async (t) => {
  const names: Record<string, Meaning> = { "out.example": { a: ["10.0.0.9"], ttl: 60 } };
  const bench = await Bench.start(t, { names });
  await bench.resolve("out.example");
  names["out.example"] = silent;
  bench.pass(60_000);
  const ends = bench.begin("out.example", { edns: true });
  await bench.forwarder.asked(bench.upstream, 2);
  bench.pass(FORWARD_TIME + 10);
  const late = await bench.end(ends);
  t.match(dnsPacket.decode(late.reply).answers, { length: 1, 0: { data: "10.0.0.9", ttl: 30 } });
  t.match(errorIn(late), /^3 /);
  const atOnce = bench.resolver.decide(bench.asked("out.example", { edns: true }))!;
  t.match(errorIn(atOnce), /^3 /);
  t.notOk(atOnce.lasts);
});

t.test("a failure tells why, to who can read it", async (t) => {
  const dead = await deadUpstream();
  const upstreams = (...list: { ip: string; port: number; from: "host" | "container" }[]): Forwarding => ({
    kind: "upstreams",
    upstreams: list,
  });
  const cases: [what: string, given: Given, error: RegExp, source: object][] = [
    ["policy", { forwarding: never }, /^18 on internal networks only/, { kind: "policy" }],
    ["no upstream", { forwarding: upstreams() }, /^0 no upstream servers/, { kind: "failure" }],
    [
      "ourselves",
      { forwarding: upstreams({ ip: "127.0.0.11", port: 53, from: "container" }) },
      /^0 the upstream server is this resolver itself/,
      { kind: "failure" },
    ],
    ["network", { forwarding: upstreams(dead) }, /^23 127\.0\.0\.1: ECONNREFUSED/, { kind: "failure" }],
    ["SERVFAIL", { names: { "out.example": { rcode: 2 } } }, /^0 127\.0\.0\.1 says SERVFAIL/, { kind: "failure" }],
    ["REFUSED", { names: { "out.example": { rcode: 5 } } }, /^0 127\.0\.0\.1 says REFUSED/, { kind: "failure" }],
  ];
  for (const [what, given, error, source] of cases)
    for (const edns of [true, false]) {
      const bench = await Bench.start(t, given);
      const resolved = await bench.end(bench.begin("out.example", { edns }));
      t.match(textOf(resolved), what === "REFUSED" ? /^REFUSED / : /^SERVFAIL /, what);
      t.match(resolved.source, source);
      t.match(errorIn(resolved), edns ? error : undefined);
      t.equal(bench.sandbox.counters.failed + bench.sandbox.counters.refused, 1);
    }
  const slow = await Bench.start(t, { names: { "out.example": silent } });
  const ends = slow.begin("out.example", { edns: true });
  await slow.forwarder.asked(slow.upstream);
  slow.pass(FORWARD_TIME + 10);
  t.match(errorIn(await slow.end(ends)), /^22 no answer from 127\.0\.0\.1/);
});

t.test("NXDOMAIN and empty answers by policy carry no error", async (t) => {
  for (const singleLabels of ["no-data", "deny"] as const) {
    const bench = await Bench.start(t, { singleLabels });
    t.equal(errorIn(await bench.end(bench.begin("nas", { edns: true }))), undefined);
  }
});

t.test("too many questions of one container fail, and no more", async (t) => {
  const bench = await Bench.start(t, { names: { "out.example": silent } });
  const questions = Array.from({ length: 1024 }, () => ({ cancel: () => undefined }));
  questions.forEach((question) => bench.sandbox.began(question));
  t.equal(textOf(await bench.end(bench.begin("out.example"))).split(" ")[0], "SERVFAIL");
  t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local");
  questions.forEach((question) => bench.sandbox.ended(question));
  const flights = Array.from({ length: 4096 }, () => ({ cancel: () => undefined }));
  flights.forEach((flight) => bench.sandbox.tookOff(flight));
  t.match(await bench.resolve("out.example"), /^SERVFAIL /, "what goes on without anybody waiting counts, too");
  flights.forEach((flight) => bench.sandbox.landed(flight));
});

t.test("where Docker's resolver is asked, what it says holds, and nobody else is asked", async (t) => {
  const yes = (ip: string): Meaning => ({ a: [ip] });
  const said: [what: string, docker: Meaning, expected: string][] = [
    ["it knows it", yes("10.1.0.9"), "NOERROR 10.1.0.9 docker"],
    ["it has nothing of this type", {}, "NOERROR docker"],
    ["there is no such name", NXDOMAIN, "NXDOMAIN docker"],
  ];
  const others = [yes("6.6.6.6"), NXDOMAIN, {}, silent, { rcode: 2 }];
  for (const { shared, name } of [
    { shared: true, name: "db" },
    { shared: true, name: "tasks.db" },
    { shared: false, name: "db" },
  ])
    for (const [what, docker, expected] of said)
      for (const upstream of others) {
        const bench = await Bench.start(t, { names: { [name]: upstream }, docker: { [name]: docker } });
        if (shared) bench.share();
        t.equal(await bench.resolve(name), expected, `${what}, ${shared ? "shared" : "gap"}`);
        t.equal(bench.sandbox.counters.dockerResolver, 1);
        t.same([askedOf(bench.docker!), askedOf(bench.upstream)], [[`${name} A`], []], "one packet");
        if (docker.rcode === undefined && !docker.a)
          t.equal(await bench.resolve(name, { type: "AAAA" }), "NOERROR docker");
      }
});

t.test("where Docker's resolver fails, the upstreams are asked", async (t) => {
  const cases: [what: string, docker: Meaning, upstream: Meaning, expected: string][] = [
    ["SERVFAIL", { rcode: 2 }, { a: ["10.0.0.9"] }, "NOERROR 10.0.0.9 upstream"],
    ["SERVFAIL, no such name", { rcode: 2 }, NXDOMAIN, "NXDOMAIN upstream"],
    ["REFUSED", { rcode: 5 }, { a: ["10.0.0.9"] }, "NOERROR 10.0.0.9 upstream"],
    ["failure with records", { rcode: 2, a: ["10.1.0.9"] }, NXDOMAIN, "NXDOMAIN upstream"],
  ];
  for (const [what, docker, upstream, expected] of cases) {
    const bench = await Bench.start(t, { names: { "new.example": upstream }, docker: { "new.example": docker } });
    t.equal(await bench.resolve("new.example"), expected, what);
  }
  const gone = await Bench.start(t, { names: { "new.example": { a: ["10.0.0.9"] } }, docker: {} });
  gone.sandbox.dockerResolver!.connect(await deadUpstream());
  t.equal(await gone.resolve("new.example"), "NOERROR 10.0.0.9 upstream", "nobody is there");
});

t.test(
  "where Docker's resolver is silent, the upstreams are asked: after the patience, then soon, until it speaks again",
  async (t) => {
    const docker: Record<string, Meaning> = { "new.example": silent };
    const names = { "new.example": { a: ["10.0.0.9"], ttl: 0 } };
    const bench = await Bench.start(t, { names, docker });
    bench.share();
    const waited = async (ms: number) => {
      const ends = bench.begin("new.example");
      await bench.forwarder.settle();
      bench.pass(ms - 10);
      await bench.forwarder.settle();
      t.same(ends, [], `not before ${ms} ms`);
      bench.pass(20);
      t.equal(textOf(await bench.end(ends)), "NOERROR 10.0.0.9 upstream");
    };
    await waited(2000);
    await waited(100);
    t.equal(await bench.resolve("new.example"), "NOERROR 10.0.0.9 upstream", "at once");
    t.equal(bench.docker!.received.length, 2);
    bench.pass(1000);
    await waited(100);
    t.equal(bench.docker!.received.length, 3, "one a second finds out whether it is back");
    docker["new.example"] = { a: ["10.1.0.9"] };
    bench.pass(1000);
    t.equal(await bench.resolve("new.example"), "NOERROR 10.1.0.9 docker");
    t.equal(await bench.resolve("new.example"), "NOERROR 10.1.0.9 docker");
  },
);

t.test(
  "a question is over in its time, also when Docker's resolver and the upstreams are silent one after the other",
  async (t) => {
    for (const joins of [false, true]) {
      const bench = await Bench.start(t, { names: { "new.example": silent }, docker: { "new.example": silent } });
      if (joins) bench.resolver.gap = { everywhere: false, networks: ["front"] };
      const ends = bench.begin("new.example");
      await bench.forwarder.settle();
      bench.pass(joins ? 3010 : 2010);
      await bench.forwarder.asked(bench.upstream);
      bench.pass(FORWARD_TIME - (joins ? 3010 : 2010) - 10);
      t.same(ends, []);
      bench.pass(20);
      t.match(textOf(await bench.end(ends)), /^SERVFAIL/);
      t.equal(bench.sandbox.questions, 0);
    }
  },
);

t.test("what Docker's resolver says late is heard", async (t) => {
  const bench = await Bench.start(t, {
    names: { "new.example": { a: ["10.0.0.9"], ttl: 0 } },
    docker: { "new.example": silent },
  });
  const ends = bench.begin("new.example");
  await bench.forwarder.asked(bench.docker!);
  bench.pass(2010);
  t.equal(textOf(await bench.end(ends)), "NOERROR 10.0.0.9 upstream");
  const { query, reply } = bench.docker!.received[0]!;
  await reply(packed(query, { a: ["10.1.0.9"] }));
  await bench.forwarder.loop.until(
    "it is heard",
    () => !bench.sandbox.dockerSilence.isSilent(bench.forwarder.loop.now),
  );
  t.equal(ends.length, 1);
});

t.test(
  "while nobody feeds the table, Docker's resolver comes first, and the table when that has nothing to say",
  async (t) => {
    const docker: Record<string, Meaning> = { web: { a: ["10.1.0.7", "10.1.0.2"] } };
    const bench = await Bench.start(t, { docker });
    t.equal(await bench.resolve("web"), "NOERROR 10.1.0.7 10.1.0.2 docker", "a member that was restarted");
    docker.web = { a: ["10.1.0.8"] };
    t.equal(await bench.resolve("web"), "NOERROR 10.1.0.8 docker", "another address");
    docker.web = NXDOMAIN;
    t.equal(await bench.resolve("web"), "NXDOMAIN docker", "it is gone");
    docker.web = { rcode: 2 };
    t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local", "Docker fails");
    docker.web = silent;
    const ends = bench.begin("web");
    await bench.forwarder.settle();
    bench.pass(110);
    t.equal(
      textOf(await bench.end(ends)),
      "NOERROR 10.1.0.2 local",
      "Docker is silent, and the table does not wait long",
    );
    t.same(askedOf(bench.upstream), []);
    t.equal(await bench.resolve("any.localhost"), "NOERROR 127.0.0.1 local");
    bench.resolver.gap = noGap;
    t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local", "fed, the table is the authority");
  },
);

t.test(
  "a name of the table in another spelling, which Docker's resolver denies, is given while its container is there",
  async (t) => {
    const docker: Record<string, Meaning> = { web: { a: ["10.1.0.2"] } };
    const bench = await Bench.start(t, { docker });
    t.equal(await bench.resolve("WEB"), "NOERROR 10.1.0.2 local");
    const before = bench.docker!.received.length;
    for (const type of ["TXT", "MX"] as const) t.equal(await bench.resolve("WEB", { type }), "NOERROR local");
    t.equal(
      bench.docker!.received.length,
      before,
      "of types that Docker's resolver would forward, name and all, it is not asked",
    );
    docker.web = { a: ["10.1.0.3"] };
    t.equal(await bench.resolve("WEB"), "NXDOMAIN docker", "another container by now");
    docker.web = NXDOMAIN;
    t.equal(await bench.resolve("WEB"), "NXDOMAIN docker");
  },
);

t.test("while nobody feeds the table, nothing is denied that it cannot know: services", async (t) => {
  const names = { "_sip._tcp.example.com": { rcode: 3, soa: 60 } };
  for (const forwarding of [undefined, never]) {
    const bench = await Bench.start(t, { names, docker: {}, ...(forwarding && { forwarding }) });
    bench.forwarder.zones.putEndpoint({
      source: "docker",
      network: "front",
      container: "web",
      names: ["web"],
      ipv4: "10.1.0.2",
      ipv6: undefined,
      ports: [[80, "tcp"]],
      ttl: 5,
    });
    t.match(await bench.resolve("_80._tcp.web", { type: "SRV" }), /^NOERROR SRV local/, "what is known is told");
    t.match(await bench.resolve("_443._tcp.web", { type: "SRV" }), /^SERVFAIL/, "a port that it may have by now");
    for (const name of ["_80._tcp.new", "_http._tcp.new.front"])
      t.match(await bench.resolve(name, { type: "SRV" }), /^SERVFAIL/, "a container that may be there by now");
    if (!forwarding)
      t.match(
        await bench.resolve("_sip._tcp.example.com", { type: "SRV" }),
        /^NXDOMAIN docker/,
        "the outside world's are Docker's to deny",
      );
    bench.resolver.gap = noGap;
    t.match(await bench.resolve("_443._tcp.web", { type: "SRV" }), /^NXDOMAIN local/);
  }
});

t.test("the same question, asked of Docker's resolver by many at once, is asked once, and ends for each", async (t) => {
  const bench = await Bench.start(t, { docker: { web: { a: ["10.1.0.7"] }, late: { a: ["10.1.0.4"] } } });
  const ends = Array.from({ length: 50 }, () => bench.begin("web"));
  for (const each of ends) t.equal(textOf(await bench.end(each)), "NOERROR 10.1.0.7 docker");
  t.equal(bench.docker!.received.length, 1);
  t.equal((await bench.end(bench.begin("web"))).lasts, 250, "and its answer may be given again for a moment");
  t.equal(bench.sandbox.questions, 0);
  t.equal(bench.sandbox.dockerFlights.size, 0);
  bench.resolver.gap = { everywhere: false, networks: ["front"] };
  const late = bench.begin("late");
  bench.forwarder.zones.putEndpoint({
    source: "docker",
    network: "front",
    container: "late",
    names: ["late"],
    ipv4: "10.1.0.4",
    ipv6: undefined,
    ports: [],
    ttl: 5,
  });
  t.notOk((await bench.end(late)).lasts, "but not when the table is fed, and may know better by now");
});

t.test("who asks when the question is under way already is not denied a name that has come since", async (t) => {
  const docker: Record<string, Meaning> = { new: silent };
  const bench = await Bench.start(t, { docker });
  const first = bench.begin("new");
  await bench.forwarder.asked(bench.docker!);
  const later = [bench.begin("new"), bench.begin("new")];
  docker.new = { a: ["10.1.0.7"] };
  await bench.docker!.received[0]!.reply(packed(bench.docker!.received[0]!.query, NXDOMAIN));
  t.equal(textOf(await bench.end(first)), "NXDOMAIN docker");
  for (const each of later) t.equal(textOf(await bench.end(each)), "NOERROR 10.1.0.7 docker");
  t.equal(bench.docker!.received.length, 2, "once for all of them");
  t.equal(bench.sandbox.dockerFlights.size, 0);
});

t.test("a name of the table has an answer however many questions are under way", async (t) => {
  const bench = await Bench.start(t, { docker: { web: silent } });
  const questions = Array.from({ length: 1024 }, () => ({ cancel: () => undefined }));
  questions.forEach((question) => bench.sandbox.began(question));
  t.equal(await bench.resolve("web"), "NOERROR 10.1.0.2 local");
  questions.forEach((question) => bench.sandbox.ended(question));
});

t.test("a long reply of Docker's resolver is given whole over TCP, and as truncated over UDP", async (t) => {
  const docker = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => {
      const whole = packed(query, { a: ["10.1.0.9"] });
      if (query.readUInt16BE(10) === 0) whole.writeUInt16BE(0x8380, 2);
      void reply(whole);
    },
  });
  const bench = await Bench.start(t, { docker: {} });
  bench.sandbox.dockerResolver!.connect(docker.upstream);
  t.match(dnsPacket.decode((await bench.end(bench.begin("many"))).reply), { flag_tc: true });
  t.equal(docker.received.length, 1);
  const whole = await bench.end(bench.beginWith({ ...bench.asked("many"), transport: "tcp", limit: 65535 }));
  t.match(dnsPacket.decode(whole.reply), { flag_tc: false, answers: { length: 1, 0: { data: "10.1.0.9" } } });
  t.equal(docker.received.length, 3);
});

t.test("an address of Docker's may be kept for five seconds, not its ten minutes", async (t) => {
  const bench = await Bench.start(t, { docker: { "new.example": { a: ["10.1.0.9"], ttl: 600 } } });
  t.match(dnsPacket.decode((await bench.end(bench.begin("new.example"))).reply).answers, { length: 1, 0: { ttl: 5 } });
});

/** Docker's resolver says nothing of a name, and is waited for for as long as a join may take. */
async function deniedAfterThreeSeconds(t: Test, bench: Bench, name: string): Promise<void> {
  const ends = bench.begin(name);
  await bench.forwarder.settle();
  bench.pass(2990);
  await bench.forwarder.settle();
  t.same(ends, []);
  bench.pass(20);
  t.equal(textOf(await bench.end(ends)), "NXDOMAIN upstream");
}

t.test("while a container joins, Docker's resolver has more time", async (t) => {
  const bench = await Bench.start(t, { docker: { "new.example": silent } });
  bench.resolver.gap = { everywhere: false, networks: ["front"] };
  await deniedAfterThreeSeconds(t, bench, "new.example");
});

t.test("what the table learns meanwhile beats a denial", async (t) => {
  for (const docker of [NXDOMAIN, {}, { rcode: 2 }]) {
    const bench = await Bench.start(t, { docker: { "new.front": silent } });
    bench.resolver.gap = { everywhere: false, networks: ["front"] };
    const ends = bench.begin("new.front");
    await bench.forwarder.asked(bench.docker!);
    bench.forwarder.zones.putEndpoint({
      source: "docker",
      network: "front",
      container: "new",
      names: ["new"],
      ipv4: "10.1.0.3",
      ipv6: undefined,
      ports: [],
      ttl: 5,
    });
    const { query, reply } = bench.docker!.received[0]!;
    await reply(packed(query, docker));
    t.equal(textOf(await bench.end(ends)), "NOERROR 10.1.0.3 local");
  }
});

t.test(
  "a name Docker gave in a gap goes on resolving for three seconds when the gap ends before the table has it",
  async (t) => {
    const a = ["10.1.0.3"];
    const bench = await Bench.start(t, { docker: { "new.front": { a }, "NEW.front": { a } } });
    t.equal(await bench.resolve("new.front"), "NOERROR 10.1.0.3 docker");
    bench.resolver.gap = noGap;
    bench.pass(2500);
    t.equal(await bench.resolve("NEW.front"), "NOERROR 10.1.0.3 docker");
    t.equal(await bench.resolve("other.front"), "NXDOMAIN upstream");
    t.same(askedOf(bench.docker!), ["new.front A", "NEW.front A"], "others are not asked of Docker");
    bench.pass(600);
    t.equal(await bench.resolve("new.front"), "NXDOMAIN upstream", "asking for it did not prolong it");
    t.equal(bench.docker!.received.length, 2);
  },
);

t.test("a name Docker gives when the gap it was asked in has just ended goes on resolving, too", async (t) => {
  const docker: Record<string, Meaning> = { "new.front": silent };
  const bench = await Bench.start(t, { docker });
  bench.resolver.gap = { everywhere: false, networks: ["front"] };
  const ends = bench.begin("new.front");
  await bench.forwarder.asked(bench.docker!);
  bench.resolver.gap = noGap;
  const { query, reply } = bench.docker!.received[0]!;
  docker["new.front"] = { a: ["10.1.0.3"] };
  await reply(packed(query, docker["new.front"]));
  t.equal(textOf(await bench.end(ends)), "NOERROR 10.1.0.3 docker");
  t.equal(await bench.resolve("new.front"), "NOERROR 10.1.0.3 docker");
});

t.test("Docker is waited for when such a name is asked for", async (t) => {
  const docker: Record<string, Meaning> = { "new.front": { a: ["10.1.0.3"] } };
  const bench = await Bench.start(t, { docker });
  await bench.resolve("new.front");
  bench.resolver.gap = noGap;
  docker["new.front"] = silent;
  await deniedAfterThreeSeconds(t, bench, "new.front");
});

t.test("a single label that is not forwarded is still asked of Docker in a gap", async (t) => {
  for (const [docker, expected] of [
    [{ a: ["10.1.0.9"] }, "NOERROR 10.1.0.9 docker"],
    [NXDOMAIN, "NXDOMAIN docker"],
    [{ rcode: 2 }, "NXDOMAIN policy"],
  ] as const) {
    const bench = await Bench.start(t, { docker: { new: docker }, singleLabels: "deny" });
    t.equal(await bench.resolve("new"), expected);
    t.same(askedOf(bench.upstream), []);
  }
});

t.test(
  "a label that Docker's resolver denies is looked for under the suffixes, and not asked again by itself",
  async (t) => {
    const bench = await Bench.start(t, { docker: {}, names: { "nas.lan": { a: ["10.0.0.2"] } }, search: ["lan"] });
    t.equal(await bench.resolve("nas"), "NOERROR nas.lan 10.0.0.2 upstream");
    t.equal(await bench.resolve("none"), "NXDOMAIN docker");
    t.same(askedOf(bench.upstream).sort(), ["nas.lan A", "nas.lan AAAA", "none.lan A", "none.lan AAAA"]);
    const taken = await Bench.start(t, {
      docker: { db: { a: ["10.1.0.9"] } },
      names: { "db.lan": { a: ["6.6.6.6"] } },
      search: ["lan"],
    });
    t.equal(await taken.resolve("db"), "NOERROR 10.1.0.9 docker", "a suffix that answers every name takes none over");
    t.same(askedOf(taken.upstream), []);
  },
);

t.test(
  "what is kept is given while a container joins, if it is a whole name, and nowhere else before Docker is asked",
  async (t) => {
    const names: Record<string, Meaning> = {
      "out.example": { a: ["10.0.0.9"] },
      "no.example": { rcode: 3, soa: 60 },
      out: { a: ["10.0.0.9"] },
    };
    const docker = Object.fromEntries(Object.keys(names).map((name) => [name, { a: ["10.1.0.9"] }]));
    const bench = await Bench.start(t, { names, docker });
    const answers = async () => Promise.all(Object.keys(names).map((name) => bench.resolve(name)));
    bench.resolver.gap = noGap;
    await answers();
    bench.resolver.gap = { everywhere: false, networks: ["front"] };
    const dockers = "NOERROR 10.1.0.9 docker";
    t.same(await answers(), ["NOERROR 10.0.0.9 upstream", dockers, dockers]);
    bench.resolver.gap = { everywhere: true, networks: [] };
    t.same(await answers(), [dockers, dockers, dockers]);
    bench.resolver.gap = noGap;
    bench.pass(4000);
    bench.share();
    t.same(await answers(), [dockers, dockers, dockers]);
    t.equal(bench.upstream.received.length, 3);
  },
);

t.test(
  "Docker is asked only in a gap: everywhere, on a network being joined, or on one shared with other hosts",
  async (t) => {
    const bench = await Bench.start(t, { docker: {} });
    const asksDocker = async (name: string) => {
      const before = bench.docker!.received.length;
      await bench.resolve(name);
      return bench.docker!.received.length > before;
    };
    t.equal(await asksDocker("a.example"), true);
    bench.resolver.gap = noGap;
    t.equal(await asksDocker("b.example"), false);
    bench.resolver.gap = { everywhere: false, networks: ["other"] };
    t.equal(await asksDocker("c.example"), false);
    bench.resolver.gap = { everywhere: false, networks: ["front"] };
    t.equal(await asksDocker("d.example"), true);
    bench.resolver.gap = noGap;
    bench.forwarder.zones.putNetwork({ source: "docker", id: "front", name: "front", shared: true });
    t.equal(await asksDocker("e.example"), true);
  },
);

t.test("letting a sandbox go ends what it asked, unheard", async (t) => {
  const bench = await Bench.start(t, {
    names: { "out.example": silent, "nas.lan": silent, nas: silent },
    search: ["lan"],
    docker: { "out.example": silent, nas: silent },
  });
  const ends = [bench.begin("out.example"), bench.begin("nas")];
  await bench.forwarder.asked(bench.docker!, 2);
  bench.resolver.gap = noGap;
  ends.push(bench.begin("out.example"), bench.begin("nas"));
  await bench.forwarder.asked(bench.upstream, 4);
  bench.sandbox.letGo();
  bench.pass(FORWARD_TIME * 2);
  await bench.forwarder.settle();
  t.same(ends, [[], [], [], []]);
});

t.test("an answer that a client cannot take whole is cut", async (t) => {
  const many = Array.from({ length: 25 }, (_, index) => `10.0.1.${index}`);
  const bench = await Bench.start(t, { names: { "many.example": { a: many } } });
  t.match(dnsPacket.decode((await bench.end(bench.begin("many.example"))).reply), {
    flag_tc: true,
    answers: { length: 17 },
  });
  const edns = bench.begin("many.example", { edns: true });
  t.equal(dnsPacket.decode((await bench.end(edns)).reply).answers?.length, 25);
});

t.test("the reply of one question is not another's", async (t) => {
  const fake = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void reply(packed(query, { a: ["10.0.0.9"] })),
  });
  const bench = await Bench.start(t, { forwarding: { kind: "upstreams", upstreams: [fake.upstream] } });
  const [lower, mixed] = [bench.begin("out.example"), bench.begin("OUT.Example", { edns: true })];
  t.match(dnsPacket.decode((await bench.end(lower)).reply), {
    questions: { length: 1, 0: { name: "out.example" } },
    additionals: { length: 0 },
  });
  t.match(dnsPacket.decode((await bench.end(mixed)).reply), {
    questions: { length: 1, 0: { name: "OUT.Example" } },
    additionals: { length: 1, 0: { type: "OPT" } },
  });
  t.equal(fake.received.length, 1);
});

t.test("the addresses of a kept answer are given out in turn, over UDP and TCP", async (t) => {
  const bench = await Bench.start(t, {
    names: {
      "many.example": { a: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] },
      "nas.lan": { a: ["10.0.0.4", "10.0.0.5"], soa: 60 },
    },
    search: ["lan"],
  });
  t.equal(
    await bench.resolve("many.example"),
    "NOERROR 10.0.0.1 10.0.0.2 10.0.0.3 upstream",
    "the first time as they came",
  );
  const firstOf = (resolved: Resolved | undefined) => textOf(resolved!).split(" ")[1];
  for (const transport of ["udp", "tcp"] as const) {
    const decided = [1, 2, 3].map(() => bench.resolver.decide({ ...bench.asked("many.example"), transport })!);
    t.same(decided.map(firstOf).sort(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"], transport);
    for (const { reply, variants } of decided) {
      t.equal(variants?.[0], reply);
      t.equal(variants?.length, 3, "a ready reply goes on in turn");
    }
  }
  await bench.resolve("nas");
  const labels = [1, 2].map(() => textOf(bench.resolver.decide(bench.asked("nas"))!));
  t.same(
    labels.sort(),
    ["NOERROR nas.lan 10.0.0.4 10.0.0.5 upstream", "NOERROR nas.lan 10.0.0.5 10.0.0.4 upstream"],
    "a label under its suffix, too",
  );
});

t.test("every bit and option of a question: what is passed on, and what is not", async (t) => {
  const bench = await Bench.start(t, { names: { "out.example": { a: ["10.0.0.9"], ttl: 60 } } });
  const ask = async (flags: number, options: object[] = []) => {
    const message = dnsPacket.encode({
      type: "query",
      id: 0xbeef,
      flags,
      questions: [{ name: "out.example", type: "A" }],
      additionals: options.length > 0 ? [optRecord({ options })] : [],
    });
    const question = readQuery(message, 0, message.length);
    if (question.kind !== "question") throw new Error("not a question");
    const asked: Asked = { sandbox: bench.sandbox, question, message, transport: "udp", limit: 512 };
    const before = bench.upstream.received.length;
    const decided = bench.resolver.decide(asked);
    const { reply } = decided ?? (await bench.end(bench.beginWith(asked)));
    return {
      reply: dnsPacket.decode(reply),
      sent: bench.upstream.received.slice(before).map(({ query }) => dnsPacket.decode(query))[0],
    };
  };
  t.match(await ask(0x0100), {
    reply: { flag_rd: true, flag_ad: false, flag_cd: false },
    sent: { flag_rd: true, flag_ad: false, flag_cd: false },
  });
  t.match(await ask(0x0120), { sent: { flag_rd: true, flag_ad: true } }, "AD without EDNS (RFC 6840 section 5.7)");
  t.match(await ask(0x0110), { reply: { flag_cd: true }, sent: { flag_cd: true } });
  t.match(await ask(0), { reply: { flag_rd: false }, sent: { flag_rd: false } }, "no recursion desired");
  t.match(await ask(0x0100, [{ code: "CLIENT_SUBNET", ip: "192.0.2.0", sourcePrefixLength: 24, family: 1 }]), {
    sent: { additionals: { length: 1, 0: { options: { length: 1, 0: { code: 8 } } } } },
  });
  const unheard = await ask(0x0100, [
    { code: 10, data: Buffer.alloc(8) },
    { code: 12, data: Buffer.alloc(30) },
  ]);
  t.equal(unheard.sent, undefined, "cookies and padding are between the client and us: the answer is the kept one");
});
