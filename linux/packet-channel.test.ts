import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { O_CLOEXEC } from "./constants.js";
import { MESSAGE_SIZE, PacketChannel } from "./packet-channel.js";
import { duplicateDescriptor } from "./descriptors.js";
import { PACKET_SIZE, receivePacket, sendPacket, type Packet } from "./packet-connection.js";
import {
  acceptSocket,
  bindSocket,
  bindUnix,
  closeDescriptor,
  connectSocket,
  connectUnix,
  listenSocket,
  localAddress,
  packetSocket,
  peerCredentials,
  receiveBytes,
  sendBytes,
  udpSocket,
} from "./socket.js";
import { TestLoop, openDescriptors } from "./testing/loop.js";

interface Tap {
  teardown(work: () => void): void;
}

/** Both ends of a connection through a socket in a folder of its own. The test closes them. */
function connection(t: Tap): [client: number, server: number] {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "test.sock");
  const listener = packetSocket();
  bindUnix(listener, path);
  listenSocket(listener, 4);
  const client = packetSocket();
  connectUnix(client, path);
  const server = acceptSocket(listener);
  closeDescriptor(listener);
  return [client, server];
}

function packet(fd: number): Packet {
  const received = receivePacket(fd);
  if (received === undefined || received === "closed") throw new Error(`no packet: ${String(received)}`);
  return received;
}

const isCloseOnExec = (fd: number) =>
  (parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8) & O_CLOEXEC) !== 0;

t.test("what a peer has said is heard, although it ended without having read everything", async (t) => {
  const [a, b] = connection(t);
  const loop = new TestLoop();
  const heard: unknown[] = [];
  let reason: string | undefined;
  const channel = new PacketChannel<unknown, unknown>(loop.poller, a, {
    onMessage: (message) => heard.push(message),
    onClose: (why) => (reason = why),
  });
  channel.send("unread");
  sendPacket(b, Buffer.from('"its last words"'));
  closeDescriptor(b);
  await loop.until("it is over", () => reason !== undefined);
  t.same([heard, reason], [["its last words"], "closed"]);
  loop.poller.close();
});

t.test("messages keep their boundaries and their order", (t) => {
  const [a, b] = connection(t);
  t.equal(receivePacket(b), undefined, "none waits");
  for (const text of ["one", "two", "x".repeat(PACKET_SIZE)]) t.equal(sendPacket(a, Buffer.from(text)), true);
  t.same(
    [1, 2, 3].map(() => packet(b).bytes.length),
    [3, 3, PACKET_SIZE],
  );
  sendPacket(b, Buffer.from("back"));
  t.equal(packet(a).bytes.toString(), "back");
  closeDescriptor(a);
  t.equal(receivePacket(b), "closed");
  closeDescriptor(b);
  t.end();
});

t.test("what cannot be a message is refused before it is sent", (t) => {
  const [a, b] = connection(t);
  t.throws(() => sendPacket(a, Buffer.alloc(0)), RangeError, "nothing");
  t.throws(() => sendPacket(a, Buffer.alloc(PACKET_SIZE + 1)), RangeError, "too much");
  t.throws(() => sendPacket(a, Buffer.from("x"), Array<number>(254).fill(a)), RangeError, "too many descriptors");
  t.throws(() => sendPacket(a, Buffer.from("x"), [99_999]), /EBADF/);
  t.equal(receivePacket(b), undefined);
  [a, b].forEach(closeDescriptor);
  t.end();
});

t.test("descriptors arrive, work, and are closed on exec", (t) => {
  const [a, b] = connection(t);
  const [one, other] = [udpSocket(), udpSocket()];
  for (const fd of [one, other]) bindSocket(fd, { ip: "127.0.0.1", port: 0 });
  connectSocket(one, localAddress(other));
  t.equal(sendPacket(a, Buffer.from("two"), [one, other]), true);
  closeDescriptor(one);
  const { descriptors } = packet(b);
  t.equal(descriptors.length, 2);
  t.ok(descriptors.every(isCloseOnExec));
  sendBytes(descriptors[0]!, Buffer.from("through both"));
  const scratch = Buffer.alloc(64);
  const length = receiveBytes(descriptors[1]!, scratch);
  t.equal(scratch.toString("utf8", 0, length), "through both");
  for (const fd of [a, b, other, ...descriptors]) closeDescriptor(fd);
  t.end();
});

