import t from "tap";
import { PontoonError } from "../../common/errors.js";
import { Registry } from "./registry.js";
import { MemoryStore } from "./testing/memory-store.js";
import { endpointRecord, networkRecord, refusalOf, registryOf, sandboxRecord } from "./testing/records.js";

const [network, sandbox] = [networkRecord(1), sandboxRecord("a")];
const endpoint = endpointRecord(sandbox, network);
const all = { networks: [network], sandboxes: [sandbox], endpoints: [endpoint] };

t.test("what is committed is read by the next process", (t) => {
  const store = new MemoryStore();
  const registry = new Registry(store);
  t.ok(registry.isEmpty);
  registry.commit(all);
  const next = new Registry(store);
  next.load();
  t.same(
    [[...next.networks.values()], [...next.sandboxes.values()], [...next.endpoints.values()]],
    [[network], [sandbox], [endpoint]],
  );
  t.notOk(next.isEmpty);
  next.commit({ removed: { endpoints: [endpoint.id], sandboxes: [sandbox.id], networks: [network.id] } });
  t.ok(next.isEmpty);
  const last = new Registry(store);
  last.load();
  t.ok(last.isEmpty);
  t.same([last.endpoints.size, store.putAsideOnes], [0, []]);
  t.end();
});

t.test("what could not be stored has not changed", (t) => {
  const store = new MemoryStore();
  const registry = new Registry(store);
  store.failure = new PontoonError("STORE_UNWRITABLE", "store", "the disk is full");
  t.throws(() => registry.commit(all), { code: "STORE_UNWRITABLE" });
  t.ok(registry.isEmpty);
  t.equal(registry.endpoints.size, 0);
  t.end();
});

t.test("what makes no sense is put aside, with what belongs to it", (t) => {
  const other = networkRecord(2);
  const cases: [
    what: string,
    kind: "network" | "sandbox" | "endpoint",
    key: string,
    value: unknown,
    aside: RegExp[],
  ][] = [
    [
      "no record",
      "network",
      network.id,
      "nonsense",
      [/^network 1+: /, /^endpoint e1.*: its network or its sandbox is not there$/],
    ],
    ["a field of another type", "network", network.id, { ...network, mtu: "1500" }, [/^network 1/, /^endpoint e1/]],
    ["a field too many", "sandbox", sandbox.id, { ...sandbox, more: 1 }, [/^sandbox 61/, /^endpoint e1/]],
    ["another's key", "network", other.id, network, [/^network 2+: its id is another one$/]],
    [
      "an endpoint of no network",
      "endpoint",
      "lost",
      { ...endpoint, id: "lost", network: "no" },
      [/^endpoint lost: its network/],
    ],
    ["a port that is none", "sandbox", sandbox.id, { ...sandbox, exposed: [[80, "icmp"]] }, [/^sandbox/, /^endpoint/]],
  ];
  for (const [what, kind, key, value, aside] of cases) {
    const store = new MemoryStore();
    new Registry(store).commit(all);
    store.write([{ kind, key, value }]);
    const registry = new Registry(store);
    registry.load();
    t.matchOnly(store.putAsideOnes, aside, what);
    t.equal(
      registry.endpoints.size,
      aside.some((text) => text.source.includes("endpoint e") || text.source === "^endpoint") ? 0 : 1,
      what,
    );
  }
  t.end();
});

t.test("a record of an earlier version has what came later by default", (t) => {
  const store = new MemoryStore();
  const { firewall, labels, ...earlier } = network;
  store.write([{ kind: "network", key: network.id, value: earlier }]);
  const registry = new Registry(store);
  registry.load();
  t.same(registry.networks.get(network.id), { ...earlier, firewall, labels });
  t.end();
});

t.test("things are found by name, by id, and by the beginning of one that stands for one only", (t) => {
  const [abc, abd] = ["abcc", "abcd"].map((begin) =>
    networkRecord(1, { id: begin.padEnd(64, "0"), name: `of-${begin}` }),
  );
  const named = networkRecord(2, { name: "abcc" });
  const registry = registryOf({ networks: [abc!, abd!, named], sandboxes: [sandbox] });
  t.equal(registry.network("of-abcd"), abd);
  t.equal(registry.network("abcc"), named, "a name counts before an id");
  t.equal(registry.network("abcd"), abd);
  t.equal(registry.network(abc!.id), abc);
  for (const text of ["abc", "2", "", "zzzz"])
    t.match(
      refusalOf(() => registry.network(text)),
      { 0: "NETWORK_UNKNOWN", 1: /pontoon network ls/ },
      text,
    );
  t.equal(registry.sandbox("a"), sandbox);
  t.match(
    refusalOf(() => registry.sandbox("b")),
    { 0: "SANDBOX_UNKNOWN", 1: /^there is no sandbox b; `pontoon sandbox ls` shows/ },
  );
  t.end();
});

t.test("endpoints are told by network and by sandbox", (t) => {
  const [two, b] = [networkRecord(2), sandboxRecord("b")];
  const places = [endpoint, endpointRecord(sandbox, two), endpointRecord(b, two)];
  const registry = registryOf({ networks: [network, two], sandboxes: [sandbox, b], endpoints: places });
  t.same(registry.endpointsOf({ sandbox: sandbox.id }), places.slice(0, 2));
  t.same(registry.endpointsOf({ network: two.id }), places.slice(1));
  t.same(registry.endpointsOf({ network: two.id, sandbox: b.id }), places.slice(2));
  t.equal(registry.endpointsOf({}).length, 3);
  t.end();
});
