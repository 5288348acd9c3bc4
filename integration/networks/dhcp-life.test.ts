import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { DhcpServer } from "./dhcp-server.js";
import { inside, marksOn, reaches, run } from "./host.js";

const network = "network create -d macvlan --parent outside --ipam dhcp lan";

async function addressOf(pontoon: Pontoon, sandbox: string): Promise<string> {
  const { stdout } = await inside(pontoon, sandbox, "ip -br -4 address show eth0");
  return stdout.trim().split(/\s+/).slice(2).join(" ");
}

function count(messages: readonly string[], kind: string): number {
  return messages.filter((each) => each === kind).length;
}

// containernetworking/plugins issues 235 and 767: a daemon that started anew knew of no lease, and all ran out.
t.test("a lease outlives the daemon, and a start of the host", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside, { options: ["option:T1,3"] });
  let pontoon = await host.pontoon();
  await run(pontoon, network);
  await run(pontoon, "sandbox create a --network lan");
  const address = await addressOf(pontoon, "a");
  const [lent] = await server.leases();
  t.equal(`${lent!.ip}/24`, address);
  const asked = async (kind: string) => count(await server.messages(lent!.mac), kind);
  t.equal(await asked("DHCPDISCOVER"), 1);
  await until(async () => (await asked("DHCPACK")) >= 2, { what: "it is renewed" });

  await pontoon.kill();
  t.match((await host.exec(["ip", "-n", "a", "address", "show", "eth0"])).stdout, address);
  const before = await asked("DHCPACK");
  pontoon = await host.pontoon();
  t.equal(await addressOf(pontoon, "a"), address, "the same, and no other beside it");
  await until(async () => (await asked("DHCPACK")) > before, { what: "and it is renewed again" });

  t.equal(await pontoon.stop(), 0, "an end gives nothing back");
  t.equal((await server.leases()).length, 1);
  await host.exec(["ip", "netns", "del", "a"]);
  await server.stop();
  await server.start({}); // renewals would hide what is asked at a start
  const confirmed = await asked("DHCPREQUEST");
  pontoon = await host.pontoon();
  await until(async () => (await asked("DHCPREQUEST")) > confirmed, { what: "it is asked whether the lease counts" });
  t.equal(await addressOf(pontoon, "a"), address);
  t.equal(await asked("DHCPDISCOVER"), 1, "nobody has looked for another server");
  t.equal((await server.leases()).length, 1);
  t.equal(await asked("DHCPRELEASE"), 0);
  await run(pontoon, "sandbox rm a");
  await until(async () => (await asked("DHCPRELEASE")) === 1, { what: "it is given back at its end" });
  await until(async () => (await server.leases()).length === 0, { what: "the lease is given back" });
  t.equal(await pontoon.stop(), 0);
});

t.test("a server that has other addresses by now", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside, { options: ["option:T1,3"] });
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  await run(pontoon, "sandbox create a --network lan");
  await run(pontoon, "sandbox create b --network lan");
  const before = await addressOf(pontoon, "a");
  await server.stop();
  await server.start({ range: ["10.77.0.200", "10.77.0.220"], forgets: true });
  await until(async () => /10\.77\.0\.2[012]\d/.test(await addressOf(pontoon, "a")), { what: "another address" });
  const after = await addressOf(pontoon, "a");
  t.notMatch(after, before);
  t.ok(pontoon.logs.some((line) => line.includes("a server has refused it")));
  await until(() => reaches(pontoon, "b", "a"), { what: "its name leads there" });
  t.match((await host.exec(["cat", "/etc/netns/a/hosts"])).stdout, after.split("/")[0]!);
  t.match(await run(pontoon, "network inspect lan"), after);
  t.equal(await pontoon.stop(), 0);
});

