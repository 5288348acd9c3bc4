import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import t from "tap";
import { readFileSync } from "node:fs";
import type { SocketAddress } from "../../common/address.js";
import { SO_RCVBUF, SOL_SOCKET } from "../../linux/constants.js";
import { bindSocket, closeDescriptor, getOption, localAddress, setReuse, udpSocket } from "../../linux/socket.js";
import { socketKind } from "../../linux/socket-kind.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import { listener, TestProxy, until, type TestLike } from "../testing/proxy.js";

interface Heard {
  readonly text: string;
  readonly length: number;
  readonly port: number;
  readonly address: string;
}

/** A UDP socket that keeps what it hears. */
class Peer {
  readonly heard: Heard[] = [];
  readonly errors: string[] = [];

  private constructor(readonly socket: Socket) {}

  static async start(
    t: TestLike,
    onMessage: (peer: Peer, heard: Heard, bytes: Buffer) => void = () => undefined,
    address = "127.0.0.1",
    port = 0,
  ): Promise<Peer> {
    const socket = createSocket({ type: address.includes(":") ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
    const peer = new Peer(socket);
    socket.on("message", (bytes, { port, address }) => {
      const heard = { text: bytes.toString("latin1", 0, 100), length: bytes.length, port, address };
      peer.heard.push(heard);
      onMessage(peer, heard, bytes);
    });
    socket.on("error", (error) => peer.errors.push((error as NodeJS.ErrnoException).code ?? error.message));
    socket.bind(port, address);
    await once(socket, "listening");
    t.teardown(() => peer.close());
    return peer;
  }

  get address(): SocketAddress {
    const { address, port } = this.socket.address();
    return { ip: address, port };
  }

  send(text: string | Buffer, { ip, port }: SocketAddress): void {
    this.socket.send(text, port, ip, () => undefined);
  }

  #closed = false;
  close(): void {
    if (!this.#closed) this.socket.close();
    this.#closed = true;
  }
}

const echo = (peer: Peer, { address, port }: Heard, bytes: Buffer) => peer.send(bytes, { ip: address, port });

/** Sends until something holds: a datagram may be lost, as UDP's may. */
async function sendUntil(what: string, send: () => void, holds: () => boolean): Promise<void> {
  let next = 0;
  await until(what, () => {
    if (performance.now() >= next) {
      send();
      next = performance.now() + 200;
    }
    return holds();
  });
}

t.test("each client has a flow of its own, and gets its own replies", async (t) => {
  const server = await Peer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, {}, { protocol: "udp" });
  const clients = await Promise.all(Array.from({ length: 8 }, () => Peer.start(t)));
  for (const [index, client] of clients.entries())
    for (let count = 0; count < 10; count++) client.send(`${index}/${count}`, address);
  await until("all replies", () => clients.every(({ heard }) => heard.length === 10));
  for (const [index, { heard }] of clients.entries()) {
    t.same(
      heard.map(({ text }) => text),
      Array.from({ length: 10 }, (_, count) => `${index}/${count}`),
    );
    t.ok(heard.every(({ address: from, port }) => from === address.ip && port === address.port));
  }
  t.equal(new Set(server.heard.map(({ port }) => port)).size, 8);
  t.match(proxy.report(), { connections: 8, accepted: 8, refused: 0, bytesToContainer: 240, bytesToClients: 240 });
});

t.test("the largest and the smallest datagrams pass", async (t) => {
  const server = await Peer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, {}, { protocol: "udp" });
  const client = await Peer.start(t);
  const large = Buffer.alloc(65_507);
  for (let at = 0; at < large.length; at++) large[at] = (at * 7) & 255;
  let back: Buffer | undefined;
  client.socket.on("message", (bytes) => (back = bytes));
  await sendUntil(
    "it is back",
    () => client.send(large, address),
    () => back !== undefined,
  );
  t.ok(back!.equals(large));
  back = undefined;
  await sendUntil(
    "nothing is back",
    () => client.send("", address),
    () => back?.length === 0,
  );
});

t.test(
  "replies come from the address the client used, over IPv4 and IPv6, and in front of the other family",
  async (t) => {
    const proxy = new TestProxy(t);
    const v4 = await Peer.start(t, echo);
    const wildcard = proxy.open(v4.address, {}, { protocol: "udp", ip: "0.0.0.0", id: "v4" });
    const client = await Peer.start(t, undefined, "0.0.0.0");
    for (const ip of ["127.0.0.5", "127.0.0.6"])
      await sendUntil(
        `a reply from ${ip}`,
        () => client.send(ip, { ip, port: wildcard.port }),
        () => client.heard.some(({ text, address }) => text === ip && address === ip),
      );
    t.ok(client.heard.every(({ text, address }) => text === address));
    t.equal(proxy.report("v4").connections, 2, "one client, two addresses, two flows");
    const six = proxy.open(v4.address, {}, { protocol: "udp", ip: "::", id: "v6" });
    const client6 = await Peer.start(t, undefined, "::1");
    await sendUntil(
      "a reply over IPv6",
      () => client6.send("six", { ip: "::1", port: six.port }),
      () => client6.heard.some(({ address }) => address === "::1"),
    );
    const mapped = await Peer.start(t);
    await sendUntil(
      "a reply from a socket of both families",
      () => mapped.send("both", { ip: "127.0.0.1", port: six.port }),
      () => mapped.heard.some(({ address }) => address === "127.0.0.1"),
    );
  },
);

t.test("a flow without datagrams is forgotten; one with them in either direction is not", async (t) => {
  const server = await Peer.start(t);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { udpIdleMs: 400 }, { protocol: "udp" });
  const [idle, asks, hears] = [await Peer.start(t), await Peer.start(t), await Peer.start(t)];
  idle.send("idle", address);
  asks.send("asks", address);
  hears.send("hears", address);
  await until("three flows", () => server.heard.length === 3);
  const portOf = (name: string) => server.heard.find(({ text }) => text === name)!.port;
  const ports = new Set([portOf("asks"), portOf("hears")]);
  const timer = setInterval(() => {
    asks.send("asks", address);
    server.send("news", { ip: "127.0.0.1", port: portOf("hears") });
  }, 20);
  t.teardown(() => clearInterval(timer));
  await until("the idle one goes", () => proxy.report().connections === 2);
  const news = hears.heard.length;
  await until("the others go on", () => hears.heard.length > news + 50);
  t.equal(proxy.report().connections, 2);
  t.same(new Set(server.heard.filter(({ text }) => text !== "idle").map(({ port }) => port)), ports);
});

