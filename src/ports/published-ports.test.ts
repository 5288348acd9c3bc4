import { pino } from "pino";
import t, { type Test } from "tap";
import type { SocketAddress } from "../../common/address.js";
import type { Publication } from "../../proxy/publication/publication.js";
import { defaultSourcePorts } from "../../proxy/dial/source-ports.js";
import { PontoonError } from "../../common/errors.js";
import { bindPort } from "./bind.js";
import { atOnce } from "../../linux/pieces.js";
import { Inventory } from "../inventory/inventory.js";
import { sourceNames } from "../inventory/types.js";
import type { PublishedPort } from "./published-port.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import { duplicateDescriptor } from "../../linux/descriptors.js";
import { closeDescriptor } from "../../linux/socket.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import { idOf, type BoundEntry } from "./entry.js";
import { PublishedPorts } from "./published-ports.js";

/** A pontoon-proxy and a state directory that only take notes. */
class Bench {
  readonly inventory = new Inventory();

  followContainers(): void {
    for (const name of sourceNames) this.inventory.source(name).complete();
    this.ports.retarget(() => true);
  }

  readonly said: string[] = [];
  readonly descriptors = new Map<string, number>();
  saved: readonly PublishedPort[] = [];
  refusal: Error | undefined;
  unwritable: Error | undefined;
  readonly store = {
    hasLost: false,
    load: () => this.saved,
    save: (ports: readonly PublishedPort[]) => {
      if (this.unwritable) throw this.unwritable;
      this.saved = [...ports];
    },
  };
  readonly opened = new Map<string, Publication>();
  readonly ports: PublishedPorts;

  constructor(t: Test) {
    this.inventory.source("docker").putNetwork(network("n1"));
    const proxy = {
      open: (publication: Publication, descriptor: number) => {
        const { id, target } = publication;
        this.opened.set(id, publication);
        this.said.push(`open ${id} ${text(target)}`);
        this.descriptors.set(id, descriptor);
        return this.refusal ? Promise.reject(this.refusal) : Promise.resolve();
      },
      close: (id: string) => {
        this.said.push(`close ${id}`);
        const descriptor = this.descriptors.get(id);
        if (this.descriptors.delete(id)) closeDescriptor(descriptor!);
        return Promise.resolve();
      },
      vacate: (ports: readonly number[]) => (this.said.push(`vacate ${ports.join()}`), Promise.resolve()),
      gone: (addresses: readonly string[]) => void this.said.push(`gone ${addresses.join()}`),
      retarget: (id: string, target: SocketAddress | undefined) =>
        void this.said.push(`retarget ${id} ${text(target)}`),
    };
    this.ports = new PublishedPorts(
      this.inventory,
      proxy,
      this.store,
      { drainMs: 10_000, sourcePorts: defaultSourcePorts },
      pino({ level: "silent" }),
    );
    t.teardown(() => this.descriptors.forEach((descriptor) => closeDescriptor(descriptor)));
  }

  bind(hostPort?: number): BoundEntry {
    const [bound] = atOnce(
      bindPort("tcp", ["127.0.0.1"], hostPort === undefined ? undefined : { first: hostPort, last: hostPort }),
    );
    return {
      port: {
        container: "web",
        transport: "tcp",
        ip: "127.0.0.1",
        hostPort: bound!.port,
        containerPort: 80,
        options: {},
        source: "command",
      },
      descriptor: bound!.descriptor,
    };
  }

  web(ipv4: string | undefined): void {
    this.inventory
      .source("docker")
      .putContainer(container("web", { running: ipv4 !== undefined, endpoints: [endpoint("n1", ipv4)] }));
  }
}

const text = (target: SocketAddress | undefined) => (target ? `${target.ip}:${target.port}` : "nowhere");

t.test("what is added is remembered and served where its container is, and follows it", async (t) => {
  const bench = new Bench(t);
  bench.web("10.0.0.2");
  const bound = bench.bind();
  const id = idOf(bound.port);
  bench.followContainers();
  await bench.ports.add([bound]);
  t.same(bench.saved, [bound.port]);
  bench.web(undefined);
  bench.ports.retarget((name) => name === "other");
  bench.ports.retarget((name) => name === "web");
  bench.web("10.0.0.3");
  bench.ports.retarget((name) => name === "web");
  bench.ports.retarget((name) => name === "web");
  await bench.ports.remove(bench.ports.all);
  t.same(bench.said, [
    `open ${id} 10.0.0.2:80`,
    `retarget ${id} nowhere`,
    "gone 10.0.0.2",
    `retarget ${id} 10.0.0.3:80`,
    `close ${id}`,
  ]);
  t.same([bench.saved, bench.ports.all], [[], []]);
});

