// A real dockerd whose docker-proxy is pontoon's. What the host itself sends to a published port of its loopback
// addresses goes through the proxy, the rest through Docker's NAT.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import t from "tap";
import { program } from "./docker-proxy-player.js";
import { DockerHost, until, type ShimServer, type TestOwner } from "./host/index.js";

const tcpEcho = ["nc", "-ll", "-p", "80", "-e", "cat"];

async function startHost(t: TestOwner, liveRestore = false): Promise<{ host: DockerHost; server: ShimServer }> {
  const host = await DockerHost.start(t, { dockerd: [`--userland-proxy-path=${program}`], env: { PONTOON_PATIENCE_MS: "20000" }, liveRestore });
  return { host, server: await host.shimServer() };
}

/** What a TCP service sends back to the host. */
async function talk(host: DockerHost, ip: string, port: number, text: string): Promise<string> {
  return (await host.exec(["busybox", "nc", "-w", "10", ip, String(port)], { input: text, reject: false })).stdout;
}

/** The programs that run as docker-proxies in the host, sorted. */
function proxies(host: DockerHost): string[] {
  const pids = readdirSync(host.path("/proc")).filter((name) => /^\d+$/.test(name));
  const programs = pids.map((pid) => {
    try {
      return readFileSync(host.path(`/proc/${pid}/cmdline`), "utf8").includes("\0-container-ip\0") ? readlinkSync(host.path(`/proc/${pid}/exe`)) : "";
    } catch {
      return ""; // it has just ended
    }
  });
  return programs.filter((each) => each !== "").sort();
}

t.test("published ports", async (t) => {
  const { host, server } = await startHost(t);
  const web = await host.container({ name: "web", command: tcpEcho, options: ["--publish=8080:80"] });
  await server.says(/^open tcp 0\.0\.0\.0 8080 /);
  await server.says(/^open tcp :: 8080 /);
  t.same(proxies(host), [program, program]);

  await t.test("answer on loopback addresses of both families", async (t) => {
    await until(async () => (await talk(host, "127.0.0.1", 8080, "four")) === "four", { what: "the container answers" });
    t.equal(await talk(host, "::1", 8080, "six"), "six");
  });

  await t.test("and from a container, by the host's address", async (t) => {
    const { stdout } = await web.exec(["sh", "-c", "echo inside | nc -w 10 172.17.0.1 8080"]);
    t.equal(stdout, "inside\n");
  });

  await t.test("UDP", async () => {
    const name = await host.container({ name: "name", options: ["--publish=127.0.0.1:5353:53/udp"] });
    const echo = 'const s = require("dgram").createSocket("udp4").on("message", (m, f) => (String(m) === "end" ? process.exit() : s.send(m, f.port, f.address))); s.bind(53);';
    const service = host.exec([process.execPath, "--eval", echo], { netns: name, reject: false });
    const client = (text: string) => `const s = require("dgram").createSocket("udp4").on("message", (m) => { console.log(String(m)); process.exit(); }); s.send("${text}", 5353, "127.0.0.1"); setTimeout(() => process.exit(), 1000);`;
    const ask = (text: string) => host.exec([process.execPath, "--eval", client(text)], { reject: false });
    await until(async () => (await ask("datagram")).stdout === "datagram\n", { what: "a datagram comes back", timeoutMs: 20_000 });
    await ask("end");
    await service;
  });

  await t.test("a container restarts, and others take its port", async () => {
    await web.restart();
    await until(async () => (await talk(host, "127.0.0.1", 8080, "again")) === "again", { what: "the port is served again" });
    for (let round = 0; round < 5; round++) {
      await host.docker("rm", "--force", "web");
      await host.container({ name: "web", command: tcpEcho, options: ["--publish=8080:80"] });
    }
    await until(async () => (await talk(host, "127.0.0.1", 8080, "sixth")) === "sixth", { what: "the port is served again" });
  });

  await t.test("a range", async (t) => {
    const range = await host.container({ name: "range", options: ["--publish=20000-20049:20000-20049"] });
    t.equal(proxies(host).filter((each) => each === program).length, 103);
    await range.remove();
    t.equal(proxies(host).length, 3, "all end with it");
  });

  await t.test("a port that is taken, and by whom", async (t) => {
    const script = 'require("net").createServer().listen(9090, "127.0.0.1", () => require("fs").writeFileSync("/run/squatter", String(process.pid)))';
    const squatter = host.exec([process.execPath, "--eval", script], { reject: false });
    const pid = await until(() => Number(readFileSync(host.path("/run/squatter"), "utf8")), { what: "somebody holds port 9090" });
    await t.rejects(host.container({ name: "late", options: ["--publish=127.0.0.1:9090:80"] }).catch((error: Error) => Promise.reject(new Error(error.message.replaceAll("\\n", " ")))),
      { message: new RegExp(`listen tcp4 127\\.0\\.0\\.1:9090: bind: address already in use \\(held by (node|MainThread), pid ${pid}\\)`) });
    await host.signal("SIGKILL", pid);
    await squatter;
    await host.docker("start", "late");
  });
});

