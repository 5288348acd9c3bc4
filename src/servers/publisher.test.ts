import { pino } from "pino";
import { defaultSourcePorts } from "../../proxy/source-ports.js";
import t, { type Test } from "tap";
import { Inventory } from "../inventory/inventory.js";
import type { PublishedPort } from "../inventory/published.js";
import { container, endpoint, network } from "../inventory/test-containers.js";
import type { Container } from "../inventory/types.js";
import { closeDescriptor } from "../linux/socket.js";
import { openDescriptors } from "../linux/test-loop.js";
import { PublishedPorts } from "./published-ports.js";
import { Publisher } from "./publisher.js";

const ip = "127.0.0.1";
/** Away from what the kernel chooses, and from other runs. */
const first = 10_000 + (process.pid % 20_000);

class Bench {
  readonly inventory = new Inventory();
  readonly logged: string[] = [];
  readonly publisher: Publisher;
  readonly ports: PublishedPorts;

  constructor(t: Test, saved: readonly PublishedPort[] = []) {
    const descriptors = new Map<string, number>();
    const close = (id: string) => {
      const descriptor = descriptors.get(id);
      if (descriptors.delete(id)) closeDescriptor(descriptor!);
      return Promise.resolve();
    };
    const proxy = { open: ({ id }: { id: string }, descriptor: number) => (descriptors.set(id, descriptor), Promise.resolve()), close, retarget: () => undefined, gone: () => undefined, vacate: () => Promise.resolve() };
    const log = pino({ level: "warn" }, { write: (line: string) => void this.logged.push(line) });
    this.inventory.putNetwork(network("n1"));
    this.ports = new PublishedPorts(this.inventory, proxy, { load: () => saved, save: () => undefined }, { drainMs: 0, sourcePorts: defaultSourcePorts }, log);
    this.ports.load();
    this.ports.restore([]);
    this.publisher = new Publisher(this.inventory, this.ports, ip, log);
    t.teardown(async () => {
      this.publisher.stop();
      await this.ports.remove(this.ports.all);
    });
  }

  put(id: string, given: Partial<Container> = {}): void {
    this.inventory.putContainer(container(id, { endpoints: [endpoint("n1", "10.0.0.2")], ...given }));
  }

  labelled(id: string, value: string, given: Partial<Container> = {}): void {
    this.put(id, { labels: { "pontoon.publish": value }, ...given });
  }

  /** Whatever is under way is done. */
  async settled(): Promise<string[]> {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    return this.listed;
  }

  get listed(): string[] {
    return this.ports.all.map(({ port }) => `${port.container} ${port.hostPort - first}:${port.containerPort}/${port.transport}`).sort();
  }
}

t.test("publishes all or nothing, and says who is in the way", async (t) => {
  const bench = new Bench(t);
  bench.put("web", { ports: [[80, "tcp"], [53, "udp"]] });
  bench.put("dockers", { published: [{ transport: "tcp", ip, hostPort: first + 9, containerPort: 90 }] });
  await bench.publisher.publish({ container: "web", specs: [`${first}:80`, `${first}-${first + 1}:53-54/udp`] });
  const before = bench.listed;
  t.same(before, ["web 0:53/udp", "web 0:80/tcp", "web 1:54/udp"]);
  const descriptors = openDescriptors();
  for (const [specs, expected] of [
    [[`${first + 2}:80`, `${first}:81`], { code: "PORT_TAKEN", message: `tcp port ${first} is taken: pontoon publishes it for web (80/tcp); choose another` }],
    [[`${first + 2}:80`, `0.0.0.0:${first}:81`], { code: "PORT_TAKEN", message: /pontoon publishes it for web/ }],
    [[`${first + 2}:80`, `${first + 2}:81`], { code: "PORT_TAKEN", message: /pontoon publishes it for web/ }],
    [[`${first + 2}:80`, "80/sctp"], { code: "NOT_PUBLISHABLE" }],
    [[`${first + 2}:80`, "x"], { code: "PORT_SPEC_INVALID" }],
  ] as const) {
    await t.rejects(bench.publisher.publish({ container: "web", specs }), expected);
    t.same([bench.listed, openDescriptors()], [before, descriptors], specs.join());
  }
  await t.rejects(bench.publisher.publish({ container: "web", specs: ["53/udp"], options: { proxyProtocol: "v1" } }), { code: "PUBLICATION_INVALID" });
  await t.rejects(bench.publisher.publish({ container: "nobody", specs: ["80"] }), { code: "NO_SUCH_CONTAINER" });
  await t.rejects(bench.publisher.publish({ container: "dockers", specs: [], all: true }), { code: "NOT_PUBLISHABLE", message: /^dockers exposes no port/ });
  t.equal((await bench.publisher.publish({ container: "web", specs: [], all: true })).length, 2);
});

