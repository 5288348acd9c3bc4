import { pino } from "pino";
import { defaultSourcePorts } from "../../proxy/dial/source-ports.js";
import t, { type Test } from "tap";
import type { Publication } from "../../proxy/publication/publication.js";
import { Inventory } from "../inventory/inventory.js";
import { sourceNames } from "../inventory/types.js";
import type { PublishedPort } from "./published-port.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import type { Container } from "../inventory/types.js";
import { closeDescriptor } from "../../linux/socket.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import { PublishedPorts } from "./published-ports.js";
import { Publisher } from "./publisher.js";

const ip = "127.0.0.1";
/** Away from what the kernel chooses, and from other runs. */
const first = 10_000 + (process.pid % 20_000);

class Bench {
  readonly inventory = new Inventory();

  complete(): void {
    for (const name of sourceNames) this.inventory.source(name).complete();
    this.publisher.inventoryIsComplete();
  }

  readonly logged: string[] = [];
  readonly publisher: Publisher;
  readonly ports: PublishedPorts;

  /** What pontoon-proxy was told, and clients would find. */
  readonly served = new Map<string, string | undefined>();
  readonly #userlandProxy: boolean;

  /** @param address of publications that name none; null: Docker's */
  constructor(t: Test, saved: readonly PublishedPort[] = [], address: string | null = ip, userlandProxy = true) {
    this.#userlandProxy = userlandProxy;
    const descriptors = new Map<string, number>();
    const close = (id: string) => {
      this.served.delete(id);
      const descriptor = descriptors.get(id);
      if (descriptors.delete(id)) closeDescriptor(descriptor!);
      return Promise.resolve();
    };
    const note = (id: string, target: { readonly ip: string } | undefined) => void this.served.set(id, target?.ip);
    const proxy = {
      open: ({ id, target }: Publication, descriptor: number) => (
        note(id, target),
        descriptors.set(id, descriptor),
        Promise.resolve()
      ),
      close,
      retarget: note,
      gone: () => undefined,
      vacate: () => Promise.resolve(),
    };
    const log = pino({ level: "warn" }, { write: (line: string) => void this.logged.push(line) });
    this.inventory.source("docker").putNetwork(network("n1"));
    this.ports = new PublishedPorts(
      this.inventory,
      proxy,
      { load: () => saved, save: () => undefined },
      { drainMs: 0, sourcePorts: defaultSourcePorts },
      log,
      () => this.#userlandProxy,
    );
    this.ports.load();
    this.ports.restore([]);
    this.publisher = new Publisher(this.inventory, this.ports, address ?? undefined, log);
    t.teardown(async () => {
      this.publisher.stop();
      await this.ports.remove(this.ports.all);
    });
  }

  put(id: string, given: Partial<Container> = {}): void {
    this.inventory.source("docker").putContainer(container(id, { endpoints: [endpoint("n1", "10.0.0.2")], ...given }));
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
    return this.ports.all
      .map(({ port }) => `${port.container} ${port.hostPort - first}:${port.containerPort}/${port.transport}`)
      .sort();
  }
}

t.test("publishes all or nothing, and says who is in the way", async (t) => {
  const bench = new Bench(t);
  bench.put("web", {
    ports: [
      [80, "tcp"],
      [53, "udp"],
    ],
  });
  bench.put("dockers", { published: [{ transport: "tcp", ip, hostPort: first + 9, containerPort: 90 }] });
  await bench.publisher.publish({ container: "web", specs: [`${first}:80`, `${first}-${first + 1}:53-54/udp`] });
  const before = bench.listed;
  t.same(before, ["web 0:53/udp", "web 0:80/tcp", "web 1:54/udp"]);
  const descriptors = openDescriptors();
  for (const [specs, expected] of [
    [
      [`${first + 2}:80`, `${first}:81`],
      {
        code: "PORT_TAKEN",
        message: `tcp port ${first} is taken: pontoon publishes it for web (80/tcp); choose another`,
      },
    ],
    [[`${first + 2}:80`, `0.0.0.0:${first}:81`], { code: "PORT_TAKEN", message: /pontoon publishes it for web/ }],
    [[`${first + 2}:80`, `${first + 2}:81`], { code: "PORT_TAKEN", message: /pontoon publishes it for web/ }],
    [[`${first + 2}:80`, "80/sctp"], { code: "NOT_PUBLISHABLE" }],
    [[`${first + 2}:80`, "x"], { code: "PORT_SPEC_INVALID" }],
  ] as const) {
    await t.rejects(bench.publisher.publish({ container: "web", specs }), expected);
    t.same([bench.listed, openDescriptors()], [before, descriptors], specs.join());
  }
  await t.rejects(bench.publisher.publish({ container: "web", specs: ["53/udp"], options: { proxyProtocol: "v1" } }), {
    code: "PUBLICATION_INVALID",
  });
  await t.rejects(bench.publisher.publish({ container: "nobody", specs: ["80"] }), { code: "NO_SUCH_CONTAINER" });
  await t.rejects(bench.publisher.publish({ container: "dockers", specs: [], all: true }), {
    code: "NOT_PUBLISHABLE",
    message: /^dockers exposes no port/,
  });
  t.equal((await bench.publisher.publish({ container: "web", specs: [], all: true })).length, 2);
});