t.test("the table is bounded: the flow used longest ago goes", async (t) => {
  const server = await Peer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { udpFlows: 4 }, { protocol: "udp" });
  const before = openDescriptors();
  const clients = await Promise.all(Array.from({ length: 10 }, () => Peer.start(t)));
  const first = clients[0]!;
  for (const client of clients) {
    client.send("x", address);
    await until("served", () => client.heard.length > 0);
    const heard = first.heard.length;
    first.send("still here", address);
    await until("the first is served", () => first.heard.length > heard);
  }
  t.equal(proxy.report().connections, 4);
  t.equal(openDescriptors(), before + clients.length + 4);
  t.equal(
    new Set(server.heard.filter(({ text }) => text === "still here").map(({ port }) => port)).size,
    1,
    "what is used stays",
  );
});

t.test("a flood of clients in one batch is served as far as the table goes", async (t) => {
  const server = await Peer.start(t);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { udpFlows: 2 }, { protocol: "udp" });
  const clients = await Promise.all(Array.from({ length: 30 }, () => Peer.start(t)));
  for (const [index, client] of clients.entries()) client.send(`${index}`, address);
  await until("every datagram is through", () => server.heard.length === 30);
  t.equal(proxy.report().connections, 2);
});

t.test("a container that does not listen yet costs the flow nothing", async (t) => {
  const free = listener("udp", { ip: "127.0.0.1", port: 0 });
  const target = localAddress(free);
  closeDescriptor(free);
  const proxy = new TestProxy(t);
  const address = proxy.open(target, {}, { protocol: "udp" });
  const client = await Peer.start(t);
  for (let count = 0; count < 5; count++) client.send("too early", address);
  await until("they came to nothing", () => proxy.report().bytesToContainer > 0);
  const server = await Peer.start(t, echo, "127.0.0.1", target.port);
  await sendUntil(
    "it is served",
    () => client.send("now", address),
    () => client.heard.some(({ text }) => text === "now"),
  );
  t.equal(proxy.report().connections, 1);
  t.equal(proxy.report().accepted, 1, "through the same flow");
  t.ok(server.heard.length > 0);
});

t.test("a client that is gone costs the others nothing", async (t) => {
  const server = await Peer.start(t);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, {}, { protocol: "udp" });
  const [gone, stays] = [await Peer.start(t), await Peer.start(t)];
  gone.send("gone", address);
  stays.send("stays", address);
  await until("both are known", () => server.heard.length === 2);
  gone.close();
  const replies = () => {
    for (const { port } of server.heard.slice(0, 2)) server.send("reply", { ip: "127.0.0.1", port });
  };
  for (let round = 1; round <= 5; round++)
    await sendUntil("the other is served", replies, () => stays.heard.length >= round);
  t.equal(proxy.report().connections, 2);
});