t.test("all or none: the list cannot be written, or pontoon-proxy refuses", async (t) => {
  const bench = new Bench(t);
  const before = openDescriptors();
  bench.unwritable = new PontoonError("STORE_UNWRITABLE", "", "full");
  await t.rejects(bench.ports.add([bench.bind(), bench.bind()]), { code: "STORE_UNWRITABLE" });
  t.same([bench.said, bench.ports.all], [[], []]);
  bench.unwritable = undefined;
  bench.refusal = new PontoonError("DESCRIPTORS_EXHAUSTED", "", "none left");
  await t.rejects(bench.ports.add([bench.bind(), bench.bind()]), { code: "DESCRIPTORS_EXHAUSTED" });
  t.same([bench.saved, bench.ports.all], [[], []]);
  t.equal(bench.said.filter((line) => line.startsWith("close")).length, 2);
  t.equal(openDescriptors(), before);
});

t.test("what cannot be forgotten stays", async (t) => {
  const bench = new Bench(t);
  await bench.ports.add([bench.bind()]);
  bench.unwritable = new PontoonError("STORE_UNWRITABLE", "", "full");
  await t.rejects(bench.ports.remove(bench.ports.all), { code: "STORE_UNWRITABLE" });
  t.equal(bench.ports.all.length, 1);
  t.notMatch(bench.said.join(), "close");
});

t.test("what was remembered: inherited, bound anew, or tried again until it can be", async (t) => {
  const bench = new Bench(t);
  const [inherited, anew, taken, foreign] = [bench.bind(), bench.bind(), bench.bind(), bench.bind()];
  closeDescriptor(anew.descriptor);
  bench.saved = [inherited, anew, taken].map(({ port }) => port);
  bench.ports.load();
  const before = openDescriptors();
  const publication = ({ port }: BoundEntry): Publication => ({
    id: idOf(port),
    protocol: "tcp",
    listen: { ip: port.ip, port: port.hostPort },
    target: { ip: "10.0.0.9", port: 80 },
    options: {},
  });
  await bench.ports.restore(
    [inherited, foreign].map((each) => ({ publication: publication(each), descriptor: each.descriptor })),
  );
  t.same(
    bench.said,
    [`open ${idOf(inherited.port)} 10.0.0.9:80`, `open ${idOf(anew.port)} nowhere`],
    "the inherited goes on as it was until it is known where its container is",
  );
  t.equal(openDescriptors(), before, "one more is bound, and what nobody remembers is closed");
  t.match(bench.ports.entries.get(idOf(taken.port))?.failure, /is taken \(held by .*, pid \d+\)/);
  t.equal(await bench.ports.retry(), true);
  closeDescriptor(taken.descriptor);
  t.equal(await bench.ports.retry(), false);
  t.equal(bench.ports.entries.get(idOf(taken.port))?.failure, undefined);
  bench.web("10.0.0.2");
  bench.ports.retarget(() => true);
  t.equal(bench.said.length, 3, "nothing moves before all containers are known");
  bench.followContainers();
  t.equal(bench.said.filter((line) => line.startsWith("retarget") && line.endsWith("10.0.0.2:80")).length, 3);
  t.end();
});

t.test("connections to where a container was are over, but not while it is there as well", async (t) => {
  const bench = new Bench(t);
  bench.inventory.source("docker").putNetwork(network("a"));
  const at = (...endpoints: [string, string][]) =>
    bench.inventory
      .source("docker")
      .putContainer(container("web", { endpoints: endpoints.map(([of, ip]) => endpoint(of, ip)) }));
  at(["n1", "10.0.0.2"]);
  bench.followContainers();
  await bench.ports.add([bench.bind()]);
  const gone = () => bench.said.filter((line) => line.startsWith("gone"));
  at(["a", "10.0.1.2"], ["n1", "10.0.0.2"]);
  bench.ports.retarget(() => true);
  t.same(
    [bench.ports.all[0]!.target?.ip, gone()],
    ["10.0.1.2", []],
    "it has a better network now, and is still on the other",
  );
  at(["n1", "10.0.0.2"]);
  bench.ports.retarget(() => true);
  t.same(gone(), ["gone 10.0.1.2"]);
  await bench.ports.remove(bench.ports.all);
});

t.test("where a container was before the daemon started counts as well", async (t) => {
  const bench = new Bench(t);
  const inherited = bench.bind();
  const { transport: protocol, ip, hostPort: port } = inherited.port;
  bench.saved = [inherited.port];
  bench.ports.load();
  await bench.ports.restore([
    {
      publication: {
        id: idOf(inherited.port),
        protocol,
        listen: { ip, port },
        target: { ip: "10.0.0.9", port: 80 },
        options: {},
      },
      descriptor: inherited.descriptor,
    },
  ]);
  bench.web("10.0.0.2");
  bench.followContainers();
  t.ok(bench.said.includes("gone 10.0.0.9"));
  await bench.ports.remove(bench.ports.all);
});

t.test("flows give up the UDP ports that are about to be bound, of those they have", async (t) => {
  const bench = new Bench(t);
  const asked = () => bench.said.filter((line) => line.startsWith("vacate"));
  await bench.ports.makeRoom([
    { transport: "tcp", hostPorts: { first: 61_000, last: 61_000 } },
    { transport: "udp", hostPorts: undefined },
    { transport: "udp", hostPorts: { first: 5000, last: 6000 } },
  ]);
  t.same(asked(), []);
  await bench.ports.makeRoom([{ transport: "udp", hostPorts: { first: 60_990, last: 61_001 } }]);
  t.same(asked(), ["vacate 61000,61001"]);
  const { port, descriptor } = bench.bind();
  closeDescriptor(descriptor);
  bench.saved = [{ ...port, transport: "udp", hostPort: 61_777 }];
  bench.ports.load();
  await bench.ports.restore([]);
  t.same(asked().slice(1), ["vacate 61777"], "also what is remembered");
  await bench.ports.remove(bench.ports.all);
});