t.test("without a server nothing is made, and others have their turn meanwhile", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  await run(pontoon, network);
  await run(pontoon, "network create other");
  await run(pontoon, "sandbox create there --network other");
  const before = await marksOn(host);
  let isOver = false;
  const created = pontoon.cli("sandbox", "create", "a", "--network", "lan").finally(() => (isOver = true));
  const connected = pontoon.cli("network", "connect", "lan", "there");
  await until(async () => /there/.test(await run(pontoon, "network inspect lan")), { what: "both wait" });
  await run(pontoon, "sandbox create b --network other");
  await run(pontoon, "sandbox rm b");
  t.notOk(isOver, "other commands are done first");
  for (const failed of [await created, await connected])
    t.match(failed, {
      exitCode: 1,
      stderr: /^pontoon: no DHCP server answered on outside within 10 s: [^\n]*--ip-range[^\n]*\n$/,
    });
  t.equal(await marksOn(host), before);
  t.notMatch(await run(pontoon, "network inspect lan"), /there/);

  const leaving = pontoon.cli("sandbox", "create", "c", "--network", "lan");
  await until(async () => /"c"/.test(await run(pontoon, "network inspect lan")), { what: "it waits" });
  await run(pontoon, "sandbox rm c");
  t.match(await leaving, { exitCode: 1, stderr: /the sandbox has left the network before it had an address there/ });

  const ended = pontoon.cli("sandbox", "create", "d", "--network", "lan");
  await until(async () => /"d"/.test(await run(pontoon, "network inspect lan")), { what: "it waits" });
  t.equal(await pontoon.stop(), 0);
  t.match(await ended, { exitCode: 1 });
  t.notMatch((await host.exec(["ip", "netns", "list"])).stdout, /^d\b/m, "what waits at an end is not left");
});

t.test("a daemon that is killed while it waits", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  let pontoon = await host.pontoon();
  await run(pontoon, network);
  const created = pontoon.cli("sandbox", "create", "a", "--network", "lan");
  await until(async () => /"a"/.test(await run(pontoon, "network inspect lan")), { what: "it waits" });
  await pontoon.kill();
  t.match(await created, { exitCode: 1 });
  const server = await DhcpServer.start(host, outside);
  pontoon = await host.pontoon();
  await until(async () => (await server.leases()).length === 1, { what: "the next one asks on" });
  await until(async () => (await addressOf(pontoon, "a")) !== "", { what: "and the sandbox has its address" });
  await run(pontoon, "sandbox rm a");
  await until(async () => (await server.leases()).length === 0, { what: "the lease is given back" });
  t.equal(await pontoon.stop(), 0);
});

t.test("what DHCP cannot be together with is refused in one line", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  const lan = "network create -d macvlan --parent outside --ipam dhcp";
  const refused: readonly [line: string, reason: RegExp][] = [
    [`${lan} --subnet 10.77.0.0/24 x`, /--ipam dhcp goes without --subnet: the LAN's DHCP server says/],
    [`${lan} --ip-range 10.77.0.64/28 x`, /without --ip-range/],
    [`${lan} --gateway 10.77.0.2 x`, /without --gateway/],
    [`${lan} --ipv6 x`, /without --ipv6: only IPv4 addresses are asked for/],
    [`${lan} --host-access x`, /name one with --host-address that the LAN's server lends to nobody/],
    [`${lan} --host-address 10.77.0.1 x`, /10\.77\.0\.1 cannot be/],
    ["network create --ipam dhcp x", /the driver bridge has no --ipam dhcp: DHCP is for networks on a LAN/],
    ["network create --ipam other x", /there is no --ipam other; it is default or dhcp/],
    ["network create -d ipvlan --mode l3 --parent outside --ipam dhcp x", /nothing is broadcast; --ipam dhcp needs l2/],
  ];
  for (const [line, reason] of refused) {
    const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
    t.equal(exitCode, 1, line);
    t.match(stderr, reason, line);
    t.match(stderr, /^pontoon: [^\n]+\n$/, line);
  }
  await run(pontoon, `${lan} lan`);
  t.match(await pontoon.cli("sandbox", "create", "a", "--network", "lan", "--ip", "10.77.0.5"), {
    exitCode: 1,
    stderr: /the LAN's DHCP server lends addresses; leave out --ip, or have the server keep 10\.77\.0\.5 for a --mac/,
  });
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  t.equal(await pontoon.stop(), 0);
});
