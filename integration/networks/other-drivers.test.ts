import t, { type Test } from "tap";
import { BareHost, FakeDriver, until, type Pontoon } from "../lab/index.js";
import { callCni, makeNamespaces } from "../cni/engine.js";
import { inside, marksOn, reaches, run } from "./host.js";

t.test("a plugin's network has sandboxes, names and ports as others have", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  await run(pontoon, "network create net --driver fake -o colour=red --subnet 10.77.0.0/24");
  await run(pontoon, "sandbox create web --network net");
  await run(pontoon, "sandbox create client --network net");
  t.ok(await reaches(pontoon, "client", "10.77.0.2"));
  t.ok(await reaches(pontoon, "client", "web"), "by name");
  t.match((await inside(pontoon, "web", "ip -br address show fake0")).stdout, /^fake0@if\d+ +UP +10\.77\.0\.2\/24/);
  t.match((await inside(pontoon, "web", "ip route")).stdout, /default via 10\.77\.0\.1 dev fake0/);
  const [network] = JSON.parse(await run(pontoon, "network inspect net")) as [Record<string, unknown>];
  t.match(network, { Driver: "fake", Options: { colour: "red" }, IPAM: { Driver: "default" } });
  t.match(JSON.parse(await run(pontoon, "sandbox inspect web")), {
    0: {
      networks: {
        0: {
          network: "net",
          link: "fake0",
          ipv4: "10.77.0.2",
          mac: /^([0-9a-f]{2}:){5}/,
          info: { "fake.end": /^fkh/ },
        },
      },
    },
  });
  const { calls } = await driver.state();
  t.match(calls.find(({ method }) => method === "NetworkDriver.CreateNetwork")?.body, {
    Options: { "com.docker.network.generic": { colour: "red" }, "com.docker.network.enable_ipv6": false },
    IPv4Data: { 0: { AddressSpace: "LocalDefault", Pool: "10.77.0.0/24", Gateway: "10.77.0.1/24" } },
  });
  t.match(calls.find(({ method }) => method === "NetworkDriver.Join")?.body, { SandboxKey: "/run/netns/web" });
  await run(pontoon, "publish web 8080:80");
  await host.exec(["sh", "-c", "ip netns exec web busybox httpd -p 80 -h /usr/share/doc/busybox-static"]);
  const ask = async () =>
    (await host.exec(["curl", "-s", "-o", "/dev/null", "-m", "5", "http://127.0.0.1:8080/"])).exitCode;
  t.equal(await ask(), 0, "pontoon publishes");
  t.match(await run(pontoon, "port --json"), /"path": ?"proxy"/, "by its proxy: replies need not pass the host");

  await run(pontoon, "network create other");
  await run(pontoon, "network connect other web");
  await run(pontoon, "network disconnect net client");
  t.notMatch((await inside(pontoon, "client", "ip link")).stdout, /fake0/);
  await run(pontoon, "network connect net client --ip 10.77.0.9 --mac 02:42:0a:4d:00:09 --ifname lan");
  t.match((await inside(pontoon, "client", "ip link show lan")).stdout, /02:42:0a:4d:00:09/);
  t.ok(await reaches(pontoon, "web", "10.77.0.9"));
  const { exitCode, stderr } = await pontoon.cli("network", "rm", "net");
  t.equal(exitCode, 1);
  t.match(stderr, /in use by sandbox/);

  const seen = await marksOn(host);
  const told = (await driver.state()).calls.length;
  await pontoon.kill();
  await driver.end();
  pontoon = await host.pontoon();
  t.ok(await reaches(pontoon, "client", "web"), "all is as before, with a plugin that is away");
  t.equal(await marksOn(host), seen);
  t.equal((await driver.state()).calls.length, told, "the next daemon asks nothing");
  await driver.listen();
  t.equal(await ask(), 0);

  await run(pontoon, "unpublish web");
  await host.exec(["sh", "-c", "kill $(ip netns pids web)"]);
  for (const name of ["web", "client"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network prune");
  t.equal(await driver.held(), "");
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a plugin gives addresses, with its own driver, with a bridge, and one driver has its own", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen(4242);
  host.writeFile("/etc/docker/plugins/fake.spec", "tcp://127.0.0.1:4242\n");
  const pontoon = await host.pontoon();
  await run(pontoon, "network create both -d fake --ipam-driver fake --ipam-opt site=here");
  await run(pontoon, "sandbox create one --network both");
  await run(pontoon, "sandbox create two --network both");
  t.ok(await reaches(pontoon, "one", "two"));
  const { calls, addresses } = await driver.state();
  t.same(addresses, ["10.111.0.1", "10.111.0.2", "10.111.0.3"]);
  t.match(calls.find(({ method }) => method === "IpamDriver.RequestPool")?.body, {
    AddressSpace: "fake-local",
    Options: { site: "here" },
  });
  const asked = calls.filter(({ method }) => method === "IpamDriver.RequestAddress").map(({ body }) => body.Options);
  t.match(asked, { 0: { RequestAddressType: "com.docker.network.gateway" } });
  t.match(asked, { 1: { "com.docker.network.endpoint.macaddress": /^02:42:/ } });
  for (const name of ["one", "two"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network rm both");
  t.equal(await driver.held(), "");

  await run(pontoon, "network create bridged --ipam-driver fake --subnet 10.112.0.0/24 --gateway 10.112.0.7");
  await run(pontoon, "sandbox create one --network bridged --ip 10.112.0.50");
  t.ok(await reaches(pontoon, "one", "10.112.0.7"));
  t.equal(await driver.held(), "10.112.0.0/24, 10.112.0.7, 10.112.0.50");
  await run(pontoon, "sandbox rm one");
  await run(pontoon, "network rm bridged");
  t.equal(await driver.held(), "");

  await run(pontoon, "network create own -d fake --ipam-driver null");
  await run(pontoon, "sandbox create one --network own");
  t.match((await inside(pontoon, "one", "ip -br address show fake0")).stdout, /10\.222\.0\.\d+\/16/);
  t.match((await inside(pontoon, "one", "ip link show fake0")).stdout, /02:42:de:00:00:0\d/);
  await run(pontoon, "sandbox create two --network own");
  t.ok(await reaches(pontoon, "two", "one"));
  for (const name of ["one", "two"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network rm own");
  t.equal(await driver.held(), "");
  t.equal(await pontoon.stop(), 0);
});

/** The host is as it was before: links are deleted a little later. */
async function nothingMore(t: Test, host: BareHost, before: string): Promise<void> {
  await until(async () => (await marksOn(host)) === before).catch(() => undefined);
  t.equal(await marksOn(host), before, "nothing is left");
}

async function refused(t: Test, pontoon: Pontoon, line: string, reason: RegExp): Promise<void> {
  const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
  t.equal(exitCode, 1, line);
  t.match(stderr, reason, line);
  t.match(stderr, /^pontoon: [^\n]+\n$/, line);
}

t.test("what cannot be is one clear line, and nothing is left of it", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  await refused(
    t,
    pontoon,
    "network create net -d fake",
    /no network driver fake; pontoon's own are bridge, .*\/run\/docker\/plugins, \/etc\/docker\/plugins/,
  );
  await refused(t, pontoon, "network create net --ipam-driver fake", /no IPAM driver fake; .*\/run\/docker\/plugins/);
  await refused(t, pontoon, "network create net -d ../fake", /no network driver \.\.\/fake/);
  await refused(t, pontoon, "network create net -o a=b", /the driver bridge has no --opt/);
  await refused(t, pontoon, "network create net -d pontoon", /is dockerd's/);
  await refused(t, pontoon, "network create net --ipam-driver pontoon", /is dockerd's/);
  await driver.listen();
  await driver.end();
  await refused(t, pontoon, "network create net -d fake", /plugin fake (is not there|cannot be reached)/);
  await driver.listen();
  await refused(t, pontoon, "network create net -d fake --mtu 1400", /has no --mtu/);
  host.writeFile(
    "/etc/docker/plugins/tls.json",
    JSON.stringify({ Name: "tls", Addr: "tcp://127.0.0.1:1", TLSConfig: { CAFile: "/ca" } }),
  );
  await refused(t, pontoon, "network create net -d tls", /asks for TLS/);
  const reply = (text: string, status = 200) => ({ status, text });
  for (const [method, how, reason] of [
    [
      "Plugin.Activate",
      reply('{"Implements":["VolumeDriver"]}'),
      /fake is no NetworkDriver: it says that it is VolumeDriver/,
    ],
    ["Plugin.Activate", reply("<html>"), /answered Plugin.Activate with what makes no sense: it is not JSON/],
    ["NetworkDriver.GetCapabilities", reply('{"Scope":"galaxy"}'), /Scope/],
    [
      "NetworkDriver.CreateNetwork",
      reply('{"Err":"no vlan\\nleft\\u001b[2J"}', 500),
      /fake refused NetworkDriver.CreateNetwork: no vlan\\nleft\\x1b/,
    ],
    ["NetworkDriver.CreateNetwork", reply('{"Err":""}', 500), /does not say why \(HTTP 500\)/],
    ["NetworkDriver.CreateNetwork", "hang", /did not answer NetworkDriver.CreateNetwork within 10 s/],
    ["NetworkDriver.CreateNetwork", "cut", /cut the connection off/],
    [
      "NetworkDriver.CreateNetwork",
      { ...reply('"x".'), isDone: true },
      /CreateNetwork with what makes no sense: it is not JSON/,
    ],
  ] as const) {
    await driver.behave(method, how);
    await refused(t, pontoon, "network create net -d fake --ipam-driver fake", reason);
    await driver.behave(method, undefined);
    t.equal(await run(pontoon, "network ls --json").then((text) => text.includes('"net"')), false, method);
    await until(async () => (await driver.held()) === "", { what: `nothing is held after ${method}` });
  }
  await run(pontoon, "network create net -d fake --ipam-driver fake");
  const own = await driver.held();
  await run(pontoon, "sandbox create web --network none");
  const join = (SrcName: string, more = "") => ({
    ...reply(`{"InterfaceName":{"SrcName":"${SrcName}","DstPrefix":"eth"}${more}}`),
    isDone: true,
  });
  await host.exec([
    "sh",
    "-c",
    "ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; ip link set up0 up; ip link set up1 up; ip route add default via 192.0.2.2",
  ]);
  for (const [method, how, reason] of [
    ["NetworkDriver.CreateEndpoint", reply('{"Err":"no room"}'), /refused NetworkDriver.CreateEndpoint: no room/],
    [
      "NetworkDriver.CreateEndpoint",
      { ...reply('{"Interface":{"Address":"10.9.9.9/24"}}'), isDone: true },
      /was given the address 10\.111\.0\.2, and answered with 10\.9\.9\.9/,
    ],
    ["NetworkDriver.CreateEndpoint", "cut", /cut the connection off/],
    ["NetworkDriver.Join", "hang", /did not answer NetworkDriver.Join within 10 s/],
    ["NetworkDriver.Join", reply('{"Err":"failed"}'), /refused NetworkDriver.Join: failed/],
    ["NetworkDriver.Join", join("lo"), /stays where it is: it is the host's loopback/],
    [
      "NetworkDriver.Join",
      join("up0"),
      /gives away the host's link up0, and it stays where it is: the host leaves by it/,
    ],
    ["NetworkDriver.Join", join("../../etc"), /InterfaceName.SrcName: it is not the name of a link/],
    ["NetworkDriver.Join", join("a b"), /it is not the name of a link/],
    ["NetworkDriver.Join", join("nothere"), /there is no link nothere on this host/],
    ["NetworkDriver.Join", join(""), /names no link/],
    ["NetworkDriver.Join", join("up1", ',"Gateway":"999.0.0.1"'), /Gateway: 999\.0\.0\.1 is not an IP address/],
    ["IpamDriver.RequestAddress", reply('{"Address":""}'), /asked for an address of 10\.111\.0\.0\/24, and gave none/],
    ["IpamDriver.RequestAddress", reply('{"Address":"10.9.9.9/24"}'), /gave 10\.9\.9\.9/],
    ["IpamDriver.RequestAddress", reply('{"Error":"exhausted"}'), /refused IpamDriver.RequestAddress: exhausted/],
  ] as const) {
    await driver.behave(method, how);
    await refused(t, pontoon, "network connect net web", reason);
    await driver.behave(method, undefined);
    await until(async () => (await driver.held()) === own, { what: `nothing more is held after ${method}` });
    t.equal((await inside(pontoon, "web", "ip -br link")).stdout.trim().split("\n").length, 1);
  }
  const bridge = (await driver.state()).networks[0]!.slice(0, 8);
  await driver.behave("NetworkDriver.Join", join(`fkb${bridge}`));
  await refused(t, pontoon, "network connect net web", /it has ports of its own/);
  await driver.behave("NetworkDriver.Join", undefined);
  t.match((await host.exec(["ip", "route"])).stdout, /default via 192\.0\.2\.2/);
  await host.exec(["ip", "link", "delete", "up0"]);
  await run(pontoon, "network connect net web");
  await run(pontoon, "sandbox rm web");
  await run(pontoon, "network rm net");
  t.equal(await driver.held(), "");
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a daemon that is killed while a plugin is asked leaves nothing at the plugin", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  const killedIn = async (method: string, line: string) => {
    await driver.behave(method, "hang-after");
    const count = async () => (await driver.state()).calls.filter((call) => call.method === method).length;
    const asked = await count();
    const command = pontoon.cli(...line.split(" "));
    await until(async () => (await count()) > asked, { what: `${method} is under way` });
    await pontoon.kill();
    await command;
    await driver.behave(method, undefined);
    pontoon = await host.pontoon();
  };
  await killedIn("NetworkDriver.CreateNetwork", "network create net -d fake --subnet 10.77.0.0/24");
  await until(async () => (await driver.held()) === "", { what: "the network is taken back" });
  await run(pontoon, "network create net -d fake --subnet 10.77.0.0/24");
  await run(pontoon, "sandbox create web --network none");
  for (const method of ["CreateEndpoint", "Join", "EndpointOperInfo"]) {
    await killedIn(`NetworkDriver.${method}`, "network connect net web");
    await until(async () => (await driver.held()) === "1 networks", { what: `the endpoint is taken back, ${method}` });
  }
  await run(pontoon, "network connect net web");
  for (const method of ["Leave", "DeleteEndpoint"]) {
    await killedIn(`NetworkDriver.${method}`, "network disconnect net web");
    await until(async () => (await driver.held()) === "1 networks", { what: `the endpoint is gone, ${method}` });
    t.notMatch((await inside(pontoon, "web", "ip link")).stdout, /fake0/);
    await run(pontoon, "network connect net web");
    t.ok(await reaches(pontoon, "web", "10.77.0.1"));
  }
  t.comment("a daemon that is told to end waits for no plugin");
  await run(pontoon, "sandbox create late --network none");
  await driver.behave("NetworkDriver.Join", "hang-after");
  const joins = async () => (await driver.state()).joined.length;
  const connecting = pontoon.cli("network", "connect", "net", "late");
  await until(async () => (await joins()) === 2, { what: "Join is under way" });
  t.equal(await pontoon.stop(), 0);
  t.equal((await connecting).exitCode, 1);
  await driver.behave("NetworkDriver.Join", undefined);
  pontoon = await host.pontoon();
  await until(async () => (await joins()) === 1, { what: "the endpoint is taken back" });
  await run(pontoon, "sandbox rm late");

  await killedIn("NetworkDriver.Leave", "sandbox rm web");
  await until(async () => (await driver.held()) === "1 networks");
  await killedIn("NetworkDriver.DeleteNetwork", "network rm net");
  await until(async () => (await driver.held()) === "");
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});

t.test("what users of Docker suffer from with plugins does not happen", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  const join = (routes: string) => ({
    status: 200,
    text: `{"InterfaceName":{"SrcName":"SRC","DstPrefix":"fake"},"StaticRoutes":[${routes}]}`,
    isDone: true,
  });
  await run(pontoon, "network create net -d fake --subnet 10.77.0.0/24");
  await run(pontoon, "network create two -d fake --subnet 10.78.0.0/24");
  await run(pontoon, "sandbox create web --network none");

  t.comment("moby/libnetwork#455, #775, #939: routes that are there already");
  const everywhere =
    '{"Destination":"224.0.0.0/4","RouteType":1},{"Destination":"10.77.0.0/24","RouteType":1},' +
    '{"Destination":"172.20.42.1/32","RouteType":1},{"Destination":"172.20.42.1/32","RouteType":1},' +
    '{"Destination":"10.99.0.0/16","RouteType":0,"NextHop":"172.20.42.1"},{"Destination":"0.0.0.0/0","RouteType":1}';
  await driver.behave("NetworkDriver.Join", join(everywhere));
  await run(pontoon, "network connect net web");
  await run(pontoon, "network connect two web");
  await driver.behave("NetworkDriver.Join", undefined);
  const routes = async () => (await inside(pontoon, "web", "ip route")).stdout;
  const own = await routes();
  for (const route of [
    /^default dev fake0 scope link/m,
    /^224\.0\.0\.0\/4 dev fake0 scope link/m,
    /^172\.20\.42\.1 dev fake0 scope link/m,
    /^10\.99\.0\.0\/16 via 172\.20\.42\.1 dev fake0/m,
    /^10\.78\.0\.0\/24 dev fake1/m,
  ])
    t.match(own, route);
  await run(pontoon, "network disconnect net web");
  t.match(await routes(), /^224\.0\.0\.0\/4 dev fake1/m, "the other network's counts from then on");
  await run(pontoon, "network disconnect two web");
  await run(pontoon, "network rm two");

  t.comment("moby/libnetwork#665: a driver that says again what it was given");
  const same = { status: 200, text: '{"Interface":{"Address":"10.77.0.40/24"}}', isDone: true };
  await driver.behave("NetworkDriver.CreateEndpoint", same);
  await run(pontoon, "network connect net web --ip 10.77.0.40");
  await driver.behave("NetworkDriver.CreateEndpoint", undefined);

  t.comment("moby/moby#22239, weaveworks/weave#1794: a plugin that ends before its sandboxes, and is told later");
  await driver.end();
  await run(pontoon, "sandbox rm web");
  t.match(pontoon.logs.join("\n"), /a plugin is told later/);
  t.equal(await driver.held(), "1 networks, 1 endpoints, 1 joined");
  t.match(await run(pontoon, "status"), /^networks +1 removal of which a plugin is told when it answers again/m);
  t.match(await run(pontoon, "network ls"), /net /);

  t.comment("moby/moby#33871, moby/libnetwork#813: a plugin that hangs holds up no start");
  await pontoon.kill();
  await driver.listen();
  await driver.behave("NetworkDriver.Leave", "hang");
  pontoon = await host.pontoon();
  await run(pontoon, "sandbox create elsewhere --network none");
  await run(pontoon, "sandbox rm elsewhere");
  await pontoon.kill();
  await driver.behave("NetworkDriver.Leave", undefined);
  pontoon = await host.pontoon();
  await until(async () => (await driver.held()) === "1 networks", { what: "the endpoint is taken back" });

  t.comment("flocker-docker-plugin#19: a plugin that is started anew, with its old socket file in the way");
  await driver.end();
  const creating = run(pontoon, "sandbox create web --network net");
  await driver.listen();
  await creating;
  await run(pontoon, "sandbox rm web");

  t.comment("moby/libnetwork#882: the host starts again; the plugin makes links anew");
  await run(pontoon, "sandbox create web --network net");
  await run(pontoon, "sandbox create db --network net");
  await pontoon.kill();
  await host.exec(["ip", "netns", "delete", "web"]);
  pontoon = await host.pontoon();
  await until(() => reaches(pontoon, "db", "web"), { what: "web is connected again" });
  t.ok(await reaches(pontoon, "web", "10.77.0.1"));

  t.comment("gopher-net/macvlan-docker-plugin#9: a plugin that knows nothing any more");
  const bridge = `fkb${(await driver.state()).networks[0]!.slice(0, 8)}`;
  await driver.end({ forgets: true });
  await driver.listen();
  await refused(
    t,
    pontoon,
    "sandbox create late --network net",
    /plugin fake refused NetworkDriver.CreateEndpoint: .*No such network/,
  );
  for (const name of ["web", "db"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network rm net");
  t.match(pontoon.logs.join("\n"), /a plugin did not take back what it was asked for/);
  await host.exec(["ip", "link", "delete", bridge]);
  for (const link of (await host.exec(["sh", "-c", "ls /sys/class/net"])).stdout
    .split("\n")
    .filter((name) => name.startsWith("fkh")))
    await host.exec(["ip", "link", "delete", link]); // the plugin has forgotten them
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a daemon that ends before any step in the kernel is as if it had not", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  let pontoon = await host.pontoon();
  await run(pontoon, "network create net -d fake --subnet 10.77.0.0/24 --subnet fd77::/64");
  await run(pontoon, "sandbox create web --network none");
  await run(pontoon, "sandbox create db --network net");
  const links = async () => (await host.exec(["ls", "/sys/class/net", "/run/netns"])).stdout;
  const before = await links();
  const held = await driver.held();
  const isConnected = () => reaches(pontoon, "web", "db");
  const agrees = async () => {
    const [network] = JSON.parse(await run(pontoon, "network inspect net")) as [{ Containers: object }];
    const { endpoints, joined } = await driver.state();
    const count = Object.keys(network.Containers).length;
    return endpoints.length === count && joined.length === count;
  };
  /** Until the command is done without coming to the step. @returns the steps it took */
  const atEachStep = async (line: string, back: string, wasConnected: boolean) => {
    for (let step = 1; ; step++) {
      await pontoon.kill();
      pontoon = await host.pontoon({ env: { PONTOON_KILL_AT_STEP: String(step) } });
      const { exitCode } = await pontoon.cli(...line.split(" "));
      if (exitCode === 0) return step - 1;
      pontoon = await host.pontoon();
      await until(agrees, { what: `all or nothing, ${line}, step ${step}` });
      if ((await isConnected()) !== wasConnected) await run(pontoon, back);
      t.equal(await isConnected(), wasConnected);
    }
  };
  const [connect, disconnect] = ["network connect net web", "network disconnect net web"];
  t.ok((await atEachStep(connect, disconnect, false)) >= 2);
  t.ok(await isConnected());
  t.match((await inside(pontoon, "web", "ip -br address show fake0")).stdout, /10\.77\.0\.\d+\/24 fd77::\d+\/64/);
  t.ok((await atEachStep(disconnect, connect, true)) >= 1);
  t.notMatch((await inside(pontoon, "web", "ip link")).stdout, /fake0/);
  await until(async () => (await driver.held()) === held, { what: "the plugin has what it had" });
  await until(async () => (await links()) === before, { what: "nothing is left" });
  t.equal(await pontoon.stop(), 0);
});

t.test("a namespace that is another by now has its link again", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  await host.exec(["ip", "netns", "add", "box"]);
  await run(pontoon, "network create net -d fake --ipam-driver fake");
  await run(pontoon, "sandbox adopt box --netns /run/netns/box --network net");
  await run(pontoon, "sandbox create web --network net");
  t.ok(await reaches(pontoon, "web", "box"));
  await host.exec(["ip", "netns", "delete", "box"]);
  await host.exec(["ip", "netns", "add", "box"]);
  await until(() => reaches(pontoon, "web", "box"), { what: "box is connected again" });
  await run(pontoon, "network links");
  await pontoon.cli("trace", "web", "box:80");

  t.comment("a link whose name on the host is somebody else's by now");
  const taken = (await driver.state()).calls.filter(({ method }) => method === "NetworkDriver.Join").at(-1)!.body;
  const name = `fkc${String(taken.EndpointID).slice(0, 8)}`;
  await host.exec(["ip", "link", "add", name, "type", "veth", "peer", "name", "theirs"]);
  await run(pontoon, "network disconnect net box");
  const names = (await host.exec(["ls", "/sys/class/net"])).stdout;
  t.match(names, new RegExp(`^${name}$`, "m"), "stays");
  t.notMatch(names, /^ptr|^fake|^eth/m, "and nothing else of it comes to the host");
  await host.exec(["ip", "link", "delete", name]);
  for (const each of ["web", "box"]) await run(pontoon, `sandbox rm ${each}`);
  await run(pontoon, "network prune");
  t.equal(await driver.held(), "");
  await host.exec(["ip", "netns", "delete", "box"]);
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a container of another engine is on a plugin's network", async (t) => {
  const host = await BareHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  const pontoon = await host.pontoon();
  const [netns] = await makeNamespaces(host, "box");
  const before = await marksOn(host);
  for (const ipam of ["null", "fake"]) {
    await run(pontoon, `network create net -d fake --ipam-driver ${ipam}`);
    const added = await callCni(host, "ADD", { netns: netns! }, { network: "net" });
    t.equal(added.exitCode, 0, JSON.stringify(added.answer));
    t.match(added.answer["ips"], { 0: { address: /^10\.\d+\.0\.\d+\/\d+$/, interface: 0 } });
    t.match(added.answer["interfaces"], { length: 1, 0: { name: "eth0", mac: /^([0-9a-f]{2}:){5}/ } });
    const checked = await callCni(host, "CHECK", { netns: netns! }, { network: "net", prevResult: added.answer });
    t.same(checked, { exitCode: 0, answer: {} });
    t.equal((await callCni(host, "DEL", { netns: netns! }, { network: "net" })).exitCode, 0);
    await run(pontoon, "network rm net");
    t.equal(await driver.held(), "");
  }
  await nothingMore(t, host, before);
  t.equal(await pontoon.stop(), 0);
});
