import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import t, { type Test } from "tap";
import type { SocketAddress } from "../../common/address.js";
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../../linux/constants.js";
import {
  acceptSocket,
  bindSocket,
  closeDescriptor,
  connectSocket,
  getOption,
  listenSocket,
  localAddress,
  resetAndClose,
  sendBytes,
  tcpSocket,
  WOULD_BLOCK,
} from "../../linux/socket.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import { encodeHeader, readHeader } from "./proxy-protocol.js";
import { keepalive } from "./tcp-connection.js";
import { listener, TestClient, TestProxy, TestServer, until } from "../testing/proxy.js";

const echo = (socket: Socket) => void socket.pipe(socket);

t.test("bytes go both ways, and both ends are told the other's end", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  client.socket.write("ping");
  await until("the echo", () => client.text === "ping");
  t.match(proxy.report(), { connections: 1, accepted: 1, bytesToContainer: 4, bytesToClients: 4 });
  client.socket.end("the end");
  await until("the end", () => client.ended);
  t.equal(client.text, "pingthe end");
  t.equal(client.error, undefined);
  await until("the proxy lets go", () => proxy.report().connections === 0);
  t.match(proxy.report(), { accepted: 1, refused: 0, failedDials: 0, bytesToContainer: 11, bytesToClients: 11 });
});

t.test("the container may speak first, and end first, while the client goes on", async (t) => {
  const received: string[] = [];
  const server = await TestServer.start(t, (socket) => {
    socket.end("welcome");
    socket.on("data", (bytes) => received.push(String(bytes)));
    socket.on("end", () => received.push("end"));
  });
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  await until("the container's end", () => client.ended);
  t.equal(client.text, "welcome");
  for (const text of ["one", "two"]) {
    client.socket.write(text);
    await until(text, () => received.join("").endsWith(text));
  }
  client.socket.end();
  await until("the client's end", () => received.at(-1) === "end");
  await until("the proxy lets go", () => proxy.report().connections === 0);
});

t.test("the client may end first, and still gets all the container says", async (t) => {
  const server = await TestServer.start(t, (socket) => {
    let asked = "";
    socket.on("data", (bytes) => (asked += String(bytes)));
    socket.on("end", () => socket.end(`you said ${asked}`));
  });
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  client.socket.end("hello");
  await until("the reply", () => client.ended);
  t.equal(client.text, "you said hello");
});

t.test("a slow reader stops the sender, and memory stays what it was", async (t) => {
  const proxy = new TestProxy(t);
  const block = Buffer.alloc(1 << 20, "x");
  let written = 0;
  const server = await TestServer.start(t, (socket) => {
    const write = () => {
      while (socket.writableLength < block.length) {
        socket.write(block);
        written += block.length;
      }
    };
    socket.on("drain", write);
    write();
  });
  const client = connect({ ...where(proxy.open(server.address)), allowHalfOpen: true });
  t.teardown(() => client.destroy());
  client.pause();
  // Kernel buffers on both connections fill up, then the sender finds that it cannot go on.
  const moved = () => proxy.report().bytesToClients;
  let before = -1;
  await until("nothing moves any more", () => {
    const [now, last] = [moved(), before];
    before = now;
    return now > 0 && now === last && server.connections[0]!.writableLength > 0 && stable(now);
  });
  t.ok(written < 64 << 20, `${written} bytes were taken from a sender whose reader does not read`);
  const stopped = moved();
  let received = 0;
  client.on("data", (bytes) => (received += bytes.length));
  client.resume();
  await until("it goes on", () => received > stopped + (32 << 20));
});

t.test("a refused dial resets the client, and is counted", async (t) => {
  const closed = listener("tcp", { ip: "127.0.0.1", port: 0 });
  const target = localAddress(closed);
  closeDescriptor(closed);
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(target));
  await until("the reset", () => client.error !== undefined);
  t.equal(client.error, "ECONNRESET");
  t.match(proxy.report(), { connections: 0, accepted: 1, failedDials: 1 });
});