t.test("a port that waits to be bound is nobody else's", async (t) => {
  const waiting: PublishedPort = {
    container: "web",
    transport: "tcp",
    ip: "198.51.100.7",
    hostPort: first,
    containerPort: 80,
    options: {},
    source: "command",
  };
  const bench = new Bench(t, [waiting]);
  bench.put("web");
  t.match(bench.ports.all, { length: 1, 0: { failure: /not an address of this host/ } });
  await t.rejects(bench.publisher.publish({ container: "web", specs: [`198.51.100.7:${first}:81`] }), {
    code: "PORT_TAKEN",
    message: /pontoon publishes it for web/,
  });
});

t.test("takes back what was asked for by command", async (t) => {
  const bench = new Bench(t);
  bench.complete();
  bench.labelled("web", `${first}:80`);
  await bench.settled();
  await bench.publisher.publish({ container: "web", specs: [`${first + 1}:80`, `${first + 2}:81`] });
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: ["81", `${first}:80`] }), {
    code: "NOT_PUBLISHED",
    message: /published by its label/,
  });
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: ["81", "99"] }), {
    code: "NOT_PUBLISHED",
    message: /does not publish 99/,
  });
  t.equal(bench.listed.length, 3);
  bench.inventory.source("docker").removeContainer("web");
  t.equal(
    (await bench.publisher.unpublish({ container: "web", specs: [] })).length,
    2,
    "also of a container that is gone",
  );
  t.same(await bench.settled(), []);
  await t.rejects(bench.publisher.unpublish({ container: "web", specs: [] }), {
    code: "NOT_PUBLISHED",
    message: /has published nothing/,
  });
});

t.test("follows labels", async (t) => {
  const bench = new Bench(t);
  bench.labelled("web", `${first}:80, ${first + 1}:81/udp`, { running: false });
  t.same(await bench.settled(), [], "not before all containers are known");
  bench.complete();
  t.same(await bench.settled(), ["web 0:80/tcp", "web 1:81/udp"]);
  bench.labelled("web", `${first}:80,${first + 2}:82`);
  t.same(await bench.settled(), ["web 0:80/tcp", "web 2:82/tcp"]);
  bench.labelled("web", "x", { partial: true });
  t.same(await bench.settled(), ["web 0:80/tcp", "web 2:82/tcp"], "what is known in part only has no labels yet");
  bench.labelled("web", `${first}:80`, { name: "renamed" });
  t.same(await bench.settled(), ["renamed 0:80/tcp"]);
  bench.inventory.source("docker").removeContainer("web");
  t.same(await bench.settled(), []);
  t.same(bench.logged, []);
});

t.test(
  "a label that cannot be followed is told once, and followed as soon as what was in its way has gone",
  async (t) => {
    const bench = new Bench(t);
    bench.complete();
    bench.labelled("one", `${first}:80`);
    bench.labelled("two", `${first}:80,nonsense,${first + 1}:81`);
    t.same(await bench.settled(), ["one 0:80/tcp", "two 1:81/tcp"]);
    t.match(bench.publisher.labelFailures.get("two"), {
      length: 2,
      0: { spec: "nonsense" },
      1: { spec: `${first}:80`, mapping: { containerPort: 80 }, reason: /pontoon publishes it for one/ },
    });
    bench.put("other");
    bench.labelled("two", `${first}:80,nonsense,${first + 1}:81`, { running: false });
    await bench.settled();
    t.equal(bench.logged.length, 2);
    bench.inventory.source("docker").removeContainer("one");
    t.same(await bench.settled(), ["two 0:80/tcp", "two 1:81/tcp"]);
    t.equal(bench.publisher.labelFailures.get("two")?.length, 1);
    bench.inventory.source("docker").removeContainer("two");
    t.same(await bench.settled(), []);
    t.equal(bench.publisher.labelFailures.size, 0);
  },
);