t.test("a new target has the clients' next datagrams, from their same ports", async (t) => {
  const [one, other] = [
    await Peer.start(t, (peer, heard) => echo(peer, heard, Buffer.from("one"))),
    await Peer.start(t, (peer, heard) => echo(peer, heard, Buffer.from("other"))),
  ];
  const proxy = new TestProxy(t);
  const address = proxy.open(one.address, {}, { protocol: "udp" });
  const client = await Peer.start(t);
  await sendUntil(
    "served by the one",
    () => client.send("x", address),
    () => client.heard.some(({ text }) => text === "one"),
  );
  proxy.publications.retarget("web", other.address);
  await sendUntil(
    "served by the other",
    () => client.send("x", address),
    () => client.heard.at(-1)?.text === "other",
  );
});

t.test(
  "flows to an address that no container has any more are forgotten, and no others; told its target once more, none is",
  async (t) => {
    const [one, other] = [await Peer.start(t, echo, "127.0.0.7"), await Peer.start(t, echo, "127.0.0.8")];
    const proxy = new TestProxy(t);
    const addresses = [
      proxy.open(one.address, {}, { id: "one", protocol: "udp" }),
      proxy.open(other.address, {}, { id: "other", protocol: "udp" }),
    ];
    const client = await Peer.start(t);
    for (const address of addresses)
      await sendUntil(
        "served",
        () => client.send("x", address),
        () => client.heard.some(({ port }) => port === address.port),
      );
    proxy.publications.retarget("one", { ...one.address });
    t.same([proxy.report("one").connections, proxy.report("other").connections], [1, 1]);
    proxy.publications.gone(new Set(["127.0.0.7"]));
    t.same([proxy.report("one").connections, proxy.report("other").connections], [0, 1]);
  },
);

t.test("flows are sent from a range of their own, and give way to others", async (t) => {
  const proxy = new TestProxy(t);
  const span = { first: 61_200, last: 61_299 };
  proxy.sourcePorts.span = span;
  const service = await Peer.start(t, echo);
  const address = proxy.open(service.address, {}, { protocol: "udp" });
  const clients = await Promise.all(Array.from({ length: 20 }, () => Peer.start(t)));
  for (const client of clients)
    await sendUntil(
      "served",
      () => client.send("x", address),
      () => client.heard.length > 0,
    );
  const ports = [...new Set(service.heard.map(({ port }) => port))];
  t.equal(ports.length, 20);
  t.ok(ports.every((port) => port >= span.first && port <= span.last));

  const other = udpSocket();
  t.teardown(() => closeDescriptor(other));
  setReuse(other, true);
  for (const port of ports)
    t.throws(
      () => bindSocket(other, { ip: "0.0.0.0", port }),
      /EADDRINUSE/,
      "nobody else has a share in their replies",
    );
  proxy.sourcePorts.avoided = new Set(ports);
  proxy.publications.vacate(new Set(ports));
  for (const port of ports) closeDescriptor(listener("udp", { ip: "0.0.0.0", port }));
  const heard = clients.map((client) => client.heard.length);
  for (const [index, client] of clients.entries())
    await sendUntil(
      "goes on",
      () => client.send("y", address),
      () => client.heard.length > heard[index]!,
    );
  t.notOk(
    service.heard.filter(({ text }) => text === "y").some(({ port }) => ports.includes(port)),
    "from other ports",
  );
});

t.test("ports are shared by flows to different containers, whose replies are not mixed up", async (t) => {
  const proxy = new TestProxy(t);
  proxy.sourcePorts.span = { first: 61_300, last: 61_307 };
  const services = await Promise.all(
    ["127.0.0.1", "127.0.0.7", "::1"].map((ip) =>
      Peer.start(t, (peer, heard, bytes) => echo(peer, heard, Buffer.concat([bytes, Buffer.from(` from ${ip}`)])), ip),
    ),
  );
  const addresses = services.map((service, index) =>
    proxy.open(service.address, {}, { id: `web ${index}`, protocol: "udp" }),
  );
  const clients = await Promise.all(Array.from({ length: 8 }, () => Peer.start(t)));
  for (const [index, address] of addresses.entries())
    for (const [who, client] of clients.entries())
      await sendUntil(
        "served",
        () => client.send(`${who}`, address),
        () =>
          client.heard.some(
            ({ text, port }) => port === address.port && text === `${who} from ${services[index]!.address.ip}`,
          ),
      );
  for (const [who, client] of clients.entries())
    t.ok(
      client.heard.every(({ text }) => text.startsWith(`${who} from `)),
      "only its own",
    );
  for (const service of services) t.equal(new Set(service.heard.map(({ port }) => port)).size, 8);
  t.same(
    addresses.map((_, index) => proxy.report(`web ${index}`).withoutSourcePort),
    [0, 0, 0],
  );

  const late = await Peer.start(t);
  await sendUntil(
    "one more",
    () => late.send("late", addresses[0]!),
    () => late.heard.length > 0,
  );
  t.match(
    proxy.report("web 0"),
    { connections: 9, withoutSourcePort: 1 },
    "it has another, and that is counted and told",
  );
  t.same(proxy.short, [services[0]!.address]);
  const { port } = services[0]!.heard.find(({ text }) => text === "late")!;
  t.notOk(port >= 61_300 && port <= 61_307);
  proxy.publications.vacate(new Set([port]));
  t.equal(proxy.report("web 0").connections, 8, "which gives way as well");
  closeDescriptor(listener("udp", { ip: "0.0.0.0", port }));
});

