import t, { type Test } from "tap";
import { keys, type SharedEndpoint } from "../../../cluster/records.js";
import { hostRecord, reservedEndpoint, sharedNetwork } from "../../../cluster/testing/simulated-host.js";
import { SimulatedStore } from "../../../cluster/testing/simulated-store.js";
import { container, endpoint } from "../../../inventory/testing/containers.js";
import type { Container } from "../../../inventory/types.js";
import type { DockerEndpointRecord } from "../records.js";
import { DockerHost, idle } from "./testing/docker-host.js";

const network = sharedNetwork("n", { name: "demo" });

/** A host whose containers come to the network as dockerd has them come. */
class Host extends DockerHost {
  place(id: string, ipv4: string, changes: Partial<DockerEndpointRecord> = {}): DockerEndpointRecord {
    const own = { id, network: `docker-${this.host.record.name}-n`, hostLink: `ptv${id}`, since: 0, ports: [] };
    const record = { ...own, mac: "02:42:0a:58:00:02", ipv4, ...changes };
    this.records.put("docker-endpoint", record);
    return record;
  }

  /** As a join has it. @param id of the endpoint; its container is `c-ID` */
  async join(id: string, name: string, ipv4: string): Promise<void> {
    const claimed = await this.endpoints.claim(this.place(id, ipv4), name);
    const place = { path: `/run/docker/netns/${id}`, containerId: `c-${id}` };
    this.records.put("docker-endpoint", { ...claimed, ...place });
  }

  /** As a leave has it. */
  async leave(id: string): Promise<void> {
    const left = { ...this.records.endpoints.get(id)! };
    delete left.path;
    this.records.put("docker-endpoint", left);
    await this.endpoints.release(left, "n");
  }

  /** Docker tells of the container of an endpoint. */
  async tell(id: string, name: string, changes: Partial<Container> = {}, aliases: string[] = []): Promise<void> {
    const record = this.records.endpoints.get(id)!;
    const endpoints = [endpoint(record.network, record.ipv4, { aliases })];
    this.inventory.source("docker").putContainer(container(`c-${id}`, { name, endpoints, ...changes }));
    this.records.put("docker-endpoint", { ...record, container: name });
    this.endpoints.review(new Set([`c-${id}`]));
    await idle();
  }
}

async function twoHosts(t: Test) {
  const store = new SimulatedStore();
  const hosts = [new Host(hostRecord(1, "east"), store), new Host(hostRecord(2, "west"), store)] as const;
  await hosts[0].host.cluster.createNetwork(() => network);
  for (const host of hosts) {
    await host.hear();
    host.takeUp(network);
    t.teardown(() => host.stop());
  }
  const stored = () => {
    const records = [...store.read(keys.endpointsOn("n")).records.values()];
    return Object.fromEntries(records.map(({ value }) => [(value as SharedEndpoint).name, value as SharedEndpoint]));
  };
  return { store, east: hosts[0], west: hosts[1], stored };
}

t.test("a container's name is claimed before it joins, and refused where another host has it", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  await west.join("e2", "web", "10.88.0.3");
  await t.rejects(east.join("e1", "web", "10.88.0.2"), {
    code: "ENDPOINT_NAME_TAKEN",
    message: /^endpoint with name web already exists in network demo;/,
  });
  t.same([east.endpoints.joinedOn("n"), east.endpoints.has("e1")], [0, false]);
  await east.join("e1", "db", "10.88.0.2");
  t.same([east.endpoints.joinedOn("n"), east.endpoints.has("e1")], [1, true]);
  t.same(stored()["db"], {
    ...reservedEndpoint(east.host.record, "n", "db", { id: "e1", hostname: "", mac: "02:42:0a:58:00:02" }),
    sandbox: "e1", // its container's id is not told before it joins
  });
  await t.rejects(east.join("e3", "third", "10.88.0.3"), { code: "ADDRESS_TAKEN" });
  await west.leave("e2");
  await east.join("e4", "web", "10.88.0.4");
  t.equal(stored()["web"]?.id, "e4");
});

t.test("one whose name Docker does not tell in time has the beginning of its id", async (t) => {
  const { east, stored } = await twoHosts(t);
  const id = "0123456789abcdef";
  t.equal((await east.endpoints.claim(east.place(id, "10.88.0.2"), undefined)).container, undefined);
  t.same(Object.keys(stored()), ["0123456789ab"]);
});

