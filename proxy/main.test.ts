import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import t from "tap";
import { SO_DOMAIN, SOL_SOCKET } from "../linux/constants.js";
import { closeDescriptor, getOption, localAddress } from "../linux/socket.js";
import { ProxyProcess, TEST_USER } from "./testing/process.js";
import { listener, TestClient, TestServer, until } from "./testing/proxy.js";

const options = process.getuid!() === 0 ? {} : { skip: "needs root: pontoon-proxy drops what root has" };
const echo = (socket: Socket) => void socket.pipe(socket);

/** Sends without end. */
function flood(socket: Socket): void {
  const block = Buffer.alloc(256 * 1024, "x");
  const write = () => {
    while (socket.write(block));
  };
  socket.on("drain", write);
  write();
}

/** What a client says first, or bytes without end if it asks for them. */
function echoOrFlood(socket: Socket): void {
  socket.once("data", (bytes) => {
    if (String(bytes) === "flood") return flood(socket);
    socket.write(bytes);
    echo(socket);
  });
}

t.test("it serves as an ordinary user with nothing to gain", options, async (t) => {
  const server = await TestServer.start(t, echoOrFlood);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  const address = await daemon.open(server.address);
  const client = TestClient.to(t, address);
  client.socket.write("x");
  await until("the echo", () => client.text === "x");
  t.same(proxy.workers(), [], "nobody is there to move bulk while there is none");
  const bulk = connect({ host: address.ip, port: address.port }).resume();
  t.teardown(() => bulk.destroy());
  bulk.write("flood");
  await daemon.reportThat("a worker is ready", ({ workers }) => workers > 0);
  const pids = [proxy.child.pid!, ...proxy.workers()];
  t.ok(pids.length >= 2);
  for (const pid of pids) {
    t.same([status(pid, "NoNewPrivs"), status(pid, "Seccomp_filters")], ["1", "2"]);
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const of = (key: string) => status(`${pid}/task/${thread}`, key);
      t.matchOnly([of("Uid"), of("Gid")], [new RegExp(`^${TEST_USER}\\s`), new RegExp(`^${TEST_USER}\\s`)]);
      t.same(
        [of("CapPrm"), of("CapEff"), of("CapBnd"), of("CapAmb"), of("NoNewPrivs"), of("Seccomp")],
        [...Array<string>(4).fill("0000000000000000"), "1", "2"],
      );
    }
  }
});

t.test("it is asked, told and closed through its control socket", options, async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  t.match(await daemon.hear("hello"), { version: "test", pid: proxy.child.pid });
  const address = await daemon.open(server.address);
  const again = listener("tcp", { ip: "127.0.0.1", port: 0 });
  daemon.send(
    { kind: "open", publication: { id: "web", protocol: "tcp", listen: address, target: server.address, options: {} } },
    [again],
  );
  t.equal((await daemon.hear("failed")).code, "PUBLICATION_EXISTS");
  daemon.send(
    {
      kind: "open",
      publication: { id: "bad", protocol: "tcp", listen: address, target: { ip: "x", port: 1 }, options: {} },
    },
    [again],
  );
  t.equal((await daemon.hear("failed", ({ id }) => id === "bad")).code, "PUBLICATION_INVALID");
  daemon.send({
    kind: "open",
    publication: { id: "none", protocol: "tcp", listen: address, target: server.address, options: {} },
  });
  await daemon.hear("failed", ({ id }) => id === "none");
  closeDescriptor(again);
  daemon.send({ kind: "ping", request: 7 });
  await daemon.hear("pong", ({ request }) => request === 7);
  t.match(await daemon.report(), {
    publications: { length: 1, 0: { id: "web", listen: address, target: server.address } },
    draining: 0,
    waitingForDescriptors: 0,
  });
  daemon.send({ kind: "close", id: "web" });
  await daemon.hear("closed");
  closeDescriptor(listener("tcp", address));
});

