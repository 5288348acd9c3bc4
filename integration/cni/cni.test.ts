// What `cnitool`, or any runtime, does with a plugin, as the specification says.
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createNetServer } from "node:net";
import t, { type Test } from "tap";
import { BareHost, until } from "../lab/index.js";
import { marksOn, run, startShell } from "../networks/host.js";
import { addressOf, callCni, type CniEnvironment, insideOf, makeNamespaces, pontoonCni } from "./engine.js";

async function makeHost(t: Test) {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front --subnet 10.66.0.0/24");
  return { host, pontoon };
}

const versionOf = (answer: Record<string, unknown>) => answer["cniVersion"];

t.test("ADD connects, CHECK finds it so, DEL leaves nothing", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const [one, two] = await makeNamespaces(host, "one", "two");
  const before = await marksOn(host);
  const first = { container: "c".repeat(64), netns: one!, args: "IgnoreUnknown=1;K8S_POD_NAME=web" };
  const added = await callCni(host, "ADD", first);
  t.match(added, { exitCode: 0, answer: { cniVersion: "1.1.0" } });
  t.same(added.answer["ips"], [{ address: "10.66.0.2/24", gateway: "10.66.0.1", interface: 1 }]);
  t.same(added.answer["routes"], [{ dst: "0.0.0.0/0", gw: "10.66.0.1" }]);
  t.same(added.answer["dns"], { nameservers: ["127.0.0.11"], search: [], options: ["ndots:0"] });
  const second = { container: "d1", netns: two! };
  t.equal((await callCni(host, "ADD", second, { runtimeConfig: { aliases: ["db"] } })).exitCode, 0);

  // Names are answered as soon as ADD has ended.
  t.equal(await addressOf(host, two!, "web"), "10.66.0.2");
  t.equal(await addressOf(host, two!, "c".repeat(12)), "10.66.0.2");
  t.equal(await addressOf(host, one!, "db"), "10.66.0.3");
  t.equal((await insideOf(host, one!, "busybox ping -c 1 -W 1 10.66.0.3")).exitCode, 0);
  t.equal((await insideOf(host, one!, "busybox ping -c 1 -W 1 10.77.0.2")).exitCode, 0, "it gets out of the host");

  const prevResult = added.answer;
  t.same(await callCni(host, "CHECK", first, { prevResult }), { exitCode: 0, answer: {} });
  await host.exec(["nsenter", `--net=${one}`, "ip", "address", "flush", "dev", "eth0"]);
  t.match(await callCni(host, "CHECK", first, { prevResult }), {
    exitCode: 1,
    answer: { code: 100, details: /^ATTACHMENT_BROKEN/ },
  });
  t.match(await callCni(host, "CHECK", { ...first, container: "other" }, { prevResult }), {
    exitCode: 1,
    answer: { code: 3 },
  });

  t.match(
    await callCni(host, "ADD", first),
    { exitCode: 1, answer: { details: /^ALREADY_CONNECTED/ } },
    "it is there already",
  );
  t.match(await callCni(host, "ADD", { ...second, container: "d2" }), {
    exitCode: 1,
    answer: { details: /^NAMESPACE_TAKEN/ },
  });
  t.equal(await addressOf(host, two!, "web"), "10.66.0.2", "what was refused has changed nothing");

  for (const each of [first, second, first, { container: "never", netns: "" }])
    t.same(await callCni(host, "DEL", each), { exitCode: 0, answer: {} });
  t.equal(await addressOf(host, two!, "web"), undefined);
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  await until(async () => (await marksOn(host)) === before, { what: "nothing is left" });
  for (const netns of [one!, two!])
    await until(async () => (await insideOf(host, netns, "nft list tables")).stdout === "", {
      what: "nor in a namespace that goes on",
    });
  t.equal(await pontoon.stop(), 0);
});