t.test("pontoon-proxy dies and returns", async (t) => {
  const { host, server } = await startHost(t);
  await host.container({ name: "web", command: tcpEcho, options: ["--publish=127.0.0.1:8080:80"] });
  await until(async () => (await talk(host, "127.0.0.1", 8080, "x")) === "x", { what: "the container answers" });
  await server.kill();
  const waiting = talk(host, "127.0.0.1", 8080, "waited");
  const second = await host.shimServer();
  t.equal(await waiting, "waited");

  await t.test("a container that starts meanwhile has Docker's own docker-proxy", async (t) => {
    await second.kill();
    await host.exec(["rm", "/run/pontoon/proxy.sock"]);
    await host.container({ name: "other", command: tcpEcho, options: ["--publish=127.0.0.1:8081:80"] });
    t.equal(proxies(host).filter((each) => each === program).length, 1);
    t.equal(proxies(host).filter((each) => each.endsWith("/docker-proxy")).length, 1);
    await until(async () => (await talk(host, "127.0.0.1", 8081, "own")) === "own", { what: "the container answers" });
    await host.docker("rm", "--force", "other", "web");
    t.same(proxies(host), [], "both end");
  });
});

t.test("on a host whose dockerd leaves the firewall alone, everything goes through the proxy", async (t) => {
  const address = "10.88.0.1";
  const host = await DockerHost.start(t, {
    dockerd: [`--userland-proxy-path=${program}`, "--iptables=false", "--ip-forward=false", `--ip=${address}`],
    env: { PONTOON_PATIENCE_MS: "20000" },
  });
  await host.exec(["ip", "address", "add", `${address}/32`, "dev", "lo"]);
  const server = await host.shimServer();
  await host.container({ name: "web", command: tcpEcho, options: ["--publish=8080:80"] });
  await server.says(new RegExp(`^open tcp ${address.replaceAll(".", "\\.")} 8080 `));
  await until(async () => (await talk(host, address, 8080, "through")) === "through", { what: "the container answers" });
  await t.rejects(host.exec(["busybox", "nc", "-w", "5", "127.0.0.1", "8080"]), /refused/i, "no other address is published");
});

for (const signal of ["SIGTERM", "SIGKILL"] as const)
  t.test(`live-restore: connections and listeners outlive a dockerd that ends by ${signal}`, async (t) => {
    const { host, server } = await startHost(t, true);
    await host.container({ name: "web", command: tcpEcho, options: ["--publish=8080:80"] });
    await until(async () => (await talk(host, "127.0.0.1", 8080, "x")) === "x", { what: "the container answers" });
    const established = host.exec(["sh", "-c", "(echo before; while ! test -e /run/go; do sleep 0.05; done; echo after) | busybox nc 127.0.0.1 8080 | tee /run/heard"]);
    await until(() => readFileSync(host.path("/run/heard"), "utf8") === "before\n", { what: "a connection is established" });
    await host.stopDockerd({ signal });
    await until(() => proxies(host).length === 0, { what: "the docker-proxies end with dockerd" });
    t.equal(await talk(host, "127.0.0.1", 8080, "without dockerd"), "without dockerd");
    await host.startDockerd();
    await until(() => proxies(host).length === 2, { what: "dockerd has started them again" });
    t.same(proxies(host), [program, program]);
    t.equal(await talk(host, "127.0.0.1", 8080, "with dockerd"), "with dockerd");
    host.writeFile("/run/go", "");
    t.equal((await established).stdout, "before\nafter\n");
    t.equal(server.lines.filter((line) => line.startsWith("close")).length, 0, "nothing was closed meanwhile");
    await host.docker("rm", "--force", "web");
    await server.says(/^close /, 2);
  });
