import t from "tap";
import { Inventory } from "./inventory.js";
import { container, endpoint as anyEndpoint, network as anyNetwork } from "./testing/containers.js";
import type { Endpoint, Network } from "./types.js";

const network = (id: string, given: Partial<Network> = {}): Network =>
  anyNetwork(id, { name: `name of ${id}`, ...given });

const endpoint = (given: Partial<Endpoint> = {}): Endpoint =>
  anyEndpoint("n1", "10.0.0.2", { networkName: "name of n1", ...given });

/** An inventory with two networks, and what its listeners were told since. */
function followed(): { inventory: Inventory; changes: string[] } {
  const inventory = new Inventory();
  for (const id of ["n1", "n2"]) inventory.source("docker").putNetwork(network(id));
  const changes: string[] = [];
  inventory.onChange(({ containers, networks }) =>
    changes.push(...[...containers].map((id) => `container ${id}`), ...[...networks].map((id) => `network ${id}`)),
  );
  return { inventory, changes };
}

t.test("a change is told once, and what stays the same is not", (t) => {
  const { inventory, changes } = followed();
  inventory.source("docker").putContainer(container("a"));
  inventory.source("docker").putContainer(container("a"));
  inventory.source("docker").putContainer(container("a", { name: "renamed" }));
  inventory.source("docker").putNetwork(network("n1"));
  inventory.source("docker").putNetwork(network("n1", { name: "renamed" }));
  inventory.source("docker").removeContainer("a");
  inventory.source("docker").removeContainer("a");
  inventory.source("docker").removeNetwork("n2");
  inventory.source("docker").removeNetwork("n2");
  t.same(changes, ["container a", "container a", "network n1", "container a", "network n2"]);
  t.end();
});

t.test("a listener can leave", (t) => {
  const { inventory } = followed();
  let told = 0;
  const stop = inventory.onChange(() => told++);
  inventory.source("docker").putContainer(container("a"));
  stop();
  inventory.source("docker").removeContainer("a");
  t.equal(told, 1);
  t.end();
});

t.test("a container only a network lists is known in part", (t) => {
  const { inventory, changes } = followed();
  inventory
    .source("docker")
    .putListed(network("n1"), [{ container: "a", name: "web", ipv4: "10.0.0.2", ipv6: undefined }]);
  t.match(inventory.containers.get("a"), {
    name: "web",
    partial: true,
    running: false,
    endpoints: { length: 1, 0: { networkId: "n1", ipv4: "10.0.0.2", hasGateway: { ipv4: true, ipv6: false } } },
  });
  t.same(changes, ["container a"]);
  t.same(inventory.containersOn("n1"), ["a"]);
  t.end();
});

t.test("a network's list gives addresses to containers that are known", (t) => {
  const { inventory } = followed();
  const given = { container: "a", name: "a", ipv4: "10.0.0.9", ipv6: "fd00::9" };
  const cases: [what: string, endpoints: Endpoint[], expected: object[]][] = [
    ["joined before", [endpoint()], [{ networkId: "n1", ipv4: "10.0.0.9", ipv6: "fd00::9" }]],
    [
      "configured by name",
      [endpoint({ networkId: "", ipv4: undefined, aliases: ["x"] })],
      [{ networkId: "n1", ipv4: "10.0.0.9", aliases: ["x"] }],
    ],
    [
      "configured by id",
      [endpoint({ networkId: "", networkName: "n1", ipv4: undefined })],
      [{ networkId: "n1", ipv4: "10.0.0.9" }],
    ],
    [
      "on another network",
      [endpoint({ networkId: "n2" })],
      [
        { networkId: "n2", ipv4: "10.0.0.2" },
        { networkId: "n1", ipv4: "10.0.0.9" },
      ],
    ],
    ["on none", [], [{ networkId: "n1", ipv4: "10.0.0.9" }]],
  ];
  for (const [what, endpoints, expected] of cases) {
    inventory.source("docker").putContainer(container("a", { endpoints, labels: { kept: "yes" } }));
    inventory.source("docker").putListed(network("n1"), [given]);
    t.match(
      inventory.containers.get("a"),
      { endpoints: expected, partial: false, excess: undefined, labels: { kept: "yes" } },
      what,
    );
    t.equal(inventory.containers.get("a")?.endpoints.length, expected.length, what);
  }
  t.end();
});