t.test("a container on two networks is one sandbox, and has what CNI's conventions ask for", async (t) => {
  const { host, pontoon } = await makeHost(t);
  await run(pontoon, "network create back --subnet 10.67.0.0/24 --internal");
  const [netns] = await makeNamespaces(host, "one");
  const container = { container: "c1", netns: netns! };
  const runtimeConfig = { ips: ["10.66.0.9/24"], mac: "02:00:00:00:00:09" };
  t.equal((await callCni(host, "ADD", container, { runtimeConfig })).exitCode, 0);
  const back = await callCni(
    host,
    "ADD",
    { ...container, ifname: "eth1", args: "IP=10.67.0.9" },
    { name: "inner", network: "back", cniVersion: "0.4.0" },
  );
  t.same(back.answer["ips"], [{ version: "4", address: "10.67.0.9/24", interface: 1 }]);
  t.match(JSON.parse(await run(pontoon, "sandbox ls --json")), {
    length: 1,
    0: { networks: { length: 2, 0: { ipv4: "10.66.0.9", mac: "02:00:00:00:00:09" }, 1: { link: "eth1" } } },
  });
  const route = (await insideOf(host, netns!, "ip route show default")).stdout;
  t.match(route, /via 10\.66\.0\.1 dev eth0/);
  t.equal((await callCni(host, "DEL", container)).exitCode, 0);
  t.match(JSON.parse(await run(pontoon, "sandbox ls --json")), {
    length: 1,
    0: { networks: { length: 1, 0: { link: "eth1" } } },
  });
  t.equal(
    (await callCni(host, "DEL", { ...container, ifname: "eth1" }, { name: "inner", network: "back" })).exitCode,
    0,
  );
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  t.equal(await pontoon.stop(), 0);
});

t.test("what is in the way is told, and left alone", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const [one] = await makeNamespaces(host, "one");
  await host.exec(["nsenter", `--net=${one}`, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"]);
  const refused = async (environment: CniEnvironment, config?: object) => {
    const { exitCode, answer } = await callCni(host, "ADD", environment, config);
    return exitCode === 1 ? String(answer["details"]).split(" ")[0] : "taken";
  };
  t.equal(await refused({ netns: one! }), "EEXIST", "a link of that name is there");
  t.equal(await refused({ netns: one!, ifname: "lo" }), "LINK_NAME_INVALID");
  t.equal(await refused({ netns: "/run/netns/none" }), "NAMESPACE_UNKNOWN");
  t.equal(await refused({ netns: "/proc/self/ns/net" }), "NAMESPACE_UNKNOWN");
  t.equal(await refused({ netns: "/proc/1/ns/net" }), "NAMESPACE_TAKEN");
  t.equal(await refused({ netns: one!, ifname: "eth1" }, { runtimeConfig: { ips: ["10.99.0.1"] } }), "ADDRESS_OUTSIDE");
  t.equal(await refused({ netns: one!, ifname: "eth1" }, { runtimeConfig: { mac: "x" } }), "MAC_INVALID");
  t.equal(await refused({ netns: one!, ifname: "eth1" }, { network: "none" }), "NETWORK_FIXED");
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  t.match((await insideOf(host, one!, "ip -o link")).stdout, /eth0@other/);
  t.equal((await callCni(host, "ADD", { netns: one!, ifname: "eth1" })).exitCode, 0);
  t.equal(await pontoon.stop(), 0);
});

t.test("the namespace of a process, as nerdctl names it, ends with it", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const pid = await startShell(host, "exec unshare --net sleep 1d");
  const netns = `/proc/${pid}/ns/net`;
  const own = readlinkSync(host.path("/proc/1/ns/net"));
  await until(() => readlinkSync(host.path(netns)) !== own, { what: "it has its own namespace" });
  const [two] = await makeNamespaces(host, "two");
  t.equal((await callCni(host, "ADD", { netns, args: "NERDCTL_CNI_DHCP_HOSTNAME=web" })).exitCode, 0);
  t.equal((await callCni(host, "ADD", { container: "c2", netns: two! })).exitCode, 0);
  t.equal(await addressOf(host, two!, "web"), "10.66.0.2");
  await host.signal("SIGKILL", pid);
  await until(async () => (await addressOf(host, two!, "web")) === undefined, { what: "its name is gone" });
  t.match(JSON.parse(await run(pontoon, "sandbox ls --json")), { length: 1, 0: { name: "c2" } });
  t.same(await callCni(host, "DEL", { netns: "" }), { exitCode: 0, answer: {} });
  t.equal(await pontoon.stop(), 0);
});