t.test("as many descriptors as the kernel allows travel in one message", (t) => {
  const [a, b] = connection(t);
  const before = openDescriptors();
  sendPacket(a, Buffer.from("many"), Array<number>(253).fill(a));
  const { descriptors } = packet(b);
  t.equal(new Set(descriptors).size, 253);
  sendPacket(a, Buffer.from("none"));
  t.same(packet(b).descriptors, [], "the next message has none of them");
  descriptors.forEach(closeDescriptor);
  t.equal(openDescriptors(), before);
  [a, b].forEach(closeDescriptor);
  t.end();
});

t.test("a duplicate outlives its original, and is closed on exec", (t) => {
  const [a, b] = connection(t);
  const copy = duplicateDescriptor(a);
  t.ok(isCloseOnExec(copy));
  closeDescriptor(a);
  t.equal(receivePacket(b), undefined);
  closeDescriptor(copy);
  t.equal(receivePacket(b), "closed");
  closeDescriptor(b);
  t.end();
});

t.test("each end knows who is at the other", (t) => {
  const [a, b] = connection(t);
  for (const fd of [a, b])
    t.match(peerCredentials(fd), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
  [a, b].forEach(closeDescriptor);
  t.end();
});

interface Message {
  readonly number: number;
  readonly text?: string;
}

/** Two channels that speak with each other, in a loop the test turns. */
class Bench {
  readonly loop = new TestLoop();
  readonly received: { message: Message; descriptors: number[] }[] = [];
  readonly closed: string[] = [];
  readonly near: PacketChannel<Message, Message>;
  readonly farFd: number;
  #far: PacketChannel<Message, Message> | undefined;

  constructor(t: Tap, waitingAtMost?: number) {
    const [near, far] = connection(t);
    this.farFd = far;
    this.near = new PacketChannel(
      this.loop.poller,
      near,
      { onMessage: () => undefined, onClose: (reason) => this.closed.push(`near: ${reason}`) },
      waitingAtMost,
    );
    t.teardown(() => {
      this.near.close();
      if (this.#far) this.#far.close();
      else closeDescriptor(far);
      this.loop.poller.close();
    });
  }

  /** The far end begins to read. */
  read(): PacketChannel<Message, Message> {
    this.#far = new PacketChannel<Message, Message>(this.loop.poller, this.farFd, {
      onMessage: (message, descriptors) => this.received.push({ message, descriptors }),
      onClose: (reason) => this.closed.push(`far: ${reason}`),
    });
    return this.#far;
  }
}

const large = "x".repeat(2000);

t.test("what the peer does not read waits here, in order, with its descriptors", async (t) => {
  const bench = new Bench(t);
  const before = openDescriptors();
  const count = 2000;
  for (let number = 0; number < count; number++) {
    const socket = number % 500 === 499 ? udpSocket() : undefined;
    bench.near.send({ number, text: large }, socket === undefined ? [] : [socket]);
    if (socket !== undefined) closeDescriptor(socket);
  }
  t.ok(bench.near.backlog > 0, `${bench.near.backlog} messages wait`);
  t.equal(bench.near.sendOrDrop({ number: -1 }), false, "what may be dropped is");
  bench.read();
  await bench.loop.until("all have come", () => bench.received.length >= count);
  t.equal(bench.near.backlog, 0);
  t.same(
    bench.received.map(({ message }) => message.number),
    Array.from({ length: count }, (_, number) => number),
  );
  const descriptors = bench.received.flatMap((entry) => entry.descriptors);
  t.equal(descriptors.length, 4);
  descriptors.forEach(closeDescriptor);
  t.equal(openDescriptors(), before, "no duplicate is left");
  t.equal(bench.near.sendOrDrop({ number: -1 }), true);
});

