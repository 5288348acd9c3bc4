import t, { type Test } from "tap";
import type { SharedNetwork } from "../../../cluster/records.js";
import { hostRecord, sharedNetwork } from "../../../cluster/testing/simulated-host.js";
import { SimulatedStore } from "../../../cluster/testing/simulated-store.js";
import type { NewDockerNetwork } from "../../../inventory/driver-network.js";
import { DockerHost, idle } from "./testing/docker-host.js";
import { Twins } from "./twins.js";

const subnets = [{ subnet: "10.88.0.0/24", gateway: "10.88.0.1", ipRange: "10.88.0.128/25" }];
const options = { "com.docker.network.container_iface_prefix": "lan" };
const fresh = sharedNetwork("n", { subnets, docker: { options, isNamed: false } });

/** A host with a dockerd, which is played here: it does what it is told, unless it is to fail. */
class Host extends DockerHost {
  isKnown = true;
  refusal: Error | undefined;
  /** It makes nothing before this is done. */
  busy: Promise<void> | undefined;
  /** What dockerd was asked to make, and to remove. */
  readonly asked: NewDockerNetwork[] = [];
  readonly removed: string[] = [];
  readonly twins = new Twins(
    this.records,
    this.cluster,
    this.registry.networks,
    {
      isKnown: () => this.isKnown,
      createNetwork: (network) => this.#create(network),
      removeNetwork: (id) => this.#remove(id),
    },
    this.log,
  );
  override onReview = (): void => this.twins.review();

  async #create(network: NewDockerNetwork): Promise<void> {
    this.asked.push(network);
    await this.busy;
    if (this.refusal) throw this.refusal;
    const pools = network.pools.map(({ subnet, gateway }) => ({ subnet, gateway }));
    this.takeUp({ id: network.ipamOptions["pontoon.network"]!, name: network.name, subnets: pools });
  }

  async #remove(id: string): Promise<void> {
    this.removed.push(id);
    if (this.refusal) throw this.refusal;
    const { shared = "", subnets } = this.records.networks.get(id)!;
    this.records.remove("docker-network", id);
    for (const { subnet } of subnets) this.pools.forgetPool(subnet);
    // As the driver does when dockerd asks it.
    const network = this.registry.networks.get(shared);
    if (network && this.cluster.networks.has(shared)) await this.overlays.remove(network);
  }

  /** As when somebody has this host's dockerd make a network. @returns dockerd's id of it */
  async make(network: SharedNetwork): Promise<string> {
    await this.overlays.create(() => network);
    const id = `docker-${this.host.record.name}-${network.id}`;
    this.takeUp({ ...network, name: id.slice(0, 12) });
    return id;
  }

  async review(): Promise<void> {
    this.twins.review();
    await idle();
  }

  /** Names of Docker's networks that are of several hosts. */
  get had(): string[] {
    return [...this.records.networks.values()].map(({ shared = "" }) => shared).sort();
  }

  override stop(): void {
    super.stop();
    void this.twins.stop();
  }
}

function twoHosts(t: Test) {
  const store = new SimulatedStore();
  const [east, west] = [new Host(hostRecord(1, "east"), store), new Host(hostRecord(2, "west"), store)];
  t.teardown(() => [east, west].forEach((host) => host.stop()));
  const hear = async () => {
    for (const host of [east, west, east, west]) await host.hear();
  };
  return { east, west, hear };
}

t.test("a network that one dockerd has made, and named, is had by all, and made once", async (t) => {
  const { east, west, hear } = twoHosts(t);
  const id = await east.make(fresh);
  await hear();
  await west.review();
  t.same(west.asked, [], "not before it is named");
  await east.twins.name(id, "n", "demo");
  await hear();
  for (const host of [east, west]) await Promise.all([host.review(), host.review(), host.hear()]);
  t.same(west.asked, [
    {
      name: "demo",
      driver: "pontoon",
      ipamDriver: "pontoon",
      internal: false,
      ipv6: false,
      options: { ...options, "pontoon.driver": "overlay", "pontoon.network": "n" },
      ipamOptions: { "pontoon.network": "n" },
      pools: subnets,
    },
  ]);
  t.same(east.asked, [], "it has it");
  west.host.way.isCut = true;
  await west.twins.name("docker-west-n", "n", "otherwise");
  t.same(west.complaints, [], "a twin has its network's name: nobody is told");
});

t.test("while dockerd makes one it is asked for no second", async (t) => {
  const { east, west, hear } = twoHosts(t);
  let isDone = (): void => undefined;
  west.busy = new Promise((resolve) => (isDone = resolve));
  const id = await east.make(fresh);
  await hear();
  await east.twins.name(id, "n", "demo");
  await hear();
  await west.review();
  isDone();
  await idle();
  t.same([west.asked.length, west.had], [1, ["n"]]);
});

t.test("a network that was made with pontoon alone is no dockerd's", async (t) => {
  const { east, west, hear } = twoHosts(t);
  const own = { ...fresh };
  delete own.docker;
  await east.overlays.create(() => own);
  await hear();
  t.same([east.asked, west.asked], [[], []]);
});

t.test("dockerd is told nothing before it is known", async (t) => {
  const { east, west, hear } = twoHosts(t);
  west.isKnown = false;
  await east.twins.name(await east.make(fresh), "n", "demo");
  await hear();
  await east.twins.name("docker-east-n", "n", "demo");
  await hear();
  t.same(west.asked, []);
  west.isKnown = true;
  await west.review();
  t.same(west.had, ["n"]);
});