t.test("ports are published with ADD, all or none, and freed with DEL", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const [one, two] = await makeNamespaces(host, "one", "two");
  const withPort = (hostPort: number) => ({
    runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
  });
  await host.exec(["sh", "-c", `nsenter --net=${one} busybox httpd -p 80 -h /usr/share/doc/busybox-static`]);
  const ask = async () =>
    (await host.exec(["curl", "-s", "-m", "3", "-o", "/dev/null", "http://127.0.0.1:8080/"], { reject: false }))
      .exitCode;
  t.equal((await callCni(host, "ADD", { container: "c1", netns: one! }, withPort(8080))).exitCode, 0);
  t.equal(await ask(), 0);
  t.match(JSON.parse(await run(pontoon, "port --json")), { length: 2, 0: { container: "c1", hostPort: 8080 } });
  const refused = await callCni(host, "ADD", { container: "c2", netns: two! }, withPort(8080));
  t.match(refused, { exitCode: 1, answer: { code: 100, details: /^PORT_TAKEN/ } });
  t.match(JSON.parse(await run(pontoon, "sandbox ls --json")), { length: 1 }, "nothing is left of one that failed");
  t.equal(
    (await callCni(host, "ADD", { container: "c2", netns: two! }, withPort(8081))).exitCode,
    0,
    "which may come again",
  );

  await pontoon.kill();
  const next = await host.pontoon();
  t.equal(await ask(), 0, "another daemon goes on with it");
  t.equal((await callCni(host, "DEL", { container: "c1", netns: one! }, withPort(8080))).exitCode, 0);
  t.not(await ask(), 0);
  t.match(JSON.parse(await run(next, "port --json")), { length: 2, 0: { container: "c2" } });
  await run(next, "sandbox rm c2");
  await until(async () => (await run(next, "port --json")) === "[]", {
    what: "ports go with a sandbox that its user removes",
  });
  t.same(await callCni(host, "DEL", { container: "c2", netns: two! }), { exitCode: 0, answer: {} });
  t.equal(await next.stop(), 0);
});

t.test("an address is not lost with a container that nobody took away", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const [one, two] = await makeNamespaces(host, "one", "two");
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  const add = async (container: string, netns: string) =>
    ((await callCni(host, "ADD", { container, netns }, { runtimeConfig })).answer["ips"] as { address: string }[])[0]!
      .address;
  t.equal(await add("c1", one!), "10.66.0.2/24");
  await host.exec(["ip", "netns", "delete", "one"]);
  await until(async () => (await run(pontoon, "sandbox ls --json")) === "[]", { what: "its sandbox is gone" });
  await until(async () => (await run(pontoon, "port --json")) === "[]", { what: "its port is free" });
  const again = { ips: ["10.66.0.2/24"], ...runtimeConfig };
  t.match(await callCni(host, "ADD", { container: "c2", netns: two! }, { runtimeConfig: again }), { exitCode: 0 });

  // As a start of the host has it: namespaces are gone before there is a daemon.
  await pontoon.killEverything();
  await host.exec(["ip", "netns", "delete", "two"]);
  const [three] = await makeNamespaces(host, "three");
  const next = await host.pontoon();
  t.equal(await run(next, "sandbox ls --json"), "[]");
  t.same(
    (await host.exec(["ls", "/run/netns", "/etc/netns"])).stdout.match(/c\d/g),
    null,
    "no name and no file is left",
  );
  t.same(
    next.logs.filter((line) => line.includes('"level":40')),
    [],
    "and nobody is warned of it",
  );
  t.match(
    await callCni(host, "ADD", { container: "c2", netns: three! }, { runtimeConfig: again }),
    { exitCode: 0 },
    "the same container may come again, with its address and its port",
  );
  // The same without anybody having seen that the namespace went.
  await host.exec(["sh", "-c", "ip netns add four; mv /run/netns/four /run/netns/moved 2>/dev/null; true"]);
  t.match(await callCni(host, "ADD", { container: "c2", netns: "/run/netns/four" }, { runtimeConfig: again }), {
    exitCode: 0,
  });
  t.match(JSON.parse(await run(next, "sandbox ls --json")), { length: 1, 0: { adopted: "/run/netns/four" } });
  t.equal(await next.stop(), 0);
});

t.test("GC removes what is not named, of its own network alone", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const [one, two, three] = await makeNamespaces(host, "one", "two", "three");
  for (const [container, netns] of [
    ["c1", one],
    ["c2", two],
  ] as const)
    t.equal((await callCni(host, "ADD", { container, netns: netns! })).exitCode, 0);
  t.equal((await callCni(host, "ADD", { container: "c3", netns: three! }, { name: "other" })).exitCode, 0);
  const names = async () =>
    (JSON.parse(await run(pontoon, "sandbox ls --json")) as { name: string }[]).map(({ name }) => name);
  t.match(await callCni(host, "GC"), { exitCode: 1, answer: { code: 7 } }, "nobody has said what is in use");
  const valid = { "cni.dev/valid-attachments": [{ containerID: "c2", ifname: "eth0" }] };
  t.same(await callCni(host, "GC", {}, valid), { exitCode: 0, answer: {} });
  t.same(await names(), ["c2", "c3"]);
  t.same(await callCni(host, "GC", {}, { "cni.dev/valid-attachments": null }), { exitCode: 0, answer: {} });
  t.same(await names(), ["c3"]);
  t.equal(await pontoon.stop(), 0);
});

