import t, { type Test } from "tap";
import { keys } from "../../../cluster/records.js";
import { hostRecord, reservedEndpoint, sharedNetwork } from "../../../cluster/testing/simulated-host.js";
import { SimulatedStore } from "../../../cluster/testing/simulated-store.js";
import { DockerHost, idle } from "./testing/docker-host.js";

const subnets = [
  { subnet: "10.88.0.0/24", gateway: "10.88.0.1" },
  { subnet: "fd00:88::/64", gateway: "fd00:88::1" },
];
const demo = sharedNetwork("n", { name: "demo", subnets });
/** Five addresses for containers. */
const small = sharedNetwork("n", { name: "demo", subnets: [{ subnet: "10.88.1.0/29", gateway: "10.88.1.1" }] });
const [pool, pool6] = ["10.88.0.0/24", "fd00:88::/64"];

/** A host whose dockerd has the network, and asks for addresses of it. */
class Asking extends DockerHost {
  async ask(Address = "", PoolID = pool): Promise<string> {
    const given = await this.addresses.requestAddress({ PoolID, Address, Options: {} });
    return given.Address.split("/")[0]!;
  }

  release(address: string, PoolID = pool): void {
    this.addresses.releaseAddress(PoolID, address);
  }

  /** What containers have, as this host has it. */
  get given(): string[] {
    return this.pools.of(pool).flatMap(({ address, use, isGiven }) => (use !== "gateway" && isGiven ? [address] : []));
  }
}

async function twoHosts(t: Test, network = demo) {
  const store = new SimulatedStore();
  const hosts = [new Asking(hostRecord(1, "east"), store), new Asking(hostRecord(2, "west"), store)] as const;
  await hosts[0].host.cluster.createNetwork(() => network);
  for (const host of hosts) {
    await host.hear();
    host.takeUp(network);
    t.teardown(() => host.stop());
  }
  /** Addresses that a host has in the store. */
  const stored = ({ host }: Asking) =>
    [...store.read(keys.taken.addressesOn("n")).records.values()]
      .filter(({ value }) => (value as { host: string }).host === host.record.id)
      .map(({ key }) => key.slice(keys.taken.addressesOn("n").length))
      .sort();
  return { store, east: hosts[0], west: hosts[1], stored };
}

t.test("two hosts that ask at once get different addresses, and keep nothing else", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  const [[one, other], second] = [await Promise.all([east.ask(), west.ask()]), await east.ask()];
  t.equal(new Set([one, other, second]).size, 3);
  t.same(stored(east), [one, second].sort());
  t.same(stored(west), [other]);
  t.same(west.given, [other], "what it had tried is not held");
  const six = await Promise.all([east.ask("", pool6), west.ask("", pool6)]);
  t.same(new Set(six).size, 2);
  t.same(stored(west).length, 2);
});

t.test("where other hosts have all addresses, there is none", async (t) => {
  const { east, west } = await twoHosts(t, small);
  const id = "10.88.1.0/29";
  for (let count = 0; count < 5; count++) await west.ask("", id);
  await t.rejects(east.ask("", id), { code: "ADDRESSES_EXHAUSTED" });
  t.same(
    east.pools.of(id).map(({ address }) => address),
    ["10.88.1.1"],
  );
});

t.test("addresses of endpoints that are heard of are passed over", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  // A sandbox of pontoon's own on this host: the store would have said so of other hosts' alone.
  await west.host.cluster.claim(reservedEndpoint(west.host.record, "n", "web", { ipv4: "10.88.0.2" }));
  await east.hear();
  const reads = east.host.way.fates;
  reads.push("answered", "lost");
  t.equal(await east.ask(), "10.88.0.3");
  t.same(reads, ["lost"], "the store was asked once");
  t.same(stored(east), ["10.88.0.3"]);
});

t.test("one that is asked for by its number, and that another host has, is refused with who has it", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  t.equal(await west.ask("10.88.0.7"), "10.88.0.7");
  await t.rejects(east.ask("10.88.0.7"), {
    code: "ADDRESS_TAKEN",
    message: "10.88.0.7 is taken on network demo; choose another",
  });
  await west.host.cluster.claim(reservedEndpoint(west.host.record, "n", "web", { ipv4: "10.88.0.7" }));
  await east.hear();
  await t.rejects(east.ask("10.88.0.7"), {
    code: "ADDRESS_TAKEN",
    message: "10.88.0.7 is taken on network demo by web on host west; choose another",
  });
  t.same([east.given, stored(east)], [[], []]);
  t.same(stored(west), ["10.88.0.7"]);
});