for (const name of ["demo", "d"])
  // a name may be what an id begins with
  t.test(`a network that is named ${name} before this host has heard of it is named when it has`, async (t) => {
    const { east, west, hear } = twoHosts(t);
    const id = await east.make(fresh);
    await east.twins.name(id, "n", name);
    const record = east.records.networks.get(id)!;
    east.records.put("docker-network", { ...record, name }); // as the driver has it by then
    await hear();
    t.match(west.cluster.networks.get("n"), { name, docker: { isNamed: true } });
    t.same(west.had, ["n"]);
  });

t.test("a network that was just made is not taken for one that is gone, though this host joins again", async (t) => {
  const { east, hear } = twoHosts(t);
  const id = await east.make(fresh);
  east.overlays.onJoined();
  await east.review();
  t.same(east.removed, [], "it is on its way");
  await hear();
  await east.twins.name(id, "n", "demo");
  await hear();
  t.same(east.had, ["n"]);
});

t.test("with the network goes its twin; one that dockerd keeps is told once, and tried again", async (t) => {
  const { east, west, hear } = twoHosts(t);
  const id = await east.make(fresh);
  await hear();
  await east.twins.name(id, "n", "demo");
  await hear();
  const twin = [...west.records.networks.keys()];
  await east.host.cluster.removeNetwork(east.cluster.networks.get("n")!);
  west.refusal = new Error("network has active endpoints");
  await west.hear();
  await west.review();
  t.same(west.removed, [...twin, ...twin]);
  t.same(west.complaints, ["a network was removed on another host, and dockerd keeps it"]);
  west.refusal = undefined;
  await west.review();
  await west.review();
  t.same(west.removed, [...twin, ...twin, ...twin]);
  t.same(west.had, []);
});

t.test("a network that is gone stays with dockerd while containers here are on it", async (t) => {
  const { east, west, hear } = twoHosts(t);
  await east.make(fresh);
  await hear();
  await east.twins.name("docker-east-n", "n", "demo");
  await hear();
  const place = {
    id: "e1",
    network: "docker-west-n",
    hostLink: "ptve1",
    mac: "02:42:0a:58:00:02",
    since: 0,
    ports: [],
  };
  west.records.put("docker-endpoint", { ...place, path: "/run/docker/netns/e1" });
  await east.host.cluster.removeNetwork(east.cluster.networks.get("n")!);
  await west.hear();
  t.same(west.removed, []);
  west.records.remove("docker-endpoint", "e1");
  await west.hear();
  west.overlays.onJoined(); // networks are looked at again
  await idle();
  t.same(west.removed, ["docker-west-n"]);
});

t.test("what dockerd refuses is told once for each reason, and tried again", async (t) => {
  const { east, west, hear } = twoHosts(t);
  await east.make(fresh);
  await hear();
  west.refusal = new Error("network with name demo already exists");
  await east.twins.name("docker-east-n", "n", "demo");
  await hear();
  await west.review();
  const what = "dockerd cannot have a network of all hosts";
  t.same(west.complaints, [what]);
  t.match(west.said.at(-1), { network: "demo", reason: /already exists/ });
  t.ok(west.asked.length > 1, "it is tried again");
  west.refusal = new Error("Pool overlaps with other one on this address space");
  await west.review();
  t.same(west.complaints, [what, what]);
  west.refusal = undefined;
  await west.review();
  t.same([west.had, west.complaints.length], [["n"], 2]);
});

t.test("two dockerds make a network of the same name at once: who names it second yields", async (t) => {
  const { east, west, hear } = twoHosts(t);
  await east.make(fresh);
  await west.make(sharedNetwork("m", { subnets: [{ subnet: "10.89.0.0/24", gateway: "10.89.0.1" }] }));
  await hear();
  const second = () => west.twins.name("docker-west-m", "m", "demo"); // Docker may tell it again meanwhile
  await Promise.all([east.twins.name("docker-east-n", "n", "demo"), second(), second()]);
  await hear();
  t.same(west.removed, ["docker-west-m"], "once");
  t.same([east.had, west.had], [["n"], ["n"]]);
  t.same([...west.cluster.networks.keys()], ["n"], "nothing is left of the other one");
  t.match(west.complaints, { length: 1, 0: /is removed, and that one taken$/ });
  t.same(east.complaints, []);
});

t.test("a network of pontoon's own that has the name is taken instead", async (t) => {
  const { east, west, hear } = twoHosts(t);
  const own = { ...fresh, name: "demo" };
  delete own.docker;
  await east.overlays.create(() => own);
  await west.make(sharedNetwork("m", { subnets: [{ subnet: "10.89.0.0/24", gateway: "10.89.0.1" }] }));
  await hear();
  await west.twins.name("docker-west-m", "m", "demo");
  await hear();
  t.same([east.had, west.had], [["n"], ["n"]]);
});

t.test("a name that cannot be told is told of once, and tried again", async (t) => {
  const { east, hear } = twoHosts(t);
  await east.make(fresh);
  await hear();
  east.host.way.isCut = true;
  await east.twins.name("docker-east-n", "n", "demo");
  await east.twins.name("docker-east-n", "n", "demo");
  t.same(east.complaints, ["a network is not known by its name to other hosts yet"]);
  east.host.way.isCut = false;
  const record = east.records.networks.get("docker-east-n")!;
  east.records.put("docker-network", { ...record, name: "demo" });
  await east.review();
  await hear();
  t.equal(east.cluster.networks.get("n")?.name, "demo");
});

t.test("nothing is made when it is stopped", async (t) => {
  const { east, west, hear } = twoHosts(t);
  await east.make(fresh);
  await hear();
  await west.twins.stop();
  await west.twins.stop();
  await east.twins.name("docker-east-n", "n", "demo");
  await hear();
  await west.review();
  t.same(west.asked, []);
});
