import t, { type Test } from "tap";
import { SHUT_WR } from "../../linux/constants.js";
import { sendAny, sendUrgent, shutdownSocket } from "../../linux/stream.js";
import { connected, type Peer } from "../testing/peer.js";
import { ProxyProcess } from "../testing/process.js";
import { TestProxy, until } from "../testing/proxy.js";

const isRoot = process.getuid!() === 0;
/** Beyond it connections are bulk. */
const bulk = 8_000_000;

/** What must hold wherever the connection is served. `atOnce`: what one end does is there as a whole when the proxy looks. */
async function passesMarks(
  t: Test,
  [from, to]: readonly [Peer, Peer],
  before: number,
  atOnce: (work: () => void) => void,
): Promise<void> {
  await from.send(Buffer.alloc(before, "."), () => to.read());
  await until("what comes before is there", () => (to.read(), to.length === before));
  // Nothing more is sent, and no end follows: everything must come by itself.
  atOnce(() => {
    sendAny(from.fd, Buffer.from("one"));
    sendUrgent(from.fd, Buffer.from("!"));
    sendAny(from.fd, Buffer.from("two"));
  });
  await until("what stands around the mark is there", () => (to.read(), to.length >= before + 6));
  t.same([to.length, to.received.slice(-6), to.urgent], [before + 6, "onetwo", [[before + 3, "!"]]]);
  // At the head, and an end behind it.
  atOnce(() => {
    sendUrgent(from.fd, Buffer.from("?"));
    sendAny(from.fd, Buffer.alloc(1000, "z"));
    shutdownSocket(from.fd, SHUT_WR);
  });
  await until("the end", () => (to.read(), to.isOver));
  t.same(
    [to.length, to.ended, to.urgent[1]],
    [before + 1006, true, [before + 6, "?"]],
    "the stream is whole, and ends as it was ended",
  );
  shutdownSocket(to.fd, SHUT_WR);
  await until("the other end", () => (from.read(), from.ended));
}

for (const [direction, order] of [
  ["a client", (pair: [Peer, Peer]) => pair],
  ["a container", ([client, service]: [Peer, Peer]) => [service, client] as const],
] as const) {
  for (const [path, before, pipeBytes] of [
    ["copied", 1000, 8 << 20],
    ["spliced", bulk, 8 << 20],
    ["copied for want of pipes", bulk, 0],
  ] as const)
    t.test(`what ${direction} marks urgent arrives with its mark, in a stream that is whole: ${path}`, async (t) => {
      const proxy = new TestProxy(t, { pipeBytes });
      const pair = await connected(t, (target) => proxy.open(target));
      await passesMarks(t, order(pair), before, (work) => work());
      await until("the proxy lets go", () => proxy.report().connections === 0);
      t.equal(proxy.pipes.lent, 0);
    });

  t.test(
    `what ${direction} marks urgent arrives with its mark, in a stream that is whole: by a bulk worker`,
    isRoot ? {} : { skip: "needs root" },
    async (t) => {
      const proxy = new ProxyProcess(t);
      const daemon = await proxy.daemonWithWorker();
      const pair = await connected(t, (target) => daemon.open(target));
      const stopped = (work: () => void) => {
        const pids = [proxy.child.pid!, ...proxy.workers()];
        for (const pid of pids) process.kill(pid, "SIGSTOP");
        work();
        for (const pid of pids) process.kill(pid, "SIGCONT");
      };
      await passesMarks(t, order(pair), bulk, stopped);
    },
  );
}

t.test("a mark that cannot be sent at once waits for its place", async (t) => {
  const proxy = new TestProxy(t);
  const [client, service] = await connected(t, (target) => proxy.open(target));
  const sent = await client.fill();
  // One byte of room would do for what follows: the kernel is asked until it has some.
  await until("the mark is taken", () => {
    if (sendUrgent(client.fd, Buffer.from("!")) === 1) return true;
    service.read();
    return false;
  });
  await client.send(Buffer.from("after"), () => undefined);
  await until("all is there", () => (service.read(), service.length >= sent + 5));
  t.same([service.length, service.received.slice(-5), service.urgent], [sent + 5, "after", [[sent, "!"]]]);
});
