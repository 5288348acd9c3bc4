import { pino } from "pino";
import t from "tap";
import { keys, type SharedEndpoint } from "./records.js";
import { hostRecord, reservedEndpoint, sharedNetwork, SimulatedHost } from "./testing/simulated-host.js";
import { SimulatedStore } from "./testing/simulated-store.js";

const log = pino({ level: "silent" });
const [east, west] = [hostRecord(1, "east"), hostRecord(2, "west")];

/** Two hosts that share network `n`. */
async function twoHosts() {
  const store = new SimulatedStore();
  const hosts = [new SimulatedHost(east, store, log), new SimulatedHost(west, store, log)] as const;
  await hosts[0].cluster.createNetwork(() => sharedNetwork("n"));
  /** Whose the addresses are, by number. */
  const owners = () => {
    const prefix = keys.taken.addressesOn("n");
    const { records } = store.read(prefix);
    return Object.fromEntries([...records.values()].map(({ key, value }) => [key.slice(prefix.length), value]));
  };
  return { store, hosts, owners };
}

/** A sandbox of pontoon's own on host east: its address comes and goes with it. */
function sandboxAt(ipv4: string): SharedEndpoint {
  const endpoint = { ...reservedEndpoint(east, "n", "own", { ipv4 }) };
  delete endpoint.reserved;
  return endpoint;
}

t.test("an address is one host's until that gives it back", async (t) => {
  const { hosts, owners } = await twoHosts();
  const [one, other] = [hosts[0].cluster.reservations, hosts[1].cluster.reservations];
  const had = await Promise.all([one.reserve("n", "10.88.0.2"), other.reserve("n", "10.88.0.2")]);
  t.same(had, [true, false]);
  t.ok(await one.reserve("n", "10.88.0.2"), "it has it already");
  t.ok(await other.reserve("n", "10.88.0.3"));
  t.same(owners(), { "10.88.0.2": { host: "h1" }, "10.88.0.3": { host: "h2" } });
  await other.free("n", "10.88.0.2");
  t.same(Object.keys(owners()), ["10.88.0.2", "10.88.0.3"], "it is another host's to give back");
  await one.free("n", "10.88.0.2");
  await one.free("n", "10.88.0.2");
  t.ok(await other.reserve("n", "10.88.0.2"));
  t.same(owners(), { "10.88.0.2": { host: "h2" }, "10.88.0.3": { host: "h2" } });
});

t.test("an address of a sandbox of the same host is that sandbox's", async (t) => {
  const { hosts, owners } = await twoHosts();
  const [{ cluster }] = hosts;
  await cluster.claim(sandboxAt("10.88.0.2"));
  t.notOk(await cluster.reservations.reserve("n", "10.88.0.2"));
  const web = reservedEndpoint(east, "n", "web");
  t.same(await cluster.claim(web), { kind: "addresses-taken", ips: ["10.88.0.2"] });
  await cluster.reservations.free("n", "10.88.0.2");
  t.same(await cluster.reservations.compare("n", new Set(["10.88.0.2"])), { lost: ["10.88.0.2"] });
  t.same(owners(), { "10.88.0.2": { host: "h1", endpoint: "e-own" } });
});

t.test("no address is taken on a network that is gone, nor by a host that was forgotten", async (t) => {
  const { hosts, owners } = await twoHosts();
  const { reservations } = hosts[0].cluster;
  await t.rejects(reservations.reserve("gone", "10.88.0.2"), { code: "NETWORK_UNKNOWN" });
  hosts[1].hear();
  await hosts[1].cluster.forget("east");
  await t.rejects(reservations.reserve("n", "10.88.0.2"), { code: "HOST_FORGOTTEN" });
  t.same(owners(), {});
});

t.test("what is taken and not heard of can be taken again, and what is out of reach cannot", async (t) => {
  const { hosts } = await twoHosts();
  const [{ way, cluster }] = hosts;
  way.fates.push("done unheard");
  await t.rejects(cluster.reservations.reserve("n", "10.88.0.2"), { code: "CLUSTER_UNCERTAIN" });
  t.ok(await cluster.reservations.reserve("n", "10.88.0.2"));
  way.isCut = true;
  await t.rejects(cluster.reservations.free("n", "10.88.0.2"), { code: "CLUSTER_AWAY" });
});

t.test("a comparison takes what the host holds, frees what it does not, and tells what is lost", async (t) => {
  const { store, hosts, owners } = await twoHosts();
  const [one, other] = [hosts[0].cluster, hosts[1].cluster];
  await one.reservations.reserve("n", "10.88.0.2");
  await one.reservations.reserve("n", "10.88.0.3");
  await other.reservations.reserve("n", "10.88.0.4");
  await other.reservations.reserve("n", "10.88.0.5");
  await one.claim(sandboxAt("10.88.0.9"));
  // A later version writes what this one does not know.
  store.commit({ requires: [], changes: [{ key: keys.taken.address("n", "10.88.0.10"), value: "later" }] });
  const compared = await one.reservations.compare("n", new Set(["10.88.0.3", "10.88.0.4", "10.88.0.7", "10.88.0.10"]));
  t.same(compared, { lost: ["10.88.0.4", "10.88.0.10"] });
  t.same(owners(), {
    "10.88.0.3": { host: "h1" },
    "10.88.0.4": { host: "h2" },
    "10.88.0.5": { host: "h2" },
    "10.88.0.7": { host: "h1" },
    "10.88.0.9": { host: "h1", endpoint: "e-own" },
    "10.88.0.10": "later",
  });
});

t.test("an endpoint comes and goes on an address that its host has", async (t) => {
  const { hosts, owners } = await twoHosts();
  const [one, other] = [hosts[0].cluster, hosts[1].cluster];
  await one.reservations.reserve("n", "10.88.0.2");
  const web = reservedEndpoint(east, "n", "web");
  t.match(await one.claim(web), { kind: "done" });
  const thief = reservedEndpoint(west, "n", "thief");
  t.same(await other.claim(thief), { kind: "addresses-taken", ips: ["10.88.0.2"] });
  t.ok(await one.release([web]));
  t.same(owners(), { "10.88.0.2": { host: "h1" } }, "it is the host's still");
  t.same(await other.claim(thief), { kind: "addresses-taken", ips: ["10.88.0.2"] });
  t.match(await one.claim(reservedEndpoint(east, "n", "next")), { kind: "done" });
});

t.test(
  "an address that the store has lost is the host's again with the endpoint's claim, and outlives it",
  async (t) => {
    const { hosts, owners } = await twoHosts();
    const [{ cluster }] = hosts;
    const web = reservedEndpoint(east, "n", "web", { ipv6: "fd00:88::2" });
    t.match(await cluster.claim(web), { kind: "done" });
    await cluster.release([web]);
    t.same(owners(), { "10.88.0.2": { host: "h1" }, "fd00:88::2": { host: "h1" } });
  },
);

t.test("with a host that is forgotten go its addresses, and nobody else's", async (t) => {
  const { hosts, owners } = await twoHosts();
  const [one, other] = hosts;
  await one.cluster.reservations.reserve("n", "10.88.0.2");
  await one.cluster.reservations.reserve("n", "10.88.0.3");
  await other.cluster.reservations.reserve("n", "10.88.0.4");
  await one.cluster.claim(reservedEndpoint(east, "n", "web"));
  other.hear();
  t.match(await other.cluster.forget("east"), { host: { id: "h1" }, endpoints: 1 });
  t.same(owners(), { "10.88.0.4": { host: "h2" } });
});
