import { pino } from "pino";
import t from "tap";
import type { ForwardingSettings } from "../docker/upstreams.js";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import type { Container } from "../inventory/types.js";
import { Decisions } from "./decisions.js";
import type { NamePolicy } from "./records.js";

const outside: ForwardingSettings = { upstreams: [], forwardSingleLabels: true, search: [] };

const web = (given: Partial<Container> = {}): Container =>
  container("web", {
    sandbox: { kind: "process", id: "s1", pid: 42 },
    endpoints: [endpoint("front", "10.0.0.2")],
    ...given,
  });

class Bench {
  readonly inventory = new Inventory();
  policy: NamePolicy = { singleLabel: "forward", sharesAnswers: false };
  settings = () => Promise.resolve(outside);
  /** What was told of, in order. */
  readonly told: string[] = [];
  readonly logged: string[] = [];
  onDecided: () => void = () => undefined;
  readonly decisions: Decisions;

  constructor() {
    const log = pino({ base: null, timestamp: false }, { write: (line: string) => void this.logged.push(line) });
    this.inventory.source("docker").putNetwork(network("front"));
    this.decisions = new Decisions(
      this.inventory,
      () => this.settings(),
      () => this.policy,
      log,
      {
        onLeft: (sandbox) => this.told.push(`left ${sandbox}`),
        onDecided: ({ kind }) => {
          this.told.push(kind);
          this.onDecided();
        },
      },
    );
  }

  put(given: Partial<Container> = {}): Promise<void> {
    this.inventory.source("docker").putContainer(web(given));
    return this.decisions.review(this.inventory.containers.get("web")!); // that of before, if it is the same
  }
}

t.test("a container that is served in another sandbox, or no more, leaves the one it had", async (t) => {
  const bench = new Bench();
  const { decisions, told } = bench;
  await bench.put();
  await bench.put();
  t.same(told.splice(0), ["serve", "serve"]);
  await bench.put({ sandbox: { kind: "process", id: "s2", pid: 43 } });
  t.same(told.splice(0), ["left s1", "serve"]);
  t.same(
    [...decisions.toServe()].map(({ place }) => place),
    [{ kind: "process", id: "s2", pid: 43 }],
  );
  t.same([...decisions.toServe("s1")], []);
  await bench.put({ running: false, sandbox: undefined });
  t.same(told.splice(0), ["left s2", "leave"]);
  decisions.forget("web");
  t.same(told, [], "there is no sandbox to leave");
  t.equal(decisions.all.size, 0);
  await bench.put();
  decisions.forget("web");
  t.same(told, ["serve", "left s1"]);
});

t.test("what is found out about a state that is over by then does not count", async (t) => {
  const bench = new Bench();
  let goOn = () => {};
  const waiting = new Promise<void>((resolve) => (goOn = resolve));
  bench.settings = () => waiting.then(() => outside);
  const reviews = [bench.put({ running: false }), bench.put()];
  goOn();
  await Promise.all(reviews);
  t.same(bench.told, ["serve"]);
});

t.test("the configuration counts as it is when the decision is made", async (t) => {
  const bench = new Bench();
  bench.settings = () => {
    bench.policy = { singleLabel: "local", sharesAnswers: true };
    return Promise.resolve(outside);
  };
  await bench.put();
  const [decision] = bench.decisions.toServe("s1");
  t.match(decision?.sandbox, { singleLabels: "deny", sharesAnswers: true });
});

t.test("what cannot be worked out, or carried out, is logged and fails nothing", async (t) => {
  const bench = new Bench();
  await bench.put();
  bench.settings = () => Promise.reject(new Error("no such file"));
  await bench.put({ running: false });
  t.same(bench.told.splice(0), ["serve"], "it is left as it is");
  bench.settings = () => Promise.resolve(outside);
  bench.onDecided = () => {
    throw new RangeError("too large to tell");
  };
  await bench.put();
  t.match(bench.logged, { length: 2, 0: /no such file/, 1: /too large to tell/ });
});

t.test("that a container is left because of an error is logged once, until it is for another reason", async (t) => {
  const bench = new Bench();
  const tooLarge = (reason: string) => bench.put({ excess: { reason, names: false } });
  await tooLarge("many names");
  await tooLarge("many names");
  t.match(bench.logged, { length: 1, 0: /CONTAINER_TOO_LARGE.*many names/ });
  await tooLarge("many ports");
  await bench.put({ running: false });
  t.equal(bench.logged.length, 2);
});
