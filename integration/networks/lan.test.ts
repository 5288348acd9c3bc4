import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { inside, marksOn, reaches, run, startShell } from "./host.js";

/** The host's link to the LAN, on which the outside is its neighbour, 10.77.0.2. */
const parent = "outside";

t.test("sandboxes of a macvlan network are neighbours on the LAN", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  const hostReaches = async (ip: string) =>
    (await host.exec(["busybox", "ping", "-c", "1", "-W", "1", ip], { reject: false })).exitCode === 0;
  const outsideReaches = async (ip: string) =>
    (await outside.exec(["busybox", "ping", "-c", "1", "-W", "1", ip], { reject: false })).exitCode === 0;

  await run(pontoon, `network create -d macvlan --parent ${parent} --ip-range 10.77.0.64/28 lan`);
  const [shown] = JSON.parse(await run(pontoon, "network inspect lan")) as [Record<string, unknown>];
  t.match(shown, {
    Driver: "macvlan",
    IPAM: { Config: { 0: { Subnet: "10.77.0.0/24", Gateway: "10.77.0.2", IPRange: "10.77.0.64/28" } } },
    Options: { parent, macvlan_mode: "bridge" },
  });
  await run(pontoon, "sandbox create a --network lan");
  await run(pontoon, "sandbox create b --network lan --alias printer");
  t.match((await inside(pontoon, "a", "ip -br -4 address show eth0")).stdout, /10\.77\.0\.64\/24/);
  t.ok(await outsideReaches("10.77.0.64"), "the LAN reaches it");
  t.ok(await reaches(pontoon, "a", outside.address), "and it the LAN");
  t.ok(await reaches(pontoon, "a", "b"), "sandboxes have names");
  t.ok(await reaches(pontoon, "a", "printer"));
  t.notOk(await hostReaches("10.77.0.64"), "the host does not, as the kernel has it");
  const server = await startShell(host, "exec nsenter --net=/run/netns/a busybox httpd -f -p 80 -h /etc");
  const page = ["busybox", "wget", "-q", "-O-", "http://10.77.0.64/hostname"];
  await until(async () => (await outside.exec(page, { reject: false })).exitCode === 0, {
    what: "a server is reached from the LAN",
  });
  await host.signal("SIGKILL", server);

  await run(pontoon, `network create -d macvlan --parent ${parent} --subnet 10.78.0.0/24 --host-access near`);
  await run(pontoon, "sandbox create c --network near");
  const near = /10\.78\.0\.\d+/.exec((await inside(pontoon, "c", "ip -br -4 address show eth0")).stdout)![0];
  t.equal(near, "10.78.0.3", ".2 is the host's");
  t.ok(await hostReaches(near), "with access the host reaches it");
  t.ok(await reaches(pontoon, "c", "10.78.0.2"), "and it the host");
  await run(pontoon, "publish c 127.0.0.1:8080:80");
  const served = await startShell(host, "exec nsenter --net=/run/netns/c busybox httpd -f -p 80 -h /etc");
  await until(
    async () =>
      (await host.exec(["busybox", "wget", "-q", "-O-", "http://127.0.0.1:8080/hostname"], { reject: false }))
        .exitCode === 0,
    { what: "its port is published" },
  );
  t.match((await pontoon.cli("port", "--long")).stdout, /proxy/);
  await host.signal("SIGKILL", served);

  await pontoon.kill();
  await host.exec(["ip", "route", "del", "10.78.0.3"]);
  await host.exec(["ip", "-n", "b", "link", "del", "eth0"]);
  pontoon = await host.pontoon();
  await until(() => hostReaches(near), { what: "a route that was lost is back" });
  await until(() => reaches(pontoon, "a", "b"), { what: "and a link" });
  await run(pontoon, "network disconnect near c");
  t.notMatch((await host.exec(["ip", "route"])).stdout, near, "no route is left");
  await run(pontoon, "network connect near c");
  for (const sandbox of ["a", "b", "c"]) await run(pontoon, `sandbox rm ${sandbox}`);
  await run(pontoon, "network prune");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a namespace of somebody else's is on the LAN until it is given back", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  await run(pontoon, `network create -d macvlan --parent ${parent} --mode private --ip-range 10.77.0.64/28 lan`);
  await host.exec(["ip", "netns", "add", "theirs"]);
  await run(pontoon, "sandbox adopt theirs --netns /run/netns/theirs --network lan");
  t.ok(await reaches(pontoon, "theirs", "10.77.0.2"));
  await run(pontoon, "sandbox create other --network lan");
  t.notOk(await reaches(pontoon, "other", "10.77.0.64"), "private: not one another");
  await run(pontoon, "sandbox rm theirs");
  t.equal((await host.exec(["ip", "-n", "theirs", "-br", "link"])).stdout.trim().split("\n").length, 1, "only lo");
  await run(pontoon, "sandbox rm other");
  await run(pontoon, "network rm lan");
  t.equal(await pontoon.stop(), 0);
});

