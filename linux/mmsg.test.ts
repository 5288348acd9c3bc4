import t from "tap";
import { encodeAddress } from "./address.js";
import { sendDatagram } from "./datagram.js";
import { MessageBatch } from "./mmsg.js";
import { bindSocket, closeDescriptor, localAddress, receiveBytes, udpSocket } from "./socket.js";

interface Tap {
  teardown(work: () => void): void;
}

function bound(t: Tap): { fd: number; raw: Buffer; port: number } {
  const fd = udpSocket();
  bindSocket(fd, { ip: "127.0.0.1", port: 0 });
  t.teardown(() => closeDescriptor(fd));
  return { fd, raw: encodeAddress(localAddress(fd)), port: localAddress(fd).port };
}

function received(fd: number): string[] {
  const scratch = Buffer.alloc(256);
  const texts: string[] = [];
  for (let length = receiveBytes(fd, scratch); length >= 0; length = receiveBytes(fd, scratch))
    texts.push(scratch.toString("latin1", 0, length));
  return texts;
}

const textIn = (batch: MessageBatch, slot: number) =>
  batch.bytes.toString("latin1", slot * batch.slotSize, slot * batch.slotSize + batch.length(slot));
function write(batch: MessageBatch, slot: number, text: string): void {
  batch.setLength(slot, batch.bytes.write(text, slot * batch.slotSize, "latin1"));
}

t.test("what waits is received with its sender, up to the capacity", (t) => {
  const server = bound(t);
  const clients = [bound(t), bound(t), bound(t)];
  const batch = new MessageBatch(2, 64);
  t.equal(batch.receive(server.fd), 0, "nothing waits");
  clients.forEach(({ fd }, index) => sendDatagram(fd, Buffer.from(`query ${index}`), server.raw));
  t.equal(batch.receive(server.fd), 2);
  t.same(
    [0, 1].map((slot) => [textIn(batch, slot), batch.senderPort(slot), batch.senderIPv4(slot)]),
    [
      ["query 0", clients[0]!.port, 0x7f000001],
      ["query 1", clients[1]!.port, 0x7f000001],
    ],
  );
  t.equal(batch.receive(server.fd), 1);
  t.equal(textIn(batch, 0), "query 2");
  t.end();
});

t.test("replies go back to whoever asked, whatever was received before", (t) => {
  const server = bound(t);
  const clients = [bound(t), bound(t)];
  const batch = new MessageBatch(4, 64);
  for (const round of [1, 2]) {
    clients.forEach(({ fd }) => sendDatagram(fd, Buffer.from("x".repeat(60 / round)), server.raw));
    t.equal(batch.receive(server.fd), 2);
    write(batch, 0, `to 0 in round ${round}`);
    write(batch, 1, `1 in ${round}`);
    t.equal(batch.send(server.fd, 2), 2);
    t.same(received(clients[0]!.fd), [`to 0 in round ${round}`]);
    t.same(received(clients[1]!.fd), [`1 in ${round}`]);
  }
  t.end();
});

t.test("a message without a reply is left out by moving the others up", (t) => {
  const server = bound(t);
  const clients = [bound(t), bound(t), bound(t)];
  const batch = new MessageBatch(4, 64);
  clients.forEach(({ fd }) => sendDatagram(fd, Buffer.from("query"), server.raw));
  t.equal(batch.receive(server.fd), 3);
  write(batch, 0, "reply 0");
  batch.bytes.write("reply 2", 2 * batch.slotSize);
  batch.move(2, 1, 7);
  t.equal(batch.send(server.fd, 2), 2);
  t.same(
    clients.map(({ fd }) => received(fd)),
    [["reply 0"], [], ["reply 2"]],
  );
  t.end();
});

t.test("a sender is remembered beyond its batch", (t) => {
  const server = bound(t);
  const [first, second] = [bound(t), bound(t)];
  const batch = new MessageBatch(1, 64);
  sendDatagram(first.fd, Buffer.from("first"), server.raw);
  batch.receive(server.fd);
  const sender = batch.copySender(0);
  sendDatagram(second.fd, Buffer.from("second"), server.raw);
  batch.receive(server.fd);
  t.equal(sendDatagram(server.fd, Buffer.from("later"), sender), true);
  t.same(received(first.fd), ["later"]);
  t.end();
});

t.test("a message that is too long is cut, and seen to fill its slot", (t) => {
  const server = bound(t);
  const client = bound(t);
  const batch = new MessageBatch(2, 64);
  sendDatagram(client.fd, Buffer.alloc(65, "x"), server.raw);
  sendDatagram(client.fd, Buffer.alloc(0), server.raw);
  t.equal(batch.receive(server.fd), 2);
  t.equal(batch.length(0), 64);
  t.equal(batch.length(1), 0, "an empty one is one too");
  t.end();
});

t.test("a client that has gone does not hold up the replies to others", (t) => {
  const server = bound(t);
  const gone = udpSocket();
  bindSocket(gone, { ip: "127.0.0.1", port: 0 });
  const clients = [bound(t), bound(t)];
  const batch = new MessageBatch(4, 64);
  sendDatagram(clients[0]!.fd, Buffer.from("query"), server.raw);
  sendDatagram(gone, Buffer.from("query"), server.raw);
  sendDatagram(clients[1]!.fd, Buffer.from("query"), server.raw);
  t.equal(batch.receive(server.fd), 3);
  closeDescriptor(gone);
  for (let slot = 0; slot < 3; slot++) write(batch, slot, `reply ${slot}`);
  batch.send(server.fd, 3);
  t.same(
    clients.map(({ fd }) => received(fd)),
    [["reply 0"], ["reply 2"]],
  );
  t.end();
});

t.test("a datagram nobody can take is lost, not thrown", (t) => {
  const { fd } = bound(t);
  // EACCES for a broadcast nobody asked for, EMSGSIZE for what no packet holds. Firewalls (EPERM) and a loopback that
  // is down (ENETUNREACH) do the same to a reply inside a container: its neighbours' server must not end of it.
  const cases: [what: string, bytes: Buffer, ip: string][] = [
    ["a broadcast", Buffer.from("x"), "255.255.255.255"],
    ["a datagram of 70 kB", Buffer.alloc(70_000), "127.0.0.1"],
  ];
  for (const [what, bytes, ip] of cases)
    t.doesNotThrow(() => t.equal(sendDatagram(fd, bytes, encodeAddress({ ip, port: 9 })), false), what);
  t.end();
});
