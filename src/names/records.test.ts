import t from "tap";
import type { ForwardingSettings } from "../docker/upstreams.js";
import { Inventory } from "../inventory/inventory.js";
import { container as anyContainer, endpoint as anyEndpoint, network } from "../inventory/testing/containers.js";
import type { Container, Endpoint, Network } from "../inventory/types.js";
import { decide, endpointRecords, networkRecord, ttlOf } from "./records.js";

const outside: ForwardingSettings = {
  upstreams: [{ ip: "10.0.0.53", port: 53, from: "host" }],
  forwardSingleLabels: true,
  search: ["lan"],
};

const endpoint = (networkId: string, given: Partial<Endpoint> = {}): Endpoint =>
  anyEndpoint(networkId, "10.0.0.2", given);
const container = (given: Partial<Container> = {}): Container =>
  anyContainer("c".repeat(64), {
    name: "web",
    sandbox: { kind: "process", id: "s1", pid: 42 },
    ports: [[80, "tcp"]],
    endpoints: [endpoint("n1")],
    ...given,
  });

function inventory(...networks: Network[]): Inventory {
  const made = new Inventory();
  for (const entry of [
    network("n1"),
    network("n2"),
    network("inside", { internal: true }),
    network("bridge", { predefined: true }),
    network("over", { shared: true }),
    ...networks,
  ])
    made.source(entry.source).putNetwork(entry);
  return made;
}

t.test("a container is served with its networks in Docker's order and its links turned round", (t) => {
  const decision = decide(
    inventory(),
    container({ endpoints: [endpoint("inside"), endpoint("n2", { links: [["target", "alias"]] }), endpoint("n1")] }),
    outside,
  );
  t.same(decision, {
    kind: "serve",
    place: { kind: "process", id: "s1", pid: 42 },
    hasDockerResolver: true,
    sandbox: {
      id: "s1",
      source: "docker",
      container: "c".repeat(64),
      containerName: "web",
      networks: [
        { id: "n1", links: [] },
        { id: "n2", links: [["alias", "target"]] },
        { id: "inside", links: [] },
      ],
      forwarding: { kind: "upstreams", upstreams: outside.upstreams },
      singleLabels: "forward",
      sharesAnswers: false,
      search: ["lan"],
    },
  });
  t.end();
});

t.test("everything that keeps Docker's resolver in its place has a reason", (t) => {
  const cases: [given: Partial<Container>, reason: RegExp][] = [
    [{ running: false }, /not running/],
    [{ networkMode: { kind: "host" } }, /host's network/],
    [{ networkMode: { kind: "none" } }, /no network/],
    [{ networkMode: { kind: "container", of: "x" } }, /another container's/],
    [{ labels: { "pontoon.dns": "off" } }, /label pontoon\.dns=off/],
    [{ sandbox: undefined }, /namespace/],
    [{ endpoints: [endpoint("bridge")] }, /user-defined/],
    [{ endpoints: [] }, /user-defined/],
    [{ endpoints: [endpoint("n1", { ipv4: undefined })] }, /user-defined/],
    [{ endpoints: [endpoint("unknown")] }, /user-defined/],
    [{ endpoints: [endpoint("inside"), endpoint("shared-inside")] }, /internal networks only.*shared/],
  ];
  const known = inventory(network("shared-inside", { internal: true, shared: true }));
  for (const [given, reason] of cases) t.match(decide(known, container(given), outside), { kind: "leave", reason });
  t.match(decide(known, container({ labels: { "pontoon.dns": "on" } }), outside), { kind: "serve" });
  t.end();
});

t.test("a container that cannot reach the outside asks nobody there", (t) => {
  const cases: [what: string, endpoints: Endpoint[], expected: string][] = [
    ["an internal network", [endpoint("inside")], "never"],
    ["two kinds", [endpoint("inside"), endpoint("n1")], "upstreams"],
    ["the other only configured", [endpoint("inside"), endpoint("n1", { ipv4: undefined })], "never"],
    ["the other not known", [endpoint("inside"), endpoint("unknown")], "never"],
    ["beside the default bridge", [endpoint("inside"), endpoint("bridge")], "upstreams"],
    ["IPv6 alone", [endpoint("n1", { ipv4: undefined, ipv6: "fd00::2" })], "upstreams"],
  ];
  for (const [what, endpoints, expected] of cases)
    t.match(
      decide(inventory(), container({ endpoints }), outside),
      { kind: "serve", sandbox: { forwarding: { kind: expected } } },
      what,
    );
  t.end();
});

t.test("a container has a record on every user-defined network it has an address on", (t) => {
  const given = container({
    endpoints: [
      endpoint("n1", { aliases: ["www"] }),
      endpoint("n2", { ipv4: undefined }),
      endpoint("inside", { ipv4: undefined, ipv6: "fd00::2" }),
      endpoint("bridge"),
    ],
  });
  t.same(endpointRecords(inventory(), given, 5), [
    {
      network: "n1",
      source: "docker",
      container: given.id,
      names: ["web", "www", "cccccccccccc"],
      ipv4: "10.0.0.2",
      ipv6: undefined,
      ports: [[80, "tcp"]],
      ttl: 5,
    },
    {
      network: "inside",
      source: "docker",
      container: given.id,
      names: ["web", "cccccccccccc"],
      ipv4: undefined,
      ipv6: "fd00::2",
      ports: [[80, "tcp"]],
      ttl: 5,
    },
  ]);
  t.end();
});

t.test("a label sets the time a container's records are kept", (t) => {
  const cases: [label: string | undefined, expected: number][] = [
    [undefined, 5],
    ["30", 30],
    ["0", 0],
    ["99999", 86_400],
    ["", 5],
    ["-1", 5],
    ["1.5", 5],
    ["5s", 5],
    ["100000", 86_400],
  ];
  for (const [label, expected] of cases)
    t.equal(
      ttlOf(container({ labels: label === undefined ? {} : { "pontoon.dns.ttl": label } }), 5),
      expected,
      String(label),
    );
  t.end();
});

t.test("a network is told by id, name and whether others share it", (t) => {
  const inventory = new Inventory();
  t.same(networkRecord(inventory, network("n1", { shared: true })), {
    id: "n1",
    source: "docker",
    name: "n1",
    shared: true,
  });
  const own = network("n1");
  inventory.source("docker").putNetwork(own);
  inventory.source("docker").putContainer(container({ id: "c1", endpoints: [endpoint("n1", {})] }));
  t.same(networkRecord(inventory, own).shared, false);
  inventory
    .source("docker")
    .putContainer(
      container({ id: "c1", endpoints: [endpoint("n1", {})], excess: { reason: "too much", names: true } }),
    );
  t.same(networkRecord(inventory, own).shared, true, "somebody on it has names that are not in the table");
  inventory.source("docker").removeContainer("c1");
  t.same(networkRecord(inventory, own).shared, false);
  t.end();
});
