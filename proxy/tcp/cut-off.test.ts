import { readFileSync } from "node:fs";
import t, { type Test } from "tap";
import type { SocketAddress } from "../../common/address.js";
import { localAddress } from "../../linux/socket.js";
import { ECONNRESET, SHUT_WR } from "../../linux/constants.js";
import { sendAny, shutdownSocket } from "../../linux/stream.js";
import { connected, type Peer } from "../testing/peer.js";
import { ProxyProcess } from "../testing/process.js";
import { TestProxy, until } from "../testing/proxy.js";

// What was cut off must not look complete, however much of it has not been taken yet.

const isRoot = process.getuid!() === 0;
type Publish = (target: SocketAddress) => SocketAddress | Promise<SocketAddress>;
const backwards = ([client, service]: [Peer, Peer]) => [service, client] as const;
const directions = [
  ["a container that resets, to a slow client", backwards],
  ["a client that resets, to a slow container", (pair: [Peer, Peer]) => pair],
] as const;

interface Served {
  readonly publish: Publish;
  readonly gone: (address: string) => void;
  readonly kill?: () => void;
}

function here(t: Test): Served {
  const proxy = new TestProxy(t);
  let last = 0;
  return {
    publish: (target) => proxy.open(target, {}, { id: `web ${++last}` }),
    gone: (address) => proxy.publications.gone(new Set([address])),
  };
}

/** Served by this process, copied or spliced, or by a bulk worker. @returns how to publish, and waits until the proxy has let go */
const paths: readonly (readonly [path: string, bytes: number, start: (t: Test) => Promise<Served>])[] = [
  ["copied", 100_000, (t) => Promise.resolve(here(t))],
  ["spliced", 64 << 20, (t) => Promise.resolve(here(t))],
  [
    "by a bulk worker",
    64 << 20,
    async (t) => {
      const proxy = new ProxyProcess(t);
      const daemon = await proxy.daemon();
      let last = 0;
      return {
        publish: (target) => daemon.open(target, {}, { id: `web ${++last}` }),
        gone: (address) => daemon.send({ kind: "gone", addresses: [address] }),
        kill: () => proxy.workers().forEach((pid) => process.kill(pid, "SIGKILL")),
      };
    },
  ],
];

/** One end has sent more than the other takes. */
async function clogged(from: Peer, to: Peer, bytes: number): Promise<void> {
  if (bytes <= 100_000) return from.send(Buffer.alloc(bytes, "."), () => undefined);
  await from.send(Buffer.alloc(8_000_000, "."), () => to.read()); // it is bulk by then
  await until("it is through", () => (to.read(), to.length === 8_000_000));
  await from.fill();
}

for (const [path, bytes, start] of paths) {
  const needs = path === "by a bulk worker" && !isRoot ? { skip: "needs root" } : {};
  for (const [what, order] of directions)
    t.test(`the reset of ${what}, is a reset there, too: ${path}`, needs, async (t) => {
      const { publish } = await start(t);
      const [from, to] = order(await connected(t, publish));
      await clogged(from, to, bytes);
      from.reset();
      await until("it is over", () => (to.read(), to.isOver));
      t.same([to.ended, to.error], [false, ECONNRESET]);
    });
}

for (const [what, order] of directions)
  t.test(
    `an end that comes while nothing can be passed on is passed on later: ${what.replace(/ that resets.*/, "")}'s`,
    async (t) => {
      const proxy = new TestProxy(t);
      const [from, to] = order(await connected(t, (target) => proxy.open(target)));
      const moved = () => proxy.report().bytesToClients + proxy.report().bytesToContainer;
      let sent = 0;
      for (let stands = false; !stands; sent += 300_001) {
        await from.send(Buffer.alloc(300_001, "."), () => undefined);
        let turns = 0;
        await until(
          "the proxy has all of it, or takes no more",
          () => (stands = ++turns > 10) || moved() === sent + 300_001,
        );
      }
      shutdownSocket(from.fd, SHUT_WR);
      for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve)); // the proxy hears of it
      await until("the end", () => (to.read(), to.isOver));
      t.same([to.length, to.ended], [sent, true]);
    },
  );

for (const bytes of [0, 8_000_000])
  for (const [what, order] of directions)
    t.test(
      `the reset of ${what}, is noticed when something is sent to it: ${bytes === 0 ? "copied" : "spliced"}`,
      async (t) => {
        const [from, to] = order(await connected(t, here(t).publish));
        await to.send(Buffer.alloc(bytes, "."), () => from.read());
        await until("it is through", () => (from.read(), from.length === bytes));
        await to.fill();
        sendAny(from.fd, Buffer.from("half of what was wa"));
        from.reset();
        await until("it is over", () => (to.read(), to.isOver));
        t.same([to.received, to.ended, to.error], ["half of what was wa", false, ECONNRESET]);
      },
    );

