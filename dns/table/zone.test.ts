import t from "tap";
import { keyOfText } from "../wire/name.js";
import type { EndpointRecord } from "../protocol.js";
import { Zones } from "./zone.js";

const endpoint = (container: string, given: Partial<EndpointRecord> = {}): EndpointRecord => ({
  source: "docker",
  network: "n1",
  container,
  names: [container],
  ipv4: "10.0.0.2",
  ipv6: undefined,
  ports: [],
  ttl: 5,
  ...given,
});

function zones(): { zones: Zones; changes: string[] } {
  const changes: string[] = [];
  const zones = new Zones((network) => changes.push(network));
  zones.putNetwork({ source: "docker", id: "n1", name: "front", shared: false });
  return { zones, changes };
}

const holdersOf = (zones: Zones, name: string) =>
  zones.networks
    .get("n1")
    ?.names.get(keyOfText(name)!)
    ?.map(({ record }) => record.container);

t.test("every change names its network", (t) => {
  const { zones: table, changes } = zones();
  table.putEndpoint(endpoint("web"));
  table.removeEndpoint("n1", "web");
  table.putNetwork({ source: "docker", id: "n2", name: "back", shared: false });
  table.removeNetwork("n2");
  t.same(changes, ["n1", "n1", "n1", "n2", "n2"]);
  table.removeNetwork("n2");
  t.same(changes.length, 5, "a network that is not there changes nothing");
  t.end();
});

t.test("an endpoint of an unknown network is left out", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("web", { network: "n9" }));
  t.same([...table.networks.keys()], ["n1"]);
  t.end();
});

t.test("names are shared, and each holder leaves alone", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("a", { names: ["a", "svc"] }));
  table.putEndpoint(endpoint("b", { names: ["b", "SVC", "svc"], ipv4: "10.0.0.3" }));
  t.same(holdersOf(table, "svc"), ["a", "b"], "one entry each, however often the name is said");
  table.removeEndpoint("n1", "a");
  t.same(holdersOf(table, "svc"), ["b"]);
  t.equal(holdersOf(table, "a"), undefined);
  table.removeEndpoint("n1", "b");
  t.equal(table.networks.get("n1")?.names.size, 0, "nothing is left behind");
  t.equal(table.networks.get("n1")?.addresses.size, 0);
  t.end();
});

t.test("putting a container again replaces its names", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("a", { names: ["old"] }));
  table.putEndpoint(endpoint("a", { names: ["new"] }));
  t.equal(holdersOf(table, "old"), undefined);
  t.same(holdersOf(table, "new"), ["a"]);
  t.equal(table.networks.get("n1")?.endpoints.size, 1);
  t.end();
});

t.test("a name DNS cannot carry costs that name only", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("a", { names: ["x".repeat(64), "a..b", "fine"] }));
  t.same(holdersOf(table, "fine"), ["a"]);
  t.equal(table.networks.get("n1")?.names.size, 1);
  t.end();
});

t.test("a network keeps its endpoints through a change of its record", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("a"));
  table.putNetwork({ source: "docker", id: "n1", name: "renamed", shared: true });
  t.same(holdersOf(table, "a"), ["a"]);
  t.equal(table.networks.get("n1")?.key, keyOfText("renamed"));
  t.equal(table.networks.get("n1")?.record.shared, true);
  t.end();
});

t.test("an endpoint has an entry for each of its addresses", (t) => {
  const { zones: table } = zones();
  table.putEndpoint(endpoint("a", { ipv6: "fd00::2" }));
  t.equal(table.networks.get("n1")?.addresses.size, 2);
  table.putEndpoint(endpoint("a", { ipv4: undefined, ipv6: undefined }));
  t.equal(table.networks.get("n1")?.addresses.size, 0);
  t.end();
});
