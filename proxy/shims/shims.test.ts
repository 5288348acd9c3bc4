import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { openListener } from "../../linux/listener.js";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { receivePacket, sendPacket, type Packet } from "../../linux/packet-connection.js";
import {
  bindUnix,
  closeDescriptor,
  connectUnix,
  listenSocket,
  localAddress,
  packetSocket,
  tcpSocket,
} from "../../linux/socket.js";
import { openDescriptors, TestLoop } from "../../linux/testing/loop.js";
import { readShimMessage } from "./shim-protocol.js";
import type { Publication, PublicationOwner } from "../publication/publication.js";
import type { PortServer } from "./port-server.js";
import { Shims, type ShimsOptions } from "./shims.js";

interface Tap {
  teardown(work: () => void): void;
}

const namespace = namespaceInode(ownNamespacePath);

/** Shims connected to the unit under test, and what it publishes. */
class Bench {
  readonly loop = new TestLoop();
  readonly open = new Map<string, { publication: Publication; descriptor: number }>();
  readonly declined: string[] = [];
  readonly owners: { protocol: string; listen: { ip: string; port: number }; owner: PublicationOwner }[] = [];
  /** Of what was closed, whether connections go on until their own end. */
  readonly closed: (boolean | "cut off")[] = [];
  /** UDP ports that were made free. */
  readonly vacated: number[] = [];
  readonly shims: Shims;
  /** What `open` throws, to play a server that cannot. */
  failure: Error | undefined;
  readonly #path: string;

  constructor(t: Tap, options: ShimsOptions = {}) {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
    this.#path = join(folder, "proxy.sock");
    const listener = packetSocket();
    bindUnix(listener, this.#path);
    listenSocket(listener, 16);
    const ownerOf: PortServer["ownerOf"] = (protocol, { ip, port }) =>
      this.owners.find(({ protocol: own, listen }) => own === protocol && listen.ip === ip && listen.port === port)
        ?.owner;
    this.shims = new Shims(
      this.loop.poller,
      this.loop.timers,
      {
        open: (publication, fd) => this.#open(publication, fd),
        close: (id, untilTheirEnd) => this.#close(id, untilTheirEnd),
        cutOff: (id) => this.#close(id, "cut off"),
        vacate: (ports) => this.vacated.push(...ports),
        ownerOf,
      },
      { onDeclined: (reason) => this.declined.push(reason), ...options },
    );
    this.shims.listen(listener);
    t.teardown(() => {
      this.shims.release("the test is over");
      closeDescriptor(listener);
      this.loop.poller.close();
      rmSync(folder, { recursive: true });
    });
  }

  connect(): number {
    const fd = packetSocket();
    connectUnix(fd, this.#path);
    return fd;
  }

  /** Sends one message and returns the answer: its text, or `closed`. */
  async say(fd: number, text: string, descriptors: number[] = []): Promise<{ text: string; descriptors: number[] }> {
    sendPacket(fd, Buffer.from(text), descriptors);
    let answer: Packet | "closed" | undefined;
    await this.loop.until("there is an answer", () => (answer = receivePacket(fd)) !== undefined);
    return answer === "closed" || answer === undefined
      ? { text: "closed", descriptors: [] }
      : { text: answer.bytes.toString(), descriptors: answer.descriptors };
  }

  #open(publication: Publication, descriptor: number): void {
    if (this.failure) throw this.failure;
    this.open.set(publication.id, { publication, descriptor });
  }

  #close(id: string, untilTheirEnd: boolean | "cut off" = false): void {
    const found = this.open.get(id);
    if (!this.open.delete(id)) return;
    this.closed.push(untilTheirEnd);
    closeDescriptor(found!.descriptor);
  }
}

const request = (kind: string, port: number, { protocol = "tcp", inherited = 0, target = "172.17.0.2 80" } = {}) =>
  `1 ${kind} ${protocol} 127.0.0.1 ${port} ${target} ${namespace} ${inherited}`;

t.test("a socket is served until its shim says good-bye, or is gone", async (t) => {
  const bench = new Bench(t);
  for (const farewell of [true, false]) {
    const listener = openListener("tcp", { ip: "127.0.0.1", port: 0 });
    const { port } = localAddress(listener);
    const shim = bench.connect();
    t.equal((await bench.say(shim, request("ask", port))).text, "ready");
    t.equal((await bench.say(shim, request("serve", port), [listener])).text, "ok");
    t.match([...bench.open.values()], {
      length: 1,
      0: {
        publication: { protocol: "tcp", listen: { ip: "127.0.0.1", port }, target: { ip: "172.17.0.2", port: 80 } },
      },
    });
    if (farewell) t.equal((await bench.say(shim, "bye")).text, "gone");
    [shim, listener].forEach(closeDescriptor);
    await bench.loop.until("the publication ends", () => bench.open.size === 0 && bench.shims.size === 0);
  }
});

