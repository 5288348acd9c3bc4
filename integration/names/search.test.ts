import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { runCommand } from "../lab/command.js";
import { DockerHost, type Container, type TestOwner, type Upstream } from "../lab/index.js";

const upstreamAddress = "10.77.0.2";
const suffixes = ["one.test", "two.test", "three.test"];
const searching = [`--dns=${upstreamAddress}`, ...suffixes.map((suffix) => `--dns-search=${suffix}`)];
/** As Docker writes them by default, and as a user may ask for. */
const ndots = { 0: [], 1: ["--dns-opt=ndots:1"] } as const;

t.test("a single label that no container has is looked up under the container's suffixes", async (t) => {
  const { host, upstream } = await hostWithUpstream(t);
  const [plain, dotted, bare] = await Promise.all([
    host.container({ name: "plain", networks: ["blue"], options: searching }),
    host.container({ name: "dotted", networks: ["blue"], options: [...searching, ...ndots[1]] }),
    host.container({ name: "bare", networks: ["blue"], options: [`--dns=${upstreamAddress}`, "--dns-search=."] }),
  ]);
  const files = await Promise.all([plain, dotted, bare].map(resolvConfOf));
  const pontoon = await host.pontoon();
  await pontoon.answersIn(plain, dotted, bare);
  const fresh = async () => {
    await upstream.reset();
    await upstream.clear();
  };

  await t.test("in the order of the list, as an alias of the full name", async (t) => {
    await fresh();
    await upstream.answer("last.three.test", "A", "192.0.2.3");
    await upstream.answer("both.one.test", "A", ["192.0.2.1", "192.0.2.2"]);
    await upstream.answer("both.two.test", "A", "192.0.2.9");
    await upstream.answer("alias.two.test", "CNAME", "target.test");
    await upstream.answer("target.test", "A", "192.0.2.4");
    for (const [name, full, addresses] of [
      ["last", "last.three.test", ["192.0.2.3"]],
      ["both", "both.one.test", ["192.0.2.1", "192.0.2.2"]],
      ["alias", "alias.two.test", ["192.0.2.4"]],
    ] as const)
      for (const client of [plain, dotted]) {
        const answer = await client.dig(name.toUpperCase());
        t.match(answer, { rcode: "NOERROR", questionName: name.toUpperCase() });
        t.match(answer.answers[0], { name: name.toUpperCase(), type: "CNAME", data: full });
        t.same(
          answer.answers.slice(1).map(({ name, type }) => ({ name, type })),
          addresses.map(() => ({ name: full, type: "A" })),
        );
        t.same(answer.addresses.sort(), addresses);
        t.same((await client.dig(name, "A", { tcp: true })).addresses.sort(), addresses, "over TCP");
      }
    t.match(
      await bare.dig("last"),
      { rcode: "NXDOMAIN", answers: { length: 0 } },
      "not for a container without suffixes",
    );
  });

  await t.test("under all of them at once", async (t) => {
    await fresh();
    await upstream.answer("far.three.test", "A", "192.0.2.3");
    await upstream.delay(500);
    t.same((await plain.dig("far")).addresses, ["192.0.2.3"]);
    const seen = (await upstream.queries()).filter(({ name }) => name.startsWith("far."));
    t.same([...new Set(seen.map(({ name }) => name))].sort(), suffixes.map((suffix) => `far.${suffix}`).sort());
    const times = seen.map(({ at }) => at);
    t.ok(Math.max(...times) - Math.min(...times) < 500, "none waits for another's answer");
  });

  await t.test("A and AAAA under the same one", async (t) => {
    await fresh();
    await upstream.answer("mixed.one.test", "AAAA", "2001:db8::1");
    await upstream.answer("mixed.two.test", "A", "192.0.2.2");
    const both = async () => [await plain.dig("mixed", "A"), await plain.dig("mixed", "AAAA")];
    for (const [index, answer] of (await both()).entries())
      t.match(answer, {
        rcode: "NOERROR",
        answers: { length: 1 + index, 0: { type: "CNAME", data: "mixed.one.test" } },
      });
    t.same(
      (await both()).map(({ addresses }) => addresses),
      [[], ["2001:db8::1"]],
    );
  });

  await t.test("the next one when a suffix fails; but a failure is no denial", async (t) => {
    await fresh();
    for (const name of ["shaky.one.test", "flaky.one.test", "flaky"]) await upstream.rcode(name, "SERVFAIL");
    await upstream.answer("shaky.two.test", "A", "192.0.2.2");
    t.same((await plain.dig("shaky")).addresses, ["192.0.2.2"]);
    for (const client of [plain, dotted]) t.equal((await client.dig("flaky")).rcode, "SERVFAIL");
  });

  await t.test("names of containers win and are not looked for elsewhere", async (t) => {
    await fresh();
    for (const name of ["plain", "plain.one.test", "plain.blue"]) await upstream.answer(name, "A", "192.0.2.66");
    for (const client of [plain, dotted])
      for (const name of ["plain", "PLAIN", "plain.blue"]) {
        const { answers, addresses } = await client.dig(name);
        t.same(addresses, [await plain.ip("blue")]);
        t.match(answers, { length: 1, 0: { type: "A" } });
        t.same((await client.dig(name, "AAAA")).addresses, [await plain.ip6("blue")]);
      }
    t.same(await upstream.queries(), []);
  });

  await t.test("found nowhere, it is treated as Docker does", async (t) => {
    await fresh();
    await upstream.answer("nas", "A", "192.0.2.77");
    t.match(
      (await plain.dig("nas")).answers,
      { length: 1, 0: { name: "nas", type: "A", data: "192.0.2.77" } },
      "asked for as it is",
    );
    t.match(await plain.dig("nowhere"), { rcode: "NXDOMAIN", authority: { length: 1, 0: { type: "SOA" } } });
    for (const type of ["A", "AAAA"])
      t.match(
        await dotted.dig("nas", type),
        { rcode: "NOERROR", answers: { length: 0 } },
        "without data when ndots is set",
      );
    await upstream.clear();
    await dotted.dig("nas2");
    t.same(
      (await asked(upstream)).filter((name) => !name.includes(".")),
      [],
      "and then never asked for as it is",
    );
  });

  await t.test("asked for again, the upstream is not asked again", async (t) => {
    await fresh();
    await upstream.answer("again.one.test", "A", "192.0.2.1");
    await upstream.answer("printer", "A", "192.0.2.78");
    for (const name of ["again", "printer", "absent"]) {
      const before = await plain.dig(name);
      await upstream.clear();
      for (let turn = 0; turn < 3; turn++) t.same((await plain.dig(name)).addresses, before.addresses);
      t.same(await asked(upstream), [], name);
    }
  });

  await t.test("names with dots are not looked up under suffixes", async (t) => {
    await fresh();
    t.equal((await plain.dig("www.example")).rcode, "NXDOMAIN");
    t.same(await asked(upstream), ["www.example"]);
  });

  await t.test("localhost is answered here, and so are names under it that nobody has", async (t) => {
    await fresh();
    for (const client of [plain, dotted, bare])
      for (const name of ["localhost", "LOCALHOST", "x.localhost", "a.b.localhost"]) {
        t.same((await client.dig(name, "A")).addresses, ["127.0.0.1"]);
        t.same((await client.dig(name, "AAAA")).addresses, ["::1"]);
        for (const type of ["TXT", "MX", "SRV"])
          t.match(await client.dig(name, type), { rcode: "NOERROR", answers: { length: 0 } });
      }
    t.notOk(
      (await asked(upstream)).some((name) => name.toLowerCase() === "localhost"),
      "for localhost nobody else is asked",
    );
    await upstream.answer("mine.localhost", "A", "192.0.2.5");
    t.same((await plain.dig("mine.localhost")).addresses, ["192.0.2.5"], "a name that a server has is its own");
    t.equal((await plain.dig("notlocalhost.test")).rcode, "NXDOMAIN", "a name that only ends alike is none of them");
  });

  await t.test("programs find it", await whyNoMusl(), async (t) => {
    await fresh();
    const many = Array.from({ length: 60 }, (_, index) => `192.0.2.${index + 100}`);
    await upstream.answer("web.one.test", "A", "192.0.2.1");
    await upstream.answer("web.two.test", "A", "192.0.2.2");
    await upstream.answer("queue.three.test", "A", "192.0.2.3");
    await upstream.answer("six.one.test", "AAAA", "2001:db8::1");
    await upstream.answer("six.two.test", "A", "192.0.2.2");
    await upstream.answer("crowd.test", "A", many);
    await upstream.answer("nas", "A", "192.0.2.77");
    const musl = await buildMuslLookup(t);
    for (const [dots, client] of [
      [0, plain],
      [1, dotted],
    ] as const)
      for (const [library, lookUp] of [
        ["glibc", glibcLookup],
        ["musl", musl],
      ] as const)
        await t.test(`linked to ${library}, with ndots:${dots}`, async (t) => {
          const found = (name: string) => lookUp(host, client, name);
          t.match(await resolvConfOf(client), `ndots:${dots}`);
          t.same(await found("web"), ["192.0.2.1"]);
          t.same(await found("queue"), ["192.0.2.3"]);
          t.same(await found("six"), ["2001:db8::1"], "both families under one suffix");
          t.same(await found("plain"), [await plain.ip("blue"), await plain.ip6("blue")], "a container");
          t.same(await found("nas"), dots === 0 ? ["192.0.2.77"] : [], "a single label that only the upstream knows");
          t.same(await found("nowhere"), []);
          t.same(await found("x.localhost"), ["127.0.0.1", "::1"]);
          // musl before 1.2.4 does not ask over TCP for what was cut off.
          const addresses = await found("crowd.test");
          if (library === "glibc") t.same(addresses, many, "a large answer");
          else
            t.ok(
              addresses.length > 0 && addresses.every((address) => many.includes(address)),
              `of a large answer what fits: ${addresses.length}`,
            );
        });
  });

  t.same(await Promise.all([plain, dotted, bare].map(resolvConfOf)), files, "resolv.conf is as Docker wrote it");

  await t.test("with dns.single-label: local the label itself is never forwarded", async (t) => {
    await pontoon.stop();
    await fresh();
    const local = await host.pontoon({ config: "dns:\n  single-label: local\n" });
    await local.answersIn(plain, dotted, bare);
    await upstream.clear();
    await upstream.answer("nas", "A", "192.0.2.77");
    await upstream.answer("found.two.test", "A", "192.0.2.2");
    await upstream.rcode("flaky.one.test", "SERVFAIL");
    for (const client of [plain, dotted, bare])
      for (const type of ["A", "AAAA"])
        t.match(await client.dig("nas", type), { rcode: "NXDOMAIN", answers: { length: 0 } });
    for (const client of [plain, dotted])
      t.same((await client.dig("found")).addresses, ["192.0.2.2"], "the suffixes are still tried");
    t.equal((await plain.dig("flaky")).rcode, "SERVFAIL", "what could not be looked up is not denied");
    t.same(
      (await asked(upstream)).filter((name) => !name.includes(".")),
      [],
    );
    t.same((await bare.dig("plain")).addresses, [await plain.ip("blue")]);
    t.same((await bare.dig("x.localhost")).addresses, ["127.0.0.1"]);
  });
});

