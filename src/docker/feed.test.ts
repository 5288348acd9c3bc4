import { mock } from "node:test";
import { pino } from "pino";
import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint as anyEndpoint, network } from "../inventory/testing/containers.js";
import type { Container, Endpoint, ListedEndpoint, Network } from "../inventory/types.js";
import type { Engine } from "./engine.js";
import type { DockerEvent } from "./events.js";
import { Feed } from "./feed.js";

// A fake engine: a real dockerd cannot be made to answer late, out of order or not at all just when a test wants it.

const minute = 60_000;

const endpoint = (network: string, ipv4?: string): Endpoint =>
  anyEndpoint(network, ipv4, { hasGateway: { ipv4: ipv4 !== undefined, ipv6: false } });
const listed = (id: string, ipv4: string): ListedEndpoint => ({ container: id, name: id, ipv4, ipv6: undefined });

/** What dockerd knows, and how it answers. An answer is what is true when it is asked, whenever it is let go. */
class ScriptedEngine {
  readonly host = "unix:///fake.sock";
  readonly containers = new Map<string, Container>();
  readonly networks = new Map<string, { network: Network; endpoints: ListedEndpoint[] }>();
  readonly calls: string[] = [];
  readonly subscriptions: {
    onEvent: (event: DockerEvent) => void;
    onEnd: (reason: string) => void;
    closed: boolean;
  }[] = [];
  /** Why nothing can be asked; undefined while dockerd is there. */
  absent: string | undefined;
  readonly #held = new Map<string, (() => void)[]>();
  readonly #broken = new Map<string, Error>();

  put(...containers: Container[]): void {
    for (const entry of containers) this.containers.set(entry.id, entry);
  }

  putNetwork(id: string, ...endpoints: ListedEndpoint[]): void {
    this.networks.set(id, { network: network(id), endpoints });
  }

  putOverlay(id: string): void {
    this.networks.set(id, { network: { ...network(id), driver: "overlay", shared: true }, endpoints: [] });
  }

  /** From now on what is asked about `subject` is answered only by {@link release}. */
  hold(subject: string): void {
    this.#held.set(subject, []);
  }

  /** Lets the answers held so far go, and holds no more. */
  release(subject: string): void {
    const waiting = this.#held.get(subject) ?? [];
    this.#held.delete(subject);
    for (const answer of waiting) answer();
  }

  break(subject: string, error: Error | undefined): void {
    if (error) this.#broken.set(subject, error);
    else this.#broken.delete(subject);
  }

  /** How often something was asked. */
  asked(call: string): number {
    return this.calls.filter((made) => made === call).length;
  }

  event(type: DockerEvent["type"], action: string, id: string, joining?: string): void {
    this.subscriptions.at(-1)?.onEvent({ type, action, id, container: joining });
  }

  subscribe(onEvent: (event: DockerEvent) => void, onEnd: (reason: string) => void): Promise<{ close(): void }> {
    return this.#answer("subscribe", () => {
      const subscription = { onEvent, onEnd, closed: false };
      this.subscriptions.push(subscription);
      return { close: () => void (subscription.closed = true) };
    });
  }

  version = () => this.#answer("version", () => "20.10.24");
  containerIds = () => this.#answer("containers", () => [...this.containers.keys()]);
  networkIds = () => this.#answer("networks", () => [...this.networks.keys()]);
  container = (id: string) => this.#answer(`container ${id}`, () => this.containers.get(id));
  network = (id: string) => this.#answer(`network ${id}`, () => this.networks.get(id));

  async #answer<Value>(call: string, look: () => Value): Promise<Value> {
    this.calls.push(call);
    const broken = this.#broken.get(call);
    if (this.absent !== undefined) throw new Error(this.absent);
    if (broken) throw broken;
    const value = look();
    const waiting = this.#held.get(call);
    if (waiting) await new Promise<void>((resolve) => waiting.push(resolve));
    return value;
  }
}

/** A feed of a scripted engine, in time the test lets pass. */
class Bench {
  readonly engine = new ScriptedEngine();
  readonly inventory = new Inventory();
  readonly states: string[] = [];
  readonly warnings: string[] = [];
  readonly feed: Feed;