t.test("a listener that is handed over is checked against the socket itself", async (t) => {
  const bench = new Bench(t);
  const tcp = openListener("tcp", { ip: "127.0.0.1", port: 0 });
  const udp = openListener("udp", { ip: "127.0.0.1", port: 0 });
  const idle = tcpSocket();
  const { port } = localAddress(tcp);
  const before = openDescriptors();
  for (const [text, descriptors, reason] of [
    [request("serve", port), [], "a listener must come as one descriptor"],
    [request("serve", port), [tcp, tcp], "a listener must come as one descriptor"],
    [request("serve", port + 1), [tcp], /is bound to 127\.0\.0\.1:\d+, not to/],
    [request("serve", port).replace("127.0.0.1", "0.0.0.0"), [tcp], /is bound to/],
    [request("serve", port).replace("127.0.0.1", "::1"), [tcp], /is bound to/],
    [request("serve", port), [udp], "the descriptor is not a tcp socket"],
    [request("serve", port, { protocol: "udp" }), [tcp], "the descriptor is not a udp socket"],
    [request("serve", port), [idle], "the socket does not listen"],
    [request("serve", port), [bench.loop.poller.fd], /ENOTSOCK/],
    [request("serve", port).replace(String(namespace), "1"), [tcp], "the port is in another network namespace"],
    [request("ask", port).replace(String(namespace), "1"), [], "the port is in another network namespace"],
    [request("serve", port).replace("1 ", "2 "), [tcp], /protocol version/],
    ["nonsense", [tcp], /protocol version/],
  ] as const) {
    const shim = bench.connect();
    const answer = await bench.say(shim, text, [...descriptors]);
    t.match(answer.text, /^no ./);
    t.match(answer.text.slice(3), reason);
    closeDescriptor(shim);
    await bench.loop.turn();
    t.equal(openDescriptors(), before, "no descriptor stays");
  }
  bench.failure = new Error("too many open files");
  const shim = bench.connect();
  t.equal((await bench.say(shim, request("serve", port), [tcp])).text, "no too many open files");
  bench.failure = undefined;
  const twice = bench.connect();
  t.equal((await bench.say(twice, request("serve", port), [tcp])).text, "ok");
  t.equal((await bench.say(twice, request("serve", port), [tcp])).text, "no a shim serves one port");
  t.equal(bench.open.size, 0);
  [shim, twice, tcp, udp, idle].forEach(closeDescriptor);
});

t.test("a kept listener goes to the shim that asks for the same, and no other", async (t) => {
  const bench = new Bench(t, { keepTime: 60_000 });
  const before = openDescriptors();
  const keep = async (inherited = 0) => {
    const listener = openListener("tcp", { ip: "127.0.0.1", port: 0 });
    const { port } = localAddress(listener);
    const shim = bench.connect();
    await bench.say(shim, request("serve", port, { inherited }), [listener]);
    t.equal((await bench.say(shim, "bye keep", inherited ? [] : [listener])).text, inherited ? "gone" : "closed");
    [shim, listener].forEach(closeDescriptor);
    return port;
  };
  const port = await keep();
  t.equal(bench.open.size, 1, "it is served on");
  const shim = bench.connect();
  const answer = await bench.say(shim, request("ask", port));
  t.equal(answer.text, "kept");
  t.equal(localAddress(answer.descriptors[0]!).port, port);
  t.equal(bench.open.size, 1);
  [shim, ...answer.descriptors].forEach(closeDescriptor);
  await bench.loop.until("it ends with its new shim", () => bench.open.size === 0);

  const other = bench.connect();
  t.equal((await bench.say(other, request("ask", await keep(), { target: "172.17.0.3 80" }))).text, "ready");
  t.equal(bench.open.size, 0, "another container is about to bind the port");
  t.same(bench.closed, [false, false], "connections of a container that is gone have an end");
  closeDescriptor(other);

  await keep(1);
  t.equal(bench.open.size, 0, "what dockerd has bound itself is not kept");
  t.same(bench.closed.slice(2), [true], "but its connections are");

  await keep();
  t.equal(bench.shims.kept, 1);
  bench.loop.pass(59_000);
  t.equal(bench.open.size, 1);
  bench.loop.pass(1_100);
  t.equal(bench.open.size, 0, "it is kept for a time");
  t.same(bench.closed.slice(3), [true], "its connections for as long as they last");
  await bench.loop.until("all shims are gone", () => bench.shims.size === 0);
  t.equal(openDescriptors(), before);
});