t.test("what a LAN cannot be is refused in one line, and leaves nothing", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  await host.exec([
    "sh",
    "-ec",
    "ip link add br0 type bridge; ip link add p0 type veth peer name p1; ip link set p0 master br0",
  ]);
  const before = await marksOn(host);
  const refused: [line: string, reason: RegExp][] = [
    [
      "network create -d macvlan x",
      /a macvlan network is on a link of the host's; name it with --parent, such as .*outside/,
    ],
    ["network create -d macvlan --parent eth7 x", /the host has no link eth7/],
    ["network create -d macvlan --parent br0 x", /br0 has no address .*--subnet/],
    ["network create -d macvlan --parent outside --icc off x", /has no --icc: it is on the LAN/],
    ["network create --parent outside x", /driver bridge has no --parent/],
    ["network create -d macvlan --parent outside --host-address 10.9.9.9 --ip-range 10.77.0.64/28 x", /in no subnet/],
  ];
  for (const [line, reason] of refused) {
    const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
    t.equal(exitCode, 1, line);
    t.match(stderr, reason, line);
    t.match(stderr, /^pontoon: [^\n]+\n$/, line);
  }
  await run(pontoon, "network create -d macvlan --parent outside lan");
  t.match(await pontoon.cli("sandbox", "create", "a", "--network", "lan"), {
    exitCode: 1,
    stderr: /addresses on the LAN at outside are not pontoon's to give out; name one with --ip/,
  });
  for (const [ip, owner] of [
    ["10.77.0.1", "the host"],
    ["10.77.0.2", "the gateway"],
  ] as const)
    t.match(await pontoon.cli("sandbox", "create", "a", "--network", "lan", "--ip", ip), {
      exitCode: 1,
      stderr: new RegExp(`${ip.replaceAll(".", "\\.")} is taken by ${owner}`),
    });
  await run(pontoon, "sandbox create a --network lan --ip 10.77.0.9");
  t.match(await pontoon.cli("sandbox", "create", "b", "--network", "lan", "--ip", "10.77.0.9"), {
    stderr: /taken by sandbox a/,
  });
  await run(pontoon, "sandbox rm a");
  await run(pontoon, "network rm lan");

  // What only the kernel knows.
  await run(pontoon, "network create -d macvlan --parent p0 --subnet 10.79.0.0/24 port");
  t.match(await pontoon.cli("sandbox", "create", "a", "--network", "port"), {
    exitCode: 1,
    stderr: /the kernel makes no macvlan link on p0: it is the port of a bridge/,
  });
  await run(pontoon, "network rm port");
  for (const [line, kind] of [
    ["-d macvlan --parent outside.10 --subnet 10.79.0.0/24 --host-access", "vlan"],
    ["-d ipvlan --parent outside --subnet 10.79.0.0/24 --host-access", "ipvlan"],
  ] as const) {
    const { exitCode, stderr } = await pontoon.cli(..."network create x".split(" "), ...line.split(" "));
    if (exitCode === 0)
      await run(pontoon, "network rm x"); // a kernel that has them
    else t.match(stderr, new RegExp(`this kernel has no ${kind} links; load its module`), line);
  }
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});
