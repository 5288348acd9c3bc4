import t from "tap";
import { Inventory } from "./inventory.js";
import { addressIn, containerNamed, defaultAddresses, isWithin, namespaceOwner, unpublishable } from "./targets.js";
import { container, endpoint, network } from "./testing/containers.js";
import type { Container, Network } from "./types.js";

function inventoryOf(...containers: Container[]): Inventory {
  const inventory = new Inventory();
  for (const each of [network("n1"), network("n2"), network("lan", { driver: "macvlan" })])
    inventory.source("docker").putNetwork(each);
  for (const each of containers) inventory.source("docker").putContainer(each);
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

/** One container on these networks, in this order. */
function on(...networks: readonly (readonly [id: string, given: Partial<Network>])[]): {
  inventory: Inventory;
  web: Container;
} {
  const web = container("web", {
    endpoints: networks.map(([id, { internal }], index) =>
      endpoint(id, `10.0.${index}.2`, { hasGateway: { ipv4: internal !== true, ipv6: false } }),
    ),
  });
  const inventory = inventoryOf(web);
  for (const [id, given] of networks) inventory.source("docker").putNetwork(network(id, given));
  return { inventory, web };
}

const everyone = { hasIPv6: true, userlandProxy: true };
const gatewayNetwork = network("gw", { name: "docker_gwbridge", predefined: true });

t.test("a link of the host's own on a LAN makes containers there reachable", (t) => {
  const { inventory, web } = on(["lan", { driver: "macvlan", hostAccess: true }]);
  t.equal(addressIn(inventory, web, "ipv4"), "10.0.0.2");
  t.equal(unpublishable(inventory, web), undefined);
  t.end();
});

t.test("what the host cannot reach is never the address, and is said when there is nothing else", (t) => {
  const web = container("web", {
    endpoints: [endpoint("lan", "192.0.2.9", { gatewayPriority: 9 }), endpoint("n2", "10.0.2.2")],
  });
  t.equal(addressIn(inventoryOf(web), web, "ipv4"), "10.0.2.2");
  for (const given of [
    { driver: "macvlan" },
    { driver: "ipvlan" },
    { driver: "overlay" },
    { driver: "overlay", internal: true },
    { internal: true, unbound: { ipv4: "isolated" } },
  ] as const) {
    const { inventory, web } = on(["x", given]);
    t.equal(addressIn(inventory, web, "ipv4"), undefined);
    t.match(
      unpublishable(inventory, web),
      /^the host cannot reach web on x \((macvlan|ipvlan|overlay|bridge)\): .*; connect it to a bridge network as well$/,
    );
    inventory.source("docker").putContainer({ ...web, running: false });
    const isCertain = "driver" in given && given.driver !== "overlay";
    t.equal(
      unpublishable(inventory, inventory.containers.get("web")!) !== undefined,
      isCertain,
      "one that is down may come to have a way",
    );
  }
  t.end();
});

t.test("without a way of its own a container is reached by docker_gwbridge", (t) => {
  const { inventory, web } = on(["wide", { driver: "overlay" }], ["closed", { internal: true }]);
  t.equal(addressIn(inventory, web, "ipv4"), "10.0.1.2");
  const heard: string[] = [];
  inventory.onChange(({ containers }) => heard.push(...containers));
  inventory.source("docker").putGateways(gatewayNetwork, [
    { container: "web", name: "gateway_1", ipv4: "172.18.0.3", ipv6: undefined },
    { container: "ingress-sbox", name: "gateway_ingress-sbox", ipv4: "172.18.0.2", ipv6: undefined },
  ]);
  t.equal(addressIn(inventory, web, "ipv4"), "172.18.0.3", "by which Docker publishes its ports, too");
  t.same(defaultAddresses(inventory, web, everyone), { ips: ["0.0.0.0", "::"] });
  inventory
    .source("docker")
    .putGateways({ ...gatewayNetwork, hostBinding: "10.1.1.1" }, [
      { container: "web", name: "gateway_1", ipv4: "172.18.0.4", ipv6: undefined },
    ]);
  t.equal(addressIn(inventory, web, "ipv4"), "172.18.0.4");
  t.same(defaultAddresses(inventory, web, everyone), { ips: ["10.1.1.1"] });
  t.same(heard, ["web", "web"], "whoever moves is told");
  const guest = container("guest", { networkMode: { kind: "container", of: "web" } });
  t.equal(addressIn(inventory, guest, "ipv4"), "172.18.0.4");
  inventory.source("docker").putContainer({ ...web, endpoints: [...web.endpoints, endpoint("n1", "10.0.9.2")] });
  t.equal(
    addressIn(inventory, inventory.containers.get("web")!, "ipv4"),
    "10.0.9.2",
    "a network of its own that is a way comes first",
  );
  inventory.source("docker").removeNetwork("gw");
  t.equal(inventory.gatewayOf("web"), undefined);
  t.end();
});

t.test("ports that name no address are where Docker would bind them", (t) => {
  const cases: [string, (readonly [string, Partial<Network>])[], Partial<typeof everyone>, string[]][] = [
    ["everywhere", [["n", {}]], {}, ["0.0.0.0", "::"]],
    ["on a host without IPv6", [["n", {}]], { hasIPv6: false }, ["0.0.0.0"]],
    ["nobody would pass IPv6 on", [["n", {}]], { userlandProxy: false }, ["0.0.0.0"]],
    ["the network's own address, in its family only", [["n", { hostBinding: "127.0.0.1" }]], {}, ["127.0.0.1"]],
    ["and of IPv6", [["n", { hostBinding: "::1" }]], {}, ["::1"]],
    [
      "of the network by which it is reached",
      [
        ["a", {}],
        ["b", { hostBinding: "127.0.0.1" }],
      ],
      {},
      ["0.0.0.0", "::"],
    ],
    [
      "which is never an internal one if there is another",
      [
        ["a", { internal: true }],
        ["b", { hostBinding: "127.0.0.1" }],
      ],
      {},
      ["127.0.0.1"],
    ],
    [
      "nor one the host cannot reach",
      [
        ["a", { driver: "macvlan" }],
        ["b", { hostBinding: "127.0.0.1" }],
      ],
      {},
      ["127.0.0.1"],
    ],
    ["a routed family has no ports of the host", [["n", { unbound: { ipv6: "routed" } }]], {}, ["0.0.0.0"]],
    ["the other neither", [["n", { unbound: { ipv4: "routed" } }]], {}, ["::"]],
  ];
  for (const [what, networks, host, expected] of cases) {
    const { inventory, web } = on(...networks);
    t.same(defaultAddresses(inventory, web, { ...everyone, ...host }), { ips: expected }, what);
    const down = { ...web, running: false, endpoints: web.endpoints.map((each) => ({ ...each, ipv4: undefined })) };
    inventory.source("docker").putContainer(down);
    t.same(
      defaultAddresses(inventory, down, { ...everyone, ...host }),
      { ips: expected },
      `${what}, and while it is down`,
    );
  }
  const six = container("six", { endpoints: [endpoint("n1", "10.0.0.2", { ipv6: "fd00::2" })] });
  t.same(defaultAddresses(inventoryOf(six), six, { hasIPv6: true, userlandProxy: false }), { ips: ["0.0.0.0", "::"] });
  t.end();
});

t.test("and nowhere where Docker publishes nothing", (t) => {
  for (const given of [
    { internal: true },
    { unbound: { ipv4: "routed", ipv6: "routed" } },
    { hostBinding: "127.0.0.1", unbound: { ipv4: "routed" } },
  ] as const) {
    const { inventory, web } = on(["n", given]);
    t.match(defaultAddresses(inventory, web, everyone), {
      ips: { length: 0 },
      reason: /^Docker publishes nothing of web on the host: .*name an address/,
    });
    t.equal(unpublishable(inventory, web), undefined, "who names an address has his way");
  }
  t.ok(isWithin("127.0.0.1", ["0.0.0.0"]) && isWithin("::1", ["::"]) && isWithin("10.0.0.1", ["10.0.0.1"]));
  t.notOk(
    isWithin("0.0.0.0", ["127.0.0.1"]) ||
      isWithin("::", ["0.0.0.0"]) ||
      isWithin("127.0.0.1", ["::"]) ||
      isWithin("::1", []),
  );
  t.end();
});

t.test("no address: it is down, not joined yet, or on a network that is not known", (t) => {
  for (const given of [
    { running: false, endpoints: [endpoint("n1", "10.0.0.2")] },
    { endpoints: [endpoint("n1", undefined)] },
    { endpoints: [endpoint("n9", "10.0.9.2")] },
    {},
  ]) {
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
