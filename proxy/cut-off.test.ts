import t, { type Test } from "tap";
import { ECONNRESET } from "../src/linux/constants.js";
import { connected, type Peer } from "./test-peer.js";
import { ProxyProcess } from "./test-process.js";
import { TestProxy, until } from "./test-proxy.js";
import type { Endpoint } from "./publication.js";

// What was cut off must not look complete, however much of it has not been taken yet.

const isRoot = process.getuid!() === 0;
type Publish = (target: Endpoint) => Endpoint | Promise<Endpoint>;
const backwards = ([client, service]: [Peer, Peer]) => [service, client] as const;
const directions = [["a container that resets, to a slow client", backwards], ["a client that resets, to a slow container", (pair: [Peer, Peer]) => pair]] as const;

/** Served by this process, copied or spliced, or by a bulk worker. @returns how to publish, and waits until the proxy has let go */
const paths: readonly (readonly [path: string, bytes: number, start: (t: Test) => Promise<{ publish: Publish; kill?: () => void }>])[] = [
  ["copied", 100_000, (t) => Promise.resolve({ publish: (target) => new TestProxy(t).open(target) })],
  ["spliced", 64 << 20, (t) => Promise.resolve({ publish: (target) => new TestProxy(t).open(target) })],
  ["by a bulk worker", 64 << 20, async (t) => {
    const proxy = new ProxyProcess(t);
    const daemon = await proxy.daemon();
    return { publish: (target) => daemon.open(target), kill: () => proxy.workers().forEach((pid) => process.kill(pid, "SIGKILL")) };
  }],
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

for (const [path, bytes] of [["copied", 100_000], ["spliced", 64 << 20]] as const)
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