  constructor(t: Tap) {
    mock.timers.enable({ apis: ["setTimeout"] });
    const log = pino(
      { level: "warn", base: null },
      { write: (line: string) => this.warnings.push((JSON.parse(line) as { msg: string }).msg) },
    );
    this.feed = new Feed(this.engine as unknown as Engine, this.inventory, log, { onState: () => this.#onState() });
    t.teardown(() => {
      this.feed.stop();
      mock.timers.reset();
    });
  }

  /** Starts, and waits until nothing moves any more. */
  async start(): Promise<void> {
    this.feed.start();
    await settled();
  }

  /** Lets time pass, and everything it sets off happen. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      mock.timers.tick(Math.min(50, left));
      await settled();
    }
  }

  ipv4(id: string): string | undefined {
    return this.inventory.containers.get(id)?.endpoints[0]?.ipv4;
  }

  #onState(): void {
    if (this.states.at(-1) !== this.feed.state.kind) this.states.push(this.feed.state.kind);
  }
}

interface Tap {
  teardown(work: () => void): void;
}

/** Until every promise that can settle has. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

t.test("it subscribes before it lists, and then follows", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  bench.engine.put(container("web"), container("db", { running: false }));
  await bench.start();
  t.equal(bench.engine.calls[0], "subscribe");
  t.same(bench.states, ["listing", "following"]);
  t.match(bench.feed.state, { kind: "following", version: "20.10.24" });
  t.same([...bench.inventory.containers.keys()].sort(), ["db", "web"]);
  t.same([...bench.inventory.networks.keys()], ["n1"]);
  bench.feed.start();
  await settled();
  t.equal(bench.engine.asked("subscribe"), 1, "starting twice is starting once");
});

t.test("what is made while the list is on its way is not missed", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("old"));
  bench.engine.hold("containers");
  await bench.start();
  bench.engine.put(container("new"));
  bench.engine.event("container", "start", "new");
  await settled();
  bench.engine.release("containers");
  await settled();
  t.same([...bench.inventory.containers.keys()].sort(), ["new", "old"]);
});

t.test("what goes while the list is on its way does not stay", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("gone"));
  bench.engine.hold("containers");
  await bench.start();
  bench.engine.containers.delete("gone");
  bench.engine.event("container", "destroy", "gone");
  bench.engine.release("containers");
  await settled();
  t.equal(bench.inventory.containers.size, 0);
});

t.test("an answer that an event has overtaken is not used", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.engine.put(container("web", { name: "before" }));
  bench.engine.hold("container web");
  bench.engine.event("container", "create", "web");
  await settled();
  const names: (string | undefined)[] = [];
  bench.inventory.onChange(() => names.push(bench.inventory.containers.get("web")?.name));
  bench.engine.put(container("web", { name: "after" }));
  bench.engine.event("container", "rename", "web");
  bench.engine.release("container web");
  await settled();
  t.same(names, ["after"]);
});

t.test("a container that is gone when it is looked at is removed", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("web"));
  await bench.start();
  bench.engine.containers.delete("web");
  bench.engine.event("container", "die", "web");
  await settled();
  t.equal(bench.inventory.containers.has("web"), false);
});

t.test("a container or network that is destroyed is gone at once, and stays gone", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("web"));
  bench.engine.putNetwork("n1");
  await bench.start();
  for (const [type, id] of [
    ["container", "web"],
    ["network", "n1"],
  ] as const) {
    const known = type === "container" ? bench.inventory.containers : bench.inventory.networks;
    // The answer was written before the end of what it tells of, and is read after it.
    bench.engine.hold(`${type} ${id}`);
    bench.engine.event(type, "update", id);
    await settled();
    bench.engine.containers.delete(id);
    bench.engine.networks.delete(id);
    bench.engine.event(type, "destroy", id);
    await settled();
    t.equal(known.has(id), false, `the ${type} is gone`);
    bench.engine.release(`${type} ${id}`);
    await settled();
    t.equal(known.has(id), false, `a late answer does not bring the ${type} back`);
  }
});

t.test("a look that hangs holds up neither other looks nor the listing for long", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("stuck"), container("web"));
  bench.engine.hold("container stuck");
  await bench.start();
  t.equal(bench.inventory.containers.has("web"), true);
  t.equal(bench.feed.state.kind, "listing");
  await bench.pass(10_000);
  t.equal(bench.feed.state.kind, "following");
  bench.engine.put(container("late"));
  bench.engine.event("container", "start", "late");
  await settled();
  t.equal(bench.inventory.containers.has("late"), true);
  bench.engine.release("container stuck");
  await settled();
  t.equal(bench.inventory.containers.has("stuck"), true);
});

t.test("a look that fails is told of, and costs that container only until its next event", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("bad"), container("web"));
  bench.engine.break("container bad", new Error("invalid character"));
  await bench.start();
  t.equal(bench.feed.state.kind, "following");
  t.same([...bench.inventory.containers.keys()], ["web"]);
  t.equal(bench.warnings.length, 1);
  bench.engine.break("container bad", undefined);
  bench.engine.event("container", "start", "bad");
  await settled();
  t.equal(bench.inventory.containers.has("bad"), true);
});

t.test("when the stream ends everything is listed anew", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("kept"), container("gone"));
  bench.engine.putNetwork("n-gone");
  await bench.start();
  bench.engine.subscriptions[0]!.onEnd("the event stream ended");
  t.match(bench.feed.state, { kind: "waiting", reason: "the event stream ended" });
  t.same([...bench.inventory.containers.keys()], ["kept", "gone"], "what is known stays while dockerd is away");
  bench.engine.containers.delete("gone");
  bench.engine.networks.delete("n-gone");
  bench.engine.put(container("new"));
  bench.engine.putNetwork("n-new");
  await bench.pass(1000);
  t.equal(bench.feed.state.kind, "following");
  t.same([...bench.inventory.containers.keys()], ["kept", "new"]);
  t.same([...bench.inventory.networks.keys()], ["n-new"]);
  t.equal(bench.engine.subscriptions[0]!.closed, true);
});

t.test("a stream that is over is listened to no more", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  const [first] = bench.engine.subscriptions;
  first!.onEnd("the event stream ended");
  await bench.pass(1000);
  bench.engine.put(container("web"));
  first!.onEvent({ type: "container", action: "start", id: "web", container: undefined });
  first!.onEnd("again");
  await settled();
  t.equal(bench.inventory.containers.has("web"), false);
  t.equal(bench.feed.state.kind, "following");
  t.equal(bench.engine.subscriptions.length, 2);
});

t.test("an absent dockerd is waited for, and missed aloud once", async (t) => {
  const bench = new Bench(t);
  bench.engine.absent = "connect ENOENT /fake.sock";
  await bench.start();
  t.match(bench.feed.state, { kind: "waiting", reason: "connect ENOENT /fake.sock" });
  await bench.pass(minute);
  t.ok(bench.engine.asked("subscribe") > 20, "it is tried again and again");
  t.ok(bench.engine.asked("subscribe") < 60, "but not in a hurry");
  t.equal(bench.warnings.length, 1);
  bench.engine.absent = undefined;
  await bench.pass(2000);
  t.equal(bench.feed.state.kind, "following");
  bench.engine.subscriptions.at(-1)!.onEnd("the event stream ended");
  t.equal(bench.warnings.length, 2, "the next outage is another");
});

t.test("dockerd may fail within the listing", async (t) => {
  const bench = new Bench(t);
  bench.engine.break("networks", new Error("socket hang up"));
  await bench.start();
  t.match(bench.feed.state, { kind: "waiting", reason: "socket hang up" });
  t.equal(bench.engine.subscriptions[0]!.closed, true, "the subscription does not stay behind");
  bench.engine.break("networks", undefined);
  await bench.pass(1000);
  t.equal(bench.feed.state.kind, "following");
});

t.test("what no event told of is found by listing from time to time", async (t) => {
  const bench = new Bench(t);
  bench.engine.put(container("gone"), container("changed"));
  await bench.start();
  for (const round of [1, 2]) {
    bench.engine.containers.clear();
    bench.engine.put(container("changed", { name: `round ${round}` }), container(`new ${round}`));
    await bench.pass(minute + 100);
    t.same([...bench.inventory.containers.keys()].sort(), ["changed", `new ${round}`]);
    t.equal(bench.inventory.containers.get("changed")?.name, `round ${round}`);
  }
  t.equal(bench.engine.subscriptions.length, 1);
});

t.test("a listing that fails later on is an outage", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.engine.absent = "socket hang up";
  await bench.pass(minute + 100);
  t.match(bench.feed.state, { kind: "waiting", reason: "socket hang up" });
  bench.engine.absent = undefined;
  await bench.pass(3000);
  t.equal(bench.feed.state.kind, "following");
});

t.test("stopping closes the stream, whether it is there yet or not, and is for good", async (t) => {
  for (const when of ["following", "connecting", "waiting"]) {
    const bench = new Bench(t);
    if (when === "connecting") bench.engine.hold("subscribe");
    if (when === "waiting") bench.engine.absent = "no";
    await bench.start();
    bench.feed.stop();
    bench.engine.absent = undefined;
    bench.engine.release("subscribe");
    await bench.pass(2 * minute);
    t.equal(bench.feed.state.kind, "stopped", when);
    t.equal(bench.engine.asked("subscribe"), 1, when);
    t.ok(
      bench.engine.subscriptions.every(({ closed }) => closed),
      when,
    );
    mock.timers.reset();
  }
});

t.test("a container that joins is known by its address before it can be inspected", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  await bench.start();
  bench.engine.hold("container web");
  bench.engine.put(container("web", { running: false }));
  bench.engine.event("container", "create", "web");
  bench.engine.putNetwork("n1", listed("web", "10.0.0.2"));
  bench.engine.event("network", "connect", "n1", "web");
  await settled();
  t.match(bench.inventory.containers.get("web"), { partial: true, name: "web" });
  t.equal(bench.ipv4("web"), "10.0.0.2");
  t.same(bench.feed.joins.networks(), ["n1"]);
  bench.engine.put(container("web", { endpoints: [endpoint("n1", "10.0.0.2")] }));
  bench.engine.event("container", "start", "web");
  bench.engine.release("container web");
  await settled();
  t.match(bench.inventory.containers.get("web"), { partial: false, excess: undefined, running: true });
  t.same(bench.feed.joins.networks(), [], "a container that runs has joined");
});

t.test("a start that failed does not count as a join any more", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  bench.engine.put(container("web", { running: false, endpoints: [endpoint("n1")] }));
  await bench.start();
  bench.engine.event("network", "connect", "n1", "web");
  bench.engine.event("network", "disconnect", "n1", "web");
  await settled();
  t.same(bench.feed.joins.networks(), []);
});

t.test("a container that dies keeps its address until it has left the network", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1", listed("web", "10.0.0.2"));
  bench.engine.put(container("web", { endpoints: [endpoint("n1", "10.0.0.2")] }));
  await bench.start();
  bench.engine.put(container("web", { running: false, endpoints: [endpoint("n1", "10.0.0.2")] }));
  bench.engine.event("container", "die", "web");
  await settled();
  t.match(bench.inventory.containers.get("web"), { running: false });
  t.equal(bench.ipv4("web"), "10.0.0.2");
  // The look that a hung inspect still owes must not be waited for.
  bench.engine.hold("container web");
  bench.engine.event("network", "disconnect", "n1", "web");
  t.equal(bench.ipv4("web"), undefined, "at once");
});

t.test("a container that never leaves loses its address after a while", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  bench.engine.put(container("web", { endpoints: [endpoint("n1", "10.0.0.2")] }));
  await bench.start();
  bench.engine.put(container("web", { running: false, endpoints: [endpoint("n1", "10.0.0.2")] }));
  bench.engine.event("container", "die", "web");
  await bench.pass(4000);
  t.equal(bench.ipv4("web"), "10.0.0.2");
  await bench.pass(2000);
  t.equal(bench.ipv4("web"), undefined);
});

t.test("a container that comes back in time keeps its address", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  const running = container("web", { endpoints: [endpoint("n1", "10.0.0.2")] });
  bench.engine.put(running);
  await bench.start();
  bench.engine.put({ ...running, running: false });
  bench.engine.event("container", "die", "web");
  await bench.pass(1000);
  bench.engine.put(running);
  bench.engine.event("container", "start", "web");
  await bench.pass(10_000);
  t.equal(bench.ipv4("web"), "10.0.0.2");
});

t.test("an address that a crashed dockerd left behind is not believed", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1");
  bench.engine.put(container("web", { running: false, endpoints: [endpoint("n1", "10.0.0.2")] }));
  await bench.start();
  t.match(bench.inventory.containers.get("web"), { running: false });
  t.equal(bench.ipv4("web"), undefined);
});

t.test("a network that no longer lists a container has it looked at again", async (t) => {
  const bench = new Bench(t);
  bench.engine.putNetwork("n1", listed("web", "10.0.0.2"));
  bench.engine.put(container("web", { endpoints: [endpoint("n1", "10.0.0.2")] }));
  await bench.start();
  bench.engine.putNetwork("n1");
  bench.engine.put(container("web", { endpoints: [] }));
  bench.engine.event("network", "update", "n1");
  await settled();
  t.equal(bench.ipv4("web"), undefined);
});

t.test(
  "the address on docker_gwbridge is looked up for containers that need it, since no event tells of it",
  async (t) => {
    const bench = new Bench(t);
    const gateway = (id: string) => bench.inventory.gatewayOf(id)?.endpoint.ipv4;
    bench.engine.putOverlay("wide");
    bench.engine.putNetwork("n1");
    bench.engine.putNetwork("docker_gwbridge", listed("early", "172.18.0.2"), listed("ingress-sbox", "172.18.0.9"));
    bench.engine.put(
      container("early", { endpoints: [endpoint("wide", "10.0.1.2")] }),
      container("plain", { endpoints: [endpoint("n1", "10.0.0.2")] }),
    );
    await bench.start();
    t.equal(gateway("early"), "172.18.0.2");
    t.same(bench.inventory.containers.get("early")?.endpoints.length, 1, "it does not count as a network of its own");
    t.notOk(bench.inventory.containers.has("ingress-sbox"));
    t.equal(bench.engine.asked("network docker_gwbridge"), 1, "the listing brings it");

    bench.engine.put(
      container("late", { endpoints: [endpoint("wide", "10.0.1.3")] }),
      container("other", { endpoints: [endpoint("n1", "10.0.0.3")] }),
    );
    bench.engine.putNetwork("docker_gwbridge", listed("early", "172.18.0.2"), listed("late", "172.18.0.3"));
    const seen: (string | undefined)[] = [];
    bench.inventory.onChange(({ containers }) => containers.has("late") && seen.push(gateway("late")));
    bench.engine.event("container", "start", "late");
    bench.engine.event("container", "start", "other");
    await settled();
    t.equal(gateway("late"), "172.18.0.3");
    t.same(new Set(seen), new Set(["172.18.0.3"]), "it is never shown without");
    t.equal(bench.engine.asked("network docker_gwbridge"), 2, "others are not asked for");

    bench.engine.put(container("late", { endpoints: [endpoint("wide", "10.0.1.3"), endpoint("n1", "10.0.0.4")] }));
    bench.engine.putNetwork("docker_gwbridge", listed("early", "172.18.0.3"));
    bench.engine.event("network", "connect", "n1", "late");
    await settled();
    t.equal(gateway("late"), undefined, "Docker takes it back when there is another way");

    bench.engine.putOverlay("new");
    bench.engine.put(container("third", { endpoints: [endpoint("new", "10.0.2.3")] }));
    bench.engine.putNetwork("docker_gwbridge", listed("third", "172.18.0.4"));
    bench.engine.event("container", "start", "third");
    await settled();
    bench.engine.event("network", "connect", "new", "third");
    await settled();
    t.equal(gateway("third"), "172.18.0.4", "also on a network that becomes known only then");
  },
);