/** A service that does not answer: its queue is full, and the kernel drops further SYNs. */
function silentService(t: Test): SocketAddress {
  const full = tcpSocket();
  bindSocket(full, { ip: "127.0.0.1", port: 0 });
  listenSocket(full, 0);
  const target = localAddress(full);
  const fillers = [tcpSocket(), tcpSocket(), tcpSocket()];
  for (const fd of fillers) connectSocket(fd, target);
  t.teardown(() => [full, ...fillers].forEach(closeDescriptor));
  return target;
}

t.test("a container that does not answer counts as one that refused, after a time", async (t) => {
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(silentService(t), { connectTimeoutMs: 200 }));
  await until("it is being connected", () => proxy.report().connections === 1);
  await until("the reset", () => client.error === "ECONNRESET");
  t.match(proxy.report(), { connections: 0, failedDials: 1 });
});

t.test(
  "a client whose connection was being made to an address that the container has left is reset at once",
  async (t) => {
    const proxy = new TestProxy(t);
    const target = silentService(t);
    const server = await TestServer.start(t, echo);
    const address = proxy.open(target);
    const client = TestClient.to(t, address);
    await until("it is being connected", () => proxy.report().connections === 1);
    proxy.publications.retarget("web", { ...target });
    t.match(proxy.report(), { connections: 1, failedDials: 0 }, "told once more where it is, it goes on");
    proxy.publications.retarget("web", server.address);
    await until("the reset", () => client.error === "ECONNRESET");
    t.match(proxy.report(), { connections: 0, failedDials: 1 });
  },
);

t.test(
  "who is being connected goes on when another process takes the port over, and is reset when it is unpublished",
  async (t) => {
    const proxy = new TestProxy(t);
    const client = TestClient.to(t, proxy.open(silentService(t)));
    await until("it is being connected", () => proxy.report().connections === 1);
    let idle = false;
    proxy.publications.closeAll(() => (idle = true), true);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(proxy.publications.draining, 1);
    t.notOk(idle || client.closed);
    proxy.publications.closeAll(() => (idle = true));
    const other = new TestProxy(t);
    const another = TestClient.to(t, other.open(silentService(t)));
    await until("it is being connected", () => other.report().connections === 1);
    other.publications.close("web");
    await until("the reset", () => another.error === "ECONNRESET");
  },
);

t.test("a reset passes through, after what was sent before it", async (t) => {
  const server = await TestServer.start(t, (socket) => {
    socket.write("last words", () => socket.resetAndDestroy());
  });
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  await until("it is over", () => client.closed || client.ended);
  await until("the proxy lets go", () => proxy.report().connections === 0);
  t.equal(client.text, "last words");
});

t.test("a client that resets ends the container's connection", async (t) => {
  let closed = false;
  const server = await TestServer.start(t, (socket) => {
    socket.on("close", () => (closed = true));
    socket.resume();
    socket.on("end", () => socket.end());
  });
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  client.socket.write("x");
  await until("it is through", () => proxy.report().bytesToContainer === 1);
  client.socket.resetAndDestroy();
  await until("the container's end", () => closed);
  await until("the proxy lets go", () => proxy.report().connections === 0);
});

t.test("a reset after the half-close ends it as well", async (t) => {
  const server = await TestServer.start(t, () => undefined);
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  client.socket.end("x");
  await until("half closed", () => proxy.report().bytesToContainer === 1);
  await until("the server has it", () => server.connections.length === 1);
  server.connections[0]!.end();
  await until("the proxy lets go", () => proxy.report().connections === 0);
});

t.test("a half-closed connection that is silent is ended after a time; one that is not goes on", async (t) => {
  const server = await TestServer.start(t, (socket) => {
    socket.resume();
    socket.write("hello");
  });
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { halfClosedIdleMs: 400 });
  const silent = TestClient.to(t, address);
  const talking = TestClient.to(t, address);
  await until("both are there", () => silent.text === "hello" && talking.text === "hello");
  silent.socket.end();
  talking.socket.end();
  const timer = setInterval(
    () => server.connections.forEach((socket) => socket.remotePort === undefined || talkTo(socket)),
    50,
  );
  t.teardown(() => clearInterval(timer));
  // Which of the server's connections is the talking one is known by what it received.
  let talkingPort = -1;
  const talkTo = (socket: Socket) => {
    if (talkingPort === -1) talkingPort = socket.remotePort!;
    if (socket.remotePort === talkingPort) socket.write(".");
  };
  await until("one is ended", () => proxy.report().connections === 1);
  await until("its client knows", () => [silent, talking].some(({ error }) => error === "ECONNRESET"));
  const [over, open] = silent.error === "ECONNRESET" ? [silent, talking] : [talking, silent];
  t.equal(over.text.replaceAll(".", ""), "hello");
  const length = open.received.length;
  await until("the other goes on", () => open.received.length > length + 10);
  t.equal(proxy.report().connections, 1);
});

