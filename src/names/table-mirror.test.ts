import t from "tap";
import type { ToServer } from "../../dns/protocol.js";
import { TableMirror } from "./table-mirror.js";

const network = (id: string, name = id): ToServer => ({
  kind: "network",
  network: { source: "docker", id, name, shared: false },
});
const endpoint = (container: string, ttl = 5): ToServer => ({
  kind: "endpoint",
  endpoint: {
    source: "docker",
    network: "n",
    container,
    names: [container],
    ipv4: undefined,
    ipv6: undefined,
    ports: [],
    ttl,
  },
});
const gone = (container: string): ToServer => ({ kind: "endpoint-gone", network: "n", container });

const key = (message: ToServer) =>
  message.kind === "endpoint"
    ? message.endpoint.container
    : message.kind === "network"
      ? message.network.id
      : message.kind;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A mirror whose server writes down what it is told. */
function connected(mirror = new TableMirror()) {
  const sent: ToServer[] = [];
  const state = { done: 0 };
  mirror.connect((message) => sent.push(message));
  mirror.tell("docker", () => state.done++);
  return { mirror, sent, state };
}

t.test("a change is sent at once, and what stays the same is not", (t) => {
  const { mirror, sent } = connected();
  mirror.put("a", endpoint("a"));
  mirror.put("a", endpoint("a"));
  mirror.put("a", endpoint("a", 6));
  t.same(sent, [endpoint("a"), endpoint("a", 6)]);
  t.same(mirror.get("a"), endpoint("a", 6));
  t.end();
});

t.test("what goes is told if it was known", (t) => {
  const { mirror, sent } = connected();
  mirror.put("a", endpoint("a"));
  mirror.remove("a", gone("a"));
  mirror.remove("a", gone("a"));
  mirror.remove("b", gone("b"));
  t.same(sent, [endpoint("a"), gone("a")]);
  mirror.put("a", endpoint("a"));
  t.same(sent.at(-1), endpoint("a"), "what comes back is new");
  mirror.remove("a");
  t.equal(sent.length, 3, "some go without a word");
  t.equal(mirror.get("a"), undefined);
  t.end();
});

t.test("a server that connects is told everything, networks first, and then that it is all", (t) => {
  const mirror = new TableMirror();
  mirror.put("a", endpoint("a"));
  mirror.put("n", network("n"));
  const { sent, state } = connected(mirror);
  t.same(sent, [network("n"), endpoint("a")]);
  t.equal(state.done, 1);
  t.end();
});

t.test("a large table is sent in slices, between which others get a turn and changes are told", async (t) => {
  const mirror = new TableMirror();
  const count = 1000;
  for (let index = 0; index < count; index++) mirror.put(`e${index}`, endpoint(`e${index}`));
  const { sent, state } = connected(mirror);
  t.ok(sent.length < count / 2, `${sent.length} at first`);
  t.equal(state.done, 0);
  mirror.put("e999", endpoint("e999", 7));
  mirror.remove("e998", gone("e998"));
  mirror.put("new", endpoint("new"));
  for (let turns = 0; turns < 100 && state.done === 0; turns++) await turn();
  t.equal(state.done, 1);
  const last = new Map(
    sent.map((message) => [message.kind === "endpoint-gone" ? message.container : key(message), message]),
  );
  t.equal(last.size, count + 1);
  t.same(last.get("e999"), endpoint("e999", 7), "nothing older comes after a change");
  t.same(last.get("e998"), gone("e998"));
});

t.test("a server that goes away is told nothing more, and the next is told everything", async (t) => {
  const mirror = new TableMirror();
  for (let index = 0; index < 1000; index++) mirror.put(`e${index}`, endpoint(`e${index}`));
  const first = connected(mirror);
  mirror.disconnect();
  mirror.put("late", endpoint("late"));
  const before = first.sent.length;
  const second = connected(mirror);
  for (let turns = 0; turns < 100 && second.state.done === 0; turns++) await turn();
  t.equal(first.sent.length, before);
  t.equal(first.state.done, 0);
  t.equal(second.sent.length, 1001);
  t.equal(second.state.done, 1);
});

const owns = (id: string, source: "docker" | "pontoon" = "pontoon"): ToServer => ({
  kind: "network",
  network: { source, id, name: id, shared: false },
});
const ownEndpoint = (network: string): ToServer => ({
  kind: "endpoint",
  endpoint: {
    source: "pontoon",
    network,
    container: "s",
    names: ["s"],
    ipv4: undefined,
    ipv6: undefined,
    ports: [],
    ttl: 5,
  },
});

t.test("a source is told of when it is complete, whatever there is of others", (t) => {
  const mirror = new TableMirror();
  const sent: ToServer[] = [];
  const take = () => sent.splice(0);
  mirror.put("gap", { kind: "gap", gap: { everywhere: true, networks: [] } });
  mirror.put("a", endpoint("a"));
  mirror.put("own", owns("own"));
  mirror.connect((message) => sent.push(message));
  t.same(take(), [{ kind: "gap", gap: { everywhere: true, networks: [] } }]);
  mirror.tell("pontoon", () => sent.push({ kind: "alive" }));
  t.same(take(), [owns("own"), { kind: "alive" }]);
  mirror.put("b", endpoint("b"));
  mirror.remove("a", gone("a"));
  t.same(take(), [], "not yet");
  mirror.put("own s", ownEndpoint("own"));
  mirror.put("n s", ownEndpoint("n"));
  take();
  mirror.put("network n", network("n"));
  mirror.tell("docker", () => undefined);
  t.same(take(), [network("n"), endpoint("b"), ownEndpoint("n")], "what is on a network comes again after it");
  mirror.remove("b", gone("b"));
  t.same(take(), [gone("b")]);
  t.end();
});
