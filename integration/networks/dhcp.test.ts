import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { DhcpServer } from "./dhcp-server.js";
import { inside, marksOn, reaches, run, startShell } from "./host.js";

/** The host's link to the LAN, on which the outside is its neighbour, 10.77.0.2. */
const parent = "outside";

async function addressOf(pontoon: Pontoon, sandbox: string): Promise<string | undefined> {
  const { stdout } = await inside(pontoon, sandbox, "ip -br -4 address show eth0");
  return /10\.77\.0\.\d+(?=\/24)/.exec(stdout)?.[0];
}

t.test("sandboxes have addresses that the LAN's DHCP server lends", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside, { options: ["option:router,10.77.0.2"] });
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  await run(pontoon, `network create -d macvlan --parent ${parent} --ipam dhcp --host-address 10.77.0.9 lan`);
  t.match(await run(pontoon, "network ls"), /lan +macvlan +outside +dhcp/);
  await run(pontoon, "sandbox create a --network lan");
  await run(pontoon, "sandbox create b --network lan --alias printer");
  const a = (await addressOf(pontoon, "a"))!;
  const b = (await addressOf(pontoon, "b"))!;
  t.match([a, b].join(" "), /^10\.77\.0\.1\d\d 10\.77\.0\.1\d\d$/);
  const lent = await server.leases();
  t.same(lent.map(({ ip, name }) => `${ip} ${name}`).sort(), [`${a} a`, `${b} b`].sort(), "with their names");
  const open = (await host.exec(["ip", "netns", "exec", "a", "cat", "/proc/net/packet"])).stdout.trim().split("\n");
  t.equal(open.length, 1, "with a lease no socket is open");
  t.match((await inside(pontoon, "a", "ip -4 route")).stdout, /default via 10\.77\.0\.2 dev eth0/);
  t.ok(await reaches(pontoon, "a", outside.address));
  t.ok(await reaches(pontoon, "a", "b"), "sandboxes have names");
  t.ok(await reaches(pontoon, "a", "printer"));
  t.match((await host.exec(["cat", "/etc/netns/a/hosts"])).stdout, new RegExp(`${a.replaceAll(".", "\\.")}\ta`));
  const [shown] = JSON.parse(await run(pontoon, "network inspect lan")) as [Record<string, unknown>];
  t.match(shown, { IPAM: { Driver: "dhcp", Config: { length: 0 } } });
  t.match(JSON.stringify(shown), new RegExp(`"IPv4Address":"${a}/24".*"Lease":.*"Server":"10.77.0.2"`));

  await run(pontoon, "publish a 127.0.0.1:8080:80");
  const httpd = await startShell(host, "exec nsenter --net=/run/netns/a busybox httpd -f -p 80 -h /etc");
  const page = ["busybox", "wget", "-q", "-O-", "http://127.0.0.1:8080/hostname"];
  await until(async () => (await host.exec(page, { reject: false })).exitCode === 0, { what: "its port is published" });
  await host.signal("SIGKILL", httpd);

  await run(pontoon, "network disconnect lan b");
  await until(async () => (await server.leases()).length === 1, { what: "the lease of what left is given back" });
  await run(pontoon, "network connect lan b");
  t.equal(await addressOf(pontoon, "b"), b, "who returns is the same client");
  for (const sandbox of ["a", "b"]) await run(pontoon, `sandbox rm ${sandbox}`);
  await until(async () => (await server.leases()).length === 0, { what: "leases are given back" });
  await run(pontoon, "network rm lan");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});