t.test("when the list was lost or damaged, what pontoon-proxy serves stays published, and nothing else", async (t) => {
  for (const hasLost of [true, false]) {
    const before = new Bench(t);
    before.web("10.0.0.2");
    before.followContainers();
    const [kept, lost, foreign] = [before.bind(), before.bind(), before.bind()];
    const rich: BoundEntry = {
      ...lost,
      port: { ...lost.port, byDefault: true, source: "label", options: { allowFrom: ["10.0.0.0/8"], drainMs: 5 } },
    };
    await before.ports.add([kept, rich, foreign]);
    const held = [kept, rich, foreign].map(({ port, descriptor }) => ({
      publication: before.opened.get(idOf(port))!,
      descriptor,
    }));
    before.descriptors.clear();

    const bench = new Bench(t);
    bench.saved = [kept.port];
    bench.store.hasLost = hasLost;
    bench.ports.load();
    const { owner, ...unowned } = held[2]!.publication;
    t.match(owner, { container: "web" });
    const open = openDescriptors();
    await bench.ports.restore([held[0]!, held[1]!, { ...held[2]!, publication: unowned }]);
    t.same(
      bench.ports.all.map(({ port }) => port),
      hasLost ? [kept.port, rich.port] : [kept.port],
      `lost: ${hasLost}`,
    );
    t.same(
      bench.saved,
      bench.ports.all.map(({ port }) => port),
    );
    t.equal(openDescriptors(), open - (hasLost ? 1 : 2), "what nobody knows is closed");
    bench.said.length = 0;
    bench.followContainers();
    t.same(
      bench.said.filter((line) => line.startsWith("retarget")).length,
      bench.ports.all.length,
      "and follows its container like any other",
    );
  }
});

t.test("what a pontoon-proxy that was broken into says to have is not believed", async (t) => {
  const bench = new Bench(t);
  bench.store.hasLost = true;
  const bound = bench.bind();
  const { ip, hostPort } = bound.port;
  const whole: Publication = {
    id: idOf(bound.port),
    protocol: "tcp",
    listen: { ip, port: hostPort },
    options: {},
    owner: { container: "web", containerPort: 80, source: "command" },
  };
  for (const change of [
    { id: "another" },
    { owner: { ...whole.owner!, container: "" } },
    { owner: { ...whole.owner!, containerPort: 0 } },
    { options: { udpFlows: 0 } },
    { listen: { ip, port: hostPort + 1 } },
  ] as Partial<Publication>[]) {
    await bench.ports.restore([
      { publication: { ...whole, ...change }, descriptor: duplicateDescriptor(bound.descriptor) },
    ]);
    t.same(bench.ports.all, [], JSON.stringify(change));
  }
  await bench.ports.restore([{ publication: whole, descriptor: bound.descriptor }]);
  t.equal(bench.ports.all.length, 1);
});

t.test("what is known of a container is told by its source: of one that nobody has, by all of them", (t) => {
  const bench = new Bench(t);
  const { inventory, ports } = bench;
  const known = () => ["web", "own", "nobody"].filter((name) => ports.knows(name));
  bench.web("10.0.0.2");
  inventory.source("pontoon").putContainer(container("own", { source: "pontoon" }));
  t.same(known(), []);
  inventory.source("pontoon").complete();
  t.same(known(), ["own"], "dockerd is away: its containers keep what they had");
  inventory.source("docker").complete();
  t.same(known(), ["web", "own", "nobody"]);
  t.end();
});

t.test("a port of an endpoint stays with it, whatever its container has and is called", async (t) => {
  const bench = new Bench(t);
  bench.web("10.0.0.2");
  bench.followContainers();
  const bound = bench.bind();
  const port = { ...bound.port, source: "driver", endpoint: { id: "e1", ipv4: "10.1.0.2" } } as const;
  const id = idOf(port);
  await bench.ports.add([{ ...bound, port }]);
  bench.web("10.0.0.3");
  bench.ports.retarget(() => true);
  bench.ports.rename(bench.ports.all, "after");
  bench.ports.rename([], "nobody");
  t.same(bench.saved, [{ ...port, container: "after" }]);
  bench.ports.retarget(() => true);
  t.same(bench.said, [`open ${id} 10.1.0.2:80`]);

  const next = new Bench(t);
  next.saved = bench.saved;
  next.ports.load();
  const descriptor = duplicateDescriptor(bound.descriptor);
  await next.ports.restore([{ publication: bench.opened.get(id)!, descriptor }]);
  next.followContainers();
  t.same(
    next.ports.all.map((entry) => [entry.port, entry.target?.ip]),
    [[{ ...port, container: "after" }, "10.1.0.2"]],
  );
});
