import { pino } from "pino";
import t from "tap";
import { Cluster } from "./cluster.js";
import { Mirror } from "./mirror.js";
import { keys, readRecord, type SharedEndpoint, type SharedNetwork } from "./records.js";
import { hostRecord, reservedEndpoint, sharedNetwork, SimulatedHost } from "./testing/simulated-host.js";
import { SimulatedStore, SimulatedWay } from "./testing/simulated-store.js";
import { joining } from "./transactions.js";

const host = { id: "h1", name: "east", advertise: "10.99.0.1", joined: "" };

function clusterOf(store: SimulatedStore, own = host): Cluster {
  store.commit(joining(own, undefined));
  return new Cluster(own, new Mirror(), new SimulatedWay(store, () => Promise.resolve()), pino({ level: "silent" }));
}

const networkOf = (id: string, name: string, subnet: string): SharedNetwork => ({
  id,
  name,
  created: "",
  subnets: [{ subnet, gateway: "10.88.0.1" }],
  internal: false,
  masquerade: true,
  mtu: 1450,
  vni: 0x100000 + id.charCodeAt(0),
  labels: {},
});
const endpointOf = (network: string): SharedEndpoint => ({
  id: `e-${network}`,
  network,
  host: "h1",
  sandbox: "s1",
  name: "web",
  hostname: "web",
  aliases: [],
  exposed: [],
  ipv4: "10.88.0.2",
  mac: "02:42:0a:58:00:02",
});

t.test("a network takes its name and its subnets at once, and gives both back", async (t) => {
  const store = new SimulatedStore();
  const [east, west] = [
    clusterOf(store),
    clusterOf(store, { ...host, id: "h2", name: "west", advertise: "10.99.0.2" }),
  ];
  const seen: string[][] = [];
  const create = (cluster: Cluster, id: string, name: string) =>
    cluster.createNetwork((taken) => {
      seen.push(Object.values(taken).flat());
      return networkOf(id, name, `10.${80 + seen.length}.0.0/16`);
    });
  const [one, two] = await Promise.all([create(east, "a", "demo"), create(west, "b", "other")]);
  t.not(one.subnets[0]?.subnet, two.subnets[0]?.subnet);
  t.equal(seen.length, 3, "who came second has looked again");
  t.same(seen.at(-1), [one.subnets[0]?.subnet]);
  await t.rejects(create(west, "c", "demo"), { code: "NAME_TAKEN" });

  t.same(await east.claim(endpointOf("a")), { kind: "done", revision: 6 });
  await t.rejects(west.removeNetwork(one), { code: "NETWORK_IN_USE", message: /in use by web on host h1/ });
  t.ok(await east.release([endpointOf("a")]));
  await west.removeNetwork(one);
  await t.rejects(east.claim(endpointOf("a")), { code: "NETWORK_UNKNOWN" });
  await create(west, "c", "demo");
  await t.resolves(west.removeNetwork(one), "it is gone already");
});

t.test("an endpoint whose network is another's by now is told, and keeps no other from being compared", async (t) => {
  const store = new SimulatedStore();
  const east = clusterOf(store);
  await east.createNetwork(() => networkOf("b", "other", "10.89.0.0/16"));
  const conflicts = await east.settle([endpointOf("a"), endpointOf("b")]);
  t.same(
    conflicts.map(({ endpoint }) => endpoint.id),
    ["e-a"],
  );
  t.ok(store.read("").records.has(keys.endpoint("b", "web")));
});

const log = pino({ level: "silent" });
const [east, west] = [hostRecord(1, "east"), hostRecord(2, "west")];

t.test("a network that a dockerd has had made gets its name later, and is one name for all hosts", async (t) => {
  const store = new SimulatedStore();
  const [one, other] = [new SimulatedHost(east, store, log), new SimulatedHost(west, store, log)];
  const docker = { options: { encrypted: "" }, isNamed: false };
  const made = sharedNetwork("a", { docker, isEncrypted: true });
  await one.cluster.createNetwork(() => made);
  await other.cluster.createNetwork(() => sharedNetwork("b", { name: "taken" }));
  await t.rejects(one.cluster.nameNetwork("a", "taken"), { code: "NAME_TAKEN" });
  await one.cluster.nameNetwork("a", "demo");
  other.hear();
  const named = { ...made, name: "demo", docker: { ...docker, isNamed: true } };
  t.same(other.mirror.networks.get("a"), named, "all else of it is as it was: it is encrypted still");
  t.same(other.mirror.networks.get("b"), sharedNetwork("b", { name: "taken" }), "nobody's name is taken away");
  await t.rejects(
    other.cluster.createNetwork(() => sharedNetwork("c", { name: "demo" })),
    { code: "NAME_TAKEN" },
  );
  await other.cluster.createNetwork(() => sharedNetwork("c", { name: "a" }));
  await one.cluster.nameNetwork("a", "demo");
  await t.rejects(one.cluster.nameNetwork("none", "demo"), { code: "NETWORK_UNKNOWN" });
});