t.test("without its user's right to bind it refuses in the kernel, and takes clients again", options, async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  const free = listener("tcp", { ip: "127.0.0.1", port: 0 });
  const { port } = localAddress(free);
  closeDescriptor(free);
  const address = await daemon.open(server.address, {}, { port });
  daemon.send({ kind: "retarget", id: "web" });
  await daemon.reportThat("no target", ({ publications }) => publications[0]?.target === undefined);
  const refused = TestClient.to(t, address);
  await until("refused", () => refused.error === "ECONNREFUSED");
  daemon.send({ kind: "retarget", id: "web", target: server.address });
  await daemon.reportThat("a target", ({ publications }) => publications[0]?.target !== undefined);
  const client = TestClient.to(t, address);
  client.socket.write("x");
  await until("served", () => client.text === "x");
});

t.test("UDP ports that are wanted are free when it says so, and no flow is sent from them", options, async (t) => {
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  const span = { first: 61_400, last: 61_499 };
  daemon.send({ kind: "settings", settings: { drainMs: 0, sourcePorts: span } });
  const service = createSocket("udp4");
  const from = new Set<number>();
  service.on("message", (bytes, { port, address }) => {
    from.add(port);
    service.send(bytes, port, address);
  });
  service.bind(0, "127.0.0.1");
  await once(service, "listening");
  const { ip, port } = await daemon.open({ ip: "127.0.0.1", port: service.address().port }, {}, { protocol: "udp" });
  const clients = Array.from({ length: 20 }, () => createSocket("udp4"));
  t.teardown(() => [service, ...clients].forEach((socket) => socket.close()));
  const all = async () => {
    for (const client of clients) {
      let isServed = false;
      client.once("message", () => (isServed = true));
      client.send("x", port, ip);
      await until("served", () => isServed);
    }
  };
  await all();
  t.ok(
    [...from].every((port) => port >= span.first && port <= span.last),
    [...from].join(),
  );
  const wanted = [...from];
  daemon.send({ kind: "avoid", request: 5, ports: wanted });
  await daemon.hear("avoided", ({ request }) => request === 5);
  for (const port of wanted) closeDescriptor(listener("udp", { ip: "0.0.0.0", port }));
  from.clear();
  await all();
  t.same(
    wanted.filter((port) => from.has(port)),
    [],
  );
});

t.test("a daemon that returns gets its publications back, and what it does not want is closed", options, async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new ProxyProcess(t);
  const first = await proxy.daemon();
  const wanted = await first.open(server.address, {}, { id: "wanted" });
  const unwanted = await first.open(server.address, {}, { id: "unwanted" });
  const client = TestClient.to(t, wanted);
  client.socket.write("x");
  await until("served", () => client.text === "x");
  first.close();
  const second = await proxy.daemon();
  const held = second.heard.filter(({ message }) => message.kind === "held");
  t.same(
    held.map(({ message }) => message.kind === "held" && message.publication.id),
    ["wanted", "unwanted"],
  );
  t.same(
    held.map(({ descriptors }) => localAddress(descriptors[0]!)),
    [wanted, unwanted],
  );
  t.ok(held.every(({ descriptors }) => getOption(descriptors[0]!, SOL_SOCKET, SO_DOMAIN, "SO_DOMAIN") > 0));
  for (const { descriptors } of held) descriptors.splice(0).forEach(closeDescriptor);
  second.send({ kind: "keep", id: "wanted", target: server.address });
  second.send({ kind: "synced" });
  t.same(
    (await second.reportThat("one is closed", ({ publications }) => publications.length === 1)).publications[0]?.id,
    "wanted",
  );
  client.socket.write("y");
  await until("still served", () => client.text === "xy");
});

t.test("one gigabyte arrives as it was sent, through a bulk worker, whose bytes are counted", options, async (t) => {
  const total = 1 << 30;
  const block = Buffer.alloc(1 << 20);
  for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((at * 2654435761) >>> 0, at);
  const sent = createHash("sha256");
  let [amount, isTaken] = [0, false];
  const server = await TestServer.start(t, (socket) => {
    const write = () => {
      while (amount < total || !isTaken) {
        const copy = Buffer.from(block);
        copy.writeUInt32LE(amount >>> 0, 0);
        sent.update(copy);
        amount += copy.length;
        if (!socket.write(copy)) return;
      }
      socket.end();
    };
    socket.on("drain", write);
    write();
  });
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  const { ip: host, port } = await daemon.open(server.address);
  const ofWorkers = () => proxy.workers().reduce((sum, pid) => sum + sockets(pid), 0);
  const received = createHash("sha256");
  let [length, ended] = [0, false];
  const client = connect({ host, port });
  client.on("data", (bytes) => {
    received.update(bytes);
    length += bytes.length;
  });
  client.on("end", () => (ended = true));
  await until("some is there", () => length > 64 << 20);
  await until("a worker has its sockets, besides its channel", () => ofWorkers() === 3);
  isTaken = true;
  await until("the end", () => ended);
  t.equal(length, amount);
  t.equal(received.digest("hex"), sent.digest("hex"));
  const report = await daemon.reportThat("the end", ({ publications }) => publications[0]?.connections === 0);
  t.match(report.publications[0], { accepted: 1, bytesToClients: amount, bytesToContainer: 0 });
});