t.test("what else the server says counts for a sandbox that leaves by its LAN", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.answer("files.lab.test", "A", "10.77.0.2");
  const options = ["option:dns-server,10.77.0.2", "option:domain-name,lab.test", "option:mtu,1400"];
  // A router of its own for some, and the way to it.
  const ways = "option:classless-static-route,10.98.0.0/16,10.77.0.1,0.0.0.0/0,10.77.0.2";
  const kept = ["02:00:00:00:00:33,10.77.0.33"];
  const server = await DhcpServer.start(host, outside, { options: [...options, ways], kept });
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --parent ${parent} --ipam dhcp lan`);
  await run(pontoon, "network create aaa --subnet 10.66.0.0/24");
  await run(pontoon, "sandbox create a --network lan");
  const resolv = async (name: string) => (await host.exec(["cat", `/etc/netns/${name}/resolv.conf`])).stdout;
  t.match(await resolv("a"), /^nameserver 127\.0\.0\.11\nsearch lab\.test$/m);
  t.ok(await reaches(pontoon, "a", "files.lab.test"), "its DNS server is asked");
  t.ok(await reaches(pontoon, "a", "files"), "in its domain");
  t.match((await inside(pontoon, "a", "ip link show eth0")).stdout, /mtu 1400/);
  const routes = async () => (await inside(pontoon, "a", "ip -4 route")).stdout;
  t.match(await routes(), /^default via 10\.77\.0\.2 dev eth0/m);
  t.match(await routes(), /^10\.98\.0\.0\/16 via 10\.77\.0\.1 dev eth0/m);

  await run(pontoon, "network connect --gw-priority 1 aaa a");
  t.notMatch(await resolv("a"), /lab\.test/, "not where it leaves by another network");
  t.match(await routes(), /^default via 10\.66\.0\.1 /m);
  t.match((await inside(pontoon, "a", "ip rule")).stdout, /from 10\.77\.0\.1\d\d lookup 1000/);
  await run(pontoon, "network disconnect aaa a");
  t.match(await resolv("a"), /search lab\.test/);

  await run(pontoon, "sandbox create b --network lan --dns 10.77.0.1 --dns-search own.test");
  t.match(await resolv("b"), /search own\.test/, "what was asked for counts first");
  await run(pontoon, "sandbox create c --network lan --mac 02:00:00:00:00:33");
  t.match((await inside(pontoon, "c", "ip -br -4 address show eth0")).stdout, "10.77.0.33/24", "what is kept for it");
  for (const sandbox of ["a", "b", "c"]) await run(pontoon, `sandbox rm ${sandbox}`);
  await server.stop();
  t.equal(await pontoon.stop(), 0);
});

t.test("a router beyond the subnet, as hosting companies have it", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  await outside.exec(["ip", "address", "add", "10.99.0.1/32", "dev", "eth0"]);
  await DhcpServer.start(host, outside, { options: ["option:netmask,255.255.255.255", "option:router,10.99.0.1"] });
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --parent ${parent} --ipam dhcp lan`);
  await run(pontoon, "sandbox create a --network lan");
  const routes = (await inside(pontoon, "a", "ip -4 route")).stdout;
  t.match(routes, /^default via 10\.99\.0\.1 dev eth0/m);
  t.match(routes, /^10\.99\.0\.1 dev eth0 scope link/m);
  await pontoon.kill();
  const next = await host.pontoon();
  t.equal((await inside(next, "a", "ip -4 route")).stdout, routes, "what is as it should be stays");
  t.equal(await next.stop(), 0);
});

// containers/netavark issues 1008 and 1156: a client that asks on the parent is not heard by a server beside it.
t.test("a server on the host, with a link of its own on the parent", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const script =
    "ip link add lan0 link outside type macvlan mode bridge; ip address add 10.88.0.1/24 dev lan0; ip link set lan0 up";
  await host.exec(["sh", "-ec", script]);
  const server = await DhcpServer.start(host, host, { link: "lan0", range: ["10.88.0.100", "10.88.0.120"] });
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --parent ${parent} --ipam dhcp lan`);
  await run(pontoon, "sandbox create a --network lan");
  t.match((await inside(pontoon, "a", "ip -br -4 address show eth0")).stdout, /10\.88\.0\.1\d\d\/24/);
  await run(pontoon, "sandbox rm a");
  await until(async () => (await server.leases()).length === 0, { what: "it is given back" });
  t.equal(await pontoon.stop(), 0);
});

t.test("a link with its parent's MAC address asks for replies to all", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside);
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --mode passthru --parent ${parent} --ipam dhcp lan`);
  t.match(await pontoon.cli("sandbox", "create", "a", "--network", "lan", "--mac", "02:00:00:00:00:09"), {
    exitCode: 1,
  });
  await run(pontoon, "sandbox create a --network lan");
  const [lent] = await server.leases();
  t.match((await inside(pontoon, "a", "ip -br -4 address show eth0")).stdout, lent!.ip);
  t.ok(await reaches(pontoon, "a", outside.address));
  await run(pontoon, "sandbox rm a");
  await until(async () => (await server.leases()).length === 0, { what: "it is given back" });
  t.equal(await pontoon.stop(), 0);
});

t.test("many at once", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside, { range: ["10.77.0.100", "10.77.0.150"] });
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --parent ${parent} --ipam dhcp lan`);
  const names = Array.from({ length: 24 }, (_, index) => `s${index}`);
  await Promise.all(names.map((name) => run(pontoon, `sandbox create ${name} --network lan`)));
  const [shown] = JSON.parse(await run(pontoon, "network inspect lan")) as [{ Containers: object }];
  const ips = Object.values(shown.Containers).map(({ IPv4Address }: { IPv4Address: string }) => IPv4Address);
  const lent = (await server.leases()).map(({ ip }) => `${ip}/24`);
  t.same(ips.sort(), lent.sort(), "each has another one");
  t.equal(new Set(ips).size, names.length);
  await Promise.all(names.map((name) => run(pontoon, `sandbox rm ${name}`)));
  await until(async () => (await server.leases()).length === 0, { what: "all are given back" });
  t.equal(await pontoon.stop(), 0);
});
