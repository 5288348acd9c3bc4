import { fileURLToPath } from "node:url";
import t from "tap";
import { BareHost, until, type Outside, type Pontoon } from "../lab/index.js";
import { inside, marksOn, reaches, run } from "./host.js";
import type { Lending, OddRequest } from "./odd-dhcp-child.js";

const childFile = fileURLToPath(new URL("odd-dhcp-child.js", import.meta.url));
const network = "network create -d macvlan --parent outside --ipam dhcp lan";

/** Starts a server that does as it is told. */
function oddServer(t: { teardown(work: () => Promise<void>): void }, outside: Outside) {
  const child = outside.helper<OddRequest, string[]>(childFile);
  t.teardown(() => child.release());
  return {
    lend: (lending: Lending) => child.call({ kind: "lend", own: outside.address, lending }),
    heard: () => child.call({ kind: "heard" }),
  };
}

async function addressesIn(pontoon: Pontoon, sandbox: string): Promise<string> {
  const { stdout } = await inside(pontoon, sandbox, "ip -br -4 address show eth0");
  return stdout.trim().split(/\s+/).slice(2).join(" ");
}

t.test("what a server says wrongly does no harm", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = oddServer(t, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  const lies: readonly [what: string, lending: Lending][] = [
    ["a lease without a time, mask or router", { ips: ["10.77.0.40"], seconds: 60, isBare: true }],
    ["an option that is cut off", { ips: ["10.77.0.40"], seconds: 60, tail: "03ff0a" }],
    ["a loopback address", { ips: ["127.0.0.11"], seconds: 60 }],
    ["the address of all", { ips: ["255.255.255.255"], seconds: 60 }],
    ["the subnet's broadcast address", { ips: ["10.77.0.255"], seconds: 60 }],
    ["a mask with holes", { ips: ["10.77.0.40"], seconds: 60, options: [[1, "ff00ff00"]], isBare: true }],
    ["a lease of a second", { ips: ["10.77.0.40"], seconds: 1 }],
  ];
  for (const [index, [what, lending]] of lies.entries()) {
    await server.lend(lending);
    const name = `lied${index}`;
    const before = (await server.heard()).length;
    const created = pontoon.cli("sandbox", "create", name, "--network", "lan");
    await until(async () => (await server.heard()).length > before, { what: `it is asked, and tells ${what}` });
    await server.lend({ ips: ["10.77.0.41"], seconds: 3600 });
    t.match(await created, { exitCode: 0 }, what);
    t.equal(await addressesIn(pontoon, name), "10.77.0.41/24", what);
    await run(pontoon, `sandbox rm ${name}`);
  }

  await server.lend({
    ips: ["10.77.0.42"],
    seconds: 3600,
    options: [
      [26, "0044"], // an MTU of 68
      [6, `7f000001${"0a4d0002".repeat(40)}`],
      [15, Buffer.from("evil\nnameserver 6.6.6.6").toString("hex")],
      [12, Buffer.from("$(reboot)").toString("hex")],
      // Classless: loopback by a gateway, a route of one's own, one with a prefix of 33.
      [121, `087f0a4d000210${"0a62"}0a4d0002`],
      [119, "c000"], // points at itself
    ],
  });
  await run(pontoon, "sandbox create a --network lan");
  t.equal(await addressesIn(pontoon, "a"), "10.77.0.42/24");
  const files = (await host.exec(["cat", "/etc/netns/a/resolv.conf", "/etc/netns/a/hosts"])).stdout;
  t.notMatch(files, "evil");
  const routes = (await inside(pontoon, "a", "ip -4 route show table all")).stdout;
  t.match(routes, /^10\.98\.0\.0\/16 via 10\.77\.0\.2/m, "a way that can be");
  t.notMatch(routes, /127.* via/, "but none to loopback addresses");
  t.notMatch(routes, /^default/m, "with classless routes the router of option 3 does not count");
  t.match((await inside(pontoon, "a", "ip link show eth0")).stdout, /mtu 1500/);
  await run(pontoon, "sandbox rm a");
  t.equal(await pontoon.stop(), 0);
});

