import { isIPv6 } from "node:net";
import t from "tap";
import { DockerHost, type Container, type DnsRecord, type DnsResponse } from "../lab/index.js";

const ownTtl = 7;
const upstreamAddress = "10.77.0.2";

/** SVCB and HTTPS by number: the library that writes the queries has no names for them. */
const emptyTypes = [
  "MX",
  "TXT",
  "UNKNOWN_64",
  "UNKNOWN_65",
  "CNAME",
  "NS",
  "SOA",
  "CAA",
  "SRV",
  "PTR",
  "NAPTR",
  "DS",
  "DNSKEY",
  "TLSA",
  "SSHFP",
  "SPF",
  "HINFO",
  "LOC",
  "UNKNOWN_65280",
];

t.test("records of every type", async (t) => {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n` });
  const upstream = await (await host.outside()).dns();
  await host.exec(["sh", "-ec", "ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up"]);
  await Promise.all([
    host.network("four", { subnet: "172.30.0.0/24" }),
    host.network("six", { subnet: "172.31.0.0/24", ipv6: "fd00:31::/64" }),
    host.network("lan", { driver: "macvlan", subnet: "172.29.0.0/24", options: { parent: "lan0" } }),
    host.network("apart", { subnet: "172.28.0.0/24", ipv6: "fd00:28::/64" }),
  ]);
  const [client, web, unnamed, guest, replica, hidden] = await Promise.all([
    host.container({ name: "client", networks: ["four", "six", "lan"] }),
    host.container({
      name: "web",
      networks: [{ name: "six", aliases: ["an-alias"] }],
      options: ["--hostname=a-host", "--expose=80", "--expose=5432", "--expose=53/udp", "--expose=9000"],
    }),
    host.container({ networks: [{ name: "four", aliases: ["nick", "other"] }] }),
    host.container({ name: "guest", networks: ["lan"], options: ["--expose=443"] }),
    host.container({ networks: [{ name: "six", aliases: ["an-alias"] }], options: ["--expose=80", "--expose=81"] }),
    host.container({ name: "hidden", networks: ["apart"] }),
  ]);
  const pontoon = await host.pontoon({ config: `dns:\n  ttl: ${ownTtl}\n` });
  await pontoon.answersIn(client, web, unnamed, guest, replica, hidden);
  const [unnamedName, replicaName] = await Promise.all([unnamed.name(), replica.name()]);

  await t.test("A and AAAA", async (t) => {
    await isOwnAnswer(t, client, "web", "A", [{ type: "A", data: await web.ip("six") }]);
    await isOwnAnswer(t, client, "web", "AAAA", [{ type: "AAAA", data: await web.ip6("six") }]);
    await isOwnAnswer(t, client, "web.six", "AAAA", [{ type: "AAAA", data: await web.ip6("six") }]);
    const both = await client.dig("an-alias", "AAAA");
    t.same([...both.addresses].sort(), [await web.ip6("six"), await replica.ip6("six")].sort());
    for (const name of [unnamedName, "nick", "nick.four", "guest"]) await isEmpty(t, client, name, "AAAA");
  });

  await t.test("PTR tells the container's name and network, for each address on the client's networks", async (t) => {
    const named = [
      [await web.ip("six"), "web.six"],
      [await web.ip6("six"), "web.six"],
      [await unnamed.ip("four"), `${unnamedName}.four`],
      [await guest.ip("lan"), "guest.lan"],
      [await replica.ip("six"), `${replicaName}.six`],
      [await client.ip("four"), "client.four"],
      [await client.ip("six"), "client.six"],
      [await client.ip6("six"), "client.six"],
      [await client.ip("lan"), "client.lan"],
    ] as const;
    for (const [address, name] of named) {
      await isOwnAnswer(t, client, reverse(address), "PTR", [{ type: "PTR", data: name }]);
      t.match((await client.digCommand("+short", "-x", address)).stdout.trim(), `${name}.`);
    }
    await isOwnAnswer(t, client, reverse(await web.ip6("six")).toUpperCase(), "PTR", [
      { type: "PTR", data: "web.six" },
    ]);
    for (const type of ["A", "AAAA", "TXT"]) await isEmpty(t, client, reverse(await web.ip("six")), type);
  });

  await t.test("PTR says nothing of networks the client is not on", async (t) => {
    await upstream.answer(reverse(await hidden.ip("apart")), "PTR", "upstream.test");
    t.match((await client.dig(reverse(await hidden.ip("apart")), "PTR")).answers, {
      length: 1,
      0: { data: "upstream.test" },
    });
    for (const address of [await hidden.ip6("apart"), "172.31.0.1", "172.31.0.250", "192.0.2.1"])
      t.equal((await client.dig(reverse(address), "PTR")).rcode, "NXDOMAIN", address);
    t.equal((await hidden.dig(reverse(await web.ip("six")), "PTR")).rcode, "NXDOMAIN");
  });

  await t.test("SRV by port and by service, from the ports a container exposes", async (t) => {
    const service = (target: string, port: number) => ({ type: "SRV", data: { port, target, priority: 0, weight: 0 } });
    const cases = [
      ["_80._tcp.web", [service("web.six", 80)]],
      ["_http._tcp.web", [service("web.six", 80)]],
      ["_HTTP._TCP.Web", [service("web.six", 80)]],
      ["_postgresql._tcp.web", [service("web.six", 5432)]],
      ["_53._udp.web", [service("web.six", 53)]],
      ["_domain._udp.web", [service("web.six", 53)]],
      ["_9000._tcp.web", [service("web.six", 9000)]],
      ["_http._tcp.web.six", [service("web.six", 80)]],
      ["_http._tcp.a-host", [service("web.six", 80)]],
      [`_http._tcp.${web.id.slice(0, 12)}`, [service("web.six", 80)]],
      ["_https._tcp.guest", [service("guest.lan", 443)]],
      [`_81._tcp.an-alias`, [service(`${replicaName}.six`, 81)]],
    ] as const;
    for (const [name, records] of cases) await isOwnAnswer(t, client, name, "SRV", records);

    const { answers } = await client.dig("_http._tcp.an-alias", "SRV");
    t.same(
      answers.map(({ data }) => (data as { target: string }).target).sort(),
      [`${replicaName}.six`, "web.six"].sort(),
    );
    const { additional } = await client.dig("_http._tcp.web", "SRV");
    t.match(additional, {
      length: 2,
      0: { name: "web.six", type: "A", data: await web.ip("six") },
      1: { name: "web.six", type: "AAAA", data: await web.ip6("six") },
    });
    t.same((await client.dig("web.six")).addresses, [await web.ip("six")], "an SRV record's target resolves");
    t.match((await client.digCommand("+short", "SRV", "_http._tcp.web")).stdout, "0 0 80 web.six.");
  });

  await t.test(
    "SRV for what is not exposed, and other types of a service's name, find nothing here and ask nobody",
    async (t) => {
      await upstream.clear();
      for (const name of ["_8080._tcp.web", "_80._udp.web", "_nosuch._tcp.web", "_http._tcp.client"]) {
        const answer = await client.dig(name, "SRV");
        t.same([answer.rcode, answer.answers], ["NXDOMAIN", []], name);
      }
      for (const type of ["A", "AAAA", "TXT", "TLSA"]) await isEmpty(t, client, "_http._tcp.web", type);
      await isEmpty(t, client, "_tcp.web", "A");
      t.same(await upstream.queries(), []);
    },
  );

  await t.test("every other type of a local name has no data", async (t) => {
    const names = [
      "web",
      "WEB",
      "an-alias",
      "a-host",
      "web.six",
      web.id.slice(0, 12),
      unnamedName,
      "nick",
      "guest",
      "client",
    ];
    await upstream.clear();
    for (const name of names) for (const type of emptyTypes) await isEmpty(t, client, name, type);
    await isEmpty(t, client, "web", "TXT", { tcp: true });
    t.same(await upstream.queries(), [], "and no upstream is asked");
  });

  await t.test("ANY is answered as RFC 8482 has it", async (t) => {
    const minimal = { type: "HINFO", data: { cpu: "RFC8482", os: "" } };
    await upstream.clear();
    for (const name of [
      "web",
      "an-alias",
      "guest.lan",
      "_http._tcp.web",
      reverse(await web.ip("six")),
      reverse(await web.ip6("six")),
    ])
      await isOwnAnswer(t, client, name, "ANY", [minimal]);
    t.same(await upstream.queries(), []);
  });

  await t.test("types of other names are asked of the upstream", async (t) => {
    await upstream.answer("example.test", "MX", { preference: 10, exchange: "mail.example.test" });
    await upstream.answer("example.test", "TXT", "hello");
    await upstream.answer("_http._tcp.example.test", "SRV", {
      priority: 1,
      weight: 2,
      port: 8000,
      target: "example.test",
    });
    t.match((await web.dig("example.test", "MX")).answers, {
      length: 1,
      0: { type: "MX", data: { exchange: "mail.example.test" } },
    });
    t.match((await web.dig("example.test", "TXT")).answers, {
      length: 1,
      0: { type: "TXT", data: { length: 1, 0: "hello" } },
    });
    t.match((await web.dig("_http._tcp.example.test", "SRV")).answers, {
      length: 1,
      0: { type: "SRV", data: { port: 8000, target: "example.test" } },
    });
    t.equal((await web.dig("_http._tcp.nobody", "SRV")).rcode, "NXDOMAIN");
  });

  await t.test("replies have the shape clients expect", async (t) => {
    for (const type of ["A", "MX", "ANY"]) {
      const plain = await client.dig("web", type, { cd: true });
      t.match(plain.flags, { aa: false, tc: false, rd: true, ra: true, cd: true }, "flags");
      t.equal(plain.edns, undefined, "no OPT record for those who sent none");
      const extended = await client.dig("web", type, { rd: false, edns: { udpPayloadSize: 4096, dnssecOk: true } });
      t.match(
        [extended.flags.rd, extended.edns],
        { length: 2, 0: false, 1: { dnssecOk: true } },
        "an OPT record for those who sent one",
      );
      t.match(
        [extended.questionName?.toLowerCase(), extended.questionType],
        { length: 2, 0: "web", 1: type },
        "the question",
      );
    }
  });
});

interface Checks {
  match(found: unknown, wanted: unknown, message: string): unknown;
}

/** Checks that records come in this number, and from pontoon's own table. */
async function isOwnAnswer(
  t: Checks,
  client: Container,
  name: string,
  type: string,
  records: readonly Partial<DnsRecord>[],
): Promise<void> {
  const { rcode, answers } = await client.dig(name, type);
  const wanted = records.map((record) => ({ name, ttl: ownTtl, ...record }));
  t.match(
    { rcode, count: answers.length, answers },
    { rcode: "NOERROR", count: records.length, answers: wanted },
    `${type} of ${name}`,
  );
}

/** Checks that a name exists and has no record of a type. */
async function isEmpty(
  t: Checks,
  client: Container,
  name: string,
  type: string,
  options: { tcp?: boolean } = {},
): Promise<void> {
  const { rcode, answers, questionName }: DnsResponse = await client.dig(name, type, options);
  t.match(
    { rcode, answers: answers.length, questionName },
    { rcode: "NOERROR", answers: 0, questionName: name },
    `${type} of ${name}`,
  );
}

/** The name under which an address is asked for in reverse. */
function reverse(address: string): string {
  if (!isIPv6(address)) return `${address.split(".").reverse().join(".")}.in-addr.arpa`;
  const [head = "", tail = ""] = address.split("::").map((half) =>
    half
      .split(":")
      .filter(Boolean)
      .map((group) => group.padStart(4, "0"))
      .join(""),
  );
  return `${[...(head.padEnd(32 - tail.length, "0") + tail)].reverse().join(".")}.ip6.arpa`;
}