t.test("gateways, and addresses of other networks, are not agreed on", async (t) => {
  const { east, stored } = await twoHosts(t);
  east.host.way.isCut = true;
  const asked = await east.addresses.requestAddress({
    PoolID: pool,
    Address: "",
    Options: { RequestAddressType: "com.docker.network.gateway" },
  });
  t.equal(asked.Address, "10.88.0.1/24");
  const other = east.pools.requestPool({ AddressSpace: "", Pool: "10.9.0.0/24", SubPool: "", Options: {}, V6: false });
  t.equal(await east.ask("", other.PoolID), "10.9.0.1");
  t.same(stored(east), []);
});

t.test("an address is free for other hosts when it is given back, and not when it is had again by then", async (t) => {
  const { east, west, stored } = await twoHosts(t);
  const ip = await east.ask();
  east.release(`${ip}/24`);
  await idle();
  t.equal(await west.ask(ip), ip);
  const next = await east.ask();
  east.release(next);
  t.equal(await east.ask(next), next);
  await idle();
  t.same(stored(east), [next], "it is not freed afterwards");
  east.release(next);
  await idle();
  t.same(stored(east), [next], "one that was asked for by its number is kept for its container");
  await t.rejects(west.ask(next), { code: "ADDRESS_TAKEN" });
});

t.test("while the store is out of reach, what was given back can be had again, and nothing else", async (t) => {
  const { east, stored } = await twoHosts(t);
  const [ip, named] = [await east.ask(), await east.ask("10.88.0.9")];
  const [kept, six] = [await east.ask(), await east.ask("", pool6)];
  east.host.way.isCut = true;
  await t.rejects(east.ask(), { code: "CLUSTER_AWAY" });
  await t.rejects(east.ask("10.88.0.20"), { code: "CLUSTER_AWAY" });
  t.same(east.given, [ip, named, kept], "nothing is left of what was refused");
  east.release(six, pool6);
  east.release(ip);
  east.release(named);
  await idle();
  t.equal(await east.ask(), ip);
  t.equal(await east.ask("", pool6), six);
  await t.rejects(east.ask(), { code: "CLUSTER_AWAY" });
  t.equal(await east.ask(named), named);
  east.release(ip);
  await idle();
  t.equal(await east.ask(ip), ip, "by its number, too");
  await t.rejects(east.ask(), { code: "CLUSTER_AWAY" });
  t.same(east.given.sort(), [ip, named, kept].sort());
  await east.heal();
  t.same(stored(east), [ip, named, kept, six].sort());
});

t.test("one that was kept, and that other containers have had since, is not had again for its sake", async (t) => {
  const { east, west } = await twoHosts(t, small);
  const id = "10.88.1.0/29";
  const named = await east.ask("10.88.1.2", id);
  east.release(named, id);
  await idle();
  const others: string[] = [];
  for (let count = 0; count < 5; count++) others.push(await east.ask("", id));
  t.equal(others.at(-1), named, "there is no other left");
  await t.rejects(east.ask("", id), { code: "ADDRESSES_EXHAUSTED" });
  east.release(named, id);
  await idle();
  t.equal(await west.ask(named, id), named);
  east.host.way.isCut = true;
  await t.rejects(east.ask("", id), { code: "CLUSTER_AWAY" });
});

t.test("when the store is there again, it says what this host has, and nothing else", async (t) => {
  const { east, west, store, stored } = await twoHosts(t);
  const [first, second, third] = [await east.ask(), await east.ask(), await east.ask()];
  east.host.way.isCut = true;
  east.release(first);
  await idle();
  t.same(stored(east), [first, second, third]);
  store.commit({ requires: [], changes: [{ key: keys.taken.address("n", second), value: undefined }] });
  await east.heal();
  t.same(stored(east), [second, third]);
  t.same(east.complaints, []);
  store.commit({ requires: [], changes: [{ key: keys.taken.address("n", third), value: undefined }] });
  t.equal(await west.ask(third), third);
  await east.addresses.settle();
  t.match(east.said.at(-1), { network: "demo", addresses: { length: 1, 0: third } });
  east.host.way.isCut = true;
  await t.rejects(east.ask(), { code: "CLUSTER_AWAY" }, "what was freed is not had again");
  await t.rejects(east.addresses.settle(), { code: "CLUSTER_AWAY" });
});