t.test("VERSION, STATUS, and what is said when there is no daemon", async (t) => {
  const { host, pontoon } = await makeHost(t);
  const version = { cniVersion: "1.0.0", supportedVersions: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] };
  t.same(await callCni(host, "VERSION", {}, { cniVersion: "1.0.0" }), { exitCode: 0, answer: version });
  t.same(await callCni(host, "STATUS"), { exitCode: 0, answer: {} });
  t.match(await callCni(host, "STATUS", {}, { network: "none-such" }), { exitCode: 1, answer: { code: 50 } });
  t.match(await callCni(host, "ADD", {}, { cniVersion: "9.0.0" }), { exitCode: 1, answer: { code: 1 } });
  t.match(await callCni(host, "STATUS", {}, { runDir: "/run/elsewhere" }), {
    exitCode: 1,
    answer: { code: 50, msg: /\/run\/elsewhere/ },
  });
  const garbage = await host.exec(["env", "CNI_COMMAND=ADD", "CNI_CONTAINERID=c", pontoonCni], {
    input: "{",
    reject: false,
  });
  t.match(JSON.parse(garbage.stdout), { code: 6 });
  const large = await host.exec(["env", "CNI_COMMAND=ADD", pontoonCni], {
    input: Buffer.alloc(1 << 20, " "),
    reject: false,
  });
  t.match([large.exitCode, (JSON.parse(large.stdout) as { code: number }).code].join(), "1,6");

  t.equal(await pontoon.stop(), 0);
  const [one] = await makeNamespaces(host, "one");
  t.same(await callCni(host, "VERSION", {}, { cniVersion: "1.0.0" }), { exitCode: 0, answer: version });
  t.match(await callCni(host, "STATUS"), { exitCode: 1, answer: { code: 50 } });
  const refused = await callCni(host, "ADD", { netns: one! });
  t.match(refused, {
    exitCode: 1,
    answer: { code: 11, msg: /no pontoon daemon answers on \/run\/pontoon\/control\.sock/ },
  });
  t.equal(versionOf(refused.answer), "1.1.0");
});

t.test("a container that starts while the daemon is restarted waits for it", async (t) => {
  const host = await BareHost.start(t);
  await host.exec(["mkdir", "/run/pontoon"]);
  const asked = callCni(host, "ADD", { netns: "/run/netns/one" });
  await until(async () => (await host.exec(["pgrep", "-x", "pontoon-cni"], { reject: false })).exitCode === 0, {
    what: "it waits",
  });
  const daemon = createServer((request, response) => {
    request.resume();
    const text = JSON.stringify({ asked: request.url });
    response.writeHead(200, { "content-length": text.length }).end(text);
  });
  t.teardown(() => daemon.close());
  daemon.listen(host.path("/run/pontoon/control.sock"));
  const url =
    "/v1/cni?command=%41%44%44&container=%63%31&netns=%2F%72%75%6E%2F%6E%65%74%6E%73%2F%6F%6E%65&ifname=%65%74%68%30&args=";
  t.same(await asked, { exitCode: 0, answer: { asked: url } });
});

t.test("what a daemon does not answer whole is no answer", async (t) => {
  const host = await BareHost.start(t);
  await host.exec(["mkdir", "/run/pontoon"]);
  let answer = "";
  const daemon = createNetServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(answer));
  });
  t.teardown(() => daemon.close());
  await once(daemon.listen(host.path("/run/pontoon/control.sock")), "listening");
  const cases = [
    ["", 11],
    ["HTTP/1.1 200 OK\r\n", 11],
    ["HTTP/1.1 200 OK\r\n\r\n{}", 11],
    ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", 11],
    ["HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}", 11],
    [`HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n${" ".repeat(2_000_000)}`, 11],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", undefined],
  ] as const;
  for (const [text, code] of cases) {
    answer = text;
    const { exitCode, answer: said } = await callCni(host, "DEL");
    t.same([exitCode, said["code"]], [code === undefined ? 0 : 1, code], text.slice(0, 60));
  }
});