t.test("while the store is out of reach, a container has its name again that it could not give back", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  await west.join("e2", "db", "10.88.0.3");
  await east.hear();
  east.host.way.isCut = true;
  await t.rejects(east.join("e3", "web", "10.88.0.2"), { code: "CLUSTER_AWAY" }, "the other one is there");
  await t.rejects(east.join("e3", "db", "10.88.0.4"), { code: "CLUSTER_AWAY" }, "another host's");
  await t.rejects(east.join("e3", "new", "10.88.0.4"), { code: "CLUSTER_AWAY" });
  await east.leave("e1");
  t.equal(stored()["web"]?.id, "e1", "the store could not be told");
  await east.join("e4", "web", "10.88.0.2");
  t.match(east.said.at(-1), { container: "web", msg: /has its name still/ });
  await east.heal();
  t.equal(stored()["web"]?.id, "e4", "the store has heard of it");
  t.same(
    east.complaints.filter((line) => line.includes("cut off")),
    [],
  );
});

t.test("what Docker tells of a container is told when the store has been heard to have it", async (t) => {
  const { east, stored } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  const told = { hostname: "shop", ports: [[80, "tcp"]] } as const;
  await east.tell("e1", "web", { ...told, partial: true }, ["www"]);
  await east.hear();
  t.same(stored()["web"]?.aliases, [], "it is not known as a whole yet");
  await east.join("e2", "db", "10.88.0.3");
  await east.tell("e1", "web", told, ["www"]);
  await east.tell("e2", "db", told, ["sql"]);
  t.match(stored()["web"], { hostname: "shop", aliases: { length: 1, 0: "www" }, sandbox: "c-e1" });
  t.same(stored()["web"]?.exposed, [[80, "tcp"]]);
  t.same(stored()["db"]?.aliases, [], "the claim was not heard of");
  await east.hear();
  t.same(stored()["db"]?.aliases, ["sql"]);
  const { revision } = await east.host.way.read("");
  await east.hear();
  east.endpoints.review(new Set(["c-e1", "c-e2"]));
  await idle();
  t.equal((await east.host.way.read("")).revision, revision, "what is known is told once");
});

t.test("a container that is called otherwise is so for all hosts; a name that is taken is told of once", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  await west.join("e2", "db", "10.88.0.3");
  await east.hear();
  await east.tell("e1", "shop");
  t.same(Object.keys(stored()).sort(), ["db", "shop"]);
  await east.hear();
  await east.tell("e1", "db");
  await east.tell("e1", "db");
  t.same(Object.keys(stored()).sort(), ["db", "shop"]);
  t.same(east.complaints, ["other hosts do not find a container by its name: give it another one"]);
  await east.tell("e1", "store");
  t.same(Object.keys(stored()).sort(), ["db", "store"]);
  await east.hear();
  await east.leave("e1");
  t.same(Object.keys(stored()), ["db"], "what it is called by now is given back");
});

t.test("one that is called otherwise before that could be told gives back the name that it had claimed", async (t) => {
  const { east, stored } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  await east.hear();
  east.records.put("docker-endpoint", { ...east.records.endpoints.get("e1")!, container: "shop" });
  await east.leave("e1");
  t.same(stored(), {});
});

t.test("a container whose name others have by now is cut off", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  await east.hear();
  await west.hear();
  await west.host.cluster.forget("east");
  await west.join("e2", "web", "10.88.0.2");
  await east.endpoints.cutOff("none", "there is none");
  t.same([east.complaints, east.changes], [[], []]);
  await east.endpoints.cutOff("e1", "somebody else has the name web by now");
  t.same(east.changes, [{ removed: { handovers: ["e1"] } }, { removed: { networks: ["n"] } }]);
  t.equal(east.endpoints.has("e1"), false);
  t.match(east.said.at(-1), { container: "web", reason: "somebody else has the name web by now" });
  await east.endpoints.cutOff("e1", "again");
  t.same([east.changes.length, east.complaints.length], [2, 1], "once");
  t.equal(stored()["web"]?.id, "e2");
});

t.test("what cannot be cut off as a whole is told of", async (t) => {
  const { east } = await twoHosts(t);
  await east.join("e1", "web", "10.88.0.2");
  east.failure = new Error("netlink: busy");
  await east.endpoints.cutOff("e1", "lost");
  t.match(east.said.at(-2), { reason: "netlink: busy" });
  t.equal(east.endpoints.has("e1"), false);
});
