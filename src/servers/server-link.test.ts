import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { PROTOCOL } from "../../dns/protocol.js";
import { receivePacket, sendPacket } from "../linux/packet-connection.js";
import { acceptSocket, bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket, udpSocket } from "../linux/socket.js";
import { TestLoop } from "../linux/test-loop.js";
import { dnsServer } from "./dns-server.js";
import { ServerLink } from "./server-link.js";

/** A link to a server that the test plays. */
function linkTo(t: { teardown(work: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
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
  t.teardown(() => {
    link.close();
    closeDescriptor(listener);
  });
  const said = () => {
    const packet = receivePacket(server);
    return packet === undefined || packet === "closed" ? packet : packet.bytes.toString();
  };
  return { loop, link, server, messages, ends, said, say: (text: string, descriptors: number[] = []) => sendPacket(server, Buffer.from(text), descriptors) };
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
    t.match(held, [{ sandbox: "c0ffee", port: 5353, inherited: !isOurs }]);
    t.equal(held[0]?.descriptors.length, 3);
    held[0]?.descriptors.forEach(closeDescriptor);
    t.same(link.takeHeld(), [], "once");
    link.drain();
    t.equal(said(), '{"kind":"drain"}');
  });

t.test("what it holds can still be taken when it has ended", async (t) => {
  const { loop, link, server, ends, say } = linkTo(t);
  say(`{"kind":"hello","protocol":${PROTOCOL},"version":"2.0.0","pid":1}`);
  say('{"kind":"held","sandbox":"c0ffee","port":5353}');
  closeDescriptor(server);
  await loop.until("its end is noticed", () => ends.length > 0);
  t.same(ends, ["closed"]);
  t.equal(link.takeHeld().length, 1);
});