t.test("a worker that dies takes its own connections along, and no others", options, async (t) => {
  const server = await TestServer.start(t, echoOrFlood);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemonWithWorker();
  const address = await daemon.open(server.address);
  const idle = TestClient.to(t, address);
  idle.socket.write("hello");
  const bulk = connect({ host: address.ip, port: address.port });
  let [length, closed] = [0, false];
  bulk.on("data", (bytes) => (length += bytes.length));
  bulk.on("close", () => (closed = true));
  bulk.on("error", () => undefined);
  t.teardown(() => bulk.destroy());
  bulk.write("flood");
  await until("it moves", () => length > 32 << 20);
  await until("a worker has it", () => proxy.workers().some((pid) => sockets(pid) === 3));
  proxy.startsWorkers = false;
  for (const pid of proxy.workers()) process.kill(pid, "SIGKILL");
  await until("it is over", () => closed);
  await daemon.reportThat(
    "it is not counted",
    ({ publications, workers }) => publications[0]?.connections === 1 && workers === 0,
  );
  idle.socket.write("x");
  await until("the other goes on", () => idle.text.endsWith("x"));
  // Without a worker bulk goes on where it began.
  const next = connect({ host: address.ip, port: address.port });
  next.on("data", (bytes) => (length += bytes.length));
  t.teardown(() => next.destroy());
  length = 0;
  next.write("flood");
  await until("it moves without a worker", () => length > 32 << 20);
});

t.test("bulk goes on when the proxy itself has ended, and its worker ends with it", options, async (t) => {
  const server = await TestServer.start(t, flood);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemonWithWorker();
  const address = await daemon.open(server.address);
  const bulk = connect({ host: address.ip, port: address.port });
  let length = 0;
  bulk.on("data", (bytes) => (length += bytes.length));
  t.teardown(() => bulk.destroy());
  await until("it moves", () => length > 32 << 20);
  const workers = proxy.workers();
  await until("a worker has it", () => workers.some((pid) => sockets(pid) === 3));
  proxy.child.kill("SIGKILL");
  await until("the proxy has ended", () => daemon.closed);
  const then = length;
  await until("it moves on", () => length > then + (32 << 20));
  bulk.destroy();
  await until("the workers have ended", () => workers.every((pid) => !isRunning(pid)));
});

t.test("a stop closes the listeners, lets connections drain, and ends", options, async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new ProxyProcess(t);
  const daemon = await proxy.daemon();
  const address = await daemon.open(server.address, { drainMs: 600_000 });
  const client = TestClient.to(t, address);
  client.socket.write("x");
  await until("served", () => client.text === "x");
  proxy.child.kill("SIGTERM");
  await daemon.reportThat("it drains", ({ draining }) => draining === 1);
  const late = TestClient.to(t, address);
  await until("nobody listens", () => late.error === "ECONNREFUSED");
  client.socket.write("y");
  await until("it goes on", () => client.text === "xy");
  t.equal(proxy.exitCode, undefined);
  client.socket.end();
  await until("it has ended", () => proxy.exitCode !== undefined);
  t.equal(proxy.exitCode, 0);
  t.equal(proxy.stderr, "");
});

function status(pid: number | string, key: string): string | undefined {
  return new RegExp(`^${key}:\\s+(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
}

function sockets(pid: number): number {
  const fds = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2); // stderr may be a socket, too
  return fds.filter((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith("socket:")).length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
