import { pino } from "pino";
import t from "tap";
import { Cluster } from "./cluster.js";
import { Mirror } from "./mirror.js";
import { keys, type SharedEndpoint, type SharedNetwork } from "./records.js";
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