t.test("ports of labels whose containers went while there was no daemon are given back", async (t) => {
  const bench = new Bench(t, [
    { container: "gone", transport: "tcp", ip, hostPort: first, containerPort: 80, options: {}, source: "label" },
    { container: "gone", transport: "tcp", ip, hostPort: first + 1, containerPort: 80, options: {}, source: "command" },
  ]);
  t.equal(bench.listed.length, 2);
  bench.complete();
  t.same(await bench.settled(), ["gone 1:80/tcp"], "what was asked for by command waits for its container");
});

t.test(
  "a command or a label that asks for too many ports gets none of them, and what fits of a label is published",
  async (t) => {
    const bench = new Bench(t);
    bench.put("web");
    const before = openDescriptors();
    await t.rejects(bench.publisher.publish({ container: "web", specs: Array<string>(1000).fill("1-65535:1-65535") }), {
      code: "TOO_MANY_PORTS",
    });
    t.equal(openDescriptors(), before);
    bench.complete();
    bench.labelled("large", `${first}:80,20000-30000:20000-30000,${first + 1}:81`);
    bench.labelled("many", Array<string>(1001).fill("nonsense").join());
    bench.labelled("long", "80,".repeat(30_000));
    t.same(await bench.settled(), ["large 0:80/tcp", "large 1:81/tcp"]);
    t.match(bench.publisher.labelFailures.get("large"), {
      length: 1,
      0: { spec: "20000-30000:20000-30000", reason: /4096 ports/ },
    });
    t.match(bench.publisher.labelFailures.get("many")?.at(-1), { reason: /may name 1000 \(TOO_MANY_PORTS\)/ });
    t.match(bench.publisher.labelFailures.get("long"), { length: 1, 0: { reason: /longer than 65536 characters/ } });
  },
);

/** Ports that clients may find, `127.0.0.1 0 → 10.0.0.2`. */
const found = (bench: Bench) =>
  [...bench.served]
    .flatMap(([id, target]) =>
      target === undefined ? [] : [`${id.split(" ")[1]} ${Number(id.split(" ")[2]) - first} → ${target}`],
    )
    .sort();

t.test(
  "by command and by label: what names no address is where Docker would bind it, and moves with the container's networks",
  async (t) => {
    const bench = new Bench(t, [], null);
    bench.inventory.source("docker").putNetwork(network("home", { hostBinding: "127.0.0.1" }));
    bench.inventory.source("docker").putNetwork(network("other", { hostBinding: "127.0.0.2" }));
    bench.inventory.source("docker").putNetwork(network("closed", { internal: true }));
    bench.complete();
    const move = (id: string, ipv4: string, value = "") =>
      bench.labelled("web", value, { endpoints: [endpoint(id, ipv4)] });
    for (const value of ["", `${first}:80`]) {
      const how = value === "" ? "by command" : "by label";
      move("home", "10.0.1.2", value);
      if (value === "")
        t.match(
          await bench.publisher.publish({ container: "web", specs: [`${first}:80`, `127.0.0.3:${first + 1}:81`] }),
          { length: 2, 0: { port: { ip: "127.0.0.1", byDefault: true } }, 1: { port: { ip: "127.0.0.3" } } },
        );
      const named = value === "" ? 1 : 0;
      const defaults = () => found(bench).filter((line) => !line.startsWith("127.0.0.3"));
      await bench.settled();
      t.same(defaults(), ["127.0.0.1 0 → 10.0.1.2"], how);
      const where = () => bench.ports.all.filter(({ port }) => port.byDefault).map(({ port }) => port.ip);
      for (const given of [{ endpoints: [] }, { endpoints: [endpoint("unknown", "10.0.8.2")] }, { running: false }]) {
        bench.labelled("web", value, given);
        await bench.settled();
        t.same([defaults(), where()], [[], ["127.0.0.1"]], `${how}: between two networks it stays where it was`);
      }
      move("n1", "10.0.0.2", value);
      await bench.settled();
      t.same(defaults(), ["0.0.0.0 0 → 10.0.0.2", ":: 0 → 10.0.0.2"], `${how}: all of a network that says nothing`);
      move("other", "10.0.2.2", value);
      await new Promise((resolve) => setImmediate(resolve));
      t.notMatch(
        found(bench).join(),
        /0\.0\.0\.0|::/,
        `${how}: nobody gets in by what Docker would not bind, at no moment`,
      );
      await bench.settled();
      t.same(defaults(), ["127.0.0.2 0 → 10.0.2.2"], how);
      bench.labelled("web", value, { running: false });
      bench.labelled("web", value, { endpoints: [endpoint("closed", "10.0.3.2")] });
      await bench.settled();
      t.same(defaults(), [], `${how}: Docker publishes nothing of internal networks`);
      t.equal(found(bench).length, named, "but who names an address knows why");
      if (value === "")
        t.match(bench.ports.all[1], {
          refusal: /Docker publishes nothing of web on the host/,
          port: { ip: "127.0.0.2" },
        });
      else
        t.match(bench.publisher.labelFailures.get("web"), {
          length: 1,
          0: { reason: /Docker publishes nothing of web on the host/ },
        });
      move("home", "10.0.1.9", value);
      await bench.settled();
      t.same(defaults(), ["127.0.0.1 0 → 10.0.1.9"], how);
      if (value === "") await bench.publisher.unpublish({ container: "web", specs: [] });
    }
  },
);

