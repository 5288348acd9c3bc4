import t from "tap";
import { EPOLLET, EPOLLIN, EPOLLOUT } from "./constants.js";
import { Reactor } from "./reactor.js";
import { Poller } from "./poller.js";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  localAddress,
  receiveBytes,
  sendBytes,
  udpSocket,
  WOULD_BLOCK,
} from "./socket.js";

interface Tap {
  teardown(work: () => void): void;
}

/** Two UDP sockets that are connected with each other. */
function pair(t: Tap): [a: number, b: number] {
  const [a, b] = [udpSocket(), udpSocket()];
  for (const fd of [a, b]) bindSocket(fd, { ip: "127.0.0.1", port: 0 });
  connectSocket(a, localAddress(b));
  connectSocket(b, localAddress(a));
  t.teardown(() => [a, b].forEach(closeDescriptor));
  return [a, b];
}

function poller(t: Tap): Poller {
  const made = new Poller();
  t.teardown(() => made.close());
  return made;
}

const scratch = Buffer.alloc(64);
const ping = Buffer.from("ping");

t.test("a handler is called while its descriptor is ready, with what is true of it", (t) => {
  const loop = poller(t);
  const [a, b] = pair(t);
  const seen: number[] = [];
  loop.watch(b, EPOLLIN, (events) => seen.push(events));
  t.equal(loop.dispatch(0), 0);
  sendBytes(a, ping);
  t.equal(loop.dispatch(1000), 1);
  t.equal(loop.dispatch(0), 1, "again, as nobody has read");
  t.equal(receiveBytes(b, scratch), ping.length);
  t.equal(loop.dispatch(0), 0);
  t.same(seen, [EPOLLIN, EPOLLIN]);
  t.end();
});

t.test("what is waited for can be changed", (t) => {
  const loop = poller(t);
  const [a] = pair(t);
  const seen: number[] = [];
  const watch = loop.watch(a, EPOLLIN, (events) => seen.push(events));
  loop.dispatch(0);
  watch.update(EPOLLIN | EPOLLOUT);
  loop.dispatch(0);
  watch.update(0);
  loop.dispatch(0);
  t.same(seen, [EPOLLOUT]);
  t.end();
});

t.test("a closed watch is silent, and closing it twice is fine", (t) => {
  const loop = poller(t);
  const [a, b] = pair(t);
  const watch = loop.watch(b, EPOLLIN, () => t.fail("called"));
  t.equal(loop.size, 1);
  watch.close();
  watch.close();
  watch.update(EPOLLIN);
  sendBytes(a, ping);
  t.equal(loop.dispatch(0), 0);
  t.equal(loop.size, 0);
  t.end();
});

t.test("a handler that closes another's watch in the same batch silences it, and its token goes to nobody", (t) => {
  const loop = poller(t);
  const sockets = [pair(t), pair(t)];
  const [newA, newB] = pair(t);
  const called: string[] = [];
  const watches = sockets.map(([, b], index) =>
    loop.watch(b, EPOLLIN, () => {
      called.push(`old ${index}`);
      if (called.length > 1) return;
      // Whichever comes first in the batch closes the other, and takes up something new.
      watches[1 - index]!.close();
      loop.watch(newB, EPOLLIN, () => called.push("new"));
    }),
  );
  for (const [a] of sockets) sendBytes(a, ping);
  t.equal(loop.dispatch(1000), 2, "both were ready");
  t.equal(called.length, 1, "one was called, and the new one was not in its place");
  sendBytes(newA, ping);
  loop.dispatch(1000);
  t.same(called.slice(1).sort(), ["new", called[0]], "the one that was closed stays silent");
  t.end();
});

t.test("tokens are used again once their batch is over", (t) => {
  const loop = poller(t);
  const [a, b] = pair(t);
  for (let count = 0; count < 1000; count++) {
    loop.watch(b, EPOLLIN, () => t.fail("called")).close();
    loop.dispatch(0);
  }
  let called = 0;
  loop.watch(b, EPOLLIN, () => called++);
  t.equal(loop.size, 1);
  sendBytes(a, ping);
  loop.dispatch(1000);
  t.equal(called, 1);
  t.end();
});

t.test("what is to happen soon happens after this round's handlers, each once and in order", (t) => {
  const loop = poller(t);
  const [a, b] = pair(t);
  const order: string[] = [];
  loop.watch(b, EPOLLIN, () => {
    loop.defer(() => order.push("soon"));
    order.push("handler");
    receiveBytes(b, scratch);
  });
  loop.defer(() => {
    order.push("first");
    loop.defer(() => order.push("from inside"));
  });
  sendBytes(a, ping);
  // Does not wait for the time-out, as there is something to do.
  loop.dispatch(60_000);
  t.same(order, ["handler", "first", "soon"]);
  loop.dispatch(60_000);
  loop.dispatch(0);
  t.same(order, ["handler", "first", "soon", "from inside"]);
  t.end();
});

t.test("a reactor serves its descriptors, its deadlines and Node's own loop", async (t) => {
  const reactor = new Reactor();
  t.teardown(() => reactor.stop());
  const [a, b] = pair(t);
  reactor.start();
  reactor.start();
  const served = new Promise<void>((resolve) => {
    reactor.poller.watch(b, EPOLLIN, () => {
      if (receiveBytes(b, scratch) !== WOULD_BLOCK) resolve();
    });
  });
  const deadline = new Promise<void>((resolve) => reactor.timers.schedule(10, resolve));
  const timer = new Promise<void>((resolve) => setTimeout(resolve, 10));
  const signal = new Promise<void>((resolve) => process.once("SIGUSR2", () => resolve()));
  sendBytes(a, ping);
  process.kill(process.pid, "SIGUSR2");
  await Promise.all([served, deadline, timer, signal]);
  t.pass("all of them came");
});

t.test("a busy descriptor does not starve Node's own loop", async (t) => {
  const reactor = new Reactor();
  t.teardown(() => reactor.stop());
  const [a, b] = pair(t);
  sendBytes(a, ping);
  let rounds = 0;
  reactor.poller.watch(b, EPOLLIN, () => rounds++); // never reads, so it stays ready
  reactor.start();
  for (let timers = 0; timers < 5 || rounds < 5; timers++) await new Promise<void>((resolve) => setTimeout(resolve, 1));
  t.pass("timers and its rounds come in turn");
});

t.test("one that keeps its token is told, until it gives it back; a descriptor that lives on can be taken out", (t) => {
  const loop = poller(t);
  const [a, b] = pair(t);
  const seen: number[] = [];
  const handler = { onReady: (events: number) => void seen.push(events) };
  const token = loop.add(b, (EPOLLIN | EPOLLET) >>> 0, handler);
  sendBytes(a, ping);
  t.equal(loop.dispatch(1000), 1);
  t.equal(loop.dispatch(0), 0, "told once, read or not");
  t.same(seen, [EPOLLIN]);
  loop.remove(b, token);
  t.equal(loop.size, 0);
  sendBytes(a, ping);
  t.equal(loop.dispatch(0), 0);
  const again = loop.add(b, EPOLLIN, handler);
  t.equal(again, token, "the token is free again");
  t.equal(loop.dispatch(0), 1);
  loop.release(again);
  loop.dispatch(0);
  t.same(seen, [EPOLLIN, EPOLLIN], "silent once released");
  t.end();
});