t.test("an address that somebody has is declined", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  await outside.addAddress("10.77.0.50");
  const server = oddServer(t, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  await server.lend({ ips: ["10.77.0.50", "10.77.0.51"], seconds: 3600 });
  await run(pontoon, "sandbox create a --network lan");
  t.equal(await addressesIn(pontoon, "a"), "10.77.0.51/24");
  t.match((await server.heard()).join(" "), "discover request decline discover request");
  t.ok(pontoon.logs.some((line) => line.includes("10.77.0.50 was lent, but somebody has it")));
  await run(pontoon, "sandbox rm a");
  await until(async () => (await server.heard()).at(-1) === "release", { what: "it is given back" });
  t.equal(await pontoon.stop(), 0);
});

t.test("a lease that is renewed with another router, MTU and domain", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = oddServer(t, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  const times = [
    [58, "00000002"],
    [59, "00000030"],
  ] as const;
  await server.lend({ ips: ["10.77.0.80"], seconds: 60, options: times });
  await run(pontoon, "sandbox create a --network lan");
  const routes = async () => (await inside(pontoon, "a", "ip -4 route")).stdout;
  t.match(await routes(), /^default via 10\.77\.0\.2 /m);
  const others = [
    [3, "0a4d0001"],
    [26, "0514"],
    [15, Buffer.from("lab.test").toString("hex")],
  ] as const;
  await server.lend({ ips: ["10.77.0.80"], seconds: 60, options: [...times, ...others] });
  await until(async () => /^default via 10\.77\.0\.1 /m.test(await routes()), { what: "the other router" });
  t.equal(await addressesIn(pontoon, "a"), "10.77.0.80/24", "the address stays");
  t.match((await inside(pontoon, "a", "ip link show eth0")).stdout, /mtu 1300/);
  await until(async () => /^search lab\.test$/m.test((await host.exec(["cat", "/etc/netns/a/resolv.conf"])).stdout));
  await server.lend({ ips: ["10.77.0.80"], seconds: 60, options: times });
  await until(async () => /^default via 10\.77\.0\.2 /m.test(await routes()), { what: "the first one again" });
  t.equal((await server.heard()).filter((kind) => kind === "discover").length, 1);
  await run(pontoon, "sandbox rm a");
  t.equal(await pontoon.stop(), 0);
});

t.test("a lease that is not renewed in time is lost, and another one is asked for", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = oddServer(t, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  await server.lend({ ips: ["10.77.0.60"], seconds: 10 });
  await run(pontoon, "sandbox create a --network lan");
  await run(pontoon, "sandbox create b --network none");
  await server.lend({ ips: [], seconds: 0 });
  await until(async () => (await addressesIn(pontoon, "a")) === "", { timeoutMs: 20_000, what: "it is taken away" });
  const lease = async () => JSON.stringify(JSON.parse(await run(pontoon, "network inspect lan")));
  t.match(await lease(), /"IPv4Address":"".*"Lease":\{"Address":""/);
  t.notMatch((await host.exec(["cat", "/etc/netns/a/hosts"])).stdout, "10.77.0.60");
  t.ok(pontoon.logs.some((line) => line.includes("a lease is lost")));
  await server.lend({ ips: ["10.77.0.61"], seconds: 3600 });
  await until(async () => (await addressesIn(pontoon, "a")) === "10.77.0.61/24", {
    timeoutMs: 30_000,
    what: "the next one is there",
  });
  t.match(await lease(), '"IPv4Address":"10.77.0.61/24"');
  await until(() => reaches(pontoon, "a", "a"), { what: "and its name leads there" });
  t.match((await host.exec(["cat", "/etc/netns/a/hosts"])).stdout, "10.77.0.61");
  await pontoon.kill();
  t.equal(
    (await host.exec(["ip", "-n", "a", "-br", "-4", "a", "show", "eth0"])).stdout.trim().split(/\s+/)[2],
    "10.77.0.61/24",
  );
});

t.test("a server that refuses", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = oddServer(t, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  const before = await marksOn(host);
  await server.lend({ ips: ["10.77.0.70"], seconds: 60, refuses: true });
  t.match(await pontoon.cli("sandbox", "create", "a", "--network", "lan"), {
    exitCode: 1,
    stderr: /^pontoon: no DHCP server answered on outside within 10 s[^\n]*--ip-range[^\n]*\n$/,
  });
  t.equal(await marksOn(host), before, "nothing is left");
  const asked = (await server.heard()).filter((kind) => kind === "discover").length;
  t.ok(asked < 12, `who is refused does not ask without end: ${asked}`);
  t.equal(await pontoon.stop(), 0);
});