t.test("a port of a label is bound when its network is known", async (t) => {
  const bench = new Bench(t, [], null);
  bench.complete();
  bench.labelled("web", `${first}:80`, { endpoints: [endpoint("late", "10.0.4.2")] });
  await bench.settled();
  t.same(found(bench), []);
  bench.inventory.source("docker").putNetwork(network("late", { hostBinding: "127.0.0.1" }));
  await bench.settled();
  t.same(found(bench), ["127.0.0.1 0 → 10.0.4.2"]);
});

t.test("an address of the configuration or of the command wins over Docker's", async (t) => {
  for (const [address, request] of [
    ["127.0.0.5", {}],
    [null, { ip: "127.0.0.5" }],
  ] as const) {
    const bench = new Bench(t, [], address);
    bench.inventory.source("docker").putNetwork(network("home", { hostBinding: "127.0.0.1" }));
    bench.complete();
    bench.put("web", { endpoints: [endpoint("home", "10.0.1.2")] });
    await bench.publisher.publish({ container: "web", specs: [`${first}:80`], ...request });
    bench.put("web", { endpoints: [endpoint("n1", "10.0.0.2")] });
    await bench.settled();
    t.same(found(bench), ["127.0.0.5 0 → 10.0.0.2"]);
    await bench.publisher.unpublish({ container: "web", specs: [] });
  }
});

t.test("without a userland proxy Docker binds IPv6 only for who has it", async (t) => {
  const bench = new Bench(t, [], null, false);
  bench.complete();
  bench.put("web");
  await bench.publisher.publish({ container: "web", specs: [`${first}:80`] });
  t.same(found(bench), ["0.0.0.0 0 → 10.0.0.2"]);
  bench.put("web", { endpoints: [endpoint("n1", "10.0.0.2", { ipv6: "fd00::2" })] });
  await bench.settled();
  t.same(found(bench), ["0.0.0.0 0 → 10.0.0.2", ":: 0 → fd00::2"]);
});

t.test("a container that the host cannot reach is refused, and one that comes to be so shows why", async (t) => {
  for (const driver of ["macvlan", "ipvlan", "overlay"]) {
    const bench = new Bench(t);
    bench.inventory.source("docker").putNetwork(network("far", { driver }));
    bench.complete();
    bench.labelled("far", `${first + 5}:80`, { endpoints: [endpoint("far", "10.0.7.2")] });
    await t.rejects(bench.publisher.publish({ container: "far", specs: [`${first}:80`] }), {
      code: "NOT_PUBLISHABLE",
      message: /the host cannot reach far on far/,
    });
    await bench.settled();
    t.match(bench.publisher.labelFailures.get("far"), { length: 1, 0: { reason: /the host cannot reach far on far/ } });
    bench.put("web");
    await bench.publisher.publish({ container: "web", specs: [`${first}:80`] });
    t.same(found(bench), ["127.0.0.1 0 → 10.0.0.2"]);
    bench.put("web", { endpoints: [endpoint("far", "10.0.7.3")] });
    await bench.settled();
    t.same(found(bench), []);
    t.match(bench.ports.all, { length: 1, 0: { failure: undefined, refusal: /the host cannot reach web on far/ } });
    bench.inventory.source("docker").putGateways(network("gw", { name: "docker_gwbridge" }), [
      { container: "web", name: "gateway_1", ipv4: "172.18.0.3", ipv6: undefined },
      { container: "far", name: "gateway_2", ipv4: "172.18.0.4", ipv6: undefined },
    ]);
    await bench.settled();
    t.same(found(bench), ["127.0.0.1 0 → 172.18.0.3", "127.0.0.1 5 → 172.18.0.4"]);
    await bench.ports.remove(bench.ports.all);
  }
});
