import t from "tap";
import {
  ECONNRESET,
  EPIPE,
  IPPROTO_TCP,
  SHUT_WR,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "./constants.js";
import { closePipe, openPipe } from "./pipe.js";
import {
  closeDescriptor,
  getOption,
  localAddress,
  packetPair,
  peerAddress,
  resetAndClose,
  setKeepalive,
} from "./socket.js";
import { receivePacket, sendPacket } from "./packet-connection.js";
import {
  AGAIN,
  receiveShared,
  sendAny,
  sendShared,
  shared,
  SHARED_SIZE,
  shutdownSocket,
  spliceBytes,
  unacknowledged,
} from "./stream.js";
import { openDescriptors } from "./testing/loop.js";
import { tcpPair } from "./testing/tcp.js";

t.test("bytes go through the shared buffer, a part of it at a time", (t) => {
  const [a, b] = tcpPair();
  t.equal(receiveShared(b), AGAIN);
  shared.write("0123456789");
  t.equal(sendShared(a, 2, 5), 5);
  t.equal(receiveShared(b), 5);
  t.equal(shared.toString("latin1", 0, 5), "23456");
  t.equal(sendAny(b, Buffer.from("pooled memory")), 13);
  t.equal(receiveShared(a), 13);
  t.equal(shared.toString("latin1", 0, 13), "pooled memory");
  [a, b].forEach(closeDescriptor);
  t.end();
});

t.test("the end of a stream, a reset and a closed direction are told apart", (t) => {
  const [a, b] = tcpPair();
  shutdownSocket(a, SHUT_WR);
  t.equal(receiveShared(b), 0, "the end");
  t.equal(sendShared(a, 0, 1), -EPIPE);
  t.equal(sendShared(b, 0, 1), 1, "the other direction is open");
  const [c, d] = tcpPair();
  resetAndClose(c);
  t.equal(receiveShared(d), -ECONNRESET);
  resetAndClose(a);
  t.equal(receiveShared(b), 0, "after the end a reset is seen only in events, and by who sends");
  [b, d].forEach(closeDescriptor);
  t.end();
});

t.test("a peer that does not read stops the sender, and what it owes is known", (t) => {
  const [a, b] = tcpPair();
  t.equal(unacknowledged(a), 0);
  let sent = 0;
  for (;;) {
    const taken = sendShared(a, 0, SHARED_SIZE);
    if (taken === AGAIN) break;
    sent += taken;
  }
  t.ok(sent > 0);
  t.ok(unacknowledged(a) > 0);
  for (let received = 0; received < sent;) {
    const length = receiveShared(b);
    if (length > 0) received += length;
  }
  [a, b].forEach(closeDescriptor);
  t.end();
});

t.test("bytes are spliced through a pipe, which takes no more than its size", (t) => {
  const [a, b] = tcpPair();
  const [c, d] = tcpPair();
  const before = openDescriptors();
  const pipe = openPipe(256 * 1024)!;
  t.equal(openDescriptors(), before + 2);
  t.equal(pipe.size, 256 * 1024);
  t.equal(spliceBytes(b, pipe.write, pipe.size), AGAIN, "nothing there yet");
  sendAny(a, Buffer.from("through the pipe"));
  t.equal(spliceBytes(b, pipe.write, 7), 7);
  t.equal(spliceBytes(b, pipe.write, pipe.size), 9);
  t.equal(spliceBytes(pipe.read, c, pipe.size), 16);
  t.equal(spliceBytes(pipe.read, c, pipe.size), AGAIN);
  t.equal(receiveShared(d), 16);
  t.equal(shared.toString("latin1", 0, 16), "through the pipe");
  closeDescriptor(a);
  t.equal(spliceBytes(b, pipe.write, pipe.size), 0, "the end");
  closePipe(pipe);
  t.equal(openDescriptors(), before - 1);
  [b, c, d].forEach(closeDescriptor);
  t.end();
});

t.test("keepalive is set, and both ends know each other", (t) => {
  const [a, b] = tcpPair();
  t.equal(getOption(a, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE"), 0);
  setKeepalive(a, { idle: 61, interval: 16, probes: 5 });
  t.equal(getOption(a, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE"), 1);
  t.same(
    [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT].map((option) => getOption(a, IPPROTO_TCP, option, "keepalive")),
    [61, 16, 5],
  );
  t.same(peerAddress(a), localAddress(b));
  t.same(peerAddress(b), localAddress(a));
  [a, b].forEach(closeDescriptor);
  t.end();
});

t.test("a pair of packet sockets is connected", (t) => {
  const [a, b] = packetPair();
  sendPacket(a, Buffer.from("across"));
  const packet = receivePacket(b);
  t.equal(packet !== undefined && packet !== "closed" && packet.bytes.toString(), "across");
  closeDescriptor(a);
  t.equal(receivePacket(b), "closed");
  closeDescriptor(b);
  t.end();
});