t.test("what a shim said last counts, though it ended without reading our answer", async (t) => {
  const bench = new Bench(t);
  const listener = openListener("tcp", { ip: "127.0.0.1", port: 0 });
  const { port } = localAddress(listener);
  const early = bench.connect(); // gone before the answer
  sendPacket(early, Buffer.from(request("serve", port)), [listener]);
  sendPacket(early, Buffer.from("bye keep"), [listener]);
  closeDescriptor(early);
  await bench.loop.until("the listener is kept", () => bench.shims.kept === 1 && bench.shims.size === 0);
  t.equal(bench.open.size, 1);
  const late = bench.connect(); // gone with the answer unread
  sendPacket(late, Buffer.from(request("ask", port)));
  await bench.loop.until("it is given back", () => bench.shims.kept === 0);
  sendPacket(late, Buffer.from("bye keep"), [listener]);
  closeDescriptor(late);
  await bench.loop.until("the listener is kept again", () => bench.shims.kept === 1 && bench.shims.size === 0);
  t.equal(bench.open.size, 1);
  closeDescriptor(listener);
});

t.test("there is a limit, and a shim that says nothing is let go", async (t) => {
  const bench = new Bench(t, { shimsAtMost: 2 });
  const connections = [1, 2, 3].map(() => bench.connect());
  await bench.loop.until("all are accepted", () => receivePacket(connections[2]!) === "closed");
  t.equal(bench.shims.size, 2);
  bench.loop.pass(10_100);
  t.equal(bench.shims.size, 0);
  connections.forEach(closeDescriptor);
});

t.test("a message of any bytes is read or refused", (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void readShimMessage(Buffer.from(bytes))));
  const word = fc.constantFrom(
    "1",
    "ask",
    "serve",
    "tcp",
    "udp",
    "0.0.0.0",
    "::",
    "fe80::1%x",
    "65536",
    "80",
    "-1",
    "0",
    "",
    "1e3",
    " ",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      const message = readShimMessage(Buffer.from(words.join(" ")));
      return message.kind !== "ask" && message.kind !== "serve"
        ? true
        : words.length === 9 && message.request.host.port <= 65535 && !message.request.host.ip.includes("%");
    }),
  );
  t.match(readShimMessage(Buffer.from("1 ask tcp 0:0::0 80 172.17.0.2 80 4026531840 1")), {
    kind: "ask",
    request: { host: { ip: "::", port: 80 }, inherited: true },
  });
  for (const bad of [
    "1 ask tcp 0.0.0.0 65536 1.1.1.1 1 1 0",
    "1 ask tcp 0.0.0.0 1 1.1.1.1 1 1",
    "1 ask tcp 0.0.0.0 1 1.1.1.1 1 1 0 0",
    "1 ask sctp 0.0.0.0 1 1.1.1.1 1 1 0",
    "1 ask tcp * 1 1.1.1.1 1 1 0",
  ])
    t.equal(readShimMessage(Buffer.from(bad)).kind, "nonsense", bad);
  t.end();
});

t.test("a UDP port that is asked for is given up by flows, before it is bound", async (t) => {
  const bench = new Bench(t);
  for (const protocol of ["tcp", "udp"]) {
    const shim = bench.connect();
    t.equal((await bench.say(shim, request("ask", 5353).replace("tcp", protocol))).text, "ready");
    closeDescriptor(shim);
  }
  t.same(bench.vacated, [5353]);
});

t.test(
  "connections of a port that dockerd ends go on for a while, if a daemon tells when their container is gone",
  async (t) => {
    const bench = new Bench(t);
    for (const hasDaemon of [false, true]) {
      bench.shims.hasDaemon = hasDaemon;
      const listener = openListener("tcp", { ip: "127.0.0.1", port: 0 });
      const shim = bench.connect();
      await bench.say(shim, request("serve", localAddress(listener).port), [listener]);
      t.equal((await bench.say(shim, "bye")).text, "gone");
      [shim, listener].forEach(closeDescriptor);
    }
    t.same(bench.closed, ["cut off", false]);
    await bench.loop.until("all shims are gone", () => bench.shims.size === 0);
  },
);

t.test("who has a port that could not be bound is told, if a daemon published it", async (t) => {
  const owner = { container: "we\u202eb", containerPort: 80, source: "command" as const };
  const bench = new Bench(t);
  bench.owners.push(
    { protocol: "tcp", listen: { ip: "0.0.0.0", port: 80 }, owner },
    {
      protocol: "udp",
      listen: { ip: "::", port: 53 },
      owner: { container: "dns", containerPort: 5353, source: "label" },
    },
  );
  const ask = async (words: string) =>
    (await bench.say(bench.connect(), `1 who ${words} 172.17.0.2 80 ${namespace} 0`)).text;
  t.equal(
    await ask("tcp 0.0.0.0 80"),
    "held `pontoon publish` opened it for we?b (80/tcp); `pontoon unpublish we?b 80/tcp` frees it",
  );
  t.match(await ask("udp :: 53"), /^held the label pontoon.publish of dns opened it \(5353\/udp\)/);
  t.equal(await ask("udp 0.0.0.0 80"), "nobody");
  const elsewhere = await bench.say(bench.connect(), `1 who tcp 0.0.0.0 80 172.17.0.2 80 ${namespace + 1} 0`);
  t.equal(elsewhere.text, "nobody", "a port of another namespace is another port");
  t.same([bench.declined, bench.open.size], [[], 0]);
});
