import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { receivePacket, sendPacket } from "../linux/packet-connection.js";
import { bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket } from "../linux/socket.js";
import { openDescriptors, TestLoop } from "../linux/testing/loop.js";
import { DaemonLink, type HeldMessage } from "./daemon-link.js";

const root = { skip: process.getuid!() === 0 ? false : "needs root" };
const protocol = 7;

interface Note {
  readonly kind: string;
  readonly id?: string;
}

/** A server that holds sockets by id and writes down what happens, and daemons that the test plays. */
function made(t: Test, held: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  const [loop, listener, happened] = [new TestLoop(), packetSocket(), [] as string[]];
  const link: DaemonLink<Note, Note, Note> = new DaemonLink(loop, {
    protocol,
    version: "1.2.3",
    about: () => ({ many: held.length }),
    *held(): Generator<HeldMessage<Note>, undefined> {
      for (const id of held) yield { message: { kind: "held", id }, descriptors: [listener] };
      return undefined;
    },
    read: (value) => ((value as Note).kind === "nonsense" ? undefined : (value as Note)),
    onAttached: () => happened.push("attached"),
    onHello: () => happened.push("hello"),
    onDetached: () => happened.push("detached"),
    onMessage: (message, descriptors) => {
      happened.push(message.kind);
      descriptors.forEach(closeDescriptor);
    },
    drain: () => happened.push("drain"),
    stop: () => happened.push("stop"),
  });
  bindUnix(listener, join(folder, "server.sock"));
  listenSocket(listener, 4);
  link.listen(listener);
  const daemon = () => {
    const fd = packetSocket();
    connectUnix(fd, join(folder, "server.sock"));
    t.teardown(() => closeDescriptor(fd));
    return fd;
  };
  t.teardown(() => {
    closeDescriptor(listener);
    rmSync(folder, { recursive: true });
  });
  const say = (fd: number, message: object, descriptors: number[] = []) => {
    sendPacket(fd, Buffer.from(JSON.stringify(message)), descriptors);
    for (let round = 0; round < 3; round++) loop.poller.dispatch(0);
  };
  return { loop, link, happened, daemon, say, take: () => happened.splice(0) };
}

/** All that a daemon is told up to now, by kind, with how many descriptors came with it. */
function heard(fd: number): string[] {
  const kinds: string[] = [];
  for (let packet = receivePacket(fd); packet !== undefined; packet = receivePacket(fd)) {
    if (packet === "closed") return [...kinds, "closed"];
    packet.descriptors.forEach(closeDescriptor);
    kinds.push(`${(JSON.parse(packet.bytes.toString()) as Note).kind} ${packet.descriptors.length}`);
  }
  return kinds;
}

t.test(
  "a daemon of any version is told what is held; only one of this protocol mentions what is to stay",
  root,
  (t) => {
    const { link, daemon, say, take } = made(t, ["a", "b"]);
    const fd = daemon();
    say(fd, { kind: "hello", protocol: 4711, version: "0" });
    t.same(heard(fd), ["hello 0", "held 1", "held 1", "held-all 0"]);
    t.same(take(), ["attached"]);
    const forgotten: string[] = [];
    const known = ["a", "b"].map((key) => ({ key, forget: () => forgotten.push(key) }));
    link.mention("a");
    link.allTold(known);
    t.same(forgotten, [], "who has not said hello knows of nothing");
    say(fd, { kind: "hello", protocol, version: "1" });
    t.same(take(), ["hello"]);
    t.ok(link.isBeingTold);
    link.mention("a");
    link.allTold(known);
    t.same(forgotten, ["b"]);
    t.notOk(link.isBeingTold);
    t.end();
  },
);

t.test("the newest daemon steers, and what the one before it mentioned counts no more", root, (t) => {
  const { link, daemon, say, take } = made(t);
  const first = daemon();
  say(first, { kind: "hello", protocol, version: "1" });
  const second = daemon();
  say(second, { kind: "settings" });
  t.same(take(), ["attached", "hello", "attached", "settings"]);
  t.same(heard(first).at(-1), "closed");
  t.notOk(link.isBeingTold);
  t.ok(link.tell({ kind: "news" }));
  t.same(heard(second), ["news 0"]);
  t.end();
});

t.test("what makes no sense is passed over, and its descriptors are closed", root, (t) => {
  const { loop, link, daemon, say, take } = made(t);
  const fd = daemon();
  const before = openDescriptors();
  say(fd, { kind: "nonsense" }, [fd, fd]);
  say(fd, { kind: "drain" }, [fd]);
  say(fd, { kind: "stop" });
  t.same(take(), ["attached", "drain", "stop"]);
  t.equal(openDescriptors(), before + 1, "that of the connection");
  const other = packetSocket();
  closeDescriptor(other);
  sendPacket(fd, Buffer.from("not JSON"), []);
  loop.poller.dispatch(0);
  t.same(take(), ["detached"]);
  t.notOk(link.tell({ kind: "news" }));
  t.end();
});

t.test("much is told piece by piece, and no further once another daemon is there", root, async (t) => {
  const { loop, daemon, say } = made(
    t,
    Array.from({ length: 250 }, (_, index) => `${index}`),
  );
  const first = daemon();
  sendPacket(first, Buffer.from(JSON.stringify({ kind: "hello", protocol, version: "1" })));
  const kinds: string[] = [];
  await loop.until(
    "it has been told everything",
    () => kinds.push(...heard(first)) > 0 && kinds.at(-1) === "held-all 0",
  );
  t.equal(kinds.length, 252);
  const second = daemon();
  say(second, { kind: "settings" });
  t.same(heard(first), ["closed"]);
  t.same(heard(second), []);
});