t.test("a burst waits in the buffers of the port and of its flows", async (t) => {
  const proxy = new TestProxy(t);
  const service = await Peer.start(t, echo);
  const before = new Set(datagramSockets());
  const address = proxy.open(service.address, {}, { protocol: "udp" });
  const client = await Peer.start(t);
  await sendUntil(
    "served",
    () => client.send("x", address),
    () => client.heard.length > 0,
  );
  const most = Number(readFileSync("/proc/sys/net/core/rmem_max", "latin1"));
  const flow = datagramSockets().filter((fd) => !before.has(fd) && localAddress(fd).port === service.heard[0]!.port);
  t.same(
    flow.map((fd) => getOption(fd, SOL_SOCKET, SO_RCVBUF, "")),
    [2 * Math.min(most, 4 << 20)],
  );
});

/** UDP sockets of this process. */
function datagramSockets(): number[] {
  return Array.from({ length: 400 }, (_, fd) => fd).filter((fd) => {
    try {
      return socketKind(fd).type === "datagram" && localAddress(fd).port > 0;
    } catch {
      return false;
    }
  });
}

t.test("without a target the kernel refuses, and the port stays ours", async (t) => {
  const server = await Peer.start(t, echo);
  for (const ip of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
    const proxy = new TestProxy(t);
    const free = listener("udp", { ip, port: 0 });
    const { port } = localAddress(free);
    closeDescriptor(free);
    const address = { ip: ip === "0.0.0.0" ? "127.0.0.1" : ip === "::" ? "::1" : ip, port };
    proxy.publications.open(
      { id: "web", protocol: "udp", listen: { ip, port }, target: server.address, options: {} },
      listener("udp", { ip, port }),
    );
    const client = await Peer.start(t, undefined, address.ip);
    client.socket.connect(port, address.ip);
    await once(client.socket, "connect");
    const send = () => client.socket.send("x", () => undefined);
    await sendUntil(`${ip}: served`, send, () => client.heard.length > 0);
    proxy.publications.retarget("web", undefined);
    t.equal(proxy.report().connections, 0);
    await sendUntil(`${ip}: refused`, send, () => client.errors.includes("ECONNREFUSED"));
    t.throws(() => listener("udp", { ip, port }), /EADDRINUSE/);
    if (ip === "0.0.0.0")
      t.throws(() => listener("udp", { ip: "127.0.0.77", port }), /EADDRINUSE/, "nor any other address of it");
    const heard = client.heard.length;
    proxy.publications.retarget("web", server.address);
    await sendUntil(`${ip}: served again`, send, () => client.heard.length > heard);
  }
});

t.test("only clients of the allowed networks are served", async (t) => {
  const server = await Peer.start(t, echo);
  const proxy = new TestProxy(t);
  const address = proxy.open(server.address, { allowFrom: ["127.0.0.9"] }, { protocol: "udp", ip: "0.0.0.0" });
  const [refused, served] = [await Peer.start(t), await Peer.start(t, undefined, "127.0.0.9")];
  refused.send("x", { ip: "127.0.0.1", port: address.port });
  await sendUntil(
    "the other is served",
    () => served.send("x", { ip: "127.0.0.1", port: address.port }),
    () => served.heard.length > 0,
  );
  t.equal(refused.heard.length, 0);
  t.match(proxy.report(), { connections: 1, refused: 1 });
});

t.test("nothing is left behind", async (t) => {
  const server = await Peer.start(t, echo);
  const proxy = new TestProxy(t);
  const before = openDescriptors();
  const address = proxy.open(server.address, {}, { protocol: "udp" });
  const client = await Peer.start(t);
  await sendUntil(
    "served",
    () => client.send("x", address),
    () => client.heard.length > 0,
  );
  client.close();
  proxy.publications.close("web");
  await until("it is closed", () => proxy.publications.draining === 0);
  await until("descriptors are back", () => openDescriptors() === before);
  t.pass();
});
