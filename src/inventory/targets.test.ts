import t from "tap";
import { Inventory } from "./inventory.js";
import { addressIn, containerNamed, namespaceOwner, unpublishable } from "./targets.js";
import { container, endpoint, network } from "./test-containers.js";
import type { Container } from "./types.js";

function inventoryOf(...containers: Container[]): Inventory {
  const inventory = new Inventory();
  for (const each of [network("n1"), network("n2"), network("lan", { driver: "macvlan" })]) inventory.putNetwork(each);
  for (const each of containers) inventory.putContainer(each);
  return inventory;
}

t.test("the address of a container is of its client's family if it has one", (t) => {
  const four = container("four", { endpoints: [endpoint("n1", "10.0.0.2")] });
  const both = container("both", { endpoints: [endpoint("n1", "10.0.0.3", { ipv6: "fd00::3" })] });
  const inventory = inventoryOf(four, both);
  t.same([addressIn(inventory, four, "ipv4"), addressIn(inventory, four, "ipv6")], ["10.0.0.2", "10.0.0.2"]);
  t.same([addressIn(inventory, both, "ipv4"), addressIn(inventory, both, "ipv6")], ["10.0.0.3", "fd00::3"]);
  t.end();
});

t.test("a network the host cannot reach comes last", (t) => {
  const web = container("web", { endpoints: [endpoint("lan", "192.0.2.9", { gatewayPriority: 9 }), endpoint("n2", "10.0.2.2")] });
  const only = container("only", { endpoints: [endpoint("lan", "192.0.2.8")] });
  const inventory = inventoryOf(web, only);
  t.equal(addressIn(inventory, web, "ipv4"), "10.0.2.2");
  t.equal(addressIn(inventory, only, "ipv4"), "192.0.2.8");
  t.end();
});

t.test("no address: it is down, not joined yet, or on a network that is not known", (t) => {
  for (const given of [{ running: false, endpoints: [endpoint("n1", "10.0.0.2")] }, { endpoints: [endpoint("n1", undefined)] }, { endpoints: [endpoint("n9", "10.0.9.2")] }, {}]) {
    const web = container("web", given);
    t.equal(addressIn(inventoryOf(web), web, "ipv4"), undefined);
  }
  t.end();
});

t.test("--network container: the address is the other's, while both run", (t) => {
  const owner = container("owner", { endpoints: [endpoint("n1", "10.0.0.2")] });
  const guest = container("guest", { networkMode: { kind: "container", of: "owner" } });
  t.equal(addressIn(inventoryOf(owner, guest), guest, "ipv4"), "10.0.0.2");
  t.equal(addressIn(inventoryOf({ ...owner, running: false }, guest), guest, "ipv4"), undefined);
  t.equal(addressIn(inventoryOf(owner, guest), { ...guest, running: false }, "ipv4"), undefined);
  t.equal(addressIn(inventoryOf(guest), guest, "ipv4"), undefined, "not known yet");
  t.equal(namespaceOwner(inventoryOf(owner, guest), guest)?.id, "owner");
  t.equal(namespaceOwner(inventoryOf(owner), owner)?.id, "owner");
  t.end();
});

t.test("whose ports cannot be published", (t) => {
  const hosts = container("hosts", { networkMode: { kind: "host" } });
  const bare = container("bare", { networkMode: { kind: "none" } });
  const guest = container("guest", { networkMode: { kind: "container", of: "hosts" } });
  const lost = container("lost", { networkMode: { kind: "container", of: "nobody" } });
  const inventory = inventoryOf(hosts, bare, guest, lost);
  t.match(unpublishable(inventory, hosts), /^hosts uses the host's network/);
  t.match(unpublishable(inventory, guest), /^guest uses the host's network/);
  t.match(unpublishable(inventory, bare), /^bare has no network/);
  t.equal(unpublishable(inventory, lost), undefined);
  t.equal(unpublishable(inventory, container("web")), undefined);
  t.end();
});

t.test("by name, id, or the beginning of an id; a name comes first", (t) => {
  const inventory = inventoryOf(container("abcdef0123", { name: "web" }), container("ffff000000", { name: "abcdef" }));
  t.equal(containerNamed(inventory, "web")?.id, "abcdef0123");
  t.equal(containerNamed(inventory, "abcdef")?.id, "ffff000000");
  t.equal(containerNamed(inventory, "abcd")?.id, "abcdef0123");
  t.equal(containerNamed(inventory, "abc"), undefined);
  t.end();
});