t.test("leaving a network costs the address there, and no other", (t) => {
  const { inventory, changes } = followed();
  inventory
    .source("docker")
    .putContainer(
      container("a", { endpoints: [endpoint({ aliases: ["x"] }), endpoint({ networkId: "n2", ipv4: "10.2.0.2" })] }),
    );
  inventory.source("docker").removeEndpoint("a", "n1");
  inventory.source("docker").removeEndpoint("a", "n1");
  inventory.source("docker").removeEndpoint("nosuch", "n1");
  t.match(inventory.containers.get("a")?.endpoints, {
    length: 2,
    0: { ipv4: undefined, aliases: { length: 1, 0: "x" } },
    1: { ipv4: "10.2.0.2" },
  });
  t.same(changes, ["container a", "container a"]);
  t.same(inventory.containersOn("n1"), []);
  t.same(inventory.containersOn("n2"), ["a"]);
  t.end();
});

t.test("the network of an endpoint is found by id, else by name", (t) => {
  const { inventory } = followed();
  t.equal(
    inventory.networkOf(endpoint({ networkId: "n2", networkName: "name of n1" }))?.id,
    "n2",
    "the id counts: names may be those of earlier days",
  );
  t.equal(inventory.networkOf(endpoint({ networkId: "", networkName: "name of n1" }))?.id, "n1");
  t.equal(inventory.networkOf(endpoint({ networkId: "", networkName: "n2" }))?.id, "n2", "`docker run --network ID`");
  t.equal(inventory.networkOf(endpoint({ networkId: "n9" })), undefined);
  t.equal(inventory.isOn(endpoint({ networkId: "", networkName: "name of n1" }), "n1"), true);
  t.equal(inventory.isOn(endpoint({ networkId: "n9" }), "n9"), true, "also one that is not known itself");
  t.equal(inventory.isOn(endpoint({ networkId: "", networkName: "nosuch" }), "n1"), false);
  t.end();
});

t.test("each source has its own entries: none changes or removes another's", (t) => {
  const { inventory, changes } = followed();
  const [docker, own] = [inventory.source("docker"), inventory.source("pontoon")];
  own.putNetwork(network("n3", { source: "pontoon" }));
  own.putContainer(container("s", { source: "pontoon" }));
  docker.putContainer(container("c"));
  changes.length = 0;
  docker.removeContainer("s");
  docker.removeNetwork("n3");
  own.removeContainer("c");
  docker.removeEndpoint("s", "n1");
  t.throws(() => docker.putContainer(container("s")), /container s is not docker's to put: it is pontoon's/);
  t.throws(() => docker.putContainer(container("x", { source: "pontoon" })), TypeError);
  t.throws(() => docker.putNetwork(network("n3")), /network n3/);
  t.throws(() => docker.putListed(network("n1"), [{ container: "s", name: "s", ipv4: "10.0.0.9", ipv6: undefined }]));
  t.same(changes, []);
  t.same(docker.ids.sort(), ["c", "n1", "n2"], "what a listing has to be compared with");
  t.same(own.ids, ["s", "n3"]);
  own.removeNetwork("n3");
  t.same([...inventory.networks.keys()], ["n1", "n2"]);
  t.end();
});

t.test("each source is complete by itself, and says so", (t) => {
  const { inventory } = followed();
  const said: string[] = [];
  const stop = inventory.onComplete((source) => said.push(source));
  t.notOk(inventory.isComplete(["pontoon"]));
  inventory.source("pontoon").complete();
  t.ok(inventory.isComplete(["pontoon"]));
  t.notOk(inventory.isComplete());
  inventory.source("docker").complete();
  t.ok(inventory.isComplete());
  inventory.source("docker").complete();
  t.same(said, ["pontoon", "docker"], "once");
  stop();
  t.end();
});

t.test("of two with one name the own sandbox has it, and the container when that is gone", (t) => {
  const { inventory } = followed();
  const named = () => inventory.named("web")?.id;
  inventory.source("pontoon").putContainer(container("s", { source: "pontoon", name: "web" }));
  inventory.source("docker").putContainer(container("c", { name: "web" }));
  t.equal(named(), "s");
  inventory.source("pontoon").putContainer(container("s", { source: "pontoon", name: "renamed" }));
  t.equal(named(), "c");
  inventory.source("docker").removeContainer("c");
  t.equal(named(), undefined);
  t.end();
});

t.test("Docker's network of a name is meant where Docker gives no id, though there is an own one", (t) => {
  const { inventory } = followed();
  inventory.source("pontoon").putNetwork(network("own", { source: "pontoon", name: "front" }));
  const before = endpoint({ networkId: "", networkName: "front" });
  t.equal(inventory.networkOf(before), undefined);
  inventory.source("docker").putNetwork(network("dockers", { name: "front" }));
  t.equal(inventory.networkOf(before)?.id, "dockers");
  t.end();
});
