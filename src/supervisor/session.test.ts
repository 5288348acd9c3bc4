import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { PROTOCOL } from "../../dns/protocol.js";
import { receivePacket, sendPacket } from "../../linux/packet-connection.js";
import {
  acceptSocket,
  bindUnix,
  closeDescriptor,
  connectUnix,
  listenSocket,
  packetSocket,
  udpSocket,
} from "../../linux/socket.js";
import { openDescriptors, TestLoop } from "../../linux/testing/loop.js";
import { dnsServer } from "../names/program.js";
import { ServerLink } from "./session.js";

/** A link to a server that the test plays. */
function linkTo(t?: { teardown(work: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  const [loop, listener, fd] = [new TestLoop(), packetSocket(), packetSocket()];
  bindUnix(listener, join(folder, "dns.sock"));
  listenSocket(listener, 1);
  connectUnix(fd, join(folder, "dns.sock"));
  const server = acceptSocket(listener);
  const [messages, ends]: [string[], string[]] = [[], []];
  const link = new ServerLink(dnsServer, loop.poller, fd, true, "2.0.0", () => undefined, {
    onHello: ({ kind }) => messages.push(kind),
    onHeldAll: () => messages.push("held-all"),
    onMessage: ({ kind }) => messages.push(kind),
    onEnd: (reason) => ends.push(reason),
  });
  const close = () => {
    rmSync(folder, { recursive: true });
    closeDescriptor(listener);
    if (!t) closeDescriptor(server);
  };
  t?.teardown(() => {
    link.close();
    close();
  });
  const said = () => {
    const packet = receivePacket(server);
    return packet === undefined || packet === "closed" ? packet : packet.bytes.toString();
  };
  return {
    loop,
    link,
    server,
    messages,
    ends,
    said,
    close,
    say: (text: string, descriptors: number[] = []) => sendPacket(server, Buffer.from(text), descriptors),
  };
}

for (const [what, hello, isOurs] of [
  ["our own version", `{"kind":"hello","protocol":${PROTOCOL},"version":"2.0.0","pid":1}`, true],
  ["another version", `{"kind":"hello","protocol":${PROTOCOL},"version":"1.0.0","pid":1}`, false],
  ["another protocol", '{"kind":"hello","protocol":4711,"version":"2.0.0","pid":1}', false],
] as const)
  t.test(`what a server of ${what} holds is taken`, async (t) => {
    const { loop, link, messages, said, say } = linkTo(t);
    link.askWhatItHolds();
    t.equal(said(), `{"kind":"hello","protocol":${PROTOCOL},"version":"2.0.0"}`);
    say(hello);
    const sockets = [udpSocket(), udpSocket(), udpSocket()];
    say('{"kind":"held","sandbox":"c0ffee","port":5353}', sockets);
    say('{"kind":"held-all"}');
    sockets.forEach(closeDescriptor);
    await loop.until("it has said all", () => messages.includes("held-all"));
    t.equal(link.isOurs, isOurs);
    const held = link.takeHeld();
    t.match(held, { length: 1, 0: { sandbox: "c0ffee", port: 5353, inherited: !isOurs } });
    t.equal(held[0]?.descriptors.length, 3);
    held[0]?.descriptors.forEach(closeDescriptor);
    t.same(link.takeHeld(), [], "once");
    link.drain();
    t.equal(said(), '{"kind":"drain"}');
  });

t.test("what it holds can still be taken when it has ended", async (t) => {
  const { loop, link, server, ends, said, say } = linkTo(t);
  link.askWhatItHolds();
  t.ok(said());
  say(`{"kind":"hello","protocol":${PROTOCOL},"version":"2.0.0","pid":1}`);
  const socket = udpSocket();
  say('{"kind":"held","sandbox":"c0ffee","port":5353}', [socket, socket, socket]);
  closeDescriptor(socket);
  closeDescriptor(server);
  await loop.until("its end is noticed", () => ends.length > 0);
  t.same(ends, ["closed"]);
  t.equal(link.takeHeld().flatMap(({ descriptors }) => descriptors.map(closeDescriptor)).length, 3);
});

const hello = `{"kind":"hello","protocol":${PROTOCOL},"version":"2.0.0","pid":999999}`;
const held = '{"kind":"held","sandbox":"c0ffee","port":5353}';

for (const [what, lines, descriptors] of [
  ["counts that cancel out", [hello, '{"kind":"want-sockets","sandbox":"c0ffee","udp":1000000,"tcp":-1000000}']],
  ["half a socket", [hello, '{"kind":"want-sockets","sandbox":"c0ffee","udp":0.5,"tcp":1}']],
  ["no socket count at all", [hello, '{"kind":"want-sockets","sandbox":"c0ffee"}']],
  ["a text for a number", [hello, '{"kind":"want-sockets","sandbox":"c0ffee","udp":"8","tcp":0}']],
  ["a word nobody knows", [hello, '{"kind":"__proto__"}']],
  ["no object", [hello, "null"]],
  ["descriptors nobody asked for", [hello, '{"kind":"released","sandbox":"c0ffee"}'], 3],
  ["that it has said all before it has said hello", ['{"kind":"held-all"}']],
  ["what it holds before it has said hello", [held], 3],
  ["something held without its descriptors", [hello, held]],
  ["something held with too many descriptors", [hello, held], 4],
  ["the same thing held twice", [hello, held, held], 3],
  ["another process as itself", [hello, hello.replace("999999", "999998")]],
  ["that it has said all, once more", [hello, '{"kind":"held-all"}', '{"kind":"held-all"}']],
  ["what it holds without being asked", [hello, '{"kind":"held-all"}', held], 3],
] as const)
  t.test(`a server of ours that says ${what} has its connection ended, and nothing of it is left`, async (t) => {
    const { loop, link, server, ends, say } = linkTo(t);
    const before = openDescriptors();
    link.askWhatItHolds();
    for (const line of lines)
      say(line, line === held || line === lines.at(-1) ? Array<number>(descriptors ?? 0).fill(server) : []);
    await loop.until("it is ended", () => ends.length > 0);
    t.matchOnly(ends, [/^it broke the rules: it said /]);
    t.same(link.takeHeld(), []);
    t.equal(openDescriptors(), before - 1, "the connection's own descriptor is closed");
  });

t.test("what a server of another version says besides its handshake is let pass", async (t) => {
  const { loop, link, server, messages, ends, say } = linkTo(t);
  const before = openDescriptors();
  link.askWhatItHolds();
  say('{"kind":"hello","protocol":4711,"version":"1.0.0","pid":999999}');
  say('{"kind":"of another time"}', [server]);
  say('{"kind":"want-sockets","sandbox":"c0ffee","udp":-1,"tcp":1}');
  say('{"kind":"held-all"}');
  await loop.until("it has said all", () => messages.includes("held-all"));
  t.same(ends, []);
  t.equal(openDescriptors(), before);
});

t.test("whatever a server says, nothing is thrown, and no descriptor is left", async () => {
  const kinds = [
    "hello",
    "held",
    "held-all",
    "want-sockets",
    "released",
    "answering",
    "reported",
    "log",
    "explained",
    "toString",
    "",
  ];
  const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, -1, 1e6, 1e400, 65_536));
  const anything = fc.oneof(number, fc.string(), fc.boolean(), fc.constant(null), fc.jsonValue());
  const fields = [
    "protocol",
    "version",
    "pid",
    "sandbox",
    "port",
    "udp",
    "tcp",
    "family",
    "answering",
    "request",
    "report",
    "queries",
    "dropped",
    "explanation",
  ] as const;
  const message = fc.record(
    { kind: fc.constantFrom(...kinds), ...Object.fromEntries(fields.map((field) => [field, anything])) },
    { requiredKeys: ["kind"] },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(message, fc.nat(4)), { maxLength: 6 }), fc.boolean(), async (said, isKnown) => {
      const before = openDescriptors();
      const { loop, link, server, say, close } = linkTo();
      link.askWhatItHolds();
      if (isKnown) say(hello);
      for (const [each, count] of said) say(JSON.stringify(each), Array<number>(count).fill(server));
      for (let turn = 0; turn < 3; turn++) await loop.turn();
      link.close();
      close();
      loop.poller.close();
      return openDescriptors() === before;
    }),
    { seed: 8, numRuns: 300 },
  );
});