for (const [path, bytes, start] of paths) {
  const needs = path === "by a bulk worker" && !isRoot ? { skip: "needs root" } : {};
  t.test(
    `connections to an address that no container has any more are reset at once, and no others: ${path}`,
    needs,
    async (t) => {
      const { publish, gone } = await start(t);
      const [client, service] = await connected(t, publish, "127.0.0.7");
      const [other, elsewhere] = await connected(t, publish, "127.0.0.8");
      await clogged(service, client, bytes);
      await clogged(elsewhere, other, 100_000);
      gone("127.0.0.7");
      await until("it is over", () => (client.read(), service.read(), client.isOver && service.isOver));
      t.same([client.ended, client.error, service.ended, service.error], [false, ECONNRESET, false, ECONNRESET]);
      await until("the other has all of its own", () => (other.read(), other.length === 100_000));
      await other.send(Buffer.from("x"), () => undefined);
      await until("and goes on", () => (elsewhere.read(), elsewhere.received === "x"));
    },
  );
}

t.test("what is closed, and goes on for a while, ends with its container", async (t) => {
  const proxy = new TestProxy(t);
  const [client] = await connected(t, (target) => proxy.open(target, { drainMs: 600_000 }), "127.0.0.7");
  proxy.publications.close("web");
  proxy.publications.gone(new Set(["127.0.0.7"]));
  await until("it is over", () => (client.read(), client.isOver));
  t.equal(client.error, ECONNRESET);
  await until("nothing goes on", () => proxy.publications.draining === 0);
});

t.test(
  "what a bulk worker has is probed when it is idle, also when it was handed over at once",
  isRoot ? {} : { skip: "needs root" },
  async (t) => {
    const { publish } = await paths[2]![2](t);
    let port = 0;
    const [client, service] = await connected(t, (target) => ((port = target.port), publish(target)));
    await service.send(Buffer.alloc(8_000_000, "."), () => client.read());
    await until("it is through", () => (client.read(), client.length === 8_000_000));
    await until(
      "the timer of both sockets is that of keepalive",
      () => probedTo(port) && probedTo(localAddress(client.fd).port),
    );
    t.pass();
  },
);

/** Whether the socket that is connected to a port of ours waits for the time to probe it (proc_net_tcp.txt). */
function probedTo(port: number): boolean {
  const lines = readFileSync("/proc/self/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return lines.some(
    ([, , remote, state, , timer]) =>
      remote?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, "0")}`) === true &&
      state === "01" &&
      timer?.startsWith("02:") === true,
  );
}

for (const [path, bytes] of [
  ["copied", 100_000],
  ["spliced", 64 << 20],
] as const)
  t.test(`what is ended by us while something is unsent is a reset, not an end: ${path}`, async (t) => {
    const proxy = new TestProxy(t);
    const [client, service] = await connected(t, (target) => proxy.open(target));
    await clogged(service, client, bytes);
    proxy.publications.close("web");
    await until("its time to drain is over", () => proxy.publications.draining === 0);
    await until("it is over", () => (client.read(), service.read(), client.isOver && service.isOver));
    t.same([client.ended, client.error, service.ended, service.error], [false, ECONNRESET, false, ECONNRESET]);
  });

t.test("a bulk worker that dies resets its connections", isRoot ? {} : { skip: "needs root" }, async (t) => {
  const { publish, kill } = await paths[2]![2](t);
  const [client, service] = await connected(t, publish);
  await clogged(service, client, 64 << 20);
  client.read();
  kill!();
  await until("it is over", () => (client.read(), service.read(), client.isOver && service.isOver));
  t.same([client.ended, client.error, service.ended, service.error], [false, ECONNRESET, false, ECONNRESET]);
});

t.test("the last words of whoever resets arrive, if they are taken", async (t) => {
  const proxy = new TestProxy(t);
  const [client, service] = await connected(t, (target) => proxy.open(target));
  await service.send(Buffer.alloc(8_000_000, "."), () => client.read());
  const sent = 8_000_000 + (await service.fill());
  const moved = () => proxy.report().bytesToClients;
  await until("the proxy has all that it takes", () => moved() > 8_000_000);
  const taken = moved();
  service.reset();
  await until("it is over", () => (client.read(), client.isOver));
  t.equal(client.error, ECONNRESET);
  t.ok(client.length >= taken && client.length <= sent, `${client.length} of ${sent}, of which the proxy had ${taken}`);
  await until("the proxy lets go", () => proxy.report().connections === 0);
  t.equal(proxy.pipes.lent, 0);
});
