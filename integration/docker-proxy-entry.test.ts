// The TypeScript entry, for hosts on which the shim could not be compiled, keeps the same contract.
import { createServer } from "node:net";
import { join } from "node:path";
import t from "tap";
import { bindSocket, closeDescriptor, listenSocket, localAddress, tcpSocket } from "../src/linux/socket.js";
import { repositoryRoot } from "./host/root.js";
import { ShimServer } from "./host/shims.js";
import { until } from "./host/until.js";
import { arguments20, connected, echoServer, folderOf, freePort, listenOn, loopback, Proxy, readAll, talk } from "./docker-proxy-player.js";

const command = [process.execPath, join(repositoryRoot, "dist", "proxy", "docker-proxy.js")];

t.test("wrong usage", async (t) => {
  const proxy = new Proxy(t, { command, args: ["-no-such"], folder: folderOf(t) });
  t.equal(await proxy.end(), 2);
  t.same(await proxy.writes(), []);
  t.ok(proxy.stderr.startsWith("flag provided but not defined: -no-such\nUsage of "));
});

t.test("TCP and UDP ports, started and stopped in a row", async (t) => {
  const folder = folderOf(t);
  const server = await ShimServer.start(folder);
  t.teardown(() => server.kill());
  const [container, port] = [await echoServer(t), await freePort()];
  for (const protocol of ["tcp", "udp", "tcp"]) {
    const proxy = new Proxy(t, { command, folder, args: arguments20(protocol, [loopback, port], [loopback, container]) });
    t.same(await proxy.writes(), ["0\n"]);
    if (protocol === "tcp") t.equal(await talk(loopback, port, "world"), "hello world");
    t.equal(await proxy.kill("SIGINT"), 0);
  }
});

t.test("a socket of dockerd's own", async (t) => {
  const folder = folderOf(t);
  const server = await ShimServer.start(folder);
  t.teardown(() => server.kill());
  const container = await echoServer(t);
  const descriptor = tcpSocket();
  bindSocket(descriptor, { ip: loopback, port: 0 });
  const { port } = localAddress(descriptor);
  const args = [...arguments20("tcp", [loopback, port], [loopback, container]), "-use-listen-fd"];
  t.equal(await new Proxy(t, { command, folder, args, descriptors: [descriptor] }).verdict(), "1\ndescriptor 4 is not a listening TCP socket of IPv4");
  listenSocket(descriptor, 16);
  const proxy = new Proxy(t, { command, folder, args, descriptors: [descriptor] });
  t.same(await proxy.writes(), ["0\n"]);
  closeDescriptor(descriptor);
  t.equal(await talk(loopback, port, "world"), "hello world");
  t.equal(await proxy.kill("SIGINT"), 0);
  await t.rejects(connected(loopback, port), { code: "ECONNREFUSED" });
});

t.test("a port that is taken, pontoon-proxy dying and returning", async (t) => {
  const folder = folderOf(t);
  const first = await ShimServer.start(folder);
  t.teardown(() => first.kill());
  const [container, port] = [await echoServer(t), await freePort()];
  const taken = createServer();
  const busy = await listenOn(taken, loopback);
  t.teardown(() => taken.close());
  t.match(await new Proxy(t, { command, folder, args: arguments20("tcp", [loopback, busy], [loopback, container]) }).verdict(),
    new RegExp(`^1\nlisten tcp4 ${loopback}:${busy}: bind: address already in use \\(held by \\S+, pid ${process.pid}\\)$`));

  const proxy = new Proxy(t, { command, folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.same(await proxy.writes(), ["0\n"]);
  t.match(await new Proxy(t, { command, folder, args: arguments20("tcp", [loopback, port], [loopback, 9]) }).verdict(),
    `pid ${proxy.pid}, which publishes ${loopback}:${container} there)`);
  await first.kill();
  const waiting = await connected(loopback, port);
  waiting.end("waited");
  const second = await ShimServer.start(folder);
  t.teardown(() => second.kill());
  t.equal(await readAll(waiting), "hello waited");
  await second.signal("SIGUSR2");
  await proxy.executableIs(/\/docker-proxy$/);
  await until(async () => (await talk(loopback, port, "own")) === "hello own", { what: "it serves" });
  t.equal(await proxy.kill("SIGINT"), 0);
});

t.test("with nobody there it is Docker's own docker-proxy", async (t) => {
  const folder = folderOf(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const proxy = new Proxy(t, { command, folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.equal(await proxy.verdict(), "0\n");
  t.match(proxy.executable, /\/docker-proxy$/);
  t.equal(await talk(loopback, port, "world"), "hello world");
  t.equal(await proxy.kill("SIGINT"), 0);
});