t.test("a network of pontoon's own is offered to Docker under its own name", async (t) => {
  const store = new SimulatedStore();
  const one = new SimulatedHost(east, store, log);
  await one.cluster.createNetwork(() => networkOf("a", "demo", "10.88.0.0/24"));
  await one.cluster.nameNetwork("a", "demo");
  one.hear();
  t.match(one.mirror.networks.get("a"), { name: "demo", docker: { options: {}, isNamed: true } });
});

t.test("two networks are named at once: one gets the name, and the other can have another", async (t) => {
  const store = new SimulatedStore();
  const [one, other] = [new SimulatedHost(east, store, log), new SimulatedHost(west, store, log)];
  await one.cluster.createNetwork(() => sharedNetwork("a"));
  await one.cluster.createNetwork(() => sharedNetwork("b"));
  const outcomes = await Promise.allSettled([
    one.cluster.nameNetwork("a", "demo"),
    other.cluster.nameNetwork("b", "demo"),
  ]);
  t.same(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  await t.resolves(other.cluster.nameNetwork("b", "other"));
  // Both name the same one: who comes second looks again.
  await Promise.all([one.cluster.nameNetwork("a", "east"), other.cluster.nameNetwork("a", "west")]);
  one.hear();
  t.equal(one.mirror.networks.get("a")?.name, "west");
  const names = [...store.read("taken/network-names/").records.keys()];
  t.same(names.sort(), [keys.taken.networkName("other"), keys.taken.networkName("west")]);
});

t.test("a network that is removed gives back the name it has by now", async (t) => {
  const store = new SimulatedStore();
  const [one, other] = [new SimulatedHost(east, store, log), new SimulatedHost(west, store, log)];
  const made = await one.cluster.createNetwork(() => sharedNetwork("a"));
  await other.cluster.nameNetwork("a", "demo");
  await one.cluster.removeNetwork(made); // it has not heard of the name
  t.same([...store.read("taken/network-names/").records.keys()], []);
  const again = await one.cluster.createNetwork(() => sharedNetwork("a"));
  await Promise.all([other.cluster.nameNetwork("a", "demo"), one.cluster.removeNetwork(again)]);
  t.same([...store.read("taken/network-names/").records.keys()], []);
});

t.test("an endpoint is changed under its name, or moved to another that is free", async (t) => {
  const store = new SimulatedStore();
  const [one, other] = [new SimulatedHost(east, store, log), new SimulatedHost(west, store, log)];
  await one.cluster.createNetwork(() => sharedNetwork("a", { name: "demo" }));
  const web = reservedEndpoint(east, "a", "web");
  await one.cluster.claim(web);
  await other.cluster.claim(reservedEndpoint(west, "a", "db", { ipv4: "10.88.0.3" }));
  one.hear();
  const stored = () => one.mirror.endpointsOn("a").get("web")!;
  await one.cluster.change(stored(), { ...web, aliases: ["www"] });
  const stale = stored();
  one.hear();
  t.same(stored().endpoint.aliases, ["www"]);
  await one.cluster.change(stale, { ...web, aliases: ["old"] });
  t.equal(one.hear().length, 0, "what is otherwise in the store by now is left alone");
  await t.rejects(one.cluster.change(stored(), { ...web, name: "db" }), {
    code: "ENDPOINT_NAME_TAKEN",
    message: /^endpoint with name db already exists in network demo;/,
  });
  await one.cluster.change(stored(), { ...web, name: "shop" });
  const { records } = store.read(keys.endpointsOn("a"));
  const names = [...records.values()].map(({ key, value }) => [key, readRecord(key, value)?.kind]);
  t.same(names.sort(), [
    [keys.endpoint("a", "db"), "endpoint"],
    [keys.endpoint("a", "shop"), "endpoint"],
  ]);
  t.match(records.get(keys.endpoint("a", "shop"))?.value, { id: web.id, name: "shop" });
  t.match(await other.cluster.claim(reservedEndpoint(west, "a", "web", { ipv4: "10.88.0.4" })), { kind: "done" });
});