t.test("a peer that never reads counts as gone", (t) => {
  const bench = new Bench(t, 10);
  const before = openDescriptors();
  for (let number = 0; number < 2000 && bench.near.isOpen; number++)
    bench.near.send({ number, text: large }, [bench.loop.poller.fd]);
  t.equal(bench.near.isOpen, false);
  t.matchOnly(bench.closed, [/near: .*does not read/]);
  t.ok(openDescriptors() < before, "its descriptor is closed, and so is what waited");
  t.end();
});

t.test("a peer that goes is told of once", async (t) => {
  const bench = new Bench(t);
  const far = bench.read();
  far.close();
  far.close();
  await bench.loop.until("the near end knows", () => bench.closed.length > 0);
  bench.near.close();
  bench.near.send({ number: 1 });
  await bench.loop.turn();
  t.same(bench.closed, ["near: closed"], "and whoever closed is not");
});

t.test("a peer that goes while it is sent to is told of once", (t) => {
  const bench = new Bench(t);
  bench.read().close();
  bench.near.send({ number: 1 });
  bench.near.send({ number: 2 });
  t.equal(bench.closed.length, 1);
  t.match(bench.closed[0], /EPIPE/);
  t.end();
});

t.test("a message that makes no sense ends the channel and leaves no descriptor behind", async (t) => {
  const bench = new Bench(t);
  const far = bench.farFd;
  const before = openDescriptors();
  sendPacket(far, Buffer.from("{"), [far]);
  await bench.loop.until("the near end knows", () => bench.closed.length > 0);
  t.equal(bench.near.isOpen, false);
  t.equal(openDescriptors(), before - 1, "the channel's own is closed, and the one that came");
});

t.test("a handler may close the channel", async (t) => {
  const loop = new TestLoop();
  const [a, b] = connection(t);
  const numbers: number[] = [];
  const channel: PacketChannel<Message, Message> = new PacketChannel<Message, Message>(loop.poller, b, {
    onMessage: ({ number }) => {
      numbers.push(number);
      channel.close();
    },
    onClose: () => t.fail("nobody else closed it"),
  });
  for (const number of [1, 2]) sendPacket(a, Buffer.from(JSON.stringify({ number })));
  await loop.until("a message", () => numbers.length > 0);
  await loop.turn();
  t.same(numbers, [1]);
  closeDescriptor(a);
  loop.poller.close();
});

t.test("a message too large is refused here, and the channel goes on", async (t) => {
  const bench = new Bench(t);
  bench.read();
  const before = openDescriptors();
  t.throws(() => bench.near.send({ number: 1, text: "x".repeat(MESSAGE_SIZE) }, [bench.farFd]), RangeError);
  bench.near.send({ number: 2, text: "x".repeat(PACKET_SIZE * 2) }, [bench.farFd]);
  await bench.loop.until("the next has come", () => bench.received.length > 0);
  t.same(
    bench.received.map(({ message, descriptors }) => [message.number, descriptors.length]),
    [[2, 1]],
    "a large one takes its descriptors along",
  );
  bench.received.forEach(({ descriptors }) => descriptors.forEach(closeDescriptor));
  t.same(bench.closed, []);
  t.equal(openDescriptors(), before);
});

for (const [what, packets] of [
  ["pieces without an end", Array<Buffer>(200).fill(Buffer.concat([Buffer.of(1), Buffer.alloc(PACKET_SIZE - 1, "x")]))],
  ["empty pieces without an end", Array<Buffer>(5000).fill(Buffer.of(1))],
] as const)
  t.test(`${what} end the channel, and no descriptor that came along is left`, async (t) => {
    const bench = new Bench(t);
    const before = openDescriptors();
    for (const piece of packets) {
      if (!bench.near.isOpen) break;
      sendPacket(bench.farFd, piece, [bench.farFd]);
      bench.loop.poller.dispatch(0);
    }
    await bench.loop.until("the near end has had enough", () => bench.closed.length > 0);
    t.matchOnly(bench.closed, [/near: it sent a message that is too large/]);
    t.equal(openDescriptors(), before - 1, "the channel's own is closed");
  });