t.test("both sockets are probed when idle, so that dead peers are found", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const before = new Set(sockets());
  const client = TestClient.to(t, proxy.open(server.address, { connectTimeoutMs: 100 }));
  client.socket.write("x");
  await until("the echo", () => client.text === "x");
  const expected = [keepalive.idle, keepalive.interval, keepalive.probes];
  const probed = () =>
    sockets()
      .filter(
        (fd) =>
          !before.has(fd) && option(fd, SOL_SOCKET, SO_KEEPALIVE) === 1 && option(fd, IPPROTO_TCP, TCP_NODELAY) === 1,
      )
      .map((fd) => [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT].map((name) => option(fd, IPPROTO_TCP, name)))
      .filter((values) => values.join() === expected.join());
  await until("the listener and both ends are probed", () => probed().length === 3);
});

t.test("connections beyond the limit wait until one ends", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { maxConnections: 2 });
  const clients = Array.from({ length: 5 }, () => TestClient.to(t, address));
  for (const client of clients) client.socket.write("x");
  const served = () => clients.filter((client) => client.text === "x");
  await until("two are served", () => served().length === 2);
  t.equal(proxy.report().connections, 2);
  t.equal(proxy.report().accepted, 2);
  for (let expected = 3; expected <= 5; expected++) {
    served()
      .find((client) => !client.socket.writableEnded)!
      .socket.end();
    await until(`the next one is served (${expected})`, () => served().length === expected);
    t.ok(proxy.report().connections <= 2);
  }
});

t.test("only clients of the allowed networks are served", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const refused = TestClient.to(t, proxy.open(server.address, { allowFrom: ["10.0.0.0/8", "::1"] }, { id: "others" }));
  const served = TestClient.to(
    t,
    proxy.open(server.address, { allowFrom: ["10.0.0.0/8", "127.0.0.0/8"] }, { id: "us" }),
  );
  served.socket.write("x");
  await until("one is served", () => served.text === "x");
  await until("the other is not", () => refused.error === "ECONNRESET");
  t.match(proxy.report("others"), { accepted: 1, refused: 1, connections: 0 });
  t.equal(server.connections.length, 1);
});

t.test("a closed publication frees its port at once, and its connections go on for a while", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { drainMs: 600_000 });
  const [first, second] = [TestClient.to(t, address), TestClient.to(t, address)];
  for (const client of [first, second]) client.socket.write("x");
  await until("both are served", () => first.text === "x" && second.text === "x");
  proxy.publications.close("web");
  proxy.publications.close("web");
  t.equal(proxy.publications.size, 0);
  t.equal(proxy.publications.draining, 1);
  const late = TestClient.to(t, address);
  await until("nobody listens", () => late.error === "ECONNREFUSED");
  closeDescriptor(listener("tcp", address));
  first.socket.write("y");
  await until("the open ones go on", () => first.text === "xy");
  first.socket.end();
  second.socket.end();
  await until("all are over", () => proxy.publications.draining === 0);
});

t.test("connections that outlast the time to drain are reset", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address, { drainMs: 100 }));
  client.socket.write("x");
  await until("it is served", () => client.text === "x");
  proxy.publications.close("web");
  await until("the reset", () => client.error === "ECONNRESET");
  t.equal(proxy.publications.draining, 0);
});