t.test("a port that waits to be bound is nobody else's", async (t) => {
  const waiting: PublishedPort = { container: "web", transport: "tcp", ip: "198.51.100.7", hostPort: first, containerPort: 80, options: {}, source: "command" };
  const bench = new Bench(t, [waiting]);
  bench.put("web");
  t.match(bench.ports.all, [{ failure: /no address of this host/ }]);
  await t.rejects(bench.publisher.publish({ container: "web", specs: [`198.51.100.7:${first}:81`] }), { code: "PORT_TAKEN", message: /pontoon publishes it for web/ });
});

t.test("takes back what was asked for by command", async (t) => {
  const bench = new Bench(t);
  bench.publisher.inventoryIsComplete();
  bench.labelled("web", `${first}:80`);
  await bench.settled();
  await bench.publisher.publish({ container: "web", specs: [`${first + 1}:80`, `${first + 2}:81`] });
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: ["81", `${first}:80`] }), { code: "NOT_PUBLISHED", message: /published by its label/ });
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: ["81", "99"] }), { code: "NOT_PUBLISHED", message: /does not publish 99/ });
  t.equal(bench.listed.length, 3);
  bench.inventory.removeContainer("web");
  t.equal((await bench.publisher.unpublish({ container: "web", specs: [] })).length, 2, "also of a container that is gone");
  t.same(await bench.settled(), []);
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: [] }), { code: "NOT_PUBLISHED", message: /has published nothing/ });
});

t.test("follows labels", async (t) => {
  const bench = new Bench(t);
  bench.labelled("web", `${first}:80, ${first + 1}:81/udp`, { running: false });
  t.same(await bench.settled(), [], "not before all containers are known");
  bench.publisher.inventoryIsComplete();
  t.same(await bench.settled(), ["web 0:80/tcp", "web 1:81/udp"]);
  bench.labelled("web", `${first}:80,${first + 2}:82`);
  t.same(await bench.settled(), ["web 0:80/tcp", "web 2:82/tcp"]);
  bench.labelled("web", "x", { partial: true });
  t.same(await bench.settled(), ["web 0:80/tcp", "web 2:82/tcp"], "what is known in part only has no labels yet");
  bench.labelled("web", `${first}:80`, { name: "renamed" });
  t.same(await bench.settled(), ["renamed 0:80/tcp"]);
  bench.inventory.removeContainer("web");
  t.same(await bench.settled(), []);
  t.same(bench.logged, []);
});

t.test("a label that cannot be followed is told once, and followed as soon as what was in its way has gone", async (t) => {
  const bench = new Bench(t);
  bench.publisher.inventoryIsComplete();
  bench.labelled("one", `${first}:80`);
  bench.labelled("two", `${first}:80,nonsense,${first + 1}:81`);
  t.same(await bench.settled(), ["one 0:80/tcp", "two 1:81/tcp"]);
  t.match(bench.publisher.labelFailures.get("two"), [{ spec: "nonsense" }, { spec: `${first}:80`, mapping: { containerPort: 80 }, reason: /pontoon publishes it for one/ }]);
  bench.put("other");
  bench.labelled("two", `${first}:80,nonsense,${first + 1}:81`, { running: false });
  await bench.settled();
  t.equal(bench.logged.length, 2);
  bench.inventory.removeContainer("one");
  t.same(await bench.settled(), ["two 0:80/tcp", "two 1:81/tcp"]);
  t.equal(bench.publisher.labelFailures.get("two")?.length, 1);
  bench.inventory.removeContainer("two");
  t.same(await bench.settled(), []);
  t.equal(bench.publisher.labelFailures.size, 0);
});

t.test("ports of labels whose containers went while there was no daemon are given back", async (t) => {
  const bench = new Bench(t, [{ container: "gone", transport: "tcp", ip, hostPort: first, containerPort: 80, options: {}, source: "label" }, { container: "gone", transport: "tcp", ip, hostPort: first + 1, containerPort: 80, options: {}, source: "command" }]);
  t.equal(bench.listed.length, 2);
  bench.publisher.inventoryIsComplete();
  t.same(await bench.settled(), ["gone 1:80/tcp"], "what was asked for by command waits for its container");
});

t.test("a command or a label that asks for too many ports gets none of them, and what fits of a label is published", async (t) => {
  const bench = new Bench(t);
  bench.put("web");
  const before = openDescriptors();
  await t.rejects(bench.publisher.publish({ container: "web", specs: Array<string>(1000).fill("1-65535:1-65535") }), { code: "TOO_MANY_PORTS" });
  t.equal(openDescriptors(), before);
  bench.publisher.inventoryIsComplete();
  bench.labelled("large", `${first}:80,20000-30000:20000-30000,${first + 1}:81`);
  bench.labelled("many", Array<string>(1001).fill("nonsense").join());
  bench.labelled("long", "80,".repeat(30_000));
  t.same(await bench.settled(), ["large 0:80/tcp", "large 1:81/tcp"]);
  t.match(bench.publisher.labelFailures.get("large"), [{ spec: "20000-30000:20000-30000", reason: /4096 ports/ }]);
  t.match(bench.publisher.labelFailures.get("many")?.at(-1), { reason: /may name 1000 \(TOO_MANY_PORTS\)/ });
  t.match(bench.publisher.labelFailures.get("long"), [{ reason: /longer than 65536 characters/ }]);
});