/** A host whose containers forward to a server that knows no names. */
async function hostWithUpstream(t: TestOwner): Promise<{ host: DockerHost; upstream: Upstream }> {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n` });
  const upstream = await (await host.outside()).dns();
  // getent asks for AAAA only where there is an IPv6 address.
  await host.network("blue", { ipv6: "fd00:50::/64" });
  return { host, upstream };
}

/** Names the upstream was asked for. */
async function asked(upstream: Upstream): Promise<string[]> {
  return (await upstream.queries()).map(({ name }) => name);
}

/** The container's resolv.conf, as its processes see it. */
async function resolvConfOf(container: Container): Promise<string> {
  return (await container.exec(["cat", "/etc/resolv.conf"])).stdout;
}

/** What a program asks a name's addresses of: sorted, none when the name is unknown. */
type LookUp = (host: DockerHost, container: Container, name: string) => Promise<string[]>;

/** The machine's own getent, in the container's network namespace and with its resolv.conf. */
const glibcLookup: LookUp = async (host, container, name) => {
  const file = await host.docker("inspect", "--format={{.ResolvConfPath}}", container.id);
  const script = 'mount --bind "$1" /etc/resolv.conf; exec getent --service=hosts:dns ahosts "$2"';
  const argv = ["unshare", "--mount", "sh", "-ec", script, "sh", file, name];
  const { stdout } = await host.exec(argv, { netns: container, reject: false });
  return addressesIn(stdout);
};

const muslProgram = `
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
int main(int count, char **words) {
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
  char text[128];
  if (count != 2 || getaddrinfo(words[1], 0, &hints, &list)) return 2;
  for (; list; list = list->ai_next)
    if (!getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST)) puts(text);
  return 0;
}
`;

/** A program linked to musl, as those of Alpine are; it runs inside the container. */
async function buildMuslLookup(t: TestOwner): Promise<LookUp> {
  const folder = await mkdtemp(join(tmpdir(), "pontoon-musl-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const [source, program] = [join(folder, "lookup.c"), join(folder, "lookup")];
  await writeFile(source, muslProgram);
  await runCommand(["musl-gcc", "-static", "-o", program, source]);
  return async (host, container, name) => {
    await host.docker("cp", program, `${container.id}:/bin/lookup`);
    return addressesIn((await container.exec(["/bin/lookup", name], { reject: false })).stdout);
  };
}

/** A reason to skip what needs a program linked to musl. */
async function whyNoMusl(): Promise<{ skip?: string }> {
  try {
    await runCommand(["musl-gcc", "--version"]);
    return {};
  } catch {
    return { skip: "musl-gcc or the C compiler behind it is missing: apt-get install musl-tools gcc" };
  }
}

/** The first word of each line, each once, sorted. */
function addressesIn(output: string): string[] {
  return [...new Set(output.split("\n").flatMap((line) => line.split(/\s+/)[0] || []))].sort();
}