t.test("without a target the kernel refuses, the port stays ours, and a new target is served", async (t) => {
  const server = await TestServer.start(t, echo);
  const other = await TestServer.start(t, (socket) => void socket.end("the other"));
  const proxy = new TestProxy(t);
  const port = localPort();
  const address = { ip: "127.0.0.1", port };
  proxy.publications.open(
    { id: "web", protocol: "tcp", listen: address, target: server.address, options: { drainMs: 0 } },
    listener("tcp", address),
  );
  const open = TestClient.to(t, address);
  open.socket.write("x");
  await until("it is served", () => open.text === "x");
  for (let round = 0; round < 3; round++) {
    proxy.publications.retarget("web", undefined);
    const refused = TestClient.to(t, address);
    await until("refused", () => refused.error === "ECONNREFUSED");
    t.throws(() => listener("tcp", address), /EADDRINUSE/);
    proxy.publications.retarget("web", other.address);
    const served = TestClient.to(t, address);
    await until("served by the other", () => served.text === "the other");
  }
  open.socket.write("y");
  await until("what was open goes on", () => open.text === "xy");
});

t.test("IPv6 in front of IPv4, and the other way round", async (t) => {
  const proxy = new TestProxy(t);
  const [v4, v6] = [await TestServer.start(t, echo), await TestServer.start(t, echo, "::1")];
  const clients = [
    TestClient.to(t, proxy.open(v4.address, {}, { id: "6to4", ip: "::1" })),
    TestClient.to(t, proxy.open(v6.address, {}, { id: "4to6" })),
  ];
  for (const client of clients) client.socket.write("x");
  await until("both are served", () => clients.every((client) => client.text === "x"));
});

t.test("much of it arrives as it was sent, whether copied, spliced, or copied for want of pipes", async (t) => {
  for (const [name, pipeBytes] of [
    ["spliced", 8 << 20],
    ["copied", 0],
  ] as const) {
    const sent = createHash("sha256");
    const total = 96 << 20;
    const server = await TestServer.start(t, (socket) => {
      const block = Buffer.alloc(1 << 18);
      for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((at * 2654435761) >>> 0, at);
      let left = total;
      const write = () => {
        while (left > 0) {
          block.writeUInt32LE(left, 0);
          const copy = Buffer.from(block);
          sent.update(copy);
          left -= copy.length;
          if (!socket.write(copy)) return;
        }
        socket.end();
      };
      socket.on("drain", write);
      write();
    });
    const proxy = new TestProxy(t, { pipeBytes });
    const { ip: host, port } = proxy.open(server.address);
    const received = createHash("sha256");
    let length = 0;
    let ended = false;
    let peak = 0;
    const client = connect({ host, port });
    client.on("data", (bytes) => {
      received.update(bytes);
      length += bytes.length;
      peak = Math.max(peak, proxy.pipes.lent);
    });
    client.on("end", () => (ended = true));
    await until(`${name}: the end`, () => ended);
    t.equal(length, total, name);
    t.equal(received.digest("hex"), sent.digest("hex"), name);
    await until("the proxy lets go", () => proxy.report().connections === 0);
    t.equal(proxy.report().bytesToClients, total);
    t.equal(proxy.pipes.lent, 0, "no pipe stays behind");
  }
});

t.test("the container learns its clients' addresses, if that is wanted", async (t) => {
  for (const version of ["v1", "v2"] as const) {
    const chunks: Buffer[] = [];
    const server = await TestServer.start(t, (socket) => void socket.on("data", (bytes) => chunks.push(bytes)));
    const proxy = new TestProxy(t);
    const address = proxy.open(server.address, { proxyProtocol: version });
    const client = TestClient.to(t, address);
    client.socket.write("GET /");
    const all = () => Buffer.concat(chunks);
    await until("header and request", () => all().toString("latin1").endsWith("GET /"));
    const header = readHeader(all());
    if (header.kind !== "header") throw new Error(header.kind);
    t.same(header.ends, { source: { ip: "127.0.0.1", port: client.socket.localPort }, destination: address });
    t.equal(all().toString("latin1", header.length), "GET /");
  }
});

t.test("a trusted source tells its client's address; without a header in time it is not served", async (t) => {
  const chunks: Buffer[] = [];
  const server = await TestServer.start(t, (socket) => void socket.on("data", (bytes) => chunks.push(bytes)));
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, {
    acceptProxyProtocolFrom: ["127.0.0.1"],
    proxyProtocol: "v1",
    allowFrom: ["192.0.2.0/24"],
    proxyHeaderMs: 300,
  });
  const ends = { source: { ip: "192.0.2.7", port: 1234 }, destination: { ip: "198.51.100.1", port: 443 } };
  const client = TestClient.to(t, address);
  const header = encodeHeader("v2", ends);
  client.socket.write(header.subarray(0, 9));
  await until("it is there", () => proxy.report().connections === 1);
  client.socket.write(Buffer.concat([header.subarray(9), Buffer.from("hello")]));
  await until(
    "it is passed on",
    () => Buffer.concat(chunks).toString() === "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\nhello",
  );
  const [silent, wrong, elsewhere, cut] = [1, 2, 3, 4].map(() => TestClient.to(t, address)) as [
    TestClient,
    TestClient,
    TestClient,
    TestClient,
  ];
  wrong.socket.write("GET / HTTP/1.1\r\n\r\n");
  elsewhere.socket.write(encodeHeader("v1", { ...ends, source: { ip: "203.0.113.9", port: 1 } }));
  cut.socket.end("PROXY TCP4 192.0");
  await until("none of them is served", () =>
    [silent, wrong, elsewhere, cut].every(({ error }) => error === "ECONNRESET"),
  );
  t.match(proxy.report(), { connections: 1, refused: 4, accepted: 5 });
  t.equal(server.connections.length, 1);
});

t.test("nothing is left behind", async (t) => {
  const server = await TestServer.start(t, echo);
  const before = openDescriptors();
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address);
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 10 }, () => TestClient.to(t, address));
    for (const client of clients) client.socket.end("x");
    await until("all are served", () =>
      clients.every((client) => client.closed || (client.ended && client.text === "x")),
    );
  }
  await until("the proxy lets go", () => proxy.report().connections === 0);
  proxy.publications.close("web");
  await until("closed", () => proxy.publications.draining === 0);
  // One for the epoll, at most one for the next dial.
  await until("descriptors are back", () => openDescriptors() <= before + 2 + 1);
  t.pass();
});

t.test("a client that vanishes while the container is slow to answer costs nothing for good", async (t) => {
  const waiting = listener("tcp", { ip: "127.0.0.1", port: 0 });
  const proxy = new TestProxy(t);
  const address = proxy.open(localAddress(waiting));
  const fd = tcpSocket();
  connectSocket(fd, address);
  await until("it is passed on", () => proxy.report().connections === 1);
  let accepted = WOULD_BLOCK;
  await until("the container takes it", () => (accepted = acceptSocket(waiting)) !== WOULD_BLOCK);
  sendBytes(fd, Buffer.from("x"));
  resetAndClose(fd);
  await until("the proxy lets go", () => proxy.report().connections === 0);
  [waiting, accepted].forEach(closeDescriptor);
});

const where = ({ ip, port }: { ip: string; port: number }) => ({ host: ip, port });

/** Whether a figure has been the same for many turns of the loop. */
let [lastFigure, turns] = [-1, 0];
function stable(figure: number): boolean {
  turns = figure === lastFigure ? turns + 1 : 0;
  lastFigure = figure;
  return turns > 20;
}

function option(fd: number, level: number, name: number): number {
  try {
    return getOption(fd, level, name, "");
  } catch {
    return -1; // not a socket of that kind
  }
}

function sockets(): number[] {
  return Array.from({ length: 400 }, (_, fd) => fd).filter((fd) => option(fd, SOL_SOCKET, SO_KEEPALIVE) >= 0);
}

/** A port that was free a moment ago. */
function localPort(): number {
  const fd = listener("tcp", { ip: "127.0.0.1", port: 0 });
  const { port } = localAddress(fd);
  closeDescriptor(fd);
  return port;
}

t.test("what it connects with keeps nobody from its port, neither open nor in TIME-WAIT", async (t) => {
  const server = await TestServer.start(t, echo);
  const proxy = new TestProxy(t);
  const client = TestClient.to(t, proxy.open(server.address));
  client.socket.write("x");
  await until("the echo", () => client.text === "x");
  const port = server.connections[0]!.remotePort!;
  const isFree = () => closeDescriptor(listener("tcp", { ip: "0.0.0.0", port }));
  isFree();
  client.socket.end();
  await until("the proxy lets go", () => proxy.report().connections === 0);
  const inTimeWait = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, "0")} \\S+ 06 `);
  await until("TIME-WAIT", () => inTimeWait.test(readFileSync("/proc/self/net/tcp", "latin1")));
  isFree();
  t.pass();
});
